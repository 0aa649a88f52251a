"""The transform of the columns that the folds choose, and its way into predictions."""

import json
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.metrics import log_loss

from sklearn_twolayer import (
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import path_options
from sklearn_twolayer._cross_validation.transforms import (
    BEATS_OVER_FOLDS,
    BEATS_OVER_ROWS,
    bends,
    held_out_errors,
    is_lower,
    merged,
    row_groups,
)
from sklearn_twolayer._rows.column_transform import ColumnTransform
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    active_subspace,
    direction_errors,
)

KINDS = ["power", "clip"]


def kinked(n_rows=200, seed=0):
    """Normal columns, and targets of one neuron and a line."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n_rows, 3))
    y = Z[:, 0] + 2.0 * np.maximum(Z[:, 1], 0.0) + 0.2 * rng.standard_normal(n_rows)
    return Z, y


def quick(**parameters):
    defaults = {"lambdas": 5, "eps": 0.01, "cv": 3, "random_state": 0}
    return RegularizedTwoLayerRegressorCV(**{**defaults, **parameters})


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    Z, y = kinked()
    X = np.sinh(1.5 * Z)
    model = quick(column_transform=request.param).fit(X, y)
    assert len(model.features_) > 0
    return X, y, model


def by_hand(model, X):
    """The transformed columns, by the formulas of the user guide."""
    own = model.column_transform_
    if "lowest" in own:
        X = np.clip(X, own["lowest"], own["highest"])
    z = (X - own["centre"]) / own["scale"]
    z = np.column_stack(
        [stats.yeojohnson(z[:, j], own["exponent"][j]) for j in range(X.shape[1])]
    )
    z = z / np.sqrt(1.0 + (z * own["inverse_limit"]) ** 2)
    return own["centre"] + own["scale"] * z


def test_auto_transforms_where_much_is_gained():
    Z, y = kinked(400)
    X = np.sinh(2.0 * Z)
    train, test = np.arange(200), np.arange(200, 400)
    raw = quick(column_transform=None).fit(X[train], y[train])
    auto = quick().fit(X[train], y[train])
    assert raw.column_transform_ is None
    assert auto.column_transform_ is not None
    errors = [1.0 - model.score(X[test], y[test]) for model in (auto, raw)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    "tails", ["normal", pytest.param("heavy and linear", marks=pytest.mark.slow)]
)
def test_auto_keeps_columns_where_nothing_is_gained(tails):
    Z, y = kinked(150)
    if tails != "normal":
        Z = np.sinh(1.5 * Z)
        y = Z @ [1.0, -2.0, 0.5] + y
    raw, auto = quick(column_transform=None).fit(Z, y), quick().fit(Z, y)
    assert auto.column_transform_ is None
    np.testing.assert_array_equal(auto.predict(Z), raw.predict(Z))
    # Normal columns are not even tried.
    assert (auto.n_iter_ == raw.n_iter_) == (tails == "normal")


def test_the_fit_is_that_of_transformed_columns(fitted):
    X, y, model = fitted
    columns = ColumnTransform(**model.column_transform_)(X)
    np.testing.assert_allclose(columns, by_hand(model, X), rtol=1e-12, atol=1e-12)
    alone = clone(model).set_params(column_transform=None).fit(columns, y)
    np.testing.assert_array_equal(model.mse_path_, alone.mse_path_)
    np.testing.assert_array_equal(model.predict(X), alone.predict(columns))


def test_predictions_and_projections_are_of_transformed_columns(fitted):
    X, _, model = fitted
    X = np.vstack([X, 2.0 * X])  # Some rows are beyond the ranges of the columns.
    projections = by_hand(model, X) @ model.features_.T + model.feature_intercepts_
    np.testing.assert_allclose(model.transform(X), projections, atol=1e-9)
    expected = np.maximum(projections, 0.0) @ model.amplitudes_
    expected += by_hand(model, X) @ model.linear_coef_ + model.linear_intercept_
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-9)


def test_other_forms_predict_the_same(fitted):
    X, _, model = fitted
    X = np.vstack([X, 2.0 * X])  # Some rows are beyond the ranges of the columns.
    expected = model.predict(X)
    plain = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    for again in (type(model).from_dict(plain), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(X), expected)
        assert again.summary(X) == model.summary(X)
    module = model.to_torch()
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(X)), expected, atol=1e-10)
    module(torch.from_numpy(X)).sum().backward()
    assert torch.isfinite(module.features.grad).all()
    for inputs in (sparse.csr_array(X), X.astype(np.float32)):
        np.testing.assert_allclose(model.predict(inputs), expected, atol=1e-4)


def test_dask_predictions_stay_lazy(fitted):
    da = pytest.importorskip("dask.array")
    X, _, model = fitted
    lazy = model.predict(da.from_array(X, chunks=(100, 2)))
    np.testing.assert_allclose(lazy.compute(), model.predict(X), rtol=1e-12)


def test_displays_and_summary_are_of_transformed_columns(fitted):
    X, y, model = fitted
    pytest.importorskip("matplotlib")
    display = RidgeFunctionDisplay.from_estimator(model, X, y)
    columns = ColumnTransform(**model.column_transform_)(X)
    alone = clone(model)
    vars(alone).update(vars(model), column_transform_=None)
    expected = RidgeFunctionDisplay.from_estimator(alone, columns, y)
    for name in ("projections", "partial_residuals", "features", "slopes"):
        shown, same = getattr(display, name), getattr(expected, name)
        np.testing.assert_allclose(shown, same, atol=1e-10)
    subspace = active_subspace(model, X)
    same = active_subspace(alone, columns)
    np.testing.assert_allclose(subspace.eigenvalues, same.eigenvalues, atol=1e-12)
    lines = model.summary(X).splitlines()
    told = [line for line in lines if line.startswith("  transformed")]
    assert [line.split()[1:] for line in told] == [["3", "of", "the", "inputs"]]
    lines.remove(told[0])
    # The names of the other facts are aligned with the longest.
    assert [line.split() for line in lines] == [
        line.split() for line in alone.summary(columns).splitlines()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_are_those_of_transformed_columns(kind):
    Z, y = kinked()
    X = np.sinh(Z)
    model = quick(lambdas=2, cv=2, column_transform=kind).fit(X, y)
    columns = by_hand(model, X)
    # One network without decay has standard errors.
    alone = RegularizedTwoLayerRegressor(random_state=0).fit(columns, y)
    fit = {name: value for name, value in vars(alone).items() if name.endswith("_")}
    vars(model).update(fit, debiased_share_=1.0, n_averaged_=1)
    errors = direction_errors(model, X, y)
    expected = direction_errors(alone, columns, y)
    np.testing.assert_allclose(errors.features, expected.features, rtol=1e-6)
    np.testing.assert_allclose(errors.angles, expected.angles, rtol=1e-6)


def test_a_bad_cell_moves_a_clipped_prediction_little():
    Z, y = kinked()
    clipped = quick(column_transform="clip").fit(Z, y)
    bad = Z.copy()
    bad[::7, 0] *= 1e6
    assert np.ptp(clipped.predict(bad)) < 3.0 * np.ptp(y)
    assert np.ptp(quick(column_transform=None).fit(Z, y).predict(bad)) > 1e3 * np.ptp(y)


def test_folds_see_no_held_out_row():
    Z, y = kinked(120)
    X = np.sinh(2.0 * Z)
    data = y, np.ones(120), np.arange(80), np.arange(80, 120)
    short = path_options(quick()._check_options(), [1.0, 0.1])
    _, (squares,), _ = held_out_errors(FoldLoss(), ["power"], X, *data, short)
    X[119] = 1e6
    _, (again,), _ = held_out_errors(FoldLoss(), ["power"], X, *data, short)
    for before, after in zip(squares, again, strict=True):
        np.testing.assert_array_equal(before[:-1], after[:-1])


def test_a_fall_must_be_clear_over_rows_and_over_folds():
    rng = np.random.default_rng(0)
    weights = [np.ones(100)] * 5
    old = [np.ones(100)] * 5

    def falls(of_folds, noise):
        return [1.0 - fall - noise * rng.standard_normal(100) for fall in of_folds]

    assert is_lower(falls([0.2] * 5, 0.1), old, weights)
    # The mean of 500 rows has a standard error of 0.13, in the second case of none.
    assert not is_lower(falls([0.2] * 5, 3.0), old, weights)
    assert not is_lower(falls([1.0, 1.0, -1.0, -1.0, 0.2], 0.0), old, weights)
    assert not is_lower(old, old, weights)
    assert BEATS_OVER_ROWS > BEATS_OVER_FOLDS


def test_rows_given_twice_are_as_certain_as_rows_of_twice_the_weight():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 2)), rng.standard_normal(30)
    errors, weights = rng.uniform(size=30), rng.integers(0, 3, 30).astype(float)
    once = merged(errors, weights, row_groups(X, y))
    again = np.repeat(np.arange(30), weights.astype(int))
    groups = row_groups(X[again], y[again])
    several = merged(errors[again], np.ones(len(again)), groups)
    assert len(once[0]) == (weights > 0.0).sum()
    for own, same in zip(once, several, strict=True):
        np.testing.assert_allclose(own, same)
    # Rows of equal inputs and other targets are different.
    assert len(np.unique(row_groups(X[[0, 0, 1]], y[[0, 1, 0]]))) == 3
    assert len(np.unique(row_groups(X[[0, 0]], np.column_stack([y, y])[[0, 0]]))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_normal_and_uniform_columns_do_not_bend(kind):
    rng = np.random.default_rng(0)
    weights = np.ones(1000)
    tame = np.column_stack([rng.standard_normal(1000), rng.uniform(size=1000)])
    wild = np.column_stack([tame, np.exp(1.5 * rng.standard_normal(1000))])
    assert not bends(ColumnTransform.fit(kind, tame, weights), tame, weights)
    assert bends(ColumnTransform.fit(kind, wild, weights), wild, weights)


@pytest.mark.parametrize("value", ["none", "Power", True, 1.0, ["power"]])
def test_other_values_are_refused(value):
    Z, y = kinked(50)
    with pytest.raises(ValueError, match=r"column_transform must be one of .* or None"):
        quick(column_transform=value).fit(Z, y)


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_of_sparse_columns_are_refused(kind):
    Z, y = kinked(100)
    X = sparse.csr_array(np.sinh(2.0 * Z))
    with pytest.raises(ValueError, match=f"column_transform='{kind}' is for dense X"):
        quick(column_transform=kind).fit(X, y)


def test_auto_leaves_sparse_columns_as_they_are():
    Z, y = kinked(100)
    X = sparse.csr_array(np.sinh(2.0 * Z))
    assert quick().fit(X, y).column_transform_ is None


def test_without_biases_auto_keeps_the_origin():
    Z, y = kinked(200)
    model = quick(hidden_bias=False).fit(np.sinh(2.0 * Z), y)
    assert model.column_transform_ is None


@pytest.mark.slow
def test_several_targets_are_transformed_alike():
    Z, y = kinked(400)
    X, y = np.sinh(2.0 * Z)[:200], y[:200]
    weights = np.random.default_rng(0).uniform(0.95, 1.05, 200)
    model = quick().fit(X, np.column_stack([y, 3.0 * y]), sample_weight=weights)
    assert model.column_transform_ is not None
    assert model.predict(X).shape == (200, 2)
    expected = ColumnTransform.fit("power", X, weights).attributes()
    if model.column_transform_["inverse_limit"].any():
        expected = ColumnTransform.fit("clip", X, weights).attributes()
    for name, values in expected.items():
        np.testing.assert_array_equal(model.column_transform_[name], values)


def drawn(loss, n_rows=200, seed=0):
    """Columns of long tails, and targets of a loss."""
    Z, _ = kinked(n_rows, seed)
    rng, X = np.random.default_rng(seed), np.sinh(2.0 * Z)
    score = Z[:, 0] + 2.0 * np.maximum(Z[:, 1], 0.0) - 0.8
    if loss == "log_loss":
        return X, 2.0 * score + rng.logistic(size=n_rows) > 0.0
    if loss == "poisson":
        return X, rng.poisson(np.exp(0.5 * score))
    noise = np.where(rng.random(n_rows) < 0.05, 6.0, 0.2)
    return X, score + noise * rng.standard_normal(n_rows)


def quick_for(loss, **parameters):
    parameters = {"debias": False, "lambdas": 3, "cv": 2, **parameters}
    if loss != "log_loss":
        return quick(loss=loss, **parameters)
    return RegularizedTwoLayerClassifierCV(eps=0.01, random_state=0, **parameters)


@pytest.mark.parametrize(
    "loss",
    [
        "log_loss",
        *(pytest.param(loss, marks=pytest.mark.slow) for loss in ("poisson", "huber")),
    ],
)
def test_auto_transforms_by_the_held_out_loss(loss):
    X, y = drawn(loss, 400)
    raw = quick_for(loss, column_transform=None).fit(X[:200], y[:200])
    auto = quick_for(loss).fit(X[:200], y[:200])
    assert raw.column_transform_ is None
    assert auto.column_transform_ is not None
    if loss == "log_loss":
        losses = [log_loss(y[200:], m.predict_proba(X[200:])) for m in (auto, raw)]
        assert losses[0] < 0.95 * losses[1]
    else:
        assert auto.score(X[200:], y[200:]) > raw.score(X[200:], y[200:]) + 0.01


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "huber"])
def test_the_fit_with_a_loss_is_that_of_transformed_columns(loss):
    X, y = drawn(loss, 120)
    parameters = {"lambdas": [1.0, 0.3], "direction_penalty": "l2"}
    model = quick_for(loss, column_transform="clip", **parameters).fit(X, y)
    columns = ColumnTransform(**model.column_transform_)(X)
    np.testing.assert_allclose(columns, by_hand(model, X), rtol=1e-12, atol=1e-12)
    alone = quick_for(loss, column_transform=None, **parameters).fit(columns, y)
    path = "log_loss_path_" if loss == "log_loss" else "loss_path_"
    np.testing.assert_array_equal(getattr(model, path), getattr(alone, path))
    name = "decision_function" if loss == "log_loss" else "predict_link"
    far = np.vstack([X, 2.0 * X])  # Some rows are beyond the ranges of the columns.
    expected = getattr(model, name)(far)
    same = getattr(alone, name)(by_hand(model, far))
    np.testing.assert_allclose(expected, same, atol=1e-9)
    plain = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    for again in (type(model).from_dict(plain), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(getattr(again, name)(far), expected)
    with torch.no_grad():
        of_torch = model.to_torch()(torch.from_numpy(far))
    np.testing.assert_allclose(of_torch, expected, atol=1e-10)
    assert "transformed" in model.summary(X)


@pytest.mark.slow
def test_transforms_are_compared_by_one_loss():
    """Huber's loss depends on the scale of the residuals, which each fit has."""
    X, y = drawn("huber", 120)
    kind, weights = FoldLoss("huber"), np.ones(80)
    train, test = np.arange(80), np.arange(80, 120)
    short = path_options(quick()._check_options(), [1.0, 0.1])
    data = X, y, np.ones(120), train, test, short
    of_none, (of_clip,), _ = held_out_errors(kind, ["clip"], *data)
    clip = ColumnTransform.fit("clip", X[train], weights)
    raw = kind.fit(X[train], y[train], weights, short)
    fit = kind.fit(clip(X[train]), y[train], weights, short)
    assert raw.problem.data.scale > 1.2 * fit.problem.data.scale
    for own, inputs, errors in [(raw, X, of_none), (fit, clip(X), of_clip)]:
        outputs = [
            own.fitted(own.of_stage(s)).predict(inputs[test]) for s in own.path()
        ]
        assert len(errors) == len(outputs) > 0
        for found, predicted in zip(errors, outputs, strict=True):
            size = np.abs(y[test] - predicted)
            bound = 1.345 * raw.problem.data.scale * raw.problem.units.scale
            loss = np.where(size < bound, size**2 / 2.0, bound * (size - bound / 2.0))
            np.testing.assert_allclose(found, loss, rtol=1e-6, atol=1e-9)
