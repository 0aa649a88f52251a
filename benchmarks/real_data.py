"""Real tables: 5-fold R2 and time of ours and of peers, kept in a results file.

    python benchmarks/real_data.py --data DIR         # and CSV files, the target last
    python benchmarks/real_data.py --data DIR --ours  # ours only; peers stay as stored
    python benchmarks/real_data.py --only CatBoost "MLP, tuned" --tables diabetes
    python benchmarks/real_data.py --data DIR --states 5  # of ours, from state to state

The built-in tables are diabetes and Friedman 1 to 3 (1000 rows; noise 1, 125, 0.1).
Five shuffled folds (seed 0), one thread. Ours, the trees and RealMLP get the tables as
they are; for the other peers inputs and target are standardised on the training rows.
Searches take the same five shuffled folds within the training rows, in random order:
SVR over C, gamma and epsilon, MLPRegressor with lbfgs over width and alpha, projection
pursuit over the number of terms. RidgeCV and xRFM tune themselves, the Gaussian process
by its likelihood, of 300 rows at most; all else is at its defaults. Peers that are not
installed are skipped by name: pip knows them as catboost, xgboost-cpu (or xgboost),
lightgbm, pytabkit (RealMLP), projection-pursuit and xrfm.

Results go to benchmarks/results/real_data.json, one record for each table and method,
merged with those that are there. Seconds are process time of a fit, which ends after
TIME_LIMIT of them: a search then takes the best that it has tried, and a method without
one has no result. The printed table has the mean rank over the tables (1 is best), and
the number of tables on which a method is first.

With --states, R2 of the cross-validated estimator, mean over the first three folds, for
random states 0, 1, ... and the distance of the best from the worst; nothing is stored.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import readme_table
import torch
from common import table
from real_methods import (
    FOLDS,
    TimeLimit,
    is_installed,
    ours,
    peers,
    time_limit,
    versions,
)
from sklearn.datasets import (
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from sklearn_twolayer import RegularizedTwoLayerRegressorCV

TIME_LIMIT = 40.0


def tables(folder):
    yield "diabetes", *load_diabetes(return_X_y=True)
    yield "Friedman 1", *make_friedman1(1000, noise=1.0, random_state=0)
    yield "Friedman 2", *make_friedman2(1000, noise=125.0, random_state=0)
    yield "Friedman 3", *make_friedman3(1000, noise=0.1, random_state=0)
    if folder is not None:
        for path in sorted(Path(folder).glob("*.csv")):
            values = np.genfromtxt(path, delimiter=",", skip_header=1)
            yield path.stem, values[:, :-1], values[:, -1]


def evaluate(method, X, y):
    """R2 of each fold, seconds of a fit, and how many fits the time limit cut.

    One fit without a result leaves the method without one on this table.
    """
    scores, seconds, n_cut = [], [], 0
    for train, test in FOLDS.split(X):
        model = method.make()
        began = time.process_time()
        try:
            with time_limit(TIME_LIMIT):
                model.fit(X[train], y[train])
        except TimeLimit:
            return {"r2": None, "mean": None, "seconds": TIME_LIMIT, "n_cut": 1}
        seconds.append(time.process_time() - began)
        n_cut += getattr(model, "was_cut", False)
        scores.append(round(r2_score(y[test], model.predict(X[test])), 5))
    return {
        "r2": scores,
        "mean": round(float(np.mean(scores)), 5),
        "seconds": round(float(np.mean(seconds)), 3),
        "n_cut": n_cut,
    }


def by_state(X, y, n_states):
    """Mean R2 over the first three folds, one for each random state."""
    means = []
    for state in range(n_states):
        scores = []
        for train, test in list(FOLDS.split(X))[:3]:
            model = RegularizedTwoLayerRegressorCV(random_state=state)
            model.fit(X[train], y[train])
            scores.append(r2_score(y[test], model.predict(X[test])))
        means.append(np.mean(scores))
    return means


def print_states(problems, n_states):
    lines = []
    for name, X, y in problems:
        means = by_state(X, y, n_states)
        lines.append([name, *(f"{r2:.4f}" for r2 in means), f"{np.ptp(means):.4f}"])
        print(*lines[-1], flush=True)
    print(f"\n{table(['R2 by state', *range(n_states), 'spread'], lines)}")


def chosen(methods, names):
    """Methods with these names, or all; those not installed are named and left out."""
    unknown = set(names or ()) - {m.name for m in methods}
    if unknown:
        raise SystemExit(f"no method is called {', '.join(sorted(unknown))}")
    methods = [m for m in methods if names is None or m.name in names]
    for method in methods:
        if not is_installed(method):
            print(f"skipped, not installed: {method.name}")
    return [m for m in methods if is_installed(m)]


def run(methods, problems, path):
    """Evaluate and store after each, so that a run that is ended keeps what it has."""
    for name, X, y in problems:
        for method in methods:
            record = {
                "table": name, "method": method.name,
                **evaluate(method, X, y), "versions": versions(method),
            }  # fmt: skip
            readme_table.save(
                path, readme_table.merge(readme_table.load(path), [record])
            )
            print(name, method.name, record["mean"], record["seconds"], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CSV files")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--only", nargs="+", metavar="METHOD")
    parser.add_argument("--tables", nargs="+", metavar="TABLE")
    parser.add_argument("--results", type=Path, default=readme_table.REAL_DATA)
    parser.add_argument("--states", type=int, help="number of random states")
    arguments = parser.parse_args()
    methods = chosen(ours() if arguments.ours else [*ours(), *peers()], arguments.only)
    problems = [
        (name, X, y)
        for name, X, y in tables(arguments.data)
        if arguments.tables is None or name in arguments.tables
    ]
    torch.set_num_threads(1)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if arguments.states:
            print_states(problems, arguments.states)
            return
        run(methods, problems, arguments.results)
    records = readme_table.load(arguments.results)
    print()
    print(readme_table.real_data(records))
    print()
    print(readme_table.seconds_by_table(records))


if __name__ == "__main__":
    main()
