import itertools

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._fit.report import followed_masses
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    TwoLayerPathDisplay,
    direction_errors,
)
from sklearn_twolayer.metrics import match_directions

matplotlib.use("Agg")
NAMES = ["age", "income", "a column with a very long name", "size"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module", params=[1, 2], ids=["one target", "two targets"])
def data(request):
    X, y = make_two_layer_regression(
        600, 4, n_directions=2, n_targets=request.param, noise=0.3, random_state=0
    )
    return X, y, RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


def numerical_derivative(model, X, step=1e-6):
    """Of the predictions with respect to features moved freely, and the rest."""

    def predict(features, biases, amplitudes, coef, intercept):
        hidden = np.maximum(X @ features.T + biases, 0)
        return (hidden @ amplitudes + X @ coef + intercept)[:, None]

    start = [
        model.features_, model.feature_intercepts_, model.amplitudes_, model.coef_,
        np.array(model.intercept_),
    ]  # fmt: skip
    columns = []
    for which, values in enumerate(start):
        for index in np.ndindex(values.shape):
            moved = [v.copy() for v in start]
            moved[which][index] += step
            up = predict(*moved)
            moved[which][index] -= 2 * step
            columns.append((up - predict(*moved)) / (2 * step))
    return np.hstack(columns)


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_errors_are_those_of_the_constrained_sandwich(hidden_bias, rng):
    """Recomputed with numerical derivatives and the sphere as a constraint."""
    X, y = make_two_layer_regression(400, 3, n_directions=2, noise=0.3, random_state=1)
    weights = rng.uniform(0.5, 2.0, len(y))
    model = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    model.fit(X, y, sample_weight=weights)
    errors = direction_errors(model, X, y, sample_weight=weights)
    derivative = numerical_derivative(model, X)
    n_out, n_in = model.features_.shape
    free = np.zeros((derivative.shape[1], derivative.shape[1]))
    sphere = np.eye(n_in)[None] - np.einsum(
        "ja,jb->jab", model.features_, model.features_
    )
    for j in range(n_out):  # directions move along the sphere only
        own = slice(j * n_in, (j + 1) * n_in)
        free[own, own] = sphere[j]
    rest = np.arange(n_out * n_in, len(free))
    free[rest, rest] = 1.0
    if not hidden_bias:
        free[rest[:n_out], rest[:n_out]] = 0.0
    derivative = derivative @ free
    bread = np.linalg.pinv(derivative.T @ (weights[:, None] * derivative), rcond=1e-9)
    leverage = weights * np.einsum("np,pq,nq->n", derivative, bread, derivative)
    residual = (y - model.predict(X)) / (1 - leverage)
    score = derivative * (weights * residual)[:, None]
    covariance = bread @ (score.T @ score) @ bread
    expected = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    split = np.split(expected, [n_out * n_in, n_out * (n_in + 1), n_out * (n_in + 2)])
    np.testing.assert_allclose(errors.features.ravel(), split[0], rtol=1e-4)
    np.testing.assert_allclose(
        errors.feature_intercepts, split[1], rtol=1e-4, atol=1e-9
    )
    np.testing.assert_allclose(errors.amplitudes, split[2], rtol=1e-4)


def test_intervals_surround_the_estimates_and_grow_with_the_confidence(data):
    X, y, model = data
    narrow = direction_errors(model, X, y, confidence=0.5)
    wide = direction_errors(model, X, y, confidence=0.99)
    for name in ["features", "feature_intercepts", "amplitudes"]:
        low, high = getattr(wide, f"{name}_interval")
        estimate = getattr(model, f"{name}_")
        assert low.shape == estimate.shape == getattr(wide, name).shape
        np.testing.assert_allclose((low + high) / 2, estimate, atol=1e-12)
        assert np.all(low <= getattr(narrow, f"{name}_interval")[0])
    assert np.all(wide.angles > narrow.angles)
    assert np.all(narrow.angles > 0)


def test_scaled_weights_and_permuted_rows_change_nothing(data, rng):
    X, y, model = data
    weights = rng.uniform(0.5, 2.0, len(y))
    errors = direction_errors(model, X, y, sample_weight=weights)
    order = rng.permutation(len(y))
    other = direction_errors(
        model, X[order], y[order], sample_weight=1e6 * weights[order]
    )
    np.testing.assert_allclose(errors.features, other.features, rtol=1e-9)
    np.testing.assert_allclose(errors.angles, other.angles, rtol=1e-9)


def test_errors_of_sparse_inputs_are_those_of_dense_ones(data):
    X, y, model = data
    errors = direction_errors(model, sparse.csr_array(X), y)
    dense = direction_errors(model, X, y)
    np.testing.assert_allclose(errors.features, dense.features, rtol=1e-10)


def test_errors_of_a_linear_model_are_empty(rng):
    X = rng.standard_normal((100, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(100)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    assert LinearRegression().fit(X, y).score(X, y) > 0.8
    errors = direction_errors(model, X, y)
    assert errors.features.shape == (0, 3)
    assert errors.angles.shape == (0,)


def test_errors_refuse_a_network_with_decay(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.1), solver="fast", random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="debias=True"):
        direction_errors(model, X, y)
    debiased = model.set_params(debias=True).fit(X, y)
    assert direction_errors(debiased, X, y).angles.max() < 0.3


def test_errors_refuse_too_few_rows(data):
    X, y, model = data
    with pytest.raises(ValueError, match="too few"):
        direction_errors(model, X[:10], y[:10])


@pytest.mark.parametrize("confidence", [0.0, 1.0, "much"])
def test_errors_refuse_a_confidence_that_is_none(data, confidence):
    X, y, model = data
    with pytest.raises((TypeError, ValueError), match="confidence"):
        direction_errors(model, X, y, confidence=confidence)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = {"features": [], "amplitudes": [], "angles": []}
    for seed in range(200):
        X, y, teacher = make_two_layer_regression(
            2000, 5, n_directions=2, noise=0.3, return_teacher=True, random_state=seed
        )
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
        if len(model.features_) != 2:
            continue
        errors = direction_errors(model, X, y)
        match = match_directions(model.features_, teacher.directions)
        for true, j in enumerate(match.indices):
            truth = teacher.directions[true]
            truth = truth * np.sign(model.features_[j] @ truth)
            low, high = errors.features_interval[:, j]
            covered["features"].append((low <= truth) & (truth <= high))
            low, high = errors.amplitudes_interval[:, j]
            amplitude = teacher.amplitudes[true]
            covered["amplitudes"].append([low <= amplitude <= high])
            covered["angles"].append([match.angles[true] <= errors.angles[j]])
    for name, values in covered.items():
        assert len(values) > 380, name
        assert 0.90 <= np.mean(values) <= 0.98, name


def test_masses_keep_their_column_from_stage_to_stage():
    X, y = make_two_layer_regression(300, 4, n_directions=2, noise=0.1, random_state=0)
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.05), random_state=0
    ).fit(X, y)
    history = model.history_
    assert len(history["masses"]) == len(model.lambdas_)
    np.testing.assert_array_equal(
        np.count_nonzero(history["masses"], axis=1), history["n_neurons"]
    )
    # Objective (theory eq. 1): the decay's part is lambda times the sum of masses.
    decay = history["lambda_"] * history["masses"].sum(axis=1)
    np.testing.assert_allclose(history["loss"] + decay, history["objective"])


def test_masses_of_no_networks():
    assert followed_masses([]).shape == (0, 0)


def frames(X):
    return {
        "array": X,
        "pandas": pd.DataFrame(X, columns=NAMES),
        "polars": pl.DataFrame(X, schema=NAMES),
    }


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
def test_ridge_display_shows_residuals_and_names(data, kind):
    X, y, model = data
    X = frames(X)[kind]
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    target = y.ndim - 1
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, target=target, confidence=0.9
    )
    n_features = len(model.features_)
    assert display.axes_.shape == (n_features, 2)
    residual = (y - model.predict(X)).reshape(len(y), -1)[:, target]
    amplitudes = model.amplitudes_.reshape(n_features, -1)[:, target]
    expected = np.maximum(model.transform(X), 0) * amplitudes + residual[:, None]
    np.testing.assert_allclose(display.partial_residuals, expected)
    points = display.axes_[0, 0].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], expected[:, 0])
    line = display.axes_[0, 0].lines[0]
    np.testing.assert_allclose(
        line.get_ydata(), amplitudes[0] * np.maximum(line.get_xdata(), 0)
    )
    labels = [text.get_text() for text in display.axes_[0, 1].get_yticklabels()]
    largest = np.argsort(-np.abs(model.features_[0]))[::-1]
    if kind == "array":
        assert labels == [f"x{j}" for j in largest]
    else:
        assert {"age", "income", "size"} < set(labels)
        assert max(map(len, labels)) <= 18


def test_ridge_display_draws_what_was_asked_for(data):
    X, y, model = data
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, features=[1], subsample=50, max_loadings=2, random_state=0,
        line_kw={"color": "black"},
    )  # fmt: skip
    assert display.feature_indices == [1]
    assert display.projections.shape == (50, 1)
    assert len(display.axes_[0, 1].patches) == 2
    assert display.axes_[0, 0].lines[0].get_color() == "black"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"features": [7]}, "features must be rows"),
        ({"features": []}, "features must be rows"),
        ({"target": 5}, "target must be below"),
        ({"subsample": 0}, "subsample"),
        ({"max_loadings": 0}, "max_loadings"),
    ],
)
def test_ridge_display_refuses_what_is_not_there(data, wrong, message):
    X, y, model = data
    with pytest.raises(ValueError, match=message):
        RidgeFunctionDisplay.from_estimator(model, X, y, **wrong)


def test_ridge_display_refuses_a_linear_model(rng):
    X = rng.standard_normal((50, 2))
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, X.sum(axis=1))
    with pytest.raises(ValueError, match="no features"):
        RidgeFunctionDisplay.from_estimator(model, X, X.sum(axis=1))


def test_path_display_shows_the_history(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.05), solver="fast", random_state=0
    ).fit(X, y)
    display = TwoLayerPathDisplay.from_estimator(model, linewidth=3)
    masses, loss, neurons = display.axes_
    assert len(masses.lines) == model.history_["masses"].shape[1] + 1  # the kept one
    assert masses.lines[0].get_linewidth() == 3
    np.testing.assert_allclose(loss.lines[0].get_ydata(), model.history_["loss"])
    np.testing.assert_array_equal(
        neurons.lines[0].get_ydata(), model.history_["n_neurons"]
    )
    left, right = masses.get_xlim()
    assert left > right  # the decay falls to the right


def test_path_display_shows_cross_validation(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressorCV(lambdas=6, cv=3, random_state=0).fit(X, y)
    display = TwoLayerPathDisplay.from_estimator(model)
    assert len(display.axes_) == 4
    curve = display.axes_[-1].lines[0]
    compared = np.isfinite(model.mse_path_).all(axis=1)
    errors = [c for c in display.axes_[-1].containers if c.get_label() == "with decay"]
    np.testing.assert_allclose(
        errors[0].lines[0].get_ydata(), model.mse_path_[compared].mean(axis=1)
    )
    assert curve is not None
    np.testing.assert_allclose(display.lambda_, model.lambda_ / model.lambda_max_)


def test_displays_divide_the_place_of_given_axes(data):
    import matplotlib.pyplot as plt

    X, y, model = data
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    path = TwoLayerPathDisplay.from_estimator(model, ax=left)
    ridge = RidgeFunctionDisplay.from_estimator(model, X, y, ax=right)
    assert path.figure_ is ridge.figure_ is figure
    figure.canvas.draw()
    assert all(ax.get_position().x1 <= 0.55 for ax in path.axes_)
    assert all(ax.get_position().x0 >= 0.45 for ax in ridge.axes_.ravel())


@pytest.mark.parametrize("n_features", [1, 5, 30])
def test_labels_do_not_overlap(n_features, rng):
    features = rng.standard_normal((n_features, 40))
    display = RidgeFunctionDisplay(
        projections=rng.standard_normal((20, n_features)),
        partial_residuals=rng.standard_normal((20, n_features)),
        amplitudes=np.ones(n_features),
        features=features / np.linalg.norm(features, axis=1, keepdims=True),
        feature_names=[f"a long name of a column, number {j}" for j in range(40)],
        feature_indices=list(range(n_features)),
    ).plot()
    display.figure_.canvas.draw()
    renderer = display.figure_.canvas.get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in display.axes_.ravel()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    labels = display.axes_[0, 1].get_yticklabels()
    heights = [label.get_window_extent(renderer) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(heights))


@pytest.mark.parametrize(
    "inspect",
    [
        lambda model: TwoLayerPathDisplay.from_estimator(model),
        lambda model: RidgeFunctionDisplay.from_estimator(model, [[0.0]], [0.0]),
        lambda model: direction_errors(model, [[0.0]], [0.0]),
    ],
)
def test_other_estimators_are_refused(inspect):
    with pytest.raises(TypeError, match="LinearRegression"):
        inspect(LinearRegression())
    with pytest.raises(NotFittedError):
        inspect(RegularizedTwoLayerRegressor())
