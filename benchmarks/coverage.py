"""How often intervals of ``direction_errors`` cover the truth, in fresh data sets.

Data sets whose network has another number of features than the truth are left out, as
the intervals are conditional on it. With 500 data sets of two directions each, a share
of 0.95 has a standard error of 0.007 where the two angles are independent.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors
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
    return {
        "directions": covered(
            errors.features_interval[:, indices],
            signs[:, np.newaxis] * teacher.directions,
        ),
        "amplitudes": covered(
            errors.amplitudes_interval[:, indices], teacher.amplitudes
        ),
        "angles": match.angles <= errors.angles[indices],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500, help="data sets a row")
    n_sets = parser.parse_args().sets
    print("| rows, inputs, directions, noise, targets | sets | directions |"
          " amplitudes | angles |")  # fmt: skip
    print("|---|---|---|---|---|")
    for problem in PROBLEMS:
        found = [coverage(*fit) for fit in fits(problem, n_sets)]
        cells = [str(problem), f"{len(found)} of {n_sets}"]
        cells += [
            f"{np.mean([shares[name] for shares in found]):.3f}"
            for name in ("directions", "amplitudes", "angles")
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
