import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import NoFeaturesWarning, WarmStartWarning
from sklearn_twolayer.metrics import match_directions

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {"n_neurons": 20, "max_iter": 200, "random_state": 0}


def quick(**parameters):
    schedule = StagedSchedule([0.3, 0.1])
    return RegularizedTwoLayerRegressor(**{"schedule": schedule, **QUICK, **parameters})


def data(seed=0, n_samples=300, **kwargs):
    kwargs = {"n_features": 5, "n_directions": 2, "noise": 0.1, **kwargs}
    return make_two_layer_regression(n_samples, random_state=seed, **kwargs)


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_predict_identity(hidden_bias, standardize, n_targets):
    X, y = data(n_targets=n_targets)
    # Without biases a shift of the inputs would make ReLU linear on most rows.
    X = X * [1.0, 10.0, 0.1, 2.0, 3.0] + (5.0 if hidden_bias else 0.0)
    model = quick(hidden_bias=hidden_bias, standardize=standardize).fit(X, y)
    projection = X @ model.features_.T + model.feature_intercepts_
    activation = np.maximum(projection, 0.0)
    expected = (
        model.linear_intercept_
        + X @ model.linear_coef_.T
        + activation @ model.amplitudes_
    )
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.transform(X), projection)
    model.set_params(feature_output="activation")
    np.testing.assert_allclose(model.transform(X), activation)
    assert len(model.features_) > 0
    if not hidden_bias:
        np.testing.assert_array_equal(model.feature_intercepts_, 0.0)


def test_attributes_have_the_documented_shapes():
    X, y = data(n_targets=1)
    for target, outputs in ((y, ()), (y[:, None], (1,)), (np.c_[y, -y, y**2], (3,))):
        model = quick().fit(X, target)
        k = len(model.features_)
        assert model.features_.shape == (k, 5)
        assert model.feature_intercepts_.shape == (k,)
        assert model.amplitudes_.shape == (k, *outputs)
        assert model.linear_coef_.shape == (*outputs, 5)
        assert np.shape(model.linear_intercept_) == outputs
        assert model.predict(X).shape == target.shape
        assert model.lambdas_.shape == (2,)
        assert {len(values) for values in model.history_.values()} == {2}
        assert model.lambda_ == model.lambdas_[-1] < model.lambda_max_
        assert model.n_iter_ == model.history_["n_iter"].sum()
        assert model.certificate_ == model.history_["certificate"][-1]
        assert model.dual_gap_ == model.history_["dual_gap"][-1]


def test_agrees_with_the_path_function():
    X, y = data()
    schedule = StagedSchedule([0.3, 0.1])
    path = two_layer_path(X, y, schedule=schedule, **QUICK)
    model = quick().fit(X, y)
    np.testing.assert_array_equal(path.networks[-1].features, model.features_)
    np.testing.assert_array_equal(path.networks[-1].predict(X), model.predict(X))
    assert path.lambda_max == model.lambda_max_


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_two_equal_duplicated_rows(seed):
    X, y = data(seed)
    twice = np.random.default_rng(seed).uniform(size=len(X)) < 0.5
    weighted = quick(solver="gd").fit(X, y, sample_weight=np.where(twice, 2.0, 1.0))
    repeated = quick(solver="gd").fit(np.vstack([X, X[twice]]), np.r_[y, y[twice]])
    np.testing.assert_allclose(weighted.features_, repeated.features_, atol=1e-7)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-7)


def test_equivariance_under_scaling_and_shifting():
    X, y = data()
    scale, shift = np.array([1e-3, 1.0, 50.0, 7.0, 0.2]), np.arange(5.0) - 2.0
    plain = quick(solver="gd").fit(X, y)
    moved = quick(solver="gd").fit(X * scale + shift, y * 1e4 - 3.0)
    np.testing.assert_allclose(
        moved.predict(X * scale + shift), plain.predict(X) * 1e4 - 3.0, rtol=1e-6
    )
    assert moved.lambda_max_ == pytest.approx(plain.lambda_max_ * 1e4)
    lines = moved.features_ * scale
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    cosines = np.abs((lines * plain.features_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-9)


def test_order_of_targets_does_not_matter():
    X, y = data(n_targets=3)
    order = [2, 0, 1]
    ours, theirs = quick(solver="gd").fit(X, y), quick(solver="gd").fit(X, y[:, order])
    np.testing.assert_allclose(ours.features_, theirs.features_, atol=1e-7)
    np.testing.assert_allclose(
        ours.amplitudes_[:, order], theirs.amplitudes_, atol=1e-7
    )


def test_equal_targets_give_the_predictions_of_one():
    X, y = data()
    one, two = quick(tol=1e-4).fit(X, y), quick(tol=1e-4).fit(X, np.c_[y, y])
    np.testing.assert_allclose(two.predict(X)[:, 0], two.predict(X)[:, 1])
    # The loss is strongly convex in the predictions: each fit's are within the root of
    # twice its gap of the one optimum.
    excess = 1e-4 * one.history_["objective"][-1]
    distance = np.sqrt(np.mean((two.predict(X)[:, 0] - one.predict(X)) ** 2))
    assert distance <= 2.0 * np.sqrt(2.0 * excess)


@pytest.mark.parametrize("target", ["constant", "linear", "more columns than rows"])
def test_where_no_direction_helps_the_model_is_linear(target):
    X, y = data(n_samples=40)
    if target == "constant":
        y = np.full(40, 2.5)
    elif target == "linear":
        y = X @ np.arange(5.0) + 1.0
    else:
        X, y = X[:4], y[:4]
    # Beside a shrunk linear part, a direction may help where rows are few.
    model = quick(linear_decay=0.0).fit(X, y)
    assert model.features_.shape == (0, 5)
    expected = LinearRegression().fit(X, y).predict(X)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-9)
    with pytest.warns(NoFeaturesWarning, match="feature_output=.terms"):
        assert model.transform(X).shape == (len(X), 0)


def test_constant_and_duplicated_columns():
    X, y = data()
    wide = np.column_stack([X, X[:, 0], np.full(len(X), 3.0)])
    model = quick().fit(wide, y)
    assert np.isfinite(model.predict(wide)).all()
    np.testing.assert_allclose(model.features_[:, 6], 0.0, atol=1e-12)
    assert model.score(wide, y) > 0.9


def test_debias_lowers_the_training_error():
    X, y = data()
    biased, refitted = quick().fit(X, y), quick(debias=True).fit(X, y)
    assert 0 < len(refitted.features_) <= len(biased.features_)
    error = [np.mean((m.predict(X) - y) ** 2) for m in (biased, refitted)]
    assert error[1] < error[0]
    assert biased.certificate_ == refitted.certificate_


def test_criterion_keeps_the_stage_that_is_best_by_its_formula():
    X, y = data(noise=0.3)
    schedule = GeometricSchedule(start=0.9, stop=0.01)
    options = {"schedule": schedule, "solver": "fast"}
    path = two_layer_path(X, y, **options, **QUICK)
    counts, losses = path.history["n_neurons"], path.history["loss"]

    def best_stage(penalty):
        return np.argmin(len(X) * np.log(losses) + penalty * counts * 6)

    # On both sides of each penalty where the choice turns, as well.
    penalties = np.geomspace(1e-2, 1e5, 3000)
    chosen = np.array([best_stage(penalty) for penalty in penalties])
    turns = np.flatnonzero(np.diff(chosen))
    assert len(turns) > 1
    best = [
        best_stage(penalty) for penalty in (0.0, 2.0, 4.0, np.log(len(X)), 20.0, 1e9)
    ]
    assert best == sorted(best, reverse=True)
    assert len(set(best)) > 2
    around = [*penalties[turns], *penalties[turns + 1]]
    for criterion in (0.0, "aic", 4.0, "bic", 20.0, 1e9, *around):
        model = quick(criterion=criterion, **options).fit(X, y)
        penalty = {"aic": 2.0, "bic": np.log(len(X))}.get(criterion, criterion)
        kept = np.flatnonzero(path.lambdas == model.lambda_)[0]
        # Where noise lets a neuron gain more than its price, the stage has fewer.
        if penalty in (0.0, 1e9):
            assert kept == best_stage(penalty)
        assert kept <= best_stage(penalty)
        assert counts[kept] <= counts[best_stage(penalty)]
        assert len(model.lambdas_) == len(path.lambdas)


def test_warm_start_continues():
    X, y = data()
    short = quick(
        solver="gd", warm_start=True, schedule=ConstantSchedule(0.1), max_iter=3
    )
    cold = short.fit(X, y).history_["objective"][-1]
    assert short.fit(X, y).history_["objective"][-1] < cold
    with pytest.raises(ValueError, match="warm_start"):
        short.fit(X[:, :3], y)


def test_verbose_prints_one_line_a_stage(capsys):
    X, y = data()
    quick(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("lambda" in line and "neurons" in line for line in lines)
    quick().fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
def test_exact_recovery_obeys_all_symmetries(seed, n_targets):
    X, y = data(seed, noise=0.0, n_targets=n_targets)
    y = y.reshape(len(X), -1)
    twice = np.random.default_rng(seed).uniform(size=len(X)) < 0.5
    scale, shift = np.array([1e-3, 1.0, 50.0, 7.0, 0.2]), np.arange(5.0) - 2.0
    default = RegularizedTwoLayerRegressor(random_state=seed)

    def predictions(X, y, X_new, **kwargs):
        model = clone(default).fit(X, y, **kwargs)
        assert len(model.features_) == 2
        return model.predict(X_new).reshape(len(X_new), -1)

    plain = predictions(X, y, X)
    np.testing.assert_allclose(plain, y, atol=1e-10)
    moved = X * scale + shift
    for other in (
        predictions(X, y, X, sample_weight=np.where(twice, 2.0, 1.0)),
        predictions(np.vstack([X, X[twice]]), np.vstack([y, y[twice]]), X),
        (predictions(moved, y * 1e4 - 3.0, moved) + 3.0) / 1e4,
        predictions(X[:, ::-1], y, X[:, ::-1]),
        predictions(X, y[:, ::-1], X)[:, ::-1],
    ):
        np.testing.assert_allclose(other, plain, atol=1e-9)


def test_default_is_exact_and_says_so():
    X, y, teacher = data(noise=0.0, return_teacher=True)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-6
    X_new = np.random.default_rng(1).standard_normal((1000, 5))
    assert np.mean((model.predict(X_new) - teacher.predict(X_new)) ** 2) < 1e-12
    # There is no decay, and what the objective could fall by is rounding.
    assert model.lambda_ == model.lambdas_[-1] == 0.0
    assert 0.0 <= model.dual_gap_ == model.history_["loss"][-1] < 1e-20
    assert model.lambda_max_ > 0.0


def test_same_seed_same_result():
    X, y = data()
    ours, theirs = quick().fit(X, y), quick().fit(X, y)
    np.testing.assert_array_equal(ours.features_, theirs.features_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_float32_is_near_float64():
    X, y = data()
    single, double = (
        quick(solver="gd", dtype="float32").fit(X, y),
        quick(solver="gd").fit(X, y),
    )
    assert single.features_.dtype == np.float64
    np.testing.assert_allclose(single.predict(X), double.predict(X), atol=1e-2)


@pytest.mark.parametrize("library", [pd, pl])
def test_names_and_set_output(library):
    X, y = data()
    names = ["a", "b", "c", "d", "e"]
    frame = library.DataFrame(dict(zip(names, X.T, strict=True)))
    model = quick().fit(frame, y)
    np.testing.assert_array_equal(model.feature_names_in_, names)
    expected = [f"regularizedtwolayerregressor{i}" for i in range(len(model.features_))]
    np.testing.assert_array_equal(model.get_feature_names_out(), expected)
    model.set_output(transform="pandas" if library is pd else "polars")
    assert list(model.transform(frame).columns) == expected


def test_pickle_round_trip():
    X, y = data()
    model = quick().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_in_a_pipeline_with_grid_search_over_schedules():
    X, y = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), quick(schedule=ConstantSchedule(0.5)))
    name = "regularizedtwolayerregressor"
    search = GridSearchCV(
        pipeline,
        [
            {f"{name}__schedule__value": [0.9, 0.6]},
            {f"{name}__schedule": [GeometricSchedule(start=0.9, stop=0.5)]},
        ],
        cv=3,
    ).fit(X, y)
    assert search.best_score_ > 0.4
    assert len(search.cv_results_["params"]) == 3
    assert len(search.predict(X)) == len(y)


@pytest.mark.parametrize("kind", ["several features", "linear", "two targets"])
def test_terms_are_those_of_the_prediction(kind):
    X, y = data(n_samples=300)
    target = X[:, 0] + 1.0 if kind == "linear" else y
    target = np.c_[y, X[:, 0] - y] if kind == "two targets" else target
    model = quick(feature_output="terms").fit(X, target)
    terms = model.transform(X)
    n_features, n_linear = len(model.features_), 2 if kind == "two targets" else 1
    assert terms.shape == (300, n_linear + n_features)
    linear = X @ np.atleast_2d(model.linear_coef_).T + model.linear_intercept_
    np.testing.assert_allclose(terms[:, :n_linear], linear)
    if kind == "two targets":
        activations = terms[:, 2:] / np.linalg.norm(model.amplitudes_, axis=1)
        expected = linear + activations @ model.amplitudes_
        np.testing.assert_allclose(expected, model.predict(X))
    else:
        np.testing.assert_allclose(terms.sum(axis=1), model.predict(X))
    names = model.get_feature_names_out().tolist()
    prefix = "regularizedtwolayerregressor"
    assert names == [
        *(f"{prefix}_linear{k}" for k in range(n_linear)),
        *(f"{prefix}{j}" for j in range(n_features)),
    ]


@pytest.mark.parametrize(
    "is_linear", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_terms_keep_what_the_model_knows(is_linear):
    """A linear model after the terms does as well as the network, if linear too."""
    X, y = data(n_samples=600)
    y = y + 3.0 * X[:, 0] if not is_linear else X[:, 0] + 0.1 * y[::-1]
    model = quick(feature_output="terms")
    alone = cross_val_score(model, X, y).mean()
    before_ridge = cross_val_score(make_pipeline(model, RidgeCV()), X, y).mean()
    assert before_ridge > alone - 0.01


def test_as_a_transformer_before_a_linear_model():
    X, y = data(n_samples=600)
    features = quick(feature_output="activation")
    # With the inputs beside them, the activations span the fitted model.
    pipeline = make_pipeline(
        FeatureUnion([("inputs", "passthrough"), ("features", features)]),
        LinearRegression(),
    )
    linear = cross_val_score(LinearRegression(), X, y).mean()
    assert cross_val_score(pipeline, X, y).mean() > linear + 0.2


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_stage_above_the_tolerance_is_warned_of():
    X, y = data()
    quick(max_iter=2000).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"duality gap of .*max_iter"):
        quick(solver="gd", max_iter=2).fit(X, y)
    quick(solver="gd", max_iter=2, debias=True).fit(X, y)
    quick(solver="gd", max_iter=2, schedule=ConstantSchedule(0.0)).fit(X, y)


def test_two_seeds_give_the_same_features():
    X, y = data(noise=0.0)
    ours, theirs = (
        RegularizedTwoLayerRegressor(random_state=seed).fit(X, y) for seed in (0, 1)
    )
    match = match_directions(ours.features_, theirs.features_)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-6


@pytest.mark.slow
def test_searches_in_processes_give_the_serial_result():
    X, y = data()
    grid = {"schedule__value": [0.5, 0.2, 0.1]}
    search = GridSearchCV(quick(schedule=ConstantSchedule(0.1)), grid, cv=2)
    serial = clone(search).fit(X, y).cv_results_["mean_test_score"]
    parallel = clone(search).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_allclose(parallel.cv_results_["mean_test_score"], serial)


UNITS = [(1e4, 1.0), (1e-8, 1.0), (1e100, 1.0), (1.0, 1e-6), (1.0, -1.0), (1.0, 1e8)]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("schedule", [None, ConstantSchedule(0.3)])
@pytest.mark.parametrize(("of_inputs", "of_targets"), UNITS)
def test_warm_start_begins_anew_in_other_units(seed, schedule, of_inputs, of_targets):
    X, y = make_two_layer_regression(
        100, 3, n_directions=2, noise=0.1, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(
        schedule=schedule, warm_start=True, random_state=0
    )
    model.fit(X, y)
    X, y = X * of_inputs, y * of_targets
    with pytest.warns(WarmStartWarning, match="begun anew") as caught:
        model.fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    cold = RegularizedTwoLayerRegressor(schedule=schedule, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.features_, cold.features_)
    np.testing.assert_array_equal(model.predict(X), cold.predict(X))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
def test_warm_start_goes_on_without_a_word_on_data_like_before(seed, n_targets):
    X, y = make_two_layer_regression(
        400, 4, n_directions=2, n_targets=n_targets, noise=0.2, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(warm_start=True, random_state=0)
    assert len(model.fit(X[:200], y[:200]).features_) > 0
    for rows in (slice(200), slice(200, 400), slice(400)):
        model.fit(X[rows], y[rows])  # warnings are errors
    linear = np.stack([X[:, 0]] * n_targets, axis=1).reshape(y.shape)
    assert len(model.fit(X, y + 1e6).features_) > 0
    assert len(model.fit(X, linear).features_) == 0
