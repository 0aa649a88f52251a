"""Standard errors under changes of units, weights and groups; and their coverage."""

import itertools
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import t
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_twolayer import GeometricSchedule, RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import RidgeFunctionDisplay, direction_errors
from sklearn_twolayer.metrics import match_directions

NAMES = ["features", "feature_intercepts", "amplitudes"]


def made(seed=0, n_samples=400, n_targets=1, **options):
    return make_two_layer_regression(
        n_samples, 3, n_directions=2, n_targets=n_targets, noise=0.3, min_angle=0.8,
        random_state=seed, **options,
    )  # fmt: skip


def fitted(X, y, sample_weight=None, **options):
    model = RegularizedTwoLayerRegressor(random_state=0, **options)
    return model.fit(X, y, sample_weight=sample_weight)


def changed(model, **attributes):
    """The model with other fitted attributes, as in other units of the data."""
    copy = RegularizedTwoLayerRegressor(**model.get_params())
    vars(copy).update(vars(model))
    vars(copy).update(attributes)
    return copy


def in_other_units(model, factors, offsets, unit=1.0):
    """The model of ``X * factors + offsets`` and ``y * unit``."""
    features = model.features_ / factors
    largest = np.abs(features).max(axis=1)
    lengths = largest * np.linalg.norm(features / largest[:, None], axis=1)
    features = features / lengths[:, None]
    coef = model.linear_coef_ / factors * unit
    constant = model.linear_intercept_ * unit - coef @ offsets
    return changed(
        model,
        features_=features,
        feature_intercepts_=model.feature_intercepts_ / lengths - features @ offsets,
        amplitudes_=(model.amplitudes_.T * lengths * unit).T,
        linear_coef_=coef,
        linear_intercept_=constant if model.linear_coef_.ndim > 1 else float(constant),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize(
    ("factors", "offsets", "unit"),
    [
        ([1.0, 1.0], [0.0, 0.0], 1e100),
        ([3e7, 1.0], [0.0, 0.0], 1.0),
        ([1e-100, 1e-100], [0.0, 0.0], 1e-100),
        ([1e60, 1e-60], [0.0, 0.0], 1.0),
        ([1.0, 1e100], [1e8, 0.0], 1.0),
        ([1e-100, 1e3], [-1e-92, 1e11], 1e-100),
    ],
)
def test_errors_follow_the_units(seed, n_targets, factors, offsets, unit):
    """With two columns, the error of the logarithm of the ratio of the loadings.

    It is the error of the first loading over ``|u_1| u_2^2``, and depends on no unit.
    """
    factors, offsets = np.array(factors), np.array(offsets)
    X, y = make_two_layer_regression(
        300, 2, n_directions=2, n_targets=n_targets, noise=0.3, min_angle=0.8,
        random_state=seed,
    )  # fmt: skip
    X = np.round(X, 7)  # so that an offset takes the fewest digits from them
    model = fitted(X, y)
    other = in_other_units(model, factors, offsets, unit)
    before = direction_errors(model, X, y)
    after = direction_errors(other, X * factors + offsets, y * unit)
    for j, (u, w) in enumerate(zip(model.features_, other.features_, strict=True)):
        for a, b in [(0, 1), (1, 0)]:
            np.testing.assert_allclose(
                after.features[j, a] / np.abs(w[a]) / w[b] ** 2,
                before.features[j, a] / np.abs(u[a]) / u[b] ** 2,
                rtol=1e-6,
            )
    if factors[0] == factors[1]:
        np.testing.assert_allclose(after.angles, before.angles, rtol=1e-6)
        np.testing.assert_allclose(
            after.amplitudes / np.abs(other.amplitudes_),
            before.amplitudes / np.abs(model.amplitudes_),
            rtol=1e-6,
        )


@pytest.mark.parametrize("seed", range(3))
def test_an_offset_changes_nothing(seed):
    X, y = made(seed, n_targets=2)
    model = fitted(X, y)
    offsets = np.array([1e8, 0.0, -1e7])
    errors = direction_errors(model, X, y)
    moved = (X + offsets) - offsets  # the digits that the offset leaves
    other = direction_errors(
        in_other_units(model, np.ones(3), offsets), moved + offsets, y
    )
    for name in ["features", "amplitudes", "angles"]:
        np.testing.assert_allclose(
            getattr(other, name), getattr(errors, name), rtol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("size", [1e-3, 1e-8, 1e-60])
def test_a_small_target_has_errors_of_its_own_size(size):
    """The large target alone decides the directions, and a small one gains by them."""
    X, y = made(n_targets=2)
    model = fitted(X, y)
    sizes = np.array([1.0, size])
    small = changed(
        model,
        amplitudes_=model.amplitudes_ * sizes,
        linear_coef_=model.linear_coef_ * sizes[:, None],
        linear_intercept_=model.linear_intercept_ * sizes,
    )
    errors = direction_errors(small, X, y * sizes)
    relative = errors.amplitudes[:, 1] / size
    tiny = changed(
        model,
        amplitudes_=model.amplitudes_ * [1.0, 1e-5],
        linear_coef_=model.linear_coef_ * [[1.0], [1e-5]],
        linear_intercept_=model.linear_intercept_ * [1.0, 1e-5],
    )
    expected = direction_errors(tiny, X, y * [1.0, 1e-5]).amplitudes[:, 1] / 1e-5
    np.testing.assert_allclose(relative, expected, rtol=1e-6 + 10 * size)


@pytest.mark.parametrize("scale", [7.0, 1e16, 1e-100])
@pytest.mark.parametrize("seed", range(2))
def test_only_ratios_of_weights_matter(scale, seed):
    rng = np.random.default_rng(seed)
    X, y = made(seed)
    weights = rng.uniform(0.5, 2.0, len(y))
    model = fitted(X, y, weights)
    order = rng.permutation(len(y))
    errors = direction_errors(model, X, y, sample_weight=weights)
    other = direction_errors(
        model, X[order], y[order], sample_weight=scale * weights[order]
    )
    for name in [*NAMES, "angles", "features_interval"]:
        np.testing.assert_allclose(
            getattr(other, name), getattr(errors, name), rtol=1e-8, err_msg=name
        )


def test_rows_of_weight_zero_are_not_there():
    X, y = made()
    weights = np.where(np.arange(len(y)) < 300, 2.0, 0.0)
    model = fitted(X, y, weights)
    wild = np.where(weights > 0, y, 1e6)
    groups = np.where(weights > 0, np.arange(len(y)) // 3, 1000)
    for own in [None, groups]:
        errors = direction_errors(model, X, wild, sample_weight=weights, groups=own)
        few = direction_errors(
            model, X[:300], y[:300], groups=None if own is None else own[:300]
        )
        for name in [*NAMES, "angles", "features_interval"]:
            np.testing.assert_allclose(
                getattr(errors, name), getattr(few, name), rtol=1e-9, err_msg=name
            )


def test_groups_of_one_row_are_rows():
    X, y = made(n_targets=2)
    model = fitted(X, y)
    errors = direction_errors(model, X, y)
    labels = np.array([f"patient {i}" for i in range(len(y))])
    groups = direction_errors(model, X, y, groups=pd.Series(labels))
    for name in NAMES:
        np.testing.assert_allclose(
            getattr(groups, name), getattr(errors, name), rtol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("seed", range(2))
def test_repeated_rows_need_groups(seed):
    """Rows that are there four times are no more than one, if groups say so."""
    X, y = made(seed)
    model = fitted(X, y)
    once = direction_errors(model, X, y)
    rows = np.repeat(np.arange(len(y)), 4)
    grouped = direction_errors(model, X[rows], y[rows], groups=rows)
    ignored = direction_errors(model, X[rows], y[rows])
    np.testing.assert_allclose(grouped.features, once.features, rtol=1e-5)
    np.testing.assert_allclose(grouped.amplitudes, once.amplitudes, rtol=1e-5)
    assert np.all(ignored.features < 0.7 * once.features)


@pytest.mark.parametrize("column", [0.1, 1e8, "first / 3"])
def test_columns_that_say_nothing_do_no_harm(column):
    """A constant column, and one that another tells."""
    X, y = made()
    model = fitted(X, y)
    errors = direction_errors(model, X, y)
    more = X[:, 0] / 3 if isinstance(column, str) else np.full(len(y), column)
    wide = np.column_stack([X, more])
    other = changed(
        model,
        n_features_in_=4,
        features_=np.column_stack([model.features_, np.zeros(2)]),
        linear_coef_=np.append(model.linear_coef_, 0.0),
        feature_scales_=wide.std(axis=0),
    )
    found = direction_errors(other, wide, y)
    if isinstance(column, str):  # the data do not say how the two share the loading
        assert np.isfinite(found.features).all()
        assert np.all(found.features[:, [0, 3]] > 0)
    else:
        np.testing.assert_allclose(found.features[:, :3], errors.features, rtol=1e-6)
        np.testing.assert_allclose(found.features[:, 3], 0.0, atol=1e-12)
        np.testing.assert_allclose(found.angles, errors.angles, rtol=1e-6)


def test_one_column():
    X = np.linspace(-1.0, 1.0, 100)[:, None]
    y = np.abs(X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(100)
    for hidden_bias in [True, False]:
        model = fitted(X, y, hidden_bias=hidden_bias)
        errors = direction_errors(model, X, y)
        assert len(errors.features) >= 1
        np.testing.assert_array_equal(errors.features, 0.0)
        np.testing.assert_array_equal(errors.angles, 0.0)
        assert np.all(errors.amplitudes > 0)


def test_errors_of_other_kinds_of_inputs_are_the_same():
    X, y = made()
    model = fitted(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    errors = direction_errors(model, pd.DataFrame(X, columns=["a", "b", "c"]), y)
    model = fitted(X, y)
    dense = direction_errors(model, X, y)
    other = direction_errors(model, sparse.csr_array(X), y, groups=np.arange(len(y)))
    np.testing.assert_allclose(errors.features, dense.features, rtol=1e-9)
    np.testing.assert_allclose(other.features, dense.features, rtol=1e-5)


def test_blocks_of_rows_change_nothing(monkeypatch):
    X, y = made(n_targets=2)
    model = fitted(X, y)
    groups = np.arange(len(y)) // 40
    whole = [direction_errors(model, X, y, groups=g) for g in (None, groups)]
    monkeypatch.setattr("sklearn_twolayer._rows.blocks.BLOCK_ENTRIES", 500)
    parts = [direction_errors(model, X, y, groups=g) for g in (None, groups)]
    for a, b in zip(whole, parts, strict=True):
        for name in [*NAMES, "angles"]:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-8)


def test_intervals_surround_the_estimates_and_grow_with_the_confidence():
    X, y = made(n_targets=2)
    model = fitted(X, y)
    narrow = direction_errors(model, X, y, confidence=0.5)
    wide = direction_errors(model, X, y, confidence=0.99)
    few = direction_errors(model, X, y, confidence=0.99, groups=np.arange(400) % 5)
    for name in NAMES:
        low, high = getattr(wide, f"{name}_interval")
        estimate = getattr(model, f"{name}_")
        assert low.shape == estimate.shape == getattr(wide, name).shape
        np.testing.assert_allclose((low + high) / 2, estimate, atol=1e-12)
        assert np.all(low <= getattr(narrow, f"{name}_interval")[0])
    assert np.all(wide.angles > narrow.angles)
    assert np.all(narrow.angles > 0)
    half = (few.amplitudes_interval[1] - few.amplitudes_interval[0]) / 2
    np.testing.assert_allclose(half / few.amplitudes, 4.604, rtol=1e-3)  # t(4), 0.995


def test_rows_of_large_weight_count_by_their_noise():
    """Few rows with nearly all the weight give Student's intervals of few rows."""
    X, y = made()
    weights = np.where(np.arange(len(y)) < 40, 1.0, 1e-9)
    model = fitted(X, y)
    errors = direction_errors(model, X, y, sample_weight=weights)
    half = (errors.amplitudes_interval[1] - errors.amplitudes_interval[0]) / 2
    assert np.all(half / errors.amplitudes > 2.02)


def test_errors_of_a_linear_model_are_empty(rng):
    X = rng.standard_normal((100, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(100)
    model = fitted(X, y)
    assert LinearRegression().fit(X, y).score(X, y) > 0.8
    errors = direction_errors(model, X, y)
    assert errors.features.shape == (0, 3)
    assert errors.amplitudes_interval.shape == (2, 0)
    assert errors.angles.shape == (0,)


def test_errors_refuse_a_network_with_decay():
    X, y = made()
    options = {"schedule": GeometricSchedule(stop=0.1), "solver": "fast"}
    with pytest.raises(ValueError, match="debias=True"):
        direction_errors(fitted(X, y, **options), X, y)
    debiased = fitted(X, y, debias=True, **options)
    assert direction_errors(debiased, X, y).angles.max() < 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"X": np.zeros((10, 3)), "y": np.zeros(10)}, "10 rows.*too few for the 12"),
        ({"y": np.zeros((400, 2))}, "y must have the 1 targets"),
        ({"groups": np.zeros(3)}, "groups must have a label for each of the 400 rows"),
        ({"groups": np.zeros(400)}, "groups must name two groups"),
        ({"groups": [None] + ["a"] * 399}, "groups .* in 1 rows, first in row 0"),
        ({"groups": [np.nan] * 2 + [1.0] * 398}, "groups .* in 2 rows"),
        ({"groups": np.array([1, "a"] * 200, dtype=object)}, "groups .* sorted"),
        ({"confidence": 0.0}, "confidence"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": "much"}, "confidence"),
        ({"sample_weight": np.zeros(400)}, "sample_weight"),
    ],
)
def test_errors_refuse_what_makes_no_sense(wrong, message):
    X, y = made()
    arguments = {"X": X, "y": y, **wrong}
    with pytest.raises((TypeError, ValueError), match=message):
        direction_errors(fitted(X, y), **arguments)


def test_ridge_display_takes_groups():
    X, y = made()
    model = fitted(X, y)
    groups = np.arange(len(y)) // 4
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, groups=groups, confidence=0.9
    )
    errors = direction_errors(model, X, y, groups=groups, confidence=0.9)
    np.testing.assert_array_equal(display.loading_errors, errors.loadings_interval)


@pytest.mark.slow
@pytest.mark.parametrize("n_in_group", [1, 4])
def test_intervals_cover_the_truth_as_often_as_they_say(n_in_group):
    """Also with noise that rows of a group share."""
    covered = {"features": [], "amplitudes": [], "angles": []}
    for seed in range(200):
        X, y, teacher = make_two_layer_regression(
            2000, 5, n_directions=2, return_teacher=True, random_state=seed
        )
        rng = np.random.default_rng(seed)
        if n_in_group > 1:
            X = np.repeat(X[::n_in_group], n_in_group, axis=0)
            y = teacher.predict(X)
        groups = np.arange(len(y)) // n_in_group
        shared = rng.standard_normal(groups.max() + 1)[groups]
        own = rng.standard_normal(len(y))
        y = y + (0.3 * own if n_in_group == 1 else 0.15 * shared + 0.1 * own)
        model = fitted(X, y, criterion=40.0)
        if len(model.features_) != 2:
            continue
        errors = direction_errors(
            model, X, y, groups=None if n_in_group == 1 else groups
        )
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
        assert len(values) > 300, name
        assert 0.92 <= np.mean(values) <= 0.985, name


UNITS = np.array([1.0, 1e-4, 1e3])


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_errors_of_loadings_are_those_of_standardised_inputs(hidden_bias):
    """Whatever the units: those of raw directions, where all deviations are one."""
    X, y = made()
    X = X / X.std(axis=0)
    model = fitted(X, y, hidden_bias=hidden_bias)
    errors = direction_errors(model, X, y)
    sign = np.sign(errors.loadings[:, :1] / model.features_[:, :1])
    np.testing.assert_allclose(errors.loadings, sign * model.features_, rtol=1e-9)
    np.testing.assert_allclose(errors.loading_errors, errors.features, rtol=1e-6)
    np.testing.assert_allclose(errors.loading_angles, errors.angles, rtol=1e-6)
    lengths = np.linalg.norm(model.features_ / UNITS, axis=1)
    scaled = changed(
        model,
        features_=model.features_ / UNITS / lengths[:, np.newaxis],
        feature_intercepts_=model.feature_intercepts_ / lengths,
        amplitudes_=model.amplitudes_ * lengths,
        linear_coef_=model.linear_coef_ / UNITS,
        feature_scales_=model.feature_scales_ * UNITS,
    )
    found = direction_errors(scaled, X * UNITS, y)
    for name in ("loadings", "loading_errors", "loadings_interval", "loading_angles"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(errors, name), rtol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("kind", ["standardized", "raw"])
def test_the_table_has_a_row_for_each_feature_and_input(kind):
    X, y = made()
    frame = pd.DataFrame(X * UNITS, columns=["age", "size", "a long name of a column"])
    errors = direction_errors(fitted(frame, y), frame, y, confidence=0.9)
    table = errors.to_frame(loadings=kind)
    assert len(table) == errors.features.size
    own = errors.loading_errors if kind == "standardized" else errors.features
    interval = errors.loadings_interval
    interval = interval if kind == "standardized" else errors.features_interval
    for j, name in itertools.product(range(len(own)), range(3)):
        (row,) = table[
            (table["feature"] == j) & (table["input"] == frame.columns[name])
        ].to_dict("records")
        assert row["error"] == own[j, name]
        assert (row["lower"], row["upper"]) == tuple(interval[:, j, name])
        assert row["loading"] == pytest.approx(interval[:, j, name].mean())
        assert row["z"] == pytest.approx(row["loading"] / row["error"])
        assert (row["p"] < 0.05) == (row["lower"] > 0 or row["upper"] < 0)
    with pytest.raises(ValueError, match="loadings must be one of"):
        errors.to_frame(loadings="none")


def test_errors_are_printed_in_a_line_a_feature():
    X, y = made()
    errors = direction_errors(fitted(X, y), X, y)
    lines = repr(errors).splitlines()
    assert len(lines) == len(errors.features) + 3
    largest = np.abs(errors.loadings[0]).argmax()
    value, error = errors.loadings[0, largest], errors.loading_errors[0, largest]
    assert f"x{largest} {value:+.3f} ± {error:.2g}" in lines[2]


def test_pipelines_have_the_errors_of_their_last_step():
    X, y = made()
    frame = pd.DataFrame(X * UNITS, columns=["age", "size", "sex"])
    pipeline = make_pipeline(
        StandardScaler(), RegularizedTwoLayerRegressor(random_state=0)
    ).fit(frame, y)
    errors = direction_errors(pipeline, frame, y)
    assert errors.feature_names == ["age", "size", "sex"]
    inner = direction_errors(pipeline[-1], pipeline[:-1].transform(frame), y)
    np.testing.assert_array_equal(errors.features, inner.features)
    nested = make_pipeline(FunctionTransformer(), pipeline)
    np.testing.assert_array_equal(
        direction_errors(nested, frame, y).features, inner.features
    )


def test_tables_need_pandas(monkeypatch):
    X, y = made()
    errors = direction_errors(fitted(X, y), X, y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas"):
        errors.to_frame()


def unused(seed, n_samples=400, n_targets=1):
    """A teacher, and a last column, correlated with the first, that it does not use."""
    X, y = make_two_layer_regression(
        n_samples, 3, n_directions=2, n_targets=n_targets, noise=0.3, min_angle=0.8,
        random_state=seed,
    )  # fmt: skip
    own = np.random.default_rng(seed).standard_normal(n_samples)
    return np.column_stack([X, 0.5 * X[:, 0] + own]), y


@pytest.mark.parametrize("n_targets", [1, 2])
def test_tests_of_inputs_find_those_that_are_used(n_targets):
    X, y = unused(0, n_targets=n_targets)
    X = np.column_stack([X, np.ones(len(X))])
    errors = direction_errors(fitted(X, y), X, y)
    assert np.all(errors.input_pvalues[:3] < 1e-6)
    assert errors.input_pvalues[3] > 0.01
    assert np.isnan(errors.input_pvalues[4])
    assert np.all(np.isnan(errors.loading_pvalues[:, 4]))
    units = np.array([1.0, 1e-6, 1e6, 10.0, 1.0])
    other = direction_errors(fitted(X * units, y), X * units, y)
    np.testing.assert_allclose(other.input_pvalues[3], errors.input_pvalues[3], 1e-4)


def test_tests_of_inputs_of_linear_models_are_robust_tests_of_coefficients(rng):
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, 0.1, 0.0] + rng.standard_normal(200) * np.exp(X[:, 0] / 2)
    model = fitted(X, y)
    assert len(model.features_) == 0
    errors = direction_errors(model, X, y)
    design = np.column_stack([X, np.ones(200)])
    inverse = np.linalg.inv(design.T @ design)
    leverages = np.einsum("ni,ij,nj->n", design, inverse, design)
    scores = design * ((y - model.predict(X)) / (1 - leverages))[:, np.newaxis]
    covariance = inverse @ scores.T @ scores @ inverse
    z = model.linear_coef_ / np.sqrt(covariance.diagonal()[:3])
    np.testing.assert_allclose(
        errors.input_pvalues, 2 * t.sf(np.abs(z), 196), rtol=1e-3
    )


@pytest.mark.slow
def test_tests_of_inputs_have_their_size():
    rejected = []
    for seed in range(200):
        X, y = unused(seed)
        errors = direction_errors(fitted(X, y), X, y)
        rejected.append(errors.input_pvalues[3] < 0.05)
    # Binomial with 200 trials: 2.5 standard deviations around 0.05.
    assert abs(np.mean(rejected) - 0.05) < 0.04
