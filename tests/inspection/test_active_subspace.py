"""Active subspaces: their definition, teachers, and what they are given."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import active_subspace

UNITS = np.array([1.0, 1e-3, 1e3, 10.0])


def gradients_of(predict, X, scales):
    """Central differences in standardised inputs: (n_outputs, n_samples, n_inputs)."""
    columns = []
    for step in np.diag(1e-6 * scales):
        change = (predict(X + step) - predict(X - step)).reshape(len(X), -1)
        columns.append(change / 2e-6)
    return np.stack(columns, axis=-1).transpose(1, 0, 2)


def defined(model, X, weights, *, is_apart=False, target=None):
    """Mean outer product of gradients, by differences."""
    gradients = gradients_of(model.predict, X, model.feature_scales_)
    gradients = gradients if target is None else gradients[[target]]
    mean = np.average(gradients, axis=1, weights=weights)
    if is_apart:
        gradients = gradients - mean[:, np.newaxis]
    shares = weights / weights.sum()
    return np.einsum("n,tni,tnj->ij", shares, gradients, gradients), mean


def check(subspace, matrix, mean, rtol=1e-4):
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(
        subspace.eigenvalues, values[::-1], rtol=rtol, atol=1e-6 * values[-1]
    )
    directions = subspace.directions
    rows = np.arange(len(directions))
    np.testing.assert_allclose(
        directions @ directions.T, np.eye(len(directions)), atol=1e-10
    )
    assert np.all(directions[rows, np.abs(directions).argmax(axis=1)] > 0)
    found = directions.T * subspace.eigenvalues[: len(directions)] @ directions
    if len(directions) == matrix.shape[0]:
        np.testing.assert_allclose(found, matrix, atol=rtol * values[-1])
    else:
        first = vectors[:, ::-1][:, : len(directions)]
        assert subspace_angles(first, directions.T).max() < 1e-3
    np.testing.assert_allclose(
        np.atleast_2d(subspace.mean_gradient), mean, atol=rtol * np.abs(mean).max()
    )


@pytest.fixture(scope="module", params=[1, 2], ids=["one target", "two targets"])
def data(request):
    X, y = make_two_layer_regression(
        400, 4, n_directions=3, n_targets=request.param, noise=0.2, random_state=0
    )
    return X * UNITS, y + (X[:, :1] if request.param == 2 else X[:, 0])


MODELS = {
    "default": RegularizedTwoLayerRegressor(random_state=0),
    "no biases": RegularizedTwoLayerRegressor(random_state=0, hidden_bias=False),
    "schedule": RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.1), solver="fast", random_state=0
    ),
    "cv": RegularizedTwoLayerRegressorCV(cv=3, lambdas=5, random_state=0),
}


@pytest.mark.parametrize("linear", ["included", "apart"])
@pytest.mark.parametrize("kind", MODELS)
def test_subspaces_are_those_of_their_definition(data, kind, linear):
    X, y = data
    model = MODELS[kind].fit(X, y)
    weights = np.random.default_rng(0).exponential(size=len(X))
    weights[:20] = 0.0
    subspace = active_subspace(model, X, sample_weight=weights, linear=linear)
    check(subspace, *defined(model, X, weights, is_apart=linear == "apart"))
    every = active_subspace(model, X, n_directions=4, linear=linear)
    ones = np.ones(len(X))
    check(every, *defined(model, X, ones, is_apart=linear == "apart"))
    last = y.reshape(len(y), -1).shape[1] - 1
    one = active_subspace(model, X, target=last, linear=linear)
    check(one, *defined(model, X, ones, is_apart=linear == "apart", target=last))


def test_an_average_of_networks_has_one(rng):
    X = rng.uniform(-1, 1, (80, 3))
    y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + 0.3 * rng.standard_normal(80)
    model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
    assert model.n_averaged_ > 1
    check(active_subspace(model, X), *defined(model, X, np.ones(80)), rtol=1e-2)


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_span_of_a_teacher_is_found(hidden_bias, n_targets, seed):
    X, y, teacher = make_two_layer_regression(
        1000, 8, n_directions=4, subspace_dim=3, n_targets=n_targets, random_state=seed,
        return_teacher=True,
    )  # fmt: skip
    model = RegularizedTwoLayerRegressor(random_state=0, hidden_bias=hidden_bias)
    model.fit(X, y)
    truth = (teacher.directions * model.feature_scales_).T
    for linear in ("included", "apart"):
        subspace = active_subspace(model, X, linear=linear)
        assert subspace.n_directions == 3
        assert subspace_angles(subspace.directions.T, truth).max() < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_noise_adds_no_directions(seed):
    """The edge of what noise does lies between false and true eigenvalues."""
    X, y = make_two_layer_regression(
        1500, 10, n_directions=3, noise=0.3, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    assert active_subspace(model, X).n_directions == 3


def test_more_directions_than_the_network_has():
    X, y = make_two_layer_regression(200, 6, n_directions=1, random_state=0)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    subspace = active_subspace(model, X, n_directions=6)
    check(subspace, *defined(model, X, np.ones(200)))


def test_linear_and_constant_models(rng):
    X = rng.standard_normal((100, 3)) * UNITS[:3]
    model = RegularizedTwoLayerRegressor(random_state=0)
    subspace = active_subspace(model.fit(X, X @ (1 / UNITS[:3])), X)
    assert subspace.n_directions == 1
    slopes = X.std(axis=0) / UNITS[:3]
    np.testing.assert_allclose(subspace.mean_gradient, slopes)
    np.testing.assert_allclose(subspace.directions[0], slopes / np.linalg.norm(slopes))
    assert active_subspace(model, X, linear="apart").n_directions == 0
    constant = active_subspace(model.fit(X, np.ones(100)), X)
    assert constant.directions.shape == (0, 3)
    assert len(constant.to_frame()) == 0
    assert repr(constant) == "ActiveSubspace of 0 directions"


def test_units_sparse_inputs_and_weights_change_nothing(data):
    X, y = data
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    expected = active_subspace(model, X)
    weighted = active_subspace(model, X, sample_weight=np.full(len(X), 7.0))
    of_sparse = active_subspace(model, sparse.csr_array(X))
    plain = RegularizedTwoLayerRegressor(random_state=0).fit(X / UNITS, y)
    for other in (weighted, of_sparse, active_subspace(plain, X / UNITS)):
        np.testing.assert_allclose(other.eigenvalues, expected.eigenvalues, rtol=1e-5)
        np.testing.assert_allclose(other.directions, expected.directions, atol=1e-5)


def test_importances_are_its_diagonal(data):
    X, y = data
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    subspace = active_subspace(model, X, n_directions=4)
    squares = subspace.eigenvalues @ subspace.directions**2
    importances = np.sqrt(squares) / np.sqrt(squares).sum()
    np.testing.assert_allclose(importances, model.feature_importances_, rtol=1e-6)


def test_pipelines_tables_and_names(data):
    X, y = data
    table = pd.DataFrame(X, columns=["age", "size", "sex", "a long name of a column"])
    pipeline = make_pipeline(
        StandardScaler(), RegularizedTwoLayerRegressor(random_state=0)
    ).fit(table, y)
    subspace = active_subspace(pipeline, table)
    inner = active_subspace(pipeline[-1], pipeline[:-1].transform(table))
    np.testing.assert_array_equal(subspace.directions, inner.directions)
    assert subspace.feature_names == table.columns.tolist()
    frame = subspace.to_frame()
    assert frame["input"].tolist() == table.columns.tolist() * subspace.n_directions
    matrix = frame["loading"].to_numpy().reshape(-1, 4)
    np.testing.assert_array_equal(matrix, subspace.directions)
    shares = subspace.eigenvalues / subspace.eigenvalues.sum()
    np.testing.assert_allclose(frame["share"][::4], shares[: subspace.n_directions])
    lines = repr(subspace).splitlines()
    assert len(lines) == subspace.n_directions + 2
    largest = subspace.directions[0].argmax()
    assert f"{subspace.directions[0, largest]:+.3f}" in lines[2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"linear": True}, "linear must be one of"),
        ({"n_directions": 5}, "n_directions must be at most"),
        ({"n_directions": -1}, "n_directions"),
        ({"target": 2}, "target must be below"),
        ({"sample_weight": [1.0]}, "sample_weight"),
    ],
)
def test_what_is_not_there_is_refused(data, wrong, message):
    X, y = data
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=message):
        active_subspace(model, X, **wrong)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e9])
def test_constant_targets_have_no_direction(constant, rng):
    """The slopes of a constant are rounding, or zero."""
    X = rng.standard_normal((300, 4)) * UNITS + UNITS
    y = np.full(300, constant)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    assert active_subspace(model, X).n_directions == 0
