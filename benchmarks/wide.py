"""Few rows, many columns: the linear part that is shrunk as the data ask.

    python benchmarks/wide.py --families --seeds 3   # teachers and spectra, and peers
    python benchmarks/wide.py --told --seeds 3       # beside fits told the columns
    python benchmarks/wide.py --sweep                # rows from d - 5 to 3 d, d = 30
    python benchmarks/wide.py --tables FOLDER        # small tables, five shuffled folds
    python benchmarks/wide.py --large                # time and memory, 300 x 2000

Markdown tables of R2 on fresh rows, without noise; on tables, the mean R2 of five
shuffled folds. The peers are tuned by cross-validation with five folds: ridge
regression, partial least squares, support vectors, MLPRegressor with 20 units and
lbfgs, and a Gaussian process with a linear and a squared exponential kernel, whose
parameters are the most likely ones. FOLDER holds CSV files whose last column is the
target; columns of text become indicators.
"""

import argparse
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from common import median, table
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    WhiteKernel,
)
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

N_FRESH = 2000
# Rows, inputs and directions of dense teachers; rows and inputs of sparse ones; rows
# and channels of spectra.
DENSE = [(100, 80, 1), (200, 100, 2), (400, 300, 2), (1000, 500, 2), (150, 200, 1)]
SPARSE = [(200, 100), (150, 300)]
SPECTRA = [(100, 100), (160, 100), (160, 700)]
OURS = ("default", "CV")


def relu(values):
    return np.maximum(values, 0.0)


def dense(n_samples, n_features, n_directions, seed):
    """Kinks along dense random directions, and a linear part along the first."""
    generator = np.random.default_rng([seed, n_samples, n_features])
    W = generator.standard_normal((n_directions, n_features))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    X = generator.standard_normal((n_samples + N_FRESH, n_features))
    return X, np.abs(X @ W.T).sum(axis=1) + X @ W[0], generator


def sparse(n_samples, n_features, seed):
    """Three inputs of all matter, two of them in one kink."""
    generator = np.random.default_rng([seed, n_samples, n_features, 1])
    X = generator.standard_normal((n_samples + N_FRESH, n_features))
    return X, 2.0 * relu(X[:, 0] + X[:, 1]) + X[:, 2], generator


def spectra(n_samples, n_channels, seed):
    """Smooth random curves of three latent factors, one of which is bent."""
    generator = np.random.default_rng([seed, n_samples, n_channels, 2])
    places = np.linspace(0.0, 1.0, n_channels)
    centres, widths = generator.random((3, 4)), generator.uniform(0.05, 0.3, (3, 4))
    bumps = np.exp(-(((places[:, None, None] - centres) / widths) ** 2))
    curves = (bumps * generator.standard_normal((3, 4))).sum(axis=2).T
    factors = generator.standard_normal((n_samples + N_FRESH, 3))
    X = factors @ curves
    X += 0.01 * X.std() * generator.standard_normal(X.shape)
    return X, factors[:, 0] + relu(factors[:, 1]) - 0.5 * factors[:, 2], generator


def families(seed):
    for shape in DENSE:
        yield "dense {} x {}, {}".format(*shape), shape[0], dense(*shape, seed)
    for shape in SPARSE:
        yield "sparse {} x {}".format(*shape), shape[0], sparse(*shape, seed)
    for shape in SPECTRA:
        yield "spectra {} x {}".format(*shape), shape[0], spectra(*shape, seed)


def split(n_samples, drawn, noise=0.3):
    """Training rows with noise, and fresh rows without."""
    X, clean, generator = drawn
    y = clean + noise * clean.std() * generator.standard_normal(len(clean))
    return X[:n_samples], y[:n_samples], X[n_samples:], clean[n_samples:]


def models(n_features, n_samples, n_outputs=1):
    def scaled(model):
        return make_pipeline(StandardScaler(), model)

    def tuned(model, grid):
        return GridSearchCV(scaled(model), grid, cv=5)

    def each(model):
        return model if n_outputs == 1 else MultiOutputRegressor(model)

    most = min(30, n_features, n_samples // 2)
    kernel = DotProduct() * ConstantKernel(0.1) + ConstantKernel(1.0) * RBF(
        n_features**0.5, (0.1, 1e4)
    )
    yield "default", RegularizedTwoLayerRegressor(random_state=0)
    yield "CV", RegularizedTwoLayerRegressorCV(random_state=0)
    yield "RidgeCV", scaled(RidgeCV(np.logspace(-4, 6, 41)))
    components = sorted({1, 2, 3, 4, 6, 8, 12, 20, most} & set(range(1, most + 1)))
    yield "PLS", tuned(PLSRegression(), {"plsregression__n_components": components})
    grid = {"svr__C": [0.3, 1.0, 10.0, 100.0], "svr__gamma": [0.03, 0.1, 0.3, 1.0]}
    grid["svr__gamma"] = [g / n_features for g in grid["svr__gamma"]]
    yield "SVR", each(tuned(SVR(epsilon=0.05), grid))
    mlp = MLPRegressor(
        hidden_layer_sizes=(20,), solver="lbfgs", max_iter=300, random_state=0
    )
    alphas = {"mlpregressor__alpha": [0.1, 1.0, 10.0, 100.0, 1000.0]}
    yield "MLP", tuned(mlp, alphas)
    process = GaussianProcessRegressor(kernel + WhiteKernel(), normalize_y=True)
    yield "GP", scaled(process)


def scored(X, y, X_test, y_test, only=None):
    """R2 of each model by name."""
    n_outputs, scores = (1 if y.ndim == 1 else y.shape[1]), {}
    for name, model in models(X.shape[1], len(X), n_outputs):
        if only is not None and name not in only:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores[name] = r2_score(y_test, model.fit(X, y).predict(X_test))
    return scores


def lines_of(rows):
    """A table of medians by name of the row; ``rows`` are lists of scores."""
    names = list(next(iter(rows.values()))[0])
    lines = [
        [row, *(f"{median([s[name] for s in scores]):.3f}" for name in names)]
        for row, scores in rows.items()
    ]
    return table(["rows x inputs", *names], lines)


def families_table(n_seeds, only):
    rows = {}
    for seed in range(n_seeds):
        for name, n_samples, drawn in families(seed):
            scores = scored(*split(n_samples, drawn), only)
            rows.setdefault(name, []).append(scores)
            print(seed, name, {k: round(v, 3) for k, v in scores.items()}, flush=True)
    return lines_of(rows)


def sweep_table(n_seeds, only, n_features=30):
    rows = {}
    for n_samples in (25, 27, 29, 30, 31, 32, 34, 37, 40, 45, 50, 60, 75, 90):
        for seed in range(n_seeds):
            data = split(n_samples, dense(n_samples, n_features, 1, seed))
            scores = scored(*data, only or (*OURS, "RidgeCV"))
            rows.setdefault(f"{n_samples} x {n_features}", []).append(scores)
    return lines_of(rows)


def told_table(n_seeds):
    """Cross-validated fits of all columns, and of the three that matter."""
    rows = {}
    for n_samples, n_features in [(200, 300), *SPARSE]:
        for seed in range(n_seeds):
            data = split(n_samples, sparse(n_samples, n_features, seed))
            X, y, X_test, y_test = data
            told = X[:, :3], y, X_test[:, :3], y_test
            (score,) = scored(*data, ("CV",)).values()
            (score_told,) = scored(*told, ("CV",)).values()
            scores = {"CV": score, "CV told the columns": score_told}
            rows.setdefault(f"{n_samples} x {n_features}", []).append(scores)
    return lines_of(rows)


def read_table(path):
    import pandas as pd

    frame = pd.read_csv(path).dropna()
    X = pd.get_dummies(frame.iloc[:, :-1], drop_first=True).to_numpy(float)
    return X[:, X.std(axis=0) > 0], frame.iloc[:, -1].to_numpy(float)


def tables(folder):
    yield "diabetes", *load_diabetes(return_X_y=True)
    for n_samples in (100, 200):
        data = make_friedman1(n_samples, noise=1.0, random_state=0)
        yield f"Friedman 1, {n_samples}", *data
    for name in ("biomass", "credit", "permeability"):
        path = Path(folder) / f"{name}.csv"
        if path.exists():
            yield name, *read_table(path)


def tables_table(folder, only):
    rows = {}
    for name, X, y in tables(folder):
        name = f"{name}, {X.shape[0]} x {X.shape[1]}"
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            scores = scored(X[train], y[train], X[test], y[test], only)
            rows.setdefault(name, []).append(scores)
        means = {k: np.mean([s[k] for s in rows[name]]) for k in rows[name][0]}
        rows[name] = [means]
        print(name, {k: round(v, 3) for k, v in means.items()}, flush=True)
    return lines_of(rows)


def large_table(n_samples=300, n_features=2000):
    X, y, X_test, y_test = split(n_samples, dense(n_samples, n_features, 2, 0))
    lines = []
    for name, model in list(models(n_features, n_samples))[:3]:
        began = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / X.nbytes
        score = r2_score(y_test, model.predict(X_test))
        lines.append([name, f"{seconds:.2f} s", f"{peak:.0f}", f"{score:.3f}"])
    return table(["model", "time", "peak of the process / size of X", "R2"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--told", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--tables", metavar="FOLDER")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of models")
    arguments = parser.parse_args()
    if arguments.families:
        print(families_table(arguments.seeds, arguments.only))
    if arguments.told:
        print(told_table(arguments.seeds))
    if arguments.sweep:
        print(sweep_table(arguments.seeds, arguments.only))
    if arguments.tables is not None:
        print(tables_table(arguments.tables, arguments.only))
    if arguments.large:
        print(large_table())


if __name__ == "__main__":
    main()
