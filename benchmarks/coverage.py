"""How often intervals of ``direction_errors`` cover the truth, in fresh data sets.

    python benchmarks/coverage.py                           # directions, amplitudes
    python benchmarks/coverage.py --predictions --sets 50   # and of predictions
    python benchmarks/coverage.py --predictions --data DIR  # CSV files, the target last

Data sets whose network has another number of features than the truth are left out, as
the intervals are conditional on it. With 500 data sets of two directions each, a share
of 0.95 has a standard error of 0.007 where the two angles are independent.

Predictions are for rows that are not in the fit: as many fresh ones, or those of each
of five shuffled folds of a table. Intervals of ``prediction_errors`` are for 0.90.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors, prediction_errors
from sklearn_twolayer.metrics import match_directions


@dataclass(frozen=True)
class Problem:
    """Rows, inputs, directions, noise and targets; the noise may depend on rows."""

    n_samples: int
    n_features: int
    n_directions: int
    noise: float
    n_targets: int
    uneven: bool = False  # noise with standard deviation noise * exp(x1 / 2)
    target_sizes: tuple[float, ...] = (1.0,)  # multiply targets and noise

    def __str__(self):
        cells = f"{self.n_samples}, {self.n_features}, {self.n_directions}, "
        cells += f"{self.noise}, {self.n_targets}"
        if self.uneven:
            cells += ", noise times exp(x1 / 2)"
        if len(self.target_sizes) > 1:
            cells += f", targets times {self.target_sizes}"
        return cells

    def draw(self, seed):
        """Inputs, targets and teacher of one data set."""
        X, y, teacher = make_two_layer_regression(
            self.n_samples, self.n_features, n_directions=self.n_directions,
            n_targets=self.n_targets, return_teacher=True, random_state=seed,
            noise=0.0 if self.uneven else self.noise,
        )  # fmt: skip
        if self.uneven:
            normal = np.random.default_rng(seed).standard_normal(y.shape)
            y = y + self.noise * np.exp(X[:, 0] / 2) * normal
        sizes = np.array(self.target_sizes)
        sizes = sizes if self.n_targets > 1 else sizes[0]
        return X, y * sizes, replace(teacher, amplitudes=teacher.amplitudes * sizes)


PROBLEMS = [
    Problem(2000, 5, 2, 0.3, 1),
    Problem(5000, 10, 3, 0.3, 1),
    Problem(2000, 5, 2, 0.3, 2),
    Problem(500, 4, 2, 0.3, 1),
    Problem(2000, 5, 2, 0.3, 1, uneven=True),
    Problem(2000, 5, 2, 0.3, 2, target_sizes=(1.0, 0.1)),
]


def fits(problem, n_sets):
    """Data sets and the models whose number of features is right."""
    for seed in range(n_sets):
        X, y, teacher = problem.draw(seed)
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
        if len(model.features_) == problem.n_directions:
            yield X, y, teacher, model


def covered(interval, truth):
    return np.atleast_1d((interval[0] <= truth) & (truth <= interval[1]))


def coverage(X, y, teacher, model, errors_of=direction_errors):
    """Which entries of directions, amplitudes and angles are covered."""
    errors = errors_of(model, X, y)
    match = match_directions(model.features_, teacher.directions)
    indices = match.indices
    signs = np.sign(np.sum(model.features_[indices] * teacher.directions, axis=1))
    loadings = teacher.directions * model.feature_scales_
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    turned = np.sum(errors.loadings[indices] * loadings, axis=1, keepdims=True)
    return {
        "loadings": covered(
            errors.loadings_interval[:, indices], np.sign(turned) * loadings
        ),
        "directions": covered(
            errors.features_interval[:, indices],
            signs[:, np.newaxis] * teacher.directions,
        ),
        "amplitudes": covered(
            errors.amplitudes_interval[:, indices], teacher.amplitudes
        ),
        "angles": match.angles <= errors.angles[indices],
    }


def of_new_rows(X, y, X_new, y_new, means=None):
    """Shares of new targets, and of their means if they are known, that are covered."""
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    errors = prediction_errors(model, X, y, X_new, confidence=0.9)
    targets = np.mean(covered(errors.interval, y_new))
    if means is None:
        return targets, np.nan
    return targets, np.mean(covered(errors.mean_interval, means))


def of_teachers(problem, n_sets):
    for seed in range(n_sets):
        half = problem.n_samples
        X, y, teacher = replace(problem, n_samples=2 * half).draw(seed)
        yield of_new_rows(X[:half], y[:half], X[half:], y[half:],
                          teacher.predict(X[half:]))  # fmt: skip


def of_table(path):
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    X, y = table[:, :-1], table[:, -1]
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        yield of_new_rows(X[train], y[train], X[test], y[test])


def print_predictions(sources):
    print("| 0.90 intervals | new targets | means |")
    print("|---|---|---|")
    for name, found in sources:
        targets, means = np.mean(list(found), axis=0)
        known = "" if np.isnan(means) else f"{means:.3f}"
        print(f"| {name} | {targets:.3f} | {known} |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=500, help="data sets a row")
    parser.add_argument("--predictions", action="store_true", help="not directions")
    parser.add_argument("--data", type=Path, help="folder of CSV files")
    options = parser.parse_args()
    n_sets = options.sets
    if options.predictions:
        sources = [(problem, of_teachers(problem, n_sets)) for problem in PROBLEMS]
        if options.data:
            paths = sorted(options.data.glob("*.csv"))
            sources = [(path.stem, of_table(path)) for path in paths]
        return print_predictions(sources)
    print("| rows, inputs, directions, noise, targets | sets | directions |"
          " loadings | amplitudes | angles |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for problem in PROBLEMS:
        found = [coverage(*fit) for fit in fits(problem, n_sets)]
        cells = [str(problem), f"{len(found)} of {n_sets}"]
        cells += [
            f"{np.mean([shares[name] for shares in found]):.3f}"
            for name in ("directions", "loadings", "amplitudes", "angles")
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
