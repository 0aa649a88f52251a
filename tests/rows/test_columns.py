"""Columns that tell nothing new change nothing."""

import numpy as np
import pytest
from conftest import inputs_of, make_rows
from scipy import sparse

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._rows import standardize
from sklearn_twolayer.datasets import make_two_layer_regression


def with_idle(X, generator, factors=(-2.0, 1.0, 1e6)):
    """The columns beside shifted multiples of some of them, and constants."""
    n_samples, n_features = X.shape
    index = generator.integers(n_features, size=8)
    copies = X[:, index] * generator.choice(factors, size=8) + 3.0
    idle = [np.zeros((n_samples, 2)), np.full((n_samples, 1), 1e9), copies]
    return np.column_stack([X, *idle])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["dense", "blocks", "sparse"])
@pytest.mark.parametrize("standardize_columns", [True, False])
def test_idle_columns_are_left_out(seed, kind, standardize_columns, monkeypatch):
    if kind == "blocks":
        monkeypatch.setattr(standardize, "KEPT_ENTRIES", 0)
    generator = np.random.default_rng(seed)
    X, y = generator.standard_normal((50, 4)), generator.standard_normal(50)
    # Without standardisation the scale of a column matters.
    factors = (-2.0, 1.0, 1e6) if standardize_columns else (-1.0, 1.0)
    wide = with_idle(X, generator, factors)
    wide = sparse.csr_array(wide) if kind == "sparse" else wide
    rows = make_rows(wide, y, standardize=standardize_columns)
    expected = make_rows(X, y, standardize=standardize_columns)
    np.testing.assert_allclose(inputs_of(rows), inputs_of(expected), atol=1e-12)
    assert rows.rank == expected.rank == 5
    assert rows.units.columns.kept.tolist() == [0, 1, 2, 3]


def test_columns_that_differ_a_little_are_both_kept():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 3))
    near = X[:, :1] + 1e-4 * generator.standard_normal((200, 1))
    rows = make_rows(np.column_stack([X, near]), generator.standard_normal(200))
    assert rows.units.columns.are_all


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_idle_columns_change_no_fit(noise, hidden_bias):
    X, y = make_two_layer_regression(
        600, 5, n_directions=3, noise=noise, random_state=0
    )
    wide = np.column_stack([X, np.zeros((600, 20)), X, -X])
    model = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    features, predicted = model.fit(X, y).features_, model.predict(X)
    lambda_max = model.lambda_max_
    model.fit(wide, y)
    np.testing.assert_allclose(model.features_[:, :5], features, atol=1e-8)
    assert not model.features_[:, 5:].any()
    np.testing.assert_allclose(model.predict(wide), predicted, atol=1e-8)
    assert model.lambda_max_ == pytest.approx(lambda_max, rel=1e-9)


@pytest.mark.slow
def test_idle_columns_change_no_cross_validation_and_no_warm_start():
    X, y = make_two_layer_regression(300, 4, n_directions=2, noise=0.3, random_state=0)
    wide = np.column_stack([X, np.ones(300), 2.0 * X[:, :2]])
    cv = RegularizedTwoLayerRegressorCV(lambdas=4, cv=3, random_state=0)
    expected = cv.fit(X, y).predict(X)
    np.testing.assert_allclose(cv.fit(wide, y).predict(wide), expected, atol=1e-8)
    model = RegularizedTwoLayerRegressor(random_state=0, warm_start=True)
    first = model.fit(wide, y).predict(wide)
    np.testing.assert_allclose(model.fit(wide, y).predict(wide), first, atol=1e-2)


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_all_columns_may_be_constant(kind, value, hidden_bias):
    y = np.random.default_rng(0).standard_normal(20)
    X = kind(np.full((20, 3), value))
    model = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    model.fit(X, y)
    assert model.features_.shape == (0, 3)
    np.testing.assert_allclose(model.predict(X), y.mean())
