"""Inspection of regressors with losses other than the squared one."""

import numpy as np
import pytest

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    TwoLayerPathDisplay,
    active_subspace,
    count_directions,
    direction_errors,
    direction_stability,
    prediction_errors,
)

LOSSES = pytest.mark.parametrize("loss", ["poisson", "huber"])


def numbers_of(loss, seed=0, n_samples=800):
    X, signal, teacher = make_two_layer_regression(
        n_samples, 3, n_directions=1, return_teacher=True, random_state=seed
    )
    signal = (signal - signal.mean()) / signal.std()
    generator = np.random.default_rng(seed)
    if loss == "poisson":
        return X, generator.poisson(2.0 * np.exp(signal)), teacher.directions
    noise = generator.standard_normal(n_samples)
    noise *= np.where(generator.random(n_samples) < 0.05, 9.0, 0.3)
    return X, signal + noise, teacher.directions


def fitted(loss, **parameters):
    X, y, _ = numbers_of(loss)
    return RegularizedTwoLayerRegressor(loss=loss, random_state=0, **parameters).fit(
        X, y
    )


@pytest.mark.slow
@LOSSES
def test_standard_errors_are_those_of_repeated_data(loss):
    """Loadings of fits to other data sets of one teacher vary as the errors say."""
    X, _, directions = numbers_of(loss)
    true = directions[0] * np.sign(directions[0][np.abs(directions[0]).argmax()])
    signal = np.maximum(X @ true, 0.0) * 1.5
    deviations, errors = [], []
    for seed in range(25):
        generator = np.random.default_rng(seed)
        if loss == "poisson":
            y = generator.poisson(np.exp(signal)).astype(float)
        else:
            noise = generator.standard_normal(len(X))
            noise *= np.where(generator.random(len(X)) < 0.05, 9.0, 0.3)
            y = signal + noise
        model = RegularizedTwoLayerRegressor(loss=loss, random_state=0).fit(X, y)
        if len(model.features_) == 1:
            deviations.append(model.features_[0] - true)
            errors.append(direction_errors(model, X, y).features[0])
    assert len(errors) > 20
    ratio = np.sqrt(np.mean(np.square(deviations))) / np.sqrt(
        np.mean(np.square(errors))
    )
    assert 0.75 < ratio < 1.35


@LOSSES
def test_ridge_functions_are_on_the_scale_of_the_link(loss):
    pytest.importorskip("matplotlib").use("agg")
    X, y, _ = numbers_of(loss)
    model = fitted(loss)
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, confidence=0.95, subsample=len(X)
    )
    # Points are the function and what is left, which has a mean of about zero.
    left = display.partial_residuals[:, 0] - (
        display.offsets
        + display.slopes * display.projections[:, 0]
        + display.amplitudes * np.maximum(display.projections[:, 0], 0.0)
    )
    if loss == "poisson":
        mean = model.predict(X)
        np.testing.assert_allclose(left, (y - mean) / mean, rtol=1e-6, atol=1e-9)
        assert display.target_name == "logarithm of the mean"
    else:
        assert np.abs(left).max() < 2.0 * 1.345 * model.scale_
        assert display.target_name == "y"
    assert TwoLayerPathDisplay.from_estimator(model).axes_.size > 0


@LOSSES
def test_paths_of_cross_validation_can_be_drawn(loss):
    pytest.importorskip("matplotlib").use("agg")
    X, y, _ = numbers_of(loss, n_samples=200)
    cv = RegularizedTwoLayerRegressorCV(
        loss=loss, lambdas=3, eps=0.1, cv=2, random_state=0
    )
    display = TwoLayerPathDisplay.from_estimator(cv.fit(X, y))
    panel = display.axes_[-1]
    assert panel.get_ylabel() == "held-out\nloss"
    drawn = panel.containers[0].lines[0].get_ydata()
    compared = np.isfinite(cv.loss_path_).all(axis=1)
    np.testing.assert_allclose(drawn, cv.loss_path_[compared].mean(axis=1))
    kept = {0.0: "with decay", 1.0: "debiased"}.get(cv.debiased_share_, "mean of both")
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert f"{kept} (kept)" in labels


@LOSSES
def test_subspace_stability_and_summary(loss):
    X, y, directions = numbers_of(loss)
    model = fitted(loss)
    subspace = active_subspace(model, X)
    assert abs(subspace.directions[0] @ (directions[0] * X.std(axis=0))) > 0.5
    stability = direction_stability(model, X, y, n_repeats=2, random_state=0)
    assert stability.recurrence.shape == (1,)
    text = model.summary(X)
    assert f"loss         {loss}" in text
    torch = pytest.importorskip("torch")
    module = model.to_torch()
    outputs = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(outputs, model.predict_link(X), atol=1e-12)


@LOSSES
def test_what_is_for_squares_only_is_refused_by_name(loss):
    X, y, _ = numbers_of(loss)
    model = fitted(loss)
    with pytest.raises(ValueError, match=rf"{loss}.*prediction_errors"):
        prediction_errors(model, X, y, X[:3])
    with pytest.raises(ValueError, match=rf"{loss}.*count_directions"):
        count_directions(model, X, y)
    with pytest.raises(ValueError, match="fitted with a decay"):
        direction_errors(fitted(loss, schedule=ConstantSchedule(0.5)), X, y)
