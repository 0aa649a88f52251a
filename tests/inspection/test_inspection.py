import itertools

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._fit.report import followed_masses
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    ActiveSubspaceDisplay,
    RidgeFunctionDisplay,
    TwoLayerPathDisplay,
    active_subspace,
    direction_errors,
    direction_stability,
)

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
    predicted = model.predict(X).reshape(len(y), -1)[:, target]
    residual = y.reshape(len(y), -1)[:, target] - predicted
    amplitudes = model.amplitudes_.reshape(n_features, -1)[:, target]
    parts = np.maximum(model.transform(X), 0) * amplitudes
    for j, projection in enumerate(model.transform(X).T):
        # The bend of the feature, and the straight line of the predictions.
        line = np.polyfit(projection, predicted - parts[:, j], 1)
        expected = parts[:, j] + np.polyval(line, projection) + residual
        np.testing.assert_allclose(display.partial_residuals[:, j], expected)
        points = display.axes_[j, 0].collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 1], expected)
        drawn = display.axes_[j, 0].lines[0]
        fitted = np.interp(points[:, 0], drawn.get_xdata(), drawn.get_ydata())
        np.testing.assert_allclose(fitted, expected - residual)
    loadings = model.features_ * model.feature_scales_
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(display.features), np.abs(loadings))
    labels = [text.get_text() for text in display.axes_[0, 1].get_yticklabels()]
    largest = np.argsort(-np.abs(loadings[0]))[::-1]
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


def test_ridge_functions_do_not_depend_on_the_sign_of_directions(data):
    """The other sign of a direction moves a straight line to the linear part."""
    X, y, model = data
    turned = RegularizedTwoLayerRegressor.from_dict(model.to_dict())
    amplitudes = model.amplitudes_.reshape(len(model.features_), -1)
    turned.features_ = -model.features_
    turned.feature_intercepts_ = -model.feature_intercepts_
    coef = model.linear_coef_ + amplitudes.T @ model.features_
    turned.linear_coef_ = coef.reshape(model.linear_coef_.shape)
    shift = model.feature_intercepts_ @ amplitudes
    turned.linear_intercept_ = model.linear_intercept_ + np.squeeze(shift)
    np.testing.assert_allclose(turned.predict(X), model.predict(X))
    first, second = (
        RidgeFunctionDisplay.from_estimator(one, X, y) for one in (model, turned)
    )
    for name in ("projections", "partial_residuals", "features", "slopes"):
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), atol=1e-10, err_msg=name
        )


def test_a_ridge_function_rises_where_predictions_rise(rng):
    """Also if the linear part alone makes them rise."""
    X = rng.standard_normal((500, 2)) * [1.0, 1e-3]
    y = 10 * X[:, 0] - 4 * np.maximum(X[:, 0], 0) + 0.1 * rng.standard_normal(500)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    display = RidgeFunctionDisplay.from_estimator(model, X, y)
    for j, (panel, _) in enumerate(display.axes_):
        line = panel.lines[0]
        rises = np.corrcoef(display.projections[:, j], model.predict(X))[0, 1] > 0
        assert (line.get_ydata()[-1] > line.get_ydata()[0]) == rises
    np.testing.assert_allclose(display.features[0], [1.0, 0.0], atol=0.02)
    raw = RidgeFunctionDisplay.from_estimator(model, X, y, loadings="raw")
    np.testing.assert_allclose(raw.features, model.features_, rtol=1e-14)
    labels = [one.axes_[-1, 1].get_xlabel() for one in (display, raw)]
    assert labels == ["loading (standardised)", "loading (raw)"]


def test_targets_are_named_and_panels_have_one_scale(data):
    X, y, model = data
    names = ["price", "size"][: y.reshape(len(y), -1).shape[1]]
    table = pd.DataFrame(y, columns=names)
    display = RidgeFunctionDisplay.from_estimator(model, X, table, target=names[-1])
    assert display.axes_[0, 0].get_ylabel() == names[-1]
    assert len({panel.get_ylim() for panel in display.axes_[:, 0]}) == 1
    unnamed = RidgeFunctionDisplay.from_estimator(model, X, y)
    assert unnamed.target_name == ("y" if y.ndim == 1 else "y0")
    with pytest.raises(ValueError, match=r"target must be one of .*price"):
        RidgeFunctionDisplay.from_estimator(model, X, table, target="weight")


def test_twelve_features_are_drawn_unless_they_are_named(rng):
    X = rng.standard_normal((300, 5))
    y = np.sin(3 * X).sum(axis=1)
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.02), solver="fast", random_state=0
    ).fit(X, y)
    n_features = len(model.features_)
    assert n_features > 12
    display = RidgeFunctionDisplay.from_estimator(model, X, y)
    assert display.feature_indices == list(range(12))
    assert display.axes_[0, 0].get_title() == f"feature 0 of {n_features}"
    every = list(range(n_features))
    display = RidgeFunctionDisplay.from_estimator(model, X, y, features=every)
    assert len(display.axes_) == n_features
    assert display.axes_[0, 0].get_title() == "feature 0"


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_pipelines_are_drawn_with_the_names_of_their_last_step(data, output):
    X, y, _ = data
    table = pd.DataFrame(X, columns=NAMES)
    table["kind"] = np.where(X[:, 0] > 0, "high", "low")
    columns = make_column_transformer(
        (StandardScaler(), NAMES), (OneHotEncoder(sparse_output=False), ["kind"])
    ).set_output(transform=output)
    pipeline = make_pipeline(columns, RegularizedTwoLayerRegressor(random_state=0))
    pipeline.fit(table, y)
    display = RidgeFunctionDisplay.from_estimator(pipeline, table, y)
    made = columns.get_feature_names_out().tolist()
    assert display.feature_names == made
    inner = RidgeFunctionDisplay.from_estimator(
        pipeline[-1], columns.transform(table), y
    )
    np.testing.assert_array_equal(display.projections, inner.projections)
    assert len(TwoLayerPathDisplay.from_estimator(pipeline).axes_) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"features": [7]}, "features must be rows"),
        ({"features": []}, "features must be rows"),
        ({"target": 5}, "target must be below"),
        ({"subsample": 0}, "subsample"),
        ({"max_loadings": 0}, "max_loadings"),
        ({"loadings": "large"}, "loadings must be one of"),
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
    model = RegularizedTwoLayerRegressorCV(lambdas=4, cv=2, random_state=0).fit(X, y)
    display = TwoLayerPathDisplay.from_estimator(model)
    # No path was followed on all rows if the model kept is debiased.
    assert len(display.axes_) == (2 if model.debiased_share_ == 1 else 5)
    *_, decays, sizes = display.axes_
    curve = decays.lines[0]
    compared = np.isfinite(model.mse_path_).all(axis=1)
    for panel, positions in (
        (decays, model.lambdas_ / model.lambda_max_),
        (sizes, model.n_features_path_.mean(axis=1)),
    ):
        (errors,) = [c for c in panel.containers if c.get_label() == "with decay"]
        x, error = errors.lines[0].get_data()
        np.testing.assert_allclose(x, positions[compared])
        np.testing.assert_allclose(error, model.mse_path_[compared].mean(axis=1))
    assert curve is not None
    np.testing.assert_allclose(display.lambda_, model.lambda_ / model.lambda_max_)
    regularised = RegularizedTwoLayerRegressorCV(
        lambdas=4, cv=2, debias=False, random_state=0
    ).fit(X, y)
    assert len(regularised.history_["lambda_"]) > 1
    assert len(TwoLayerPathDisplay.from_estimator(regularised).axes_) == 5


def test_path_display_shows_the_error_against_the_number_of_features(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressorCV(
        lambdas=6, cv=3, max_features=1, random_state=0
    ).fit(X, y)
    panel = TwoLayerPathDisplay.from_estimator(model).axes_[-1]
    assert "number of features" in panel.get_xlabel()
    points = {c.get_label(): c.lines[0].get_data() for c in panel.containers}
    x, error = points["debiased"]
    assert x == model.debiased_n_features_.mean()
    assert error == model.debiased_mse_.mean()
    # A mean has the networks of all folds, and those of all rows.
    x, error = points["debiased, averaged"]
    of_folds = model.averaged_n_features_
    assert x == of_folds.sum() + of_folds.mean()
    assert error == model.averaged_mse_.mean()
    assert panel.lines[-1].get_xdata()[0] == len(model.features_) == 1  # the kept one


def test_ridge_display_shades_the_range_of_the_fit_if_rows_are_outside(data):
    X, y, model = data
    assert not any(
        panel.patches
        for panel in RidgeFunctionDisplay.from_estimator(model, X, y).axes_[:, 0]
    )
    for loadings in ("raw", "standardized"):
        display = RidgeFunctionDisplay.from_estimator(
            model, 2.0 * X, y, loadings=loadings
        )
        inside = RidgeFunctionDisplay.from_estimator(model, X, y, loadings=loadings)
        for j, panel in enumerate(display.axes_[:, 0]):
            (shade,) = panel.patches
            seen = inside.projections[:, j]
            np.testing.assert_allclose(
                [shade.get_x(), shade.get_x() + shade.get_width()],
                [seen.min(), seen.max()],
                rtol=1e-4,
            )


@pytest.mark.parametrize("kept", ["with decay", "mean of both", "debiased, averaged"])
def test_path_display_marks_what_cross_validation_kept(data, kept):
    X, y, _ = data
    model = RegularizedTwoLayerRegressorCV(lambdas=6, cv=3, random_state=0).fit(X, y)
    share = {"with decay": 0.0, "mean of both": 0.5}.get(kept, 1.0)
    model.debiased_share_, model.n_averaged_ = share, 4
    model.lambda_ = model.lambdas_[1]
    panel = TwoLayerPathDisplay.from_estimator(model).axes_[-2]
    labels = panel.get_legend_handles_labels()[1]
    assert [one for one in labels if "(kept)" in one] == [f"{kept} (kept)"]
    assert panel.get_xscale() == "log"
    dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
    rings = [line for line in panel.lines if line.get_markerfacecolor() == "none"]
    assert len(dotted) == len(rings) == (share < 1)
    for mark in rings + dotted:
        np.testing.assert_allclose(
            mark.get_xdata()[0], model.lambda_ / model.lambda_max_
        )
    if kept == "with decay":
        np.testing.assert_allclose(rings[0].get_ydata(), model.mse_path_[1].mean())


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


@pytest.fixture(scope="module")
def path_model(data):
    X, y, _ = data
    return RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.1), solver="fast", random_state=0
    ).fit(X, y)


def place_of(kind, figure):
    if kind == "figure":
        return figure
    if kind == "subfigure":
        return figure.subfigures(1, 2)[0]
    if kind == "axes of a subfigure":
        return figure.subfigures(1, 2)[0].subplots()
    if kind == "array of one":
        return figure.subplots(1, 2, squeeze=False)[:, :1]
    axes = figure.add_axes([0.1, 0.1, 0.4, 0.8])
    return axes if kind == "add_axes" else axes.inset_axes([0.2, 0.2, 0.8, 0.8])


IN_A_GRID = ["figure", "subfigure", "axes of a subfigure", "array of one"]


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        *itertools.product(IN_A_GRID, [None, "constrained"]),
        ("add_axes", None),
        ("inset", None),
    ],
)
def test_displays_are_drawn_in_any_place(data, path_model, kind, layout):
    import matplotlib.pyplot as plt

    X, y, model = data
    for draw in (
        lambda ax: RidgeFunctionDisplay.from_estimator(model, X, y, ax=ax),
        lambda ax: ActiveSubspaceDisplay.from_estimator(model, X, y, ax=ax),
        lambda ax: TwoLayerPathDisplay.from_estimator(path_model, ax=ax),
    ):
        figure = plt.figure(figsize=(14, 7), layout=layout)
        panels = draw(place_of(kind, figure)).axes_.ravel()
        figure.canvas.draw()
        if kind == "figure":
            continue
        boxes = [panel.get_window_extent() for panel in panels]
        middle = figure.bbox.width / 2
        assert all(box.x1 <= 1.05 * middle and box.width > 0 for box in boxes)
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_inset_panels_leave_room_for_their_names(data):
    import matplotlib.pyplot as plt

    X, y, _ = data
    frame = pd.DataFrame(X, columns=[f"a long name of a column, {j}" for j in range(4)])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(frame, y)
    figure = plt.figure(figsize=(12, 8))
    ax = figure.add_axes([0.1, 0.1, 0.8, 0.8])
    display = RidgeFunctionDisplay.from_estimator(model, frame, y, ax=ax)
    figure.canvas.draw()
    boxes = [panel.get_tightbbox() for panel in display.axes_.ravel()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    labels = {text.get_text() for text in display.axes_[0, 1].get_yticklabels()}
    assert len(labels) == 4


def test_displays_draw_into_an_array_of_axes(data, path_model):
    import matplotlib.pyplot as plt

    X, y, model = data
    given = plt.subplots(len(model.features_), 2)[1]
    display = RidgeFunctionDisplay.from_estimator(model, X, y, ax=given)
    assert display.axes_.ravel().tolist() == given.ravel().tolist()
    figure, given = plt.subplots(1, 3)
    display = TwoLayerPathDisplay.from_estimator(path_model, ax=list(given))
    assert display.figure_ is figure
    assert all(panel.get_xlabel().startswith("decay") for panel in given)


@pytest.mark.parametrize("ax", ["axes", 3, [1, 2, 3], "too many"])
def test_a_place_that_is_none_is_refused(data, path_model, ax):
    import matplotlib.pyplot as plt

    if ax == "too many":
        ax = plt.subplots(3, 3)[1]
    with pytest.raises(ValueError, match=r"must be one Matplotlib Axes.* array of 3"):
        TwoLayerPathDisplay.from_estimator(path_model, ax=ax)


def test_both_curves_of_an_inset_panel_are_seen(path_model):
    """The twin axes of inset axes would hide what lies below."""
    import matplotlib.pyplot as plt

    figure = plt.figure()
    ax = figure.add_axes([0.1, 0.1, 0.8, 0.8])
    TwoLayerPathDisplay.from_estimator(path_model, ax=ax)
    (twin,) = [one for one in figure.axes if one.get_ylabel() == "certificate"]
    assert not twin.patch.get_visible()


@pytest.mark.parametrize("n_features", [1, 5, 12])
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
        lambda model: active_subspace(model, [[0.0]]),
        lambda model: direction_stability(model, [[0.0]], [0.0]),
        lambda model: ActiveSubspaceDisplay.from_estimator(model, [[0.0]], [0.0]),
    ],
)
def test_other_estimators_are_refused(inspect):
    with pytest.raises(TypeError, match="LinearRegression"):
        inspect(LinearRegression())
    with pytest.raises(NotFittedError):
        inspect(RegularizedTwoLayerRegressor())
