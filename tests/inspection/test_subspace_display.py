"""Sufficient-summary plots: what they draw, of what, and where."""

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
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    ActiveSubspaceDisplay,
    active_subspace,
    direction_stability,
)

UNITS = np.array([1.0, 1e-3, 1e3, 10.0])


@pytest.fixture(scope="module", params=[1, 2], ids=["one target", "two targets"])
def data(request):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, n_targets=request.param, noise=0.1, random_state=0
    )
    X = X * UNITS + UNITS
    return X, y, RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_points_are_projections_and_targets(data, kind):
    X, y, model = data
    target = y.ndim - 1
    display = ActiveSubspaceDisplay.from_estimator(model, kind(X), y, target=target)
    drawn = y.reshape(len(y), -1)[:, target]
    projections = standardised(X) @ active_subspace(model, X).directions.T
    assert display.axes_.shape == (2, 2)
    first, second = (panel.collections[0] for panel in display.axes_[:, 0])
    np.testing.assert_allclose(
        first.get_offsets(), np.column_stack([projections[:, 0], drawn]), atol=1e-9
    )
    np.testing.assert_allclose(second.get_offsets(), projections, atol=1e-9)
    np.testing.assert_allclose(second.get_array(), drawn)
    assert "100% of the" in display.axes_[1, 0].get_title()
    for bars, direction in zip(display.axes_[:, 1], display.directions, strict=True):
        widths = [bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(widths, sorted(direction, key=abs))


def test_one_direction_has_one_row():
    X, y = make_two_layer_regression(200, 3, n_directions=1, random_state=0)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    display = ActiveSubspaceDisplay.from_estimator(
        model, X, y, subsample=50, max_loadings=2, random_state=0,
        scatter_kw={"color": "black"},
    )  # fmt: skip
    assert display.axes_.shape == (1, 2)
    assert display.projections.shape == (50, 1)
    assert len(display.axes_[0, 1].patches) == 2


def test_error_bars_are_those_of_refits(data):
    X, y, model = data
    stability = direction_stability(model, X, y, n_repeats=3, random_state=0)
    display = ActiveSubspaceDisplay.from_estimator(model, X, y, stability=stability)
    changes = stability.matched_subspace_directions - stability.subspace_directions
    expected = 1.96 * np.sqrt(np.mean(changes**2, axis=0))
    for j, panel in enumerate(display.axes_[:, 1]):
        order = np.argsort(-np.abs(display.directions[j]))[::-1]
        ends = np.array(
            [path.vertices[:, 0] for path in panel.collections[0].get_paths()]
        )
        np.testing.assert_allclose(
            np.ptp(ends, axis=1) / 2, expected[j, order], atol=1e-12
        )


def test_names_of_pipelines_and_targets(data):
    X, y, _ = data
    X = pd.DataFrame(
        X, columns=["age", "size", "height", "a very long name of a column"]
    )
    names = ["a very long name of a target", "weight"][: y.ndim]
    y = pd.DataFrame(y.reshape(len(y), -1), columns=names)
    model = RegularizedTwoLayerRegressor(random_state=0)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    display = ActiveSubspaceDisplay.from_estimator(pipe, X, y, target=names[-1])
    assert display.feature_names == [*X.columns]
    labels = {text.get_text() for text in display.axes_[0, 1].get_yticklabels()}
    assert {"age", "size", "height"} < labels
    assert max(map(len, labels)) <= 18
    assert display.axes_[0, 0].get_ylabel()[:6] == names[-1][:6]


@pytest.mark.slow
def test_models_with_transforms_are_drawn_in_their_columns(rng):
    X = np.exp(2 * rng.standard_normal((150, 3)))
    y = np.maximum(np.log(X) @ [1.0, 1.0, 0.0], 0) + 0.05 * rng.standard_normal(150)
    model = RegularizedTwoLayerRegressorCV(
        cv=3, lambdas=4, column_transform="power", random_state=0
    ).fit(X, y)
    assert model.column_transform_ is not None
    display = ActiveSubspaceDisplay.from_estimator(model, X, y)
    # The first direction is that of log(x0 x1), which the plot shows as a line.
    assert (
        abs(np.corrcoef(display.projections[:, 0], np.log(X[:, 0] * X[:, 1]))[0, 1])
        > 0.9
    )


def test_labels_do_not_overlap(rng):
    directions = np.linalg.qr(rng.standard_normal((30, 2)))[0].T
    display = ActiveSubspaceDisplay(
        projections=rng.standard_normal((20, 2)),
        targets=rng.standard_normal(20),
        directions=directions,
        shares=np.array([0.5, 0.4]),
        feature_names=[f"a long name of a column, number {j}" for j in range(30)],
        target_name="a long name of a target",
    ).plot()
    display.figure_.canvas.draw()
    boxes = [panel.get_tightbbox() for panel in display.axes_.ravel()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_what_cannot_be_drawn_is_refused(data, rng):
    X, y, model = data
    constant = RegularizedTwoLayerRegressor(random_state=0).fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match="estimator has no direction to draw"):
        ActiveSubspaceDisplay.from_estimator(constant, X, np.ones(len(X)))
    with pytest.raises(TypeError, match="direction_stability, got str"):
        ActiveSubspaceDisplay.from_estimator(model, X, y, stability="yes")
    stability = direction_stability(model, X, y, n_repeats=1, random_state=0)
    other = RegularizedTwoLayerRegressor(random_state=0).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="that of this estimator and X"):
        ActiveSubspaceDisplay.from_estimator(other, X, X[:, 0], stability=stability)
