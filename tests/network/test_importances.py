"""Importances of inputs, recomputed by finite differences of the predictions."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import KFold

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression

SCALES = np.array([1.0, 10.0, 0.01, 1e3])


def defined(predict, X, weights=None):
    """The definition, with central differences in place of the gradient."""
    mean = np.average(X, axis=0, weights=weights)
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    effects = np.zeros(X.shape[1])
    for j, step in enumerate(np.diag(1e-6 * spread)):
        if spread[j] > 0:
            change = (predict(X + step) - predict(X - step)).reshape(len(X), -1)
            squares = np.square(change / 2e-6).sum(axis=1)
            effects[j] = np.sqrt(np.average(squares, weights=weights))
    return effects / effects.sum()


@pytest.fixture(scope="module")
def data():
    X, y = make_two_layer_regression(
        200, 4, n_directions=2, noise=0.2, n_targets=2, random_state=0
    )
    return X * SCALES, y


@pytest.mark.parametrize(
    "parameters",
    [
        {}, {"hidden_bias": False}, {"standardize": False}, {"linear_decay": 0.1},
        {"dtype": "float32"}, {"schedule": ConstantSchedule(0.2), "solver": "fast"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("n_targets", [1, 2])
def test_importances_are_those_of_their_definition(data, parameters, n_targets):
    X, y = data
    y = y[:, :n_targets] if n_targets > 1 else y[:, 0]
    weights = np.random.default_rng(0).exponential(size=len(X))
    weights[:20] = 0.0
    model = RegularizedTwoLayerRegressor(random_state=0, **parameters)
    importances = model.fit(X, y, sample_weight=weights).feature_importances_
    assert len(model.features_) > 0
    assert importances.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(
        importances, defined(model.predict, X, weights), rtol=1e-5, atol=1e-7
    )


def test_importances_of_an_average_are_those_of_its_function():
    """Few rows, of which the mean of several networks is kept."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((80, 3))
    y = np.sin(2 * X[:, 0]) + np.abs(X[:, 1]) + 0.3 * rng.standard_normal(80)
    model = RegularizedTwoLayerRegressorCV(lambdas=8, cv=KFold(3), random_state=0)
    model.fit(X, y)
    assert model.n_averaged_ > 1
    np.testing.assert_allclose(
        model.feature_importances_, defined(model.predict, X), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["sparse", "memory map", "Dask"])
def test_rows_in_other_places_give_the_same(data, kind, tmp_path):
    X, y = data
    X = np.where(np.abs(X) < 0.3 * SCALES, 0.0, X)
    if kind == "sparse":
        inputs, targets = sparse.csr_array(X), y
    elif kind == "Dask":
        da = pytest.importorskip("dask.array")
        inputs, targets = (da.from_array(a, chunks=(60, -1)) for a in (X, y))
    else:
        np.save(tmp_path / "X.npy", X)
        inputs, targets = np.load(tmp_path / "X.npy", mmap_mode="r"), y
    # At a certified optimum neurons bend at rows, where a derivative is rounding.
    model = RegularizedTwoLayerRegressor(
        schedule=ConstantSchedule(0.2), solver="fast", random_state=0
    )
    expected = model.fit(X, y).feature_importances_
    np.testing.assert_allclose(
        model.fit(inputs, targets).feature_importances_, expected, rtol=1e-6
    )


@pytest.mark.parametrize("target", [0.0, 0.1, 1e9 + 0.1])
def test_constant_models_have_none(data, target):
    X = data[0]
    model = RegularizedTwoLayerRegressor().fit(X, np.full(len(X), target))
    np.testing.assert_array_equal(model.feature_importances_, np.zeros(4))


def test_linear_models_have_those_of_their_coefficients(data):
    X = data[0]
    model = RegularizedTwoLayerRegressor().fit(X, X / SCALES @ [1.0, -2.0, 3.0, 0.0])
    spread = X.std(axis=0) / SCALES * [1.0, 2.0, 3.0, 0.0]
    np.testing.assert_allclose(
        model.feature_importances_, spread / spread.sum(), atol=1e-12
    )


def test_targets_count_by_their_variance_and_large_means_hide_none(data):
    """A small target beside one far from zero keeps its importances."""
    X, y = data
    small = np.abs(X[:, 0]) / 100
    alone = RegularizedTwoLayerRegressor(random_state=0).fit(X, small)
    both = np.column_stack([small, np.full(len(X), 1e12)])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, both)
    np.testing.assert_allclose(
        model.feature_importances_, alone.feature_importances_, atol=1e-6
    )
    assert model.feature_importances_.argmax() == 0
    beside = np.column_stack([1e-6 * small, y[:, 0]])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, beside)
    np.testing.assert_allclose(
        model.feature_importances_, defined(model.predict, X), rtol=1e-5, atol=1e-7
    )


def test_constant_columns_and_copies_have_none(data):
    X, y = data
    wide = np.column_stack([np.ones(len(X)), X, X[:, 0]])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(wide, y)
    narrow = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.feature_importances_[[0, -1]], [0.0, 0.0])
    np.testing.assert_allclose(
        model.feature_importances_[1:-1], narrow.feature_importances_, rtol=1e-6
    )
