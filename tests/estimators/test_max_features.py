"""At most so many features: what `max_features` does to both estimators."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FEW = {"lambdas": 6, "cv": 3, "random_state": 0}


@pytest.fixture(scope="module")
def noisy():
    X, y = make_two_layer_regression(600, 5, n_directions=8, noise=0.3, random_state=0)
    return X[:300], y[:300], X[300:], y[300:]


@pytest.fixture(scope="module")
def averaged(noisy):
    model = RegularizedTwoLayerRegressorCV(**FEW).fit(*noisy[:2])
    assert len(model.features_) > 12  # It is the mean of several networks.
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"schedule": GeometricSchedule(stop=0.1)}, marks=pytest.mark.slow),
        {"schedule": GeometricSchedule(stop=0.3), "solver": "fast", "debias": True},
        pytest.param({"solver": "gd", "max_iter": 20}, marks=pytest.mark.slow),
        {"hidden_bias": False},
        {"dtype": "float32"},
        pytest.param({"standardize": False}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_no_fit_has_more_features(noisy, options):
    X, y, X_test, _ = noisy
    plain = RegularizedTwoLayerRegressor(random_state=0, **options).fit(X, y)
    n_features = len(plain.features_)
    assert n_features > 2
    scores = []
    for most in (1, 2, n_features - 1):
        model = RegularizedTwoLayerRegressor(
            max_features=most, random_state=0, **options
        ).fit(X, y)
        assert model.transform(X_test).shape == (300, most)
        np.testing.assert_array_equal(model.lambda_, plain.lambda_)
        scores.append(np.corrcoef(model.predict(X), plain.predict(X))[0, 1])
    assert scores[0] < scores[1] < scores[2]
    assert scores[2] > 0.95
    same = RegularizedTwoLayerRegressor(
        max_features=n_features, random_state=0, **options
    ).fit(X, y)
    np.testing.assert_array_equal(same.features_, plain.features_)


def test_means_of_networks_become_small_ones(noisy, averaged):
    X, y, X_test, y_test = noisy
    scores = []
    for most in (1, 4, 12):
        model = RegularizedTwoLayerRegressorCV(max_features=most, **FEW).fit(X, y)
        assert model.transform(X_test).shape == (300, most)
        np.testing.assert_array_equal(model.mse_path_, averaged.mse_path_)
        scores.append(model.score(X_test, y_test))
    assert scores[0] < scores[1]
    assert scores[2] > averaged.score(X_test, y_test) - 0.015


def test_the_linear_part_is_the_best_for_the_features(noisy):
    X, y = noisy[:2]
    model = RegularizedTwoLayerRegressorCV(max_features=3, **FEW).fit(X, y)
    design = np.column_stack([X, np.ones(len(X))])
    rest = y - np.maximum(model.transform(X), 0.0) @ model.amplitudes_
    expected = np.linalg.lstsq(design, rest)[0]
    np.testing.assert_allclose(
        [*model.linear_coef_, model.linear_intercept_], expected, atol=1e-9
    )


@pytest.mark.slow
def test_several_targets_share_the_features():
    X, y = make_two_layer_regression(
        300, 4, n_directions=5, n_targets=2, noise=0.2, random_state=0
    )
    for kind, options in [
        (RegularizedTwoLayerRegressor, {"random_state": 0}),
        (RegularizedTwoLayerRegressorCV, FEW),
    ]:
        model = kind(max_features=3, **options).fit(X, y)
        assert model.transform(X).shape == (300, 3)
        assert model.amplitudes_.shape == (3, 2)
        assert model.score(X, y) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"column_transform": "power"}, {"direction_penalty": "adaptive", "debias": False}],
    ids=str,
)
def test_transforms_and_weights_of_columns_stay(noisy, options):
    X, y = np.exp(noisy[0]), noisy[1]
    options = {**FEW, "lambdas": 4, "eps": 1e-2, **options}
    whole = RegularizedTwoLayerRegressorCV(**options).fit(X, y)
    model = RegularizedTwoLayerRegressorCV(max_features=2, **options).fit(X, y)
    assert len(model.features_) == 2 < len(whole.features_)
    np.testing.assert_array_equal(model.column_weights_, whole.column_weights_)
    np.testing.assert_equal(model.column_transform_, whole.column_transform_)
    # Columns that the weights leave out are not features.
    assert not model.features_[:, model.column_weights_ == 0.0].any()
    assert model.score(X, y) > 0.6 * whole.score(X, y)


def test_rows_in_other_forms_give_the_same(noisy):
    X, y = noisy[:2]
    weights = np.random.default_rng(0).integers(0, 3, len(X)) / 2.0
    model = RegularizedTwoLayerRegressor(max_features=2, random_state=0)
    expected = model.fit(X, y, weights).features_
    kept = weights > 0
    others = [
        (sparse.csr_array(X), y, weights),
        (X[kept], y[kept], weights[kept]),
    ]
    for data in others:
        np.testing.assert_allclose(model.fit(*data).features_, expected, atol=1e-6)


def test_a_linear_model_stays_linear(rng):
    X = rng.standard_normal((100, 3))
    model = RegularizedTwoLayerRegressor(max_features=1, random_state=0)
    assert model.fit(X, X @ [1.0, 2.0, 3.0]).features_.shape == (0, 3)


def test_a_warm_start_is_bounded_too(noisy):
    X, y = noisy[:2]
    model = RegularizedTwoLayerRegressor(
        max_features=2, warm_start=True, random_state=0
    ).fit(X, y)
    assert len(model.fit(X, y).features_) == 2


def test_rows_in_several_places_give_the_same():
    da = pytest.importorskip("dask.array")
    import dask

    X, y = make_two_layer_regression(300, 4, n_directions=3, random_state=0)
    model = RegularizedTwoLayerRegressor(max_features=2, random_state=0)
    expected = model.fit(X, y)
    assert len(expected.features_) == 2
    predicted = expected.predict(X)
    with dask.config.set(scheduler="synchronous"):
        model.fit(da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=100))
    np.testing.assert_allclose(model.predict(X), predicted, atol=1e-5)


def test_wide_tables_are_bounded(rng):
    X = rng.standard_normal((60, 40))
    y = np.maximum(X[:, 0], 0.0) + np.abs(X[:, 1]) + 0.1 * rng.standard_normal(60)
    options = {"schedule": GeometricSchedule(stop=0.05), "solver": "fast"}
    whole = RegularizedTwoLayerRegressor(random_state=0, **options).fit(X, y)
    assert whole.linear_decay_ > 0.0
    assert len(whole.features_) > 3
    model = RegularizedTwoLayerRegressor(max_features=3, random_state=0, **options)
    model.fit(X, y)
    assert len(model.features_) == 3
    assert np.corrcoef(model.predict(X), whole.predict(X))[0, 1] > 0.9
