"""Data and reference formulas shared by the tests."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._path.stage import Stage
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._search.choose_neurons import Candidate, descend
from sklearn_twolayer._search.tuning import DEFAULT_TUNING
from sklearn_twolayer.datasets import make_two_layer_regression

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", max_examples=10, derandomize=True, **COMMON)
settings.register_profile("long", max_examples=300, **COMMON)
settings.load_profile("quick")


# Folders of tests that call what runs within a fit.
WITHIN_A_FIT = {
    "certificate", "descent", "losses", "network", "path", "rows", "search",
}  # fmt: skip


@pytest.fixture(autouse=True)
def threads_of_a_fit(request):
    """One, as in a fit; pools of more fight where tests run in parallel."""
    with fit_threads(0) if request.path.parent.name in WITHIN_A_FIT else nullcontext():
        yield


class Interrupting:
    """Interrupts the fit at the end of a stage, as Ctrl-C would."""

    def __init__(self, after):
        self.left = after

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return False


def make_rows(
    X, y, sample_weight=None, *, standardize=True, hidden_bias=True, dtype="float64",
    linear_decay=0.0, column_weights=None,
):  # fmt: skip
    """Rows on the CPU from plain arrays."""
    y = np.asarray(y, dtype=float)
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    return Rows.from_arrays(
        X,
        y.reshape(len(y), -1),
        weights,
        standardize=standardize,
        hidden_bias=hidden_bias,
        device=torch.device("cpu"),
        dtype=getattr(torch, dtype),
        linear_decay=linear_decay,
        column_weights=column_weights,
    )


def inputs_of(rows):
    """Standardised inputs, the constant one included, as one tensor."""
    inputs = rows.parts.part.inputs
    return inputs.block(slice(None)).dense(inputs.n_columns)


def neuron_inputs_of(rows):
    """What the neurons see of the inputs, as one tensor."""
    return rows.parts.part.inputs.block(slice(None)).dense(rows.n_inputs)


def targets_of(rows):
    return rows.parts.part.targets


def residual_values(rows, network):
    """The residual on all rows as one tensor."""
    return residual_at(rows, network).values.values


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(
    seed, n_samples=40, n_features=4, n_outputs=1, n_neurons=5, **kwargs
):
    """Rows with random weights, and a random network on them."""
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_samples, n_features)) * 3.0 + 1.0
    y = generator.standard_normal((n_samples, n_outputs))
    weights = generator.uniform(0.1, 2.0, n_samples)
    rows = make_rows(X, y, weights, **kwargs)
    network = Network.from_parts(
        torch.from_numpy(generator.standard_normal((n_neurons, rows.n_inputs))),
        torch.from_numpy(generator.standard_normal((n_neurons, n_outputs))),
    )
    return X, y, weights, rows, network


def teacher_rows(seed, noise=0.3, n_samples=1000, **parameters):
    """Rows of a noisy teacher, with three directions if not told, and the teacher."""
    defaults = {"n_features": 5, "subspace_dim": 3, "n_directions": 3}
    X, y, teacher = make_two_layer_regression(
        n_samples, noise=noise, return_teacher=True, random_state=seed,
        **{**defaults, **parameters},
    )  # fmt: skip
    return make_rows(X, y), teacher


def true_network(rows, teacher):
    """The teacher in the coordinates of the fit."""
    weights = teacher.directions * rows.units.scale
    weights = np.column_stack([weights, teacher.directions @ rows.units.shift])
    amplitudes = teacher.amplitudes[:, None] / rows.units.target_scale
    return Network.from_parts(torch.from_numpy(weights), torch.from_numpy(amplitudes))


def at_truth(rows, criterion, teacher):
    """Least squares started at the teacher."""
    network = descend(rows, true_network(rows, teacher), 0.0, DEFAULT_TUNING.final)
    loss = objective_at(rows, network, 0.0)[0]
    return Candidate(network, criterion.value(loss, network.n_neurons))


def stage_of(network, lambda_, loss):
    """A stage as it would come out of a descent that was certified."""
    return Stage(
        lambda_=lambda_, network=network, refitted=None, loss=loss, objective=loss,
        certificate=1.0, dual_gap=0.0, n_iter=1, stopped_by="tol", seconds=0.0,
    )  # fmt: skip


class Definition:
    """Theory eqs. (1), (2), (6), (7) in NumPy, from X and y as they are given."""

    def __init__(self, X, y, sample_weight=None, hidden_bias=True):
        n_samples = len(X)
        weights = np.ones(n_samples) if sample_weight is None else sample_weight
        self.share = weights / weights.sum()
        self.mean = self.share @ X
        self.scale = np.sqrt(self.share @ (X - self.mean) ** 2)
        shift = self.mean
        if not hidden_bias:
            shift, self.scale = 0.0, np.sqrt(self.share @ X**2)
        self.inputs = (X - shift) / self.scale
        if hidden_bias:
            self.inputs = np.column_stack([self.inputs, np.ones(n_samples)])
        self.design = np.column_stack([X - self.mean, np.ones(n_samples)])
        self.y = self.without_linear(np.asarray(y, dtype=float).reshape(n_samples, -1))

    def without_linear(self, values):
        root = np.sqrt(self.share)[:, None]
        coef = np.linalg.lstsq(self.design * root, values * root, rcond=None)[0]
        return values - self.design @ coef

    def residual(self, weights, amplitudes):
        outputs = np.maximum(self.inputs @ weights.T, 0) @ amplitudes
        return self.y - self.without_linear(outputs)

    def loss(self, weights, amplitudes):
        residual = self.residual(weights, amplitudes)
        return 0.5 * self.share @ (residual**2).sum(axis=1)

    def objective(self, weights, amplitudes, lambda_):
        decay = (weights**2).sum() + (amplitudes**2).sum()
        return self.loss(weights, amplitudes) + 0.5 * lambda_ * decay

    def correlation(self, residual, directions):
        activations = np.maximum(self.inputs @ directions.T, 0)
        return activations.T @ (residual * self.share[:, None])

    def peak(self, residual, generator, starts=None, n_random=4000, n_polished=20):
        """A search for the peak of its own: random directions, then Nelder-Mead-free
        ascent by accepted random perturbations of shrinking size."""
        directions = generator.standard_normal((n_random, self.inputs.shape[1]))
        if starts is not None:
            directions = np.vstack([starts, -starts, directions])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        heights = np.linalg.norm(self.correlation(residual, directions), axis=1)
        best = np.argsort(-heights)[:n_polished]
        directions, heights = directions[best], heights[best]
        for size in 0.5 * 0.93 ** np.arange(150):
            noise = generator.standard_normal((8, *directions.shape))
            trial = directions + size * noise / np.sqrt(directions.shape[1])
            trial /= np.linalg.norm(trial, axis=2, keepdims=True)
            values = self.correlation(residual, trial.reshape(-1, trial.shape[2]))
            values = np.linalg.norm(values, axis=1).reshape(trial.shape[:2])
            pick = values.argmax(axis=0)
            index = np.arange(len(directions))
            higher = values[pick, index] > heights
            directions[higher] = trial[pick, index][higher]
            heights = np.maximum(heights, values[pick, index])
        return heights.max()

    def gap(self, residual, objective, lambda_, peak):
        p = residual * min(1.0, lambda_ / peak)
        dual = self.share @ (p * self.y).sum(1) - 0.5 * self.share @ (p**2).sum(1)
        return objective - dual


@pytest.fixture
def rng():
    return np.random.default_rng(0)
