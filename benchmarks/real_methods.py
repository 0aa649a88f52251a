"""The methods that benchmarks/real_data.py compares, each as its users meet it."""

import signal
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from logging import getLogger

import numpy as np
from common import MLP_GRID, mlp
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, ParameterGrid, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

FOLDS = KFold(5, shuffle=True, random_state=0)
# A gradient of the likelihood takes inputs times the square of the rows, so that the
# parameters of a Gaussian process come from at most so many rows, drawn at random.
LIKELIHOOD_ROWS = 300


class TimeLimit(BaseException):
    """The time of a fit is up; cross_val_score would catch it as an Exception."""


@contextmanager
def time_limit(seconds):
    """Raise TimeLimit after so many seconds of process time."""

    def stop(number, frame):
        raise TimeLimit

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


@dataclass(frozen=True)
class Method:
    """A name, what makes a new model, and the modules that have to be installed."""

    name: str
    make: Callable
    modules: tuple = ()


class Scaled:
    """A model that sees inputs and target with mean zero and variance one."""

    def __init__(self, model):
        self.model = model

    @property
    def was_cut(self):
        return getattr(self.model, "was_cut", False)

    def fit(self, X, y):
        self.inputs = StandardScaler().fit(X)
        self.mean, self.scale = y.mean(), y.std()
        self.model.fit(self.inputs.transform(X), (y - self.mean) / self.scale)
        return self

    def predict(self, X):
        return self.model.predict(self.inputs.transform(X)) * self.scale + self.mean


class Search:
    """A grid search in random order, which ends with its best where time is up."""

    def __init__(self, model, grid):
        self.model = model
        self.grid = grid

    def fit(self, X, y):
        points = list(ParameterGrid(self.grid))
        order = np.random.default_rng(0).permutation(len(points))
        scores = {}
        try:
            for index in order:
                model = clone(self.model).set_params(**points[index])
                scores[index] = cross_val_score(model, X, y, cv=FOLDS).mean()
        except TimeLimit:
            if not scores:
                raise
        self.was_cut = len(scores) < len(points)
        best = points[max(scores, key=scores.get)]
        self.best = clone(self.model).set_params(**best).fit(X, y)
        return self

    def predict(self, X):
        return self.best.predict(X)


class GaussianProcess:
    """A scale for each input, and noise, by the likelihood of some rows; then all."""

    def fit(self, X, y):
        some = np.random.default_rng(0).permutation(len(X))[:LIKELIHOOD_ROWS]
        kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel()
        kernel = GaussianProcessRegressor(kernel).fit(X[some], y[some]).kernel_
        self.model = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
        return self

    def predict(self, X):
        return self.model.predict(X)


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


def catboost():
    from catboost import CatBoostRegressor

    return CatBoostRegressor(
        random_seed=0, thread_count=1, verbose=False, allow_writing_files=False
    )


def xgboost():
    from xgboost import XGBRegressor

    return XGBRegressor(random_state=0, n_jobs=1)


def lightgbm():
    from lightgbm import LGBMRegressor

    return LGBMRegressor(random_state=0, n_jobs=1, verbose=-1)


def realmlp():
    with warnings.catch_warnings():  # its import warns of torch
        warnings.simplefilter("ignore")
        from pytabkit import RealMLP_TD_Regressor
    for name in ("lightning", "pytorch_lightning"):  # they say what they run on
        getLogger(name).setLevel("ERROR")
    return RealMLP_TD_Regressor(device="cpu", random_state=0, n_threads=1)


def projection_pursuit():
    from skpp import ProjectionPursuitRegressor

    return ProjectionPursuitRegressor(random_state=0)


def ours():
    """The package's own estimators, as they are."""
    modules = ("sklearn_twolayer", "torch")
    return [
        Method(
            "two-layer", lambda: RegularizedTwoLayerRegressor(random_state=0), modules
        ),
        Method(
            "two-layer, CV",
            lambda: RegularizedTwoLayerRegressorCV(random_state=0),
            modules,
        ),
    ]


def tuned(make, grid):
    return lambda: Scaled(Search(make(), grid))


SVR_GRID = {"C": [1, 10, 100], "gamma": [0.03, 0.1, 0.3], "epsilon": [0.03, 0.1]}


def peers():
    """Peers of scikit-learn, and of other packages, which may not be installed."""
    return [
        Method("RidgeCV", lambda: Scaled(RidgeCV(np.logspace(-3, 4, 15), cv=FOLDS))),
        Method("SVR, tuned", tuned(lambda: SVR(cache_size=1000), SVR_GRID)),
        Method("Gaussian process", lambda: Scaled(GaussianProcess())),
        Method(
            "MLP, default",
            lambda: Scaled(MLPRegressor(random_state=0, max_iter=2000)),
        ),
        Method("MLP, tuned", tuned(mlp, MLP_GRID)),
        Method("RealMLP", realmlp, ("pytabkit", "torch")),
        Method(
            "random forest",
            lambda: RandomForestRegressor(300, n_jobs=1, random_state=0),
        ),
        Method(
            "HistGradientBoosting",
            lambda: HistGradientBoostingRegressor(random_state=0),
        ),
        Method("CatBoost", catboost, ("catboost",)),
        Method("XGBoost", xgboost, ("xgboost",)),
        Method("LightGBM", lightgbm, ("lightgbm",)),
        Method(
            "projection pursuit",
            tuned(projection_pursuit, {"r": [2, 4, 8]}),
            ("skpp",),
        ),
        Method("xRFM", lambda: Scaled(XRFM()), ("xrfm", "torch")),
    ]


def is_installed(method):
    return all(find_spec(module) for module in method.modules)


def versions(method):
    """The versions of the distributions that a method comes from."""
    known = packages_distributions()
    names = [
        name
        for module in ("sklearn", "numpy", *method.modules)
        for name in known.get(module, [module])
    ]
    return {name: version(name) for name in names}
