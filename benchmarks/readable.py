"""How much few features cost, and what bad cells and heavy tails do.

    python benchmarks/readable.py --data DIR             # R2 by max_features
    python benchmarks/readable.py --data DIR --bad-cells
    python benchmarks/readable.py --table "Friedman 1"   # one table only

R2 on held-out rows, means over the first three of the five shuffled folds of
real_data.py, for the cross-validated estimator: with as many features as it takes, and
with max_features of 2 to 24. The tables are those of real_data.py and a teacher of
twenty directions with noise.

With --bad-cells one percent of the cells of the held-out rows, chosen at random, are
multiplied by 100, and the estimator is compared with a random forest; the third R2 is
that with these cells moved into the range of their column in the fit. Then inputs are
lognormal, or have Student's distribution with two degrees of freedom; targets are those
of a teacher of the inputs themselves or of their ranks, with noise; and the estimator
is compared with RidgeCV: median and least R2 on 2000 fresh rows over some seeds.
"""

import argparse
import time
import warnings
from dataclasses import replace

import numpy as np
from common import median, table
from real_data import FOLDS, tables
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_twolayer import RegularizedTwoLayerRegressorCV
from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._fit.stages import reduced
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer.datasets import make_two_layer_regression

SIZES = (2, 4, 6, 8, 12, 16, 24)
N_FOLDS = 3
BAD_SHARE, BAD_FACTOR = 0.01, 100.0
N_ROWS, N_FRESH, N_INPUTS = 500, 2000, 5


def problems(folder, name):
    """The tables of real_data.py and a teacher, or only the one of this name."""
    X, y = make_two_layer_regression(
        1000, 10, n_directions=20, subspace_dim=5, noise=0.3, random_state=0
    )
    every = [*tables(folder), ("teacher of 20", X, y)]
    return [one for one in every if name in (None, one[0])]


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def splits(X):
    return list(FOLDS.split(X))[:N_FOLDS]


def smaller(model, X, y, most):
    """What ``max_features=most`` makes of a fit, without fitting it again."""
    whole = model._fitted_network()
    if whole.n_features <= most:
        return whole
    network, columns = whole.on_transformed(X)
    is_weighted = (model.column_weights_ != 1.0).any()
    options = replace(
        model._check_options(),
        linear_decay=model.linear_decay_,
        column_weights=model.column_weights_ if is_weighted else None,
    )
    problem = PathProblem.of(RawRows.local(columns, y, np.ones(len(y))), options)
    small = problem.fitted(reduced(problem, problem.network_of(network), most))
    return replace(small, column_transform=whole.column_transform)


def by_size(X, y):
    """R2 of the whole model and of each size, features and seconds, over the folds."""
    rows = []
    for train, test in splits(X):
        began = time.perf_counter()
        model = fitted(
            RegularizedTwoLayerRegressorCV(random_state=0), X[train], y[train]
        )
        seconds = [time.perf_counter() - began]
        scores = [r2_score(y[test], model.predict(X[test]))]
        for most in SIZES:
            began = time.perf_counter()
            small = smaller(model, X[train], y[train], most)
            seconds.append(time.perf_counter() - began)
            scores.append(r2_score(y[test], small.predict(X[test])))
        rows.append((scores, len(model.features_), seconds))
    scores, n_features, seconds = zip(*rows, strict=True)
    seconds = np.mean(seconds, axis=0)
    return np.mean(scores, axis=0), np.mean(n_features), seconds[0], seconds[-3]


def print_sizes(folder, name):
    lines = []
    for title, X, y in problems(folder, name):
        scores, n_features, whole, twelve = by_size(X, y)
        cells = [f"{score:.3f}" for score in scores]
        cells += [f"{scores[0] - scores[1 + SIZES.index(12)]:.3f}"]
        lines.append(
            [title, f"{n_features:.0f}", *cells, f"{whole:.1f} + {twelve:.1f}"]
        )
        print(*lines[-1], flush=True)
    header = ["R2", "features", "all", *map(str, SIZES), "lost with 12", "seconds"]
    print(f"\n{table(header, lines)}")


def with_bad_cells(X, seed):
    bad = np.random.default_rng(seed).random(X.shape) < BAD_SHARE
    return np.where(bad, BAD_FACTOR * X, X)


def methods():
    return {
        "two-layer, CV": RegularizedTwoLayerRegressorCV(random_state=0),
        "with clip": RegularizedTwoLayerRegressorCV(
            column_transform="clip", random_state=0
        ),
        "random forest": RandomForestRegressor(300, random_state=0),
    }


def print_bad_cells(folder, name):
    lines = []
    for title, X, y in problems(folder, name):
        scores = []
        for train, test in splits(X):
            bad = with_bad_cells(X[test], seed=0)
            moved = np.clip(bad, X[train].min(axis=0), X[train].max(axis=0))
            fits = [fitted(one, X[train], y[train]) for one in methods().values()]
            scores.append(
                [
                    [r2_score(y[test], f.predict(Z)) for Z in (X[test], bad, moved)]
                    for f in fits
                ]
            )
        cells = [" / ".join(f"{r2:.3f}" for r2 in own) for own in np.mean(scores, 0)]
        lines.append([title, *cells])
        print(*lines[-1], flush=True)
    print(f"\n{table(['R2, clean / bad cells / moved', *methods()], lines)}\n")


def heavy_tailed(kind, of_ranks, seed):
    """Inputs with heavy tails, and targets of a teacher of them or of their ranks."""
    rng, n_rows = np.random.default_rng(seed), N_ROWS + N_FRESH
    X = {
        "lognormal": lambda: np.exp(rng.standard_normal((n_rows, N_INPUTS))),
        "t2": lambda: rng.standard_t(2, (n_rows, N_INPUTS)),
    }[kind]()
    seen = rankdata(X, axis=0) * np.sqrt(12.0) / n_rows if of_ranks else X
    teacher = make_two_layer_regression(
        20, N_INPUTS, n_directions=4, return_teacher=True, random_state=seed
    )[2]
    y = teacher.predict(seen)
    return X, y + 0.3 * y.std() * rng.standard_normal(n_rows)


def print_heavy_tails(n_seeds):
    lines = []
    peers = {
        "two-layer, CV": RegularizedTwoLayerRegressorCV(random_state=0),
        "RidgeCV": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))),
        "random forest": RandomForestRegressor(300, random_state=0),
    }
    for kind in ("lognormal", "t2"):
        for of_ranks in (False, True):
            scores = []
            for seed in range(n_seeds):
                X, y = heavy_tailed(kind, of_ranks, seed)
                fits = [fitted(p, X[:N_ROWS], y[:N_ROWS]) for p in peers.values()]
                fresh = X[N_ROWS:]
                scores.append([r2_score(y[N_ROWS:], f.predict(fresh)) for f in fits])
            columns = list(zip(*scores, strict=True))
            cells = [f"{median(own):.3f} ({min(own):.3f})" for own in columns]
            lines.append([f"{kind}, {'ranks' if of_ranks else 'inputs'}", *cells])
            print(*lines[-1], flush=True)
    print(f"\n{table(['median R2 (least)', *peers], lines)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CSV files")
    parser.add_argument("--table", help="name of the only table")
    parser.add_argument("--bad-cells", action="store_true", help="and heavy tails")
    parser.add_argument("--seeds", type=int, default=5, help="of heavy tails")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        if arguments.bad_cells:
            print_bad_cells(arguments.data, arguments.table)
            print_heavy_tails(arguments.seeds)
        else:
            print_sizes(arguments.data, arguments.table)


if __name__ == "__main__":
    main()
