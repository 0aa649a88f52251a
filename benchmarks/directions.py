"""Which directions recur, how far the active subspace turns, and tests of directions.

    python benchmarks/directions.py --data DIR     # and CSV files, the target last
    python benchmarks/directions.py --part tests   # one of the parts only

Markdown tables of the default estimator, in four parts. *tables*: refits from other
random states, also with one search and with at most four features, and on random
halves of the rows; "R2" is that of five folds, "features" are the least, median and
largest numbers, "recur" is how many of the features of the first fit are found within
0.2 rad by half of the refits, "turn" the median angle of the span of the first one and
two directions of the active subspace, in degrees, "ratio" the second eigenvalue over
the first and the third over the second. Airfoil's frequency and thickness are replaced
by their logarithms. *teachers*: the angle of the subspace in which the function bends
(``linear="apart"``) to the span of the truth, and the share of the features found, and
of features on noise, that recur on halves. *tests*: how often tests at 0.05 reject what
is true (size) and what is not (power), and what the test of the number of directions
and the criterion find. *terms*: 5-fold R2 of the estimator, and of a ridge regression
on what its `transform` gives.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from common import table
from scipy.linalg import subspace_angles
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    active_subspace,
    count_directions,
    direction_errors,
    direction_stability,
)

# Rows, inputs, dimension of the subspace, directions, noise.
TEACHERS = [(2000, 10, 3, 4, 0.3), (3000, 20, 5, 5, 0.5), (500, 10, 3, 3, 0.5)]
COUNTED = [(500, 5, 2, 2, 0.3), (500, 10, 3, 3, 0.5), (1000, 10, 3, 3, 1.0)]
TESTED = [(400, 5, 2, 0.3), (1000, 8, 3, 0.3)]
REFITS = [
    ("states, one search", 1.0, {"n_searches": 1}),
    ("states", 1.0, {}),
    ("states, four features", 1.0, {"max_features": 4}),
    ("halves", 0.5, {}),
    ("halves, four features", 0.5, {"max_features": 4}),
]
LOGARITHMS = {"airfoil": [0, 4]}
FOLDS = KFold(5, shuffle=True, random_state=0)


def tables(folder):
    """Names, inputs and targets; two built-in tables without a folder."""
    if folder is None:
        yield "diabetes", *load_diabetes(return_X_y=True)
        yield "Friedman 1", *make_friedman1(1000, noise=1.0, random_state=0)
        return
    for path in sorted(folder.glob("*.csv")):
        rows = np.genfromtxt(path, delimiter=",", skip_header=1)
        for column in LOGARITHMS.get(path.stem, []):
            rows[:, column] = np.log(rows[:, column])
        yield path.stem, rows[:, :-1], rows[:, -1]


def default(X, y):
    return RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


def print_tables(options):
    rows = []
    for name, X, y in tables(options.data):
        for kind, share, parameters in REFITS:
            model = RegularizedTwoLayerRegressor(random_state=0, **parameters)
            score = cross_val_score(model, X, y, cv=FOLDS).mean()
            model.fit(X, y)
            values = active_subspace(model, X).eigenvalues
            ratios = values[1:3] / np.maximum(values[:2], 1e-300)
            found = direction_stability(
                model, X, y, n_repeats=options.repeats, max_samples=share,
                random_state=0,
            )  # fmt: skip
            counts = found.n_features
            turns = np.degrees(np.median(found.subspace_angles, axis=0))[:2]
            rows.append([
                name, kind, f"{score:.3f}",
                f"{counts.min()}, {np.median(counts):g}, {counts.max()}",
                f"{np.count_nonzero(found.recurs)} of {len(found.loadings)}",
                ", ".join(f"{turn:.1f}" for turn in turns),
                ", ".join(f"{ratio:.2f}" for ratio in ratios),
            ])  # fmt: skip
            print(*rows[-1], flush=True)
    header = ["table", "refits", "R2", "features", "recur", "turn", "ratio"]
    print(f"\n{table(header, rows)}")


def draw(problem, seed, n_targets=1):
    n_samples, n_features, subspace, n_directions, noise = problem
    return make_two_layer_regression(
        n_samples, n_features, subspace_dim=subspace, n_directions=n_directions,
        n_targets=n_targets, noise=noise, return_teacher=True, random_state=seed,
    )  # fmt: skip


def print_teachers(options):
    rows = []
    for problem in TEACHERS:
        angles, recurring = [], []
        for seed in range(options.sets):
            X, y, teacher = draw(problem, seed)
            model = default(X, y)
            truth = np.linalg.svd(teacher.directions * model.feature_scales_)[2]
            own = active_subspace(
                model, X, n_directions=problem[2], linear="apart"
            ).directions
            angles.append(subspace_angles(own.T, truth[: problem[2]].T).max())
            found = direction_stability(model, X, y, n_repeats=10, random_state=0)
            recurring += found.recurs.tolist()
        rows.append([
            ", ".join(map(str, problem)), f"{np.median(angles):.3f}",
            f"{np.max(angles):.3f}", f"{np.mean(recurring):.0%} of {len(recurring)}",
        ])  # fmt: skip
    recurring, n_sets = [], 5 * options.sets
    for seed in range(n_sets):
        generator = np.random.default_rng(seed)
        X, y = generator.standard_normal((500, 5)), generator.standard_t(2, 500)
        # A small penalty makes features of noise.
        model = RegularizedTwoLayerRegressor(random_state=0, n_neurons=3, criterion=0.0)
        found = direction_stability(model.fit(X, y), X, y, n_repeats=10, random_state=0)
        recurring += found.recurs.tolist()
    share = f"{np.mean(recurring):.0%} of {len(recurring)}"
    rows.append(["three neurons on noise, 500, 5", "", "", share])
    print(table(["problem", "median angle", "largest", "recur"], rows))


def with_column(problem, seed, loading):
    """A teacher, and a column correlated with the first that has this loading."""
    n_samples, n_features, n_directions, noise = problem
    X, _, teacher = make_two_layer_regression(
        n_samples, n_features - 1, n_directions=n_directions, min_angle=0.5,
        return_teacher=True, random_state=seed,
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    last = 0.5 * X[:, 0] + np.sqrt(0.75) * generator.standard_normal(n_samples)
    X = np.column_stack([X, last])
    directions = np.column_stack([teacher.directions, np.zeros(n_directions)])
    directions[0, -1] = loading
    y = np.maximum(X @ directions.T, 0) @ teacher.amplitudes
    return X, y + noise * generator.standard_normal(n_samples)


def print_tests(options):
    rows, n_sets = [], 5 * options.sets
    for problem in TESTED:
        for loading in (0.0, 0.05, 0.1):
            of_inputs, of_loadings = [], []
            for seed in range(n_sets):
                X, y = with_column(problem, seed, loading)
                errors = direction_errors(default(X, y), X, y)
                of_inputs.append(errors.input_pvalues[-1] < 0.05)
                of_loadings += (errors.loading_pvalues[:, -1] < 0.05).tolist()
            every = f"{np.mean(of_loadings):.3f}" if loading == 0 else ""
            cells = [", ".join(map(str, problem)), f"{loading:g}"]
            rows.append([*cells, f"{np.mean(of_inputs):.3f}", every])
    header = ["rows, inputs, directions, noise", "loading", "input", "each direction"]
    print(table([*header], rows), "\n")
    rows = []
    for problem in COUNTED:
        tested, chosen = [], []
        for seed in range(2 * options.sets):
            X, y, _ = draw(problem, seed)
            model = default(X, y)
            chosen.append(len(model.features_))
            count = count_directions(model, X, y, n_flips=99, random_state=seed)
            tested.append(count.n_directions)
        rows.append([", ".join(map(str, problem)), *(
            " / ".join(
                f"{np.mean(np.sign(np.array(found) - problem[3]) == sign):.2f}"
                for sign in (-1, 0, 1)
            )
            for found in (tested, chosen)
        )])  # fmt: skip
    print(table(["too few / right / too many", "test", "criterion"], rows))


def print_terms(options):
    kinds, rows = ["activation", "terms"], []
    for name, X, y in tables(options.data):
        model = RegularizedTwoLayerRegressor(random_state=0)
        scores = [cross_val_score(model, X, y, cv=FOLDS).mean()]
        for kind in kinds:
            steps = RegularizedTwoLayerRegressor(random_state=0, feature_output=kind)
            pipe = make_pipeline(steps, RidgeCV(np.logspace(-3, 3, 13)))
            with warnings.catch_warnings():  # A fit without features fails.
                warnings.simplefilter("ignore")
                scores.append(cross_val_score(pipe, X, y, cv=FOLDS).mean())
        rows.append([name, *(f"{score:.3f}" for score in scores)])
    print(table(["R2", "two-layer", *(f"{kind}, ridge" for kind in kinds)], rows))


PARTS = {
    "tables": print_tables, "teachers": print_teachers, "tests": print_tests,
    "terms": print_terms,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of CSV files")
    parser.add_argument("--part", choices=list(PARTS), help="all if not given")
    parser.add_argument("--sets", type=int, default=20, help="data sets, or multiples")
    parser.add_argument("--repeats", type=int, default=10, help="refits of a table")
    options = parser.parse_args()
    for name, print_part in PARTS.items():
        if options.part in (None, name):
            print(f"\n{name}\n", flush=True)
            print_part(options)


if __name__ == "__main__":
    main()
