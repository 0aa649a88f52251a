"""Hostile data of all kinds: what must hold of every fit, whatever comes in.

Few examples, the same each time; `--hypothesis-profile=long` tries many new ones.
"""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer.exceptions import NoFeaturesWarning, UncentredWarning

EPS = np.finfo(float).eps
SCHEDULE = StagedSchedule([0.5, 0.1])

COLUMNS = [
    "normal", "heavy", "integer", "boolean", "ties", "constant", "zero",
    "duplicate", "collinear", "nearly collinear",
]  # fmt: skip
TARGETS = ["teacher", "noise", "linear", "constant", "heavy", "integer"]
WEIGHTS = ["none", "whole", "extreme", "some zero"]


@dataclass(frozen=True)
class Problem:
    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def share(self):
        weights = self.sample_weight
        weights = np.ones(len(self.X)) if weights is None else weights / weights.max()
        return weights / weights.sum()


def column(kind, earlier, n_samples, generator):
    """A column of the kind; ``earlier`` are those that it may depend on."""
    values = generator.standard_normal(n_samples)
    if kind == "heavy":
        return generator.standard_cauchy(n_samples)
    if kind == "integer":
        return np.rint(5 * values)
    if kind == "boolean":
        return (values > 0).astype(float)
    if kind == "ties":
        return generator.choice([-1.0, 0.0, 0.5], n_samples)
    if kind == "constant":
        return np.full(n_samples, values[0])
    if kind == "zero":
        return np.zeros(n_samples)
    if kind == "normal" or not earlier:
        return values
    others = np.column_stack(earlier)
    if kind == "duplicate":
        return others[:, -1]
    combined = others @ generator.standard_normal(others.shape[1])
    return combined if kind == "collinear" else combined + 1e-9 * values


def target(kind, inputs, generator):
    n_samples, n_features = inputs.shape
    directions = generator.standard_normal((2, n_features)) / np.sqrt(n_features)
    if kind == "teacher":
        return np.maximum(inputs @ directions.T, 0.0) @ [1.0, -1.0]
    if kind == "linear":
        return inputs @ directions[0] + 1.0
    if kind == "constant":
        return np.full(n_samples, 3.7)
    if kind == "heavy":
        return generator.standard_cauchy(n_samples)
    noise = generator.standard_normal(n_samples)
    return np.rint(2 * noise) if kind == "integer" else noise


@st.composite
def problems(draw, whole_weights=False):
    """Data sets from 2 x 1 to 200 x 60, most of them awkward."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_samples, n_features = draw(st.integers(2, 200)), draw(st.integers(1, 60))
    kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    columns = []
    for j in range(n_features):
        kind = kinds[j % len(kinds)]
        columns.append(column(kind, columns, n_samples, generator))
    inputs = np.column_stack(columns)
    names = draw(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3))
    y = np.column_stack([target(name, inputs, generator) for name in names])
    y *= 10.0 ** draw(st.integers(-12, 12))
    if draw(st.booleans()):  # repeated rows
        rows = generator.integers(n_samples, size=n_samples)
        inputs, y = inputs[rows], y[rows]
    largest = draw(st.sampled_from([0, 3, 12]))
    scales = 10.0 ** generator.uniform(-largest, largest, n_features)
    offset = draw(st.sampled_from([0.0, 1.0, 1e8]))
    X = inputs * scales + offset
    if set(kinds) <= {"integer", "boolean", "zero"} and largest == offset == 0:
        X = X.astype(draw(st.sampled_from([np.int32, np.uint8, bool])))
    kind = "whole" if whole_weights else draw(st.sampled_from(WEIGHTS))
    weights = {
        "none": None,
        "whole": generator.integers(1, 4, n_samples).astype(float),
        "extreme": 10.0 ** generator.uniform(-12, 12, n_samples),
        "some zero": generator.integers(0, 2, n_samples) + (np.arange(n_samples) < 2.0),
    }[kind]
    return Problem(X, y if len(names) > 1 or draw(st.booleans()) else y[:, 0], weights)


@contextmanager
def only_our_warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        ours = {
            ConvergenceWarning: "duality gap",
            NoFeaturesWarning: "linear",
            UncentredWarning: "hidden_bias=False",
        }
        assert warning.category in ours, warning
        assert ours[warning.category] in str(warning.message)


def fit(problem, *, linear_decay=0.0, **options):
    model = RegularizedTwoLayerRegressor(
        random_state=0, linear_decay=linear_decay, **options
    )
    with only_our_warnings():
        model.fit(problem.X, problem.y, sample_weight=problem.sample_weight)
        model.transform(problem.X)
    return model


def linear_loss(problem):
    """Weighted squared error of the best linear model, by singular values.

    Without columns that hardly vary beside their mean, and directions whose
    coefficients are so large that predictions would lose all but some five digits.
    """
    root = np.sqrt(problem.share)[:, None]
    X = problem.X.astype(float)
    mean = problem.share @ X
    centred = (X - mean) * root
    size = np.linalg.norm(centred, axis=0)
    seen = 1e-10 * np.abs(mean) < size
    left, sizes, right = np.linalg.svd(centred[:, seen] / size[seen], False)
    terms = np.hypot(1.0, mean[seen] / size[seen]) * right
    kept = EPS * np.linalg.norm(terms, axis=1) < 2e-6 * sizes
    left = np.column_stack([left[:, kept], root])
    y = problem.y.reshape(len(X), -1)
    y = (y - problem.share @ y) * root
    for _ in range(2):
        y = y - left @ (left.T @ y)
    return np.square(y).sum()


def rounding(model, problem):
    """Size of the terms that a prediction is made of, times the unit of rounding."""
    X, amplitudes = np.abs(problem.X.astype(float)), np.abs(model.amplitudes_)
    activations = X @ np.abs(model.features_).T + np.abs(model.feature_intercepts_)
    terms = np.abs(model.linear_intercept_) + X @ np.abs(model.linear_coef_).T
    return EPS * (X.shape[1] + 10) * (terms + activations @ amplitudes)


def check_fit(model, problem):
    """All that must hold of one fit."""
    X = problem.X.astype(float)
    predictions = model.predict(problem.X)
    assert predictions.shape == problem.y.shape
    fitted = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    for name, value in fitted.items():
        if name != "history_":
            assert np.isfinite(value).all() or name == "certificate_", name
    np.testing.assert_allclose(np.linalg.norm(model.features_, axis=1), 1.0, rtol=1e-9)

    hidden = np.maximum(X @ model.features_.T + model.feature_intercepts_, 0.0)
    expected = (
        model.linear_intercept_ + X @ model.linear_coef_.T + hidden @ model.amplitudes_
    )
    error = rounding(model, problem)
    assert (np.abs(predictions - expected) <= error).all()

    history = model.history_
    objective = history["objective"]
    linear = 0.5 * linear_loss(problem)
    size = problem.share @ np.square(problem.y.reshape(len(X), -1)).sum(axis=1)
    rounded = 1e-9 * objective + 10.0 * EPS * size
    assert (history["dual_gap"] >= -rounded).all()
    error = (predictions - problem.y).reshape(len(X), -1)
    predicted = np.sqrt(problem.share @ np.square(error).sum(axis=1))
    centred = (problem.y - problem.share @ problem.y).reshape(len(X), -1)
    spread = np.sqrt(problem.share @ np.square(centred).sum(axis=1) + EPS * size)
    assert abs(predicted - np.sqrt(2.0 * history["loss"][-1])) <= 1e-2 * spread
    reached = history["loss"] if model.schedule is None else objective
    assert (reached <= linear * (1.0 + 1e-5) + 1e-10 * size).all()


@given(problem=problems(), hidden_bias=st.booleans())
def test_search(problem, hidden_bias):
    model = fit(problem, hidden_bias=hidden_bias)
    check_fit(model, problem)
    again = fit(problem, hidden_bias=hidden_bias)
    np.testing.assert_array_equal(model.features_, again.features_)
    np.testing.assert_array_equal(model.predict(problem.X), again.predict(problem.X))


@given(problem=problems(), hidden_bias=st.booleans())
def test_shrunk_linear_part(problem, hidden_bias):
    model = fit(problem, linear_decay="auto", hidden_bias=hidden_bias)
    y = problem.y.reshape(len(problem.y), -1)
    error = y - model.predict(problem.X).reshape(y.shape)
    spread = problem.share @ np.square(y - problem.share @ y).sum(axis=1)
    size = problem.share @ np.square(y).sum(axis=1)
    error = problem.share @ np.square(error).sum(axis=1)
    assert error <= spread * (1.0 + 1e-5) + 1e-10 * size
    assert np.isfinite(model.linear_decay_)
    assert (model.history_["dual_gap"] >= -1e-9 * spread - 10.0 * EPS * size).all()


@pytest.mark.parametrize(
    "solver", ["newton", "fast", pytest.param("gd", marks=pytest.mark.slow)]
)
@given(problem=problems(), standardize=st.booleans(), hidden_bias=st.booleans())
def test_schedules(solver, problem, standardize, hidden_bias):
    model = fit(
        problem, schedule=SCHEDULE, solver=solver, max_iter=100, n_neurons=20,
        standardize=standardize, hidden_bias=hidden_bias,
    )  # fmt: skip
    check_fit(model, problem)


@given(problem=problems(), hidden_bias=st.booleans())
def test_sparse_inputs(problem, hidden_bias):
    stored = replace(problem, X=sparse.csr_array(problem.X.astype(float)))
    check_fit(fit(stored, hidden_bias=hidden_bias), problem)


@pytest.mark.slow
@given(problem=problems())
def test_single_precision(problem):
    model = fit(problem, schedule=SCHEDULE, max_iter=100, dtype="float32")
    assert np.isfinite(model.predict(problem.X)).all()
    loss, linear = model.history_["loss"], 0.5 * linear_loss(problem)
    centred = problem.y - problem.share @ problem.y
    spread = problem.share @ np.square(centred).reshape(len(centred), -1).sum(axis=1)
    assert (loss <= linear * 1.001 + 1e-6 * spread).all()


@pytest.mark.slow
@given(problem=problems())
def test_cross_validation(problem):
    assume(len(problem.X) >= 10)
    model = RegularizedTwoLayerRegressorCV(cv=2, lambdas=3, random_state=0)
    with only_our_warnings():
        model.fit(problem.X, problem.y, sample_weight=problem.sample_weight)
    assert np.isfinite(model.predict(problem.X)).all()


def check_same(problem, model, other):
    """Predictions as close as both duality gaps allow, and equal where they vanish.

    The loss is strongly convex in the outputs: a gap bounds half their mean square from
    the optimum.
    """
    allowed = 0.0
    for each in (model, other):
        allowed += np.sqrt(2.0 * max(each.dual_gap_, 0.0))
    y = problem.y.reshape(len(problem.y), -1)
    spread = np.sqrt(problem.share @ np.square(y - problem.share @ y).sum(axis=1))
    change = model.predict(problem.X) - other.predict(problem.X)
    change = np.square(change.reshape(len(y), -1)).sum(axis=1)
    error = np.square(rounding(model, problem).reshape(len(y), -1)).sum(axis=1)
    change, error = np.sqrt(problem.share @ change), np.sqrt(problem.share @ error)
    assert change <= allowed + 1e-6 * spread + error


@pytest.mark.slow
@given(problem=problems(), seed=st.integers(0, 1000))
def test_rows_in_another_order(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.X))
    weights = problem.sample_weight
    weights = None if weights is None else weights[order]
    other = Problem(problem.X[order], problem.y[order], weights)
    options = {"schedule": SCHEDULE, "max_iter": 300}
    check_same(problem, fit(problem, **options), fit(other, **options))


@pytest.mark.slow
@given(problem=problems(whole_weights=True))
def test_whole_weights_are_repetitions(problem):
    times = problem.sample_weight.astype(int)
    X, y = np.repeat(problem.X, times, axis=0), np.repeat(problem.y, times, axis=0)
    options = {"schedule": SCHEDULE, "max_iter": 300}
    check_same(problem, fit(problem, **options), fit(Problem(X, y, None), **options))
