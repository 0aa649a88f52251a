"""Data sets, peers and scores that the benchmarks share."""

import statistics
import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import linear_part_at
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

# Rows of the tables: what goes to make_two_layer_regression.
BASE = {
    f"{n}, {d}, {r}, {k}": {
        "n_samples": n, "n_features": d, "subspace_dim": r, "n_directions": k,
    }
    for n, d, r, k in [
        (2000, 10, 3, 4), (3000, 20, 5, 5), (5000, 30, 5, 8), (5000, 50, 10, 10),
    ]
}  # fmt: skip
HARD_BASE = {"n_samples": 3000, "n_features": 20, "subspace_dim": 5, "n_directions": 5}
HARD = {
    "0.2 rad apart": {**HARD_BASE, "min_angle": 0.2, "subspace_dim": 2},
    "amplitudes 0.2 to 2": {**HARD_BASE, "amplitude_range": (0.2, 2.0)},
    "correlated, condition 100": {**HARD_BASE, "condition_number": 100.0},
    "heavy tails": {**HARD_BASE, "distribution": "heavy-tailed"},
    "uniform": {**HARD_BASE, "distribution": "uniform"},
    "hidden biases": {**HARD_BASE, "hidden_bias": 0.5},
    "two targets": {**HARD_BASE, "n_targets": 2},
}
N_TEST = 10_000


@dataclass(frozen=True)
class Score:
    """What one fit reached."""

    seconds: float
    excess_risk: float
    n_units: int | None = None
    n_spurious: int | None = None
    n_missed: int | None = None
    angle: float | None = None

    @property
    def is_exact(self):
        return self.n_missed == 0 and self.n_spurious == 0 and self.angle <= 1e-6


def chosen(problems, number):
    """All of the problems, or only the one with this number, from 1."""
    return problems if number is None else problems[number - 1 : number]


def draw(parameters, seed, noise=0.0):
    """Training rows, noiseless test rows and the teacher, all from one draw."""
    n_samples = parameters["n_samples"]
    X, y, teacher = make_two_layer_regression(
        **{**parameters, "n_samples": n_samples + N_TEST},
        noise=noise, return_teacher=True, random_state=seed,
    )  # fmt: skip
    X_test = X[n_samples:]
    return X[:n_samples], y[:n_samples], X_test, teacher.predict(X_test), teacher


def score(model, data, directions=None):
    """Fit and compare; ``directions`` reads them off the fitted model."""
    X, y, X_test, y_test, teacher = data
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    seconds = time.perf_counter() - began
    risk = float(np.mean((model.predict(X_test) - y_test) ** 2))
    if directions is None:
        return Score(seconds, risk)
    found = directions(model)
    match = match_directions(found, teacher.directions)
    return Score(
        seconds, risk, len(found), match.n_spurious, match.n_missed,
        float(match.angles.max()),
    )  # fmt: skip


def our_directions(model):
    return model.features_


def mlp_directions(model):
    """Hidden weights of the units with at least 1e-3 of the largest mass."""
    weights, amplitudes = model.coefs_[0].T, model.coefs_[1]
    masses = np.linalg.norm(weights, axis=1) * np.linalg.norm(amplitudes, axis=1)
    return weights[masses > 1e-3 * masses.max()]


def mlp(**parameters):
    defaults = {"hidden_layer_sizes": (100,), "solver": "lbfgs", "max_iter": 200}
    return MLPRegressor(**{**defaults, "random_state": 0, **parameters})


# What tuning of MLPRegressor goes over.
MLP_GRID = {
    "hidden_layer_sizes": [(10,), (50,), (100,)], "alpha": [0.1, 1, 10, 30, 100],
}  # fmt: skip
NARROW = {
    "hidden_layer_sizes": (20,), "tol": 1e-12, "max_iter": 3000, "alpha": 1e-3,
    "max_fun": 10**6,
}  # fmt: skip


def oracle_score(data, hidden_bias):
    """Least squares from the true teacher, with the student's parameters."""
    X, y, X_test, y_test, teacher = data
    began = time.perf_counter()
    rows = Rows.from_arrays(
        X, y.reshape(len(X), -1), np.ones(len(X)), standardize=True,
        hidden_bias=hidden_bias, device=torch.device("cpu"), dtype=torch.float64,
    )  # fmt: skip
    weights = teacher.directions * rows.units.scale
    if hidden_bias:
        biases = teacher.intercepts + teacher.directions @ rows.units.shift
        weights = np.column_stack([weights, biases])
    amplitudes = teacher.amplitudes.reshape(len(weights), -1) / rows.units.target_scale
    start = Network.from_parts(torch.from_numpy(weights), torch.from_numpy(amplitudes))
    network, _ = gauss_newton(rows, start, 0.0, max_iter=50, tol=1e-12)
    fitted = rows.units.to_user(
        network.weights.numpy(), network.amplitudes.numpy(),
        linear_part_at(rows, network).numpy(), single_output=y.ndim == 1,
    )  # fmt: skip
    risk = float(np.mean((fitted.predict(X_test) - y_test) ** 2))
    match = match_directions(fitted.features, teacher.directions)
    return Score(
        time.perf_counter() - began, risk, fitted.n_features, match.n_spurious,
        match.n_missed, float(match.angles.max()),
    )  # fmt: skip


def optional(module):
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def median(values):
    return statistics.median(values)


def table(header, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
