"""Real tables: 5-fold R2 and time of ours and of tuned peers.

    python benchmarks/real_data.py --data DIR     # and CSV files, the target last
    python benchmarks/real_data.py --ours         # without the peers

The built-in tables are diabetes and Friedman 1 to 3 (1000 rows; noise 1, 125, 0.1).
Five shuffled folds (seed 0), inputs standardised on the training rows, targets too, one
thread. All tuning is by the same five shuffled folds within the training rows: RidgeCV
over alpha, SVR over C, gamma and epsilon, MLPRegressor with lbfgs over width and alpha,
projection pursuit over the number of terms; xRFM has its own held-out fifth. The last
column is the mean rank over the tables (1 is best).
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from common import MLP_GRID, mlp, optional, table
from sklearn.datasets import (
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

FOLDS = KFold(5, shuffle=True, random_state=0)


class XRFM:
    """xRFM with a fifth of the training rows held out for its tuning."""

    def fit(self, X, y):
        from xrfm import xRFM

        cut = int(0.8 * len(X))
        columns = y[:, None]
        self.model = xRFM(device="cpu", tuning_metric="mse", verbose=False)
        self.model.fit(X[:cut], columns[:cut], X[cut:], columns[cut:])
        return self

    def predict(self, X):
        return np.asarray(self.model.predict(X)).ravel()


class ScaledTarget:
    """A model for a target of mean zero and variance one, as most expect."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        self.mean, self.scale = y.mean(), y.std()
        self.model.fit(X, (y - self.mean) / self.scale)
        return self

    def predict(self, X):
        return self.model.predict(X) * self.scale + self.mean


def ours():
    yield "two-layer", lambda: RegularizedTwoLayerRegressor(random_state=0)
    yield (
        "two-layer, CV",
        lambda: RegularizedTwoLayerRegressorCV(cv=FOLDS, random_state=0),
    )


def tuned(name, model, grid):
    """A grid search with the folds that all tuning shares."""
    yield name, lambda: GridSearchCV(model, grid, cv=FOLDS)


def peers():
    yield "RidgeCV", lambda: RidgeCV(alphas=np.logspace(-3, 4, 15), cv=FOLDS)
    yield from tuned(
        "SVR, tuned",
        SVR(),
        {"C": [1, 10, 100], "gamma": [0.03, 0.1, 0.3], "epsilon": [0.03, 0.1]},
    )
    yield "MLP, default", lambda: MLPRegressor(random_state=0, max_iter=2000)
    yield from tuned("MLP, tuned", mlp(), MLP_GRID)
    yield "random forest", lambda: RandomForestRegressor(300, random_state=0)
    yield "HistGradientBoosting", lambda: HistGradientBoostingRegressor(random_state=0)
    if optional("skpp"):
        from skpp import ProjectionPursuitRegressor

        yield from tuned(
            "projection pursuit",
            ProjectionPursuitRegressor(random_state=0),
            {"r": [2, 4, 8]},
        )
    if optional("xrfm"):
        yield "xRFM", XRFM


def tables(folder):
    yield "diabetes", *load_diabetes(return_X_y=True)
    yield "Friedman 1", *make_friedman1(1000, noise=1.0, random_state=0)
    yield "Friedman 2", *make_friedman2(1000, noise=125.0, random_state=0)
    yield "Friedman 3", *make_friedman3(1000, noise=0.1, random_state=0)
    if folder is not None:
        for path in sorted(Path(folder).glob("*.csv")):
            values = np.genfromtxt(path, delimiter=",", skip_header=1)
            yield path.stem, values[:, :-1], values[:, -1]


def evaluate(make, X, y):
    """Mean R2 and seconds of a fit over the folds."""
    scores, seconds = [], []
    for train, test in FOLDS.split(X):
        scaler = StandardScaler().fit(X[train])
        model = ScaledTarget(make())
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(scaler.transform(X[train]), y[train])
        seconds.append(time.perf_counter() - began)
        scores.append(r2_score(y[test], model.predict(scaler.transform(X[test]))))
    return float(np.mean(scores)), float(np.mean(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CSV files")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    arguments = parser.parse_args()
    methods = dict(ours() if arguments.ours else [*ours(), *peers()])
    results = {}
    with threadpool_limits(limits=1):
        for name, X, y in tables(arguments.data):
            results[name] = {m: evaluate(make, X, y) for m, make in methods.items()}
            cells = [
                f"{m} {r2:.3f} ({s:.1f} s)" for m, (r2, s) in results[name].items()
            ]
            print(f"{name}: {', '.join(cells)}", flush=True)
    scores = np.array([[r[m][0] for m in methods] for r in results.values()])
    ranks = (-scores).argsort(axis=1).argsort(axis=1).mean(axis=0) + 1
    lines = [
        [m, *(f"{r[m][0]:.3f} ({r[m][1]:.1f} s)" for r in results.values()), f"{k:.1f}"]
        for m, k in zip(methods, ranks, strict=True)
    ]
    print()
    print(table(["R2 (time)", *results, "mean rank"], lines))


if __name__ == "__main__":
    main()
