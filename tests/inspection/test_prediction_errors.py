"""Errors of predictions: plain formulas, units, linear models, coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import t
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import GeometricSchedule, RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import prediction_errors


def made(n_targets=1, n_samples=400):
    X, y = make_two_layer_regression(
        n_samples, 3, n_directions=2, n_targets=n_targets, noise=0.3, min_angle=0.8,
        random_state=0,
    )  # fmt: skip
    return X, y, RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


def test_linear_models_have_robust_errors_of_least_squares(rng):
    X, X_new = rng.standard_normal((2, 150, 3))
    y = X @ [1.0, 2.0, 0.0] + rng.standard_normal(150) * np.exp(X[:, 0] / 2)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    assert len(model.features_) == 0
    errors = prediction_errors(model, X, y, X_new, confidence=0.8)
    design = np.column_stack([X, np.ones(150)])
    inverse = np.linalg.inv(design.T @ design)
    residual = y - model.predict(X)
    leverages = np.einsum("ni,ij,nj->n", design, inverse, design)
    scores = design * (residual / (1 - leverages))[:, np.newaxis]
    covariance = inverse @ scores.T @ scores @ inverse
    new = np.column_stack([X_new, np.ones(150)])
    expected = np.sqrt(np.einsum("ni,ij,nj->n", new, covariance, new))
    np.testing.assert_allclose(errors.errors, expected, rtol=1e-4)
    np.testing.assert_allclose(errors.noise, np.sqrt(np.sum(residual**2) / 146))
    np.testing.assert_array_equal(errors.predictions, model.predict(X_new))
    reach = t.ppf(0.9, 146)
    np.testing.assert_allclose(
        errors.mean_interval[1] - errors.predictions, reach * expected, rtol=1e-4
    )
    np.testing.assert_allclose(
        errors.predictions - errors.interval[0],
        reach * np.hypot(expected, errors.noise), rtol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("n_targets", [1, 2])
def test_errors_are_about_those_of_refits_to_new_noise(n_targets):
    X, y, model = made(n_targets)
    mean = model.predict(X)
    errors = prediction_errors(model, X, y, X)
    rng = np.random.default_rng(0)
    refits = []
    for _ in range(20):
        other = mean + errors.noise * rng.standard_normal(y.shape)
        new = RegularizedTwoLayerRegressor(
            random_state=0, n_neurons=2, warm_start=True
        ).fit(X, other)
        refits.append(new.predict(X))
    expected = np.sqrt(np.mean((np.array(refits) - mean) ** 2))
    ratio = np.sqrt(np.mean(errors.errors**2)) / expected
    assert 0.7 < ratio < 1.5
    np.testing.assert_allclose(errors.noise, 0.3, rtol=0.15)
    assert errors.errors.shape == y.shape
    assert errors.interval.shape == (2, *y.shape)


def test_units_and_pipelines_change_nothing():
    X, y, model = made()
    new = X[:20] + 0.5
    expected = prediction_errors(model, X, y, new)
    units = np.array([1.0, 1e-6, 1e6])
    names = ["a", "b", "c"]
    table = pd.DataFrame(X * units + units, columns=names)
    last = RegularizedTwoLayerRegressor(random_state=0)
    pipe = make_pipeline(StandardScaler(), last).fit(table, 1e3 * y)
    found = prediction_errors(
        pipe, table, 1e3 * y, pd.DataFrame(new * units + units, columns=names)
    )
    np.testing.assert_allclose(found.errors, 1e3 * expected.errors, rtol=1e-3)
    np.testing.assert_allclose(found.noise, 1e3 * expected.noise, rtol=1e-3)
    rows = sparse.csr_array(new)
    other = prediction_errors(model, sparse.csr_array(X), y, rows)
    np.testing.assert_allclose(other.errors, expected.errors)


def test_weights_are_those_of_the_fit():
    X, y, _ = made()
    weights = np.repeat([2.0, 0.0], 200)
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(X, y, sample_weight=weights)
    found = prediction_errors(model, X, y, X[:5], sample_weight=weights)
    half = prediction_errors(model, X[:200], y[:200], X[:5])
    np.testing.assert_allclose(found.errors, half.errors, rtol=1e-6)
    np.testing.assert_allclose(found.noise, half.noise)
    groups = np.arange(400) // 4
    grouped = prediction_errors(
        model, X, y, X[:5], sample_weight=weights, groups=groups
    )
    assert not np.allclose(grouped.errors, found.errors)


def test_errors_are_readable_and_refusals_name_the_parameter():
    X, y, model = made(2)
    text = repr(prediction_errors(model, X, y, X[:7], confidence=0.9))
    assert "7 rows, 0.9 confidence" in text
    assert "standard errors" in text
    with pytest.raises(ValueError, match="confidence"):
        prediction_errors(model, X, y, X, confidence=1.0)
    with pytest.raises(ValueError, match="features"):
        prediction_errors(model, X, y, X[:, :2])
    decayed = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.3), random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="fitted with a decay"):
        prediction_errors(decayed, X, y, X)


@pytest.mark.slow
def test_intervals_cover():
    means, targets = [], []
    for seed in range(40):
        X, y, teacher = make_two_layer_regression(
            1000, 4, n_directions=2, noise=0.3, return_teacher=True, min_angle=0.8,
            random_state=seed,
        )  # fmt: skip
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X[:500], y[:500])
        errors = prediction_errors(model, X[:500], y[:500], X[500:], confidence=0.9)
        for covered, (low, high), truth in [
            (means, errors.mean_interval, teacher.predict(X[500:])),
            (targets, errors.interval, y[500:]),
        ]:
            covered.append(np.mean((low < truth) & (truth < high)))
    assert 0.85 < np.mean(means) < 0.95
    assert 0.88 < np.mean(targets) < 0.92
