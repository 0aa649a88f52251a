"""Which rows are outside of the ranges of the rows of the fit."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._rows import blocks
from sklearn_twolayer.datasets import make_two_layer_regression

MODELS = {
    "plain": RegularizedTwoLayerRegressor(random_state=0),
    "linear": RegularizedTwoLayerRegressor(criterion=1e6, random_state=0),
    "mean": RegularizedTwoLayerRegressorCV(lambdas=4, cv=3, random_state=0),
    "transformed": RegularizedTwoLayerRegressorCV(
        lambdas=4, cv=3, debias=False, column_transform="power", random_state=0
    ),
    "few": RegularizedTwoLayerRegressor(max_features=1, random_state=0),
}


def data(n_targets=1, noise=0.3):
    X, y = make_two_layer_regression(
        200, 3, n_directions=2, n_targets=n_targets, noise=noise, random_state=0
    )
    return np.exp(X / 3.0) if noise else X, y


def columns_of(model, X):
    """The columns that the network sees, by the written definition."""
    transform = getattr(model, "column_transform_", None)
    if transform is None:
        return X
    z = (X - transform["centre"]) / transform["scale"]
    exponent = transform["exponent"]
    above = ((1.0 + np.maximum(z, 0.0)) ** exponent - 1.0) / exponent
    below = ((1.0 - np.minimum(z, 0.0)) ** (2.0 - exponent) - 1.0) / (2.0 - exponent)
    return transform["centre"] + transform["scale"] * (above - below)


def distances(model, X, X_new, weights=None):
    """The definition: sd beyond the least and the largest projection."""
    # A neuron is half its straight line and half the absolute value of that.
    linear = np.atleast_2d(model.linear_coef_)
    amplitudes = model.amplitudes_.reshape(len(model.features_), len(linear))
    straight = linear + amplitudes.T @ model.features_ / 2.0
    directions = np.vstack([model.features_, straight])
    seen, new = (columns_of(model, rows) @ directions.T for rows in (X, X_new))
    mean = np.average(seen, axis=0, weights=weights)
    deviation = np.sqrt(np.average((seen - mean) ** 2, axis=0, weights=weights))
    beyond = np.maximum(seen.min(axis=0) - new, new - seen.max(axis=0))
    return np.maximum(beyond, 0.0) / deviation


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("kind", MODELS)
def test_distances_are_those_of_the_definition(kind, n_targets, monkeypatch):
    X, y = data(n_targets)
    model = MODELS[kind].fit(X, y)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 64)  # several blocks of rows
    X_new = np.abs(X[::-1]) * np.linspace(0.1, 4.0, 200)[:, np.newaxis]
    expected = distances(model, X, X_new)
    found = model.extrapolation(X_new, per_projection=True)
    assert found.shape == (200, len(model.features_) + n_targets)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(
        model.extrapolation(X_new), expected.max(axis=1), atol=2e-6
    )
    assert expected.max() > 1.0
    assert not model.extrapolation(X).any()


def test_rows_of_weight_zero_do_not_count():
    X, y = data()
    weights = np.where(X[:, 0] > np.median(X[:, 0]), 0.0, np.arange(200.0))
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y, weights)
    kept = weights > 0.0
    expected = distances(model, X[kept], X, weights[kept])
    found = model.extrapolation(X, per_projection=True)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found[~kept].any()
    assert not found[kept].any()


def test_all_forms_of_rows_have_the_same_distances(tmp_path):
    X, y = data(noise=0.0)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    expected = model.extrapolation(2.0 * X)
    np.save(tmp_path / "X.npy", X)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for rows in (sparse.csr_array(X), np.load(tmp_path / "X.npy", "r"), frame):
        again = RegularizedTwoLayerRegressor(random_state=0).fit(rows, y)
        np.testing.assert_allclose(again.extrapolation(2.0 * rows), expected, rtol=1e-6)


def test_a_dask_collection_stays_lazy():
    da = pytest.importorskip("dask.array")
    import dask

    X, y = data(noise=0.0)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    rows, targets = da.from_array(X, chunks=(60, 2)), da.from_array(y, chunks=60)
    with dask.config.set(scheduler="synchronous"):
        again = RegularizedTwoLayerRegressor(random_state=0).fit(rows, targets)
        np.testing.assert_allclose(again.feature_ranges_, model.feature_ranges_)
        np.testing.assert_allclose(again.linear_ranges_, model.linear_ranges_)
        for every in (False, True):
            lazy = model.extrapolation(2.0 * rows, per_projection=every)
            expected = model.extrapolation(2.0 * X, per_projection=every)
            assert isinstance(lazy, da.Array)
            assert lazy.shape == expected.shape
            np.testing.assert_allclose(lazy.compute(), expected)


def test_units_and_offsets_do_not_matter():
    X, y = data(noise=0.0)
    expected = (
        RegularizedTwoLayerRegressor(random_state=0).fit(X, y).extrapolation(2 * X)
    )
    scale, shift = np.array([1e-3, 1.0, 1e3]), np.array([10.0, -1e3, 0.0])
    other = RegularizedTwoLayerRegressor(random_state=0).fit(X * scale + shift, y)
    found = other.extrapolation(2.0 * X * scale + shift)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert not other.extrapolation(X * scale + shift).any()


def test_a_row_far_out_stands_out_of_a_pipeline():
    X, y = data()
    model = make_pipeline(
        StandardScaler(), RegularizedTwoLayerRegressor(random_state=0)
    )
    model.fit(X, y)
    X[7] *= 100.0
    found = model[-1].extrapolation(model[:-1].transform(X))
    assert np.flatnonzero(found).tolist() == [7]
    assert found[7] > 50.0


def test_json_keeps_the_ranges_and_refuses_others():
    X, y = data(2)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    plain = json.loads(json.dumps(model.to_dict()))
    again = RegularizedTwoLayerRegressor.from_dict(plain)
    np.testing.assert_array_equal(
        again.extrapolation(2.0 * X), model.extrapolation(2.0 * X)
    )
    wrong = {"array": [0.0] * 4, "shape": [2, 2], "dtype": "float64"}
    plain["fitted"]["linear_ranges_"] = wrong
    with pytest.raises(ValueError, match="linear_ranges_ of shape"):
        RegularizedTwoLayerRegressor.from_dict(plain)


def test_estimators_of_early_releases_say_what_is_missing():
    X, y = data()
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    del model.feature_ranges_
    with pytest.raises(AttributeError, match="fit it anew"):
        model.extrapolation(X)
    with pytest.raises(TypeError, match="per_projection must be True or False"):
        model.extrapolation(X, per_projection="all")


def test_a_constant_model_sees_no_distance(rng):
    X = rng.standard_normal((50, 2))
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, np.ones(50))
    assert not model.linear_coef_.any()
    assert not model.extrapolation(100.0 * X).any()
