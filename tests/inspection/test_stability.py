"""Which directions recur: teachers, noise, definitions, and what is refused."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    active_subspace,
    direction_errors,
    direction_stability,
)

UNITS = np.array([1.0, 1e-3, 1e3, 10.0])


def linear_data(rng, n_samples=200):
    X = rng.standard_normal((n_samples, 4))
    return X, X @ [1.0, 2.0, 3.0, 4.0] + 0.1 * rng.standard_normal(n_samples)


@pytest.fixture(scope="module", params=[1, 2], ids=["one target", "two targets"])
def teacher(request):
    X, y = make_two_layer_regression(
        600, 4, n_directions=2, n_targets=request.param, noise=0.3, random_state=0
    )
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X * UNITS, y)
    stability = direction_stability(
        model, X * UNITS, y, n_repeats=8, random_state=np.random.RandomState(0)
    )
    return X * UNITS, y, model, stability


@pytest.fixture(scope="module")
def curved():
    """A function that is no network of few directions, with names of columns."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (150, 3))
    y = np.sin(2 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(150)
    X = pd.DataFrame(X, columns=["age", "size", "height"])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    stability = direction_stability(model, X, y, n_repeats=4, random_state=0)
    assert 0 < np.count_nonzero(stability.recurs) < len(model.features_)
    return X, y, model, stability


def test_directions_of_teachers_recur(teacher):
    X, y, model, stability = teacher
    assert np.all(stability.recurs)
    assert np.all(stability.recurrence >= 0.75)
    assert stability.subspace_angles.shape == (8, 2)
    assert np.all(stability.subspace_angles[:, 1] < 0.3)
    # Halves differ from the whole about as much as that from the truth.
    errors = direction_errors(model, X, y)
    np.testing.assert_allclose(stability.loadings, errors.loadings)
    ratio = np.linalg.norm(stability.spread) / np.linalg.norm(errors.loading_errors)
    assert 0.5 < ratio < 2.0


def test_exact_teachers_recur_exactly():
    """Also where the standard deviations of a half are not those of all rows."""
    X, y = make_two_layer_regression(400, 4, n_directions=2, random_state=0)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X * UNITS, y)
    stability = direction_stability(model, X * UNITS, y, n_repeats=3, random_state=0)
    assert np.all(stability.n_features == 2)
    assert np.all(stability.angles < 1e-6)
    assert np.all(stability.subspace_angles[:, 1] < 1e-6)


@pytest.mark.slow
def test_refits_of_all_rows_are_those_of_other_random_states(curved):
    X, y, model, _ = curved
    stability = direction_stability(
        model, X, y, n_repeats=3, max_samples=1.0, random_state=7
    )
    seeds = np.random.RandomState(7).randint(2**31 - 1, size=3)
    loadings = model.features_ * model.feature_scales_
    subspace = active_subspace(model, X)
    columns = np.ascontiguousarray(X)  # Sums in another order have another rounding.
    for repeat, seed in enumerate(seeds):
        refit = clone(model).set_params(random_state=int(seed)).fit(columns, y)
        others = refit.features_ * refit.feature_scales_
        assert stability.n_features[repeat] == len(others)
        cosines = np.abs(loadings @ others.T) / np.outer(
            np.linalg.norm(loadings, axis=1), np.linalg.norm(others, axis=1)
        )
        angles = np.arccos(np.minimum(cosines, 1.0))
        found = np.flatnonzero(np.isfinite(stability.matched_loadings[repeat, :, 0]))
        assert len(found) == min(len(loadings), len(others))
        for j in found:  # an angle to one of its directions, each taken once
            assert np.abs(angles[j] - stability.angles[repeat, j]).min() < 1e-6
        turned = active_subspace(refit, columns, n_directions=subspace.n_directions)
        for k in range(subspace.n_directions):
            np.testing.assert_allclose(
                stability.subspace_angles[repeat, k],
                subspace_angles(
                    subspace.directions[: k + 1].T, turned.directions[: k + 1].T
                ).max(),
                atol=1e-12,
            )


def test_the_record_is_as_defined(curved):
    X, _, model, stability = curved
    near = stability.angles <= stability.max_angle
    np.testing.assert_allclose(stability.recurrence, near.mean(axis=0))
    with np.errstate(invalid="ignore"):
        cosines = np.sum(stability.matched_loadings * stability.loadings, axis=2)
    found = np.isfinite(cosines)
    assert np.all(cosines[found] >= 0)
    np.testing.assert_allclose(np.cos(stability.angles)[found], cosines[found])
    np.testing.assert_array_equal(stability.angles[~found], np.pi / 2)
    for j in range(len(model.features_)):
        changes = stability.matched_loadings[near[:, j], j] - stability.loadings[j]
        if near[:, j].any():
            expected = np.sqrt(np.mean(changes**2, axis=0))
            np.testing.assert_allclose(stability.spread[j], expected)
        else:
            assert np.all(np.isnan(stability.spread[j]))
    frame = stability.to_frame()
    assert frame.columns.tolist() == [
        "feature", "recurrence", "recurs", "input", "loading", "spread",
    ]  # fmt: skip
    assert frame["input"].tolist() == [*X.columns] * len(model.features_)
    one = frame[frame["feature"] == 1]
    np.testing.assert_array_equal(one["loading"], stability.loadings[1])
    assert one["recurrence"].eq(stability.recurrence[1]).all()


def test_the_record_is_readable(curved, teacher):
    stability = curved[-1]
    text = repr(stability)
    n_features = len(stability.loadings)
    assert f"{np.count_nonzero(stability.recurs)} of {n_features}, within" in text
    assert "height" in text
    assert "nan" not in text
    lines = text.splitlines()[-n_features - 2 : -2]
    for j, line in enumerate(lines):
        assert line.split()[0] == str(j)
        assert ("?" in line) == (not stability.recurs[j])
    assert "?" not in "".join(repr(teacher[-1]).splitlines()[:-1])


def test_the_summary_marks_features_that_do_not_recur(curved):
    X, _, model, stability = curved
    text = model.summary(X, stability=stability)
    rows = [line.split() for line in text.splitlines()]
    marked = {row[0].lstrip("~"): row for row in rows if row and "%" in row[-1] + "%"}
    for j, recurs in enumerate(stability.recurs):
        share = f"{stability.recurrence[j]:.0%}"
        assert (share if recurs else f"{share}?") in marked[str(j)]
    assert "recurs" not in model.summary(X)
    everywhere = model.summary(stability=stability)
    assert "recurs" in everywhere


def test_the_display_marks_features_that_do_not_recur(curved):
    X, y, model, stability = curved
    chosen = np.flatnonzero(~stability.recurs)[:1].tolist()
    chosen += np.flatnonzero(stability.recurs)[:1].tolist()
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, features=chosen, stability=stability
    )
    for j, panel in zip(chosen, display.axes_[:, 0], strict=True):
        assert f"recurs in {stability.recurrence[j]:.0%}" in panel.get_title()
        dashed = panel.lines[0].get_linestyle() == "--"
        assert dashed == (not stability.recurs[j])


def test_refits_do_not_depend_on_the_number_of_jobs(teacher):
    X, y, model, stability = teacher
    with joblib.parallel_config("threading"):
        again = direction_stability(
            model, X, y, n_repeats=8, n_jobs=2, random_state=np.random.RandomState(0)
        )
    np.testing.assert_array_equal(stability.angles, again.angles)


def test_linear_models_have_no_feature_that_recurs(rng):
    X, y = linear_data(rng)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    stability = direction_stability(model, X, y, n_repeats=2, random_state=0)
    assert stability.angles.shape == (2, 0)
    assert stability.spread.shape == (0, 4)
    assert len(stability.to_frame()) == 0
    assert "0 of 0" in repr(stability)
    assert "No features" in model.summary(X, stability=stability)


def test_groups_and_weights_stay_with_their_rows(teacher):
    X, y, model, _ = teacher
    groups = np.repeat(np.arange(60), 10)
    weights = np.repeat([1.0, 0.0], 300)
    first = direction_stability(
        model, X, y, sample_weight=weights, groups=groups, n_repeats=2, random_state=0
    )
    spoiled = X.copy()
    spoiled[300:] = 1e6  # Rows of weight zero are nowhere.
    second = direction_stability(
        model, spoiled, y, sample_weight=weights, groups=groups, n_repeats=2,
        random_state=0,
    )  # fmt: skip
    np.testing.assert_array_equal(first.matched_loadings, second.matched_loadings)


def test_refits_take_whole_groups(teacher, monkeypatch):
    X, y, model, _ = teacher
    seen = []
    fit = RegularizedTwoLayerRegressor.fit

    def spied(self, X, y, **params):
        seen.append(X)
        return fit(self, X, y, **params)

    monkeypatch.setattr(RegularizedTwoLayerRegressor, "fit", spied)
    groups = np.repeat(np.arange(60), 10)
    direction_stability(model, X, y, groups=groups, n_repeats=2, random_state=0)
    direction_stability(model, X, y, n_repeats=1, max_samples=0.25, random_state=0)
    for rows in seen[:2]:
        chosen = np.isin(X[:, 0], rows[:, 0]).reshape(60, 10)
        assert np.all(chosen == chosen[:, :1])
        assert np.count_nonzero(chosen[:, 0]) == 30
    assert len(seen[2]) == 150


@pytest.mark.slow
def test_cross_validated_models_with_transforms_and_pipelines(rng):
    X = np.exp(rng.standard_normal((150, 3)))
    y = np.maximum(np.log(X) @ [1.0, 1.0, 0.0], 0) + 0.05 * rng.standard_normal(150)
    model = RegularizedTwoLayerRegressorCV(
        cv=3, lambdas=4, column_transform="power", random_state=0
    )
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    stability = direction_stability(pipe, X, y, n_repeats=2, random_state=0)
    assert stability.angles.shape == (2, len(pipe[-1].features_))
    assert stability.angles[:, 0].min() < 0.3


def test_the_estimator_is_left_as_it_is(tmp_path):
    X, y = make_two_layer_regression(200, 3, n_directions=1, noise=0.1, random_state=0)
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.3), checkpoint=tmp_path / "file", verbose=1,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    before, written = model.to_dict(), (tmp_path / "file").read_bytes()
    direction_stability(model, X, y, n_repeats=1, random_state=0)
    assert str(model.to_dict()) == str(before)
    assert (tmp_path / "file").read_bytes() == written


def test_errors_name_the_parameter(curved):
    X, y, model, stability = curved
    for name, value in [
        ("n_repeats", 0), ("max_samples", 0.0), ("max_samples", 1.5), ("max_angle", 2),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=name):
            direction_stability(model, X, y, **{name: value})
    with pytest.raises(ValueError, match=r"max_samples=0.01 leaves \d+ of \d+ rows"):
        direction_stability(model, X, y, max_samples=0.01)
    with pytest.raises(ValueError, match="groups must have a label"):
        direction_stability(model, X, y, groups=[1, 2])
    with pytest.raises(TypeError, match="estimator must be"):
        direction_stability(StandardScaler().fit(X), X, y)
    with pytest.raises(TypeError, match=r"direction_stability, got ndarray"):
        model.summary(stability=stability.recurrence)
    other = clone(model).set_params(n_neurons=1).fit(X, y)
    with pytest.raises(ValueError, match="that of this estimator, which has 1"):
        other.summary(stability=stability)
    with pytest.raises(ValueError, match="that of this estimator, which has 1"):
        RidgeFunctionDisplay.from_estimator(other, X, y, stability=stability)
