"""Regressors with losses other than the squared one."""

import json
import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import SeparableWarning
from sklearn_twolayer.metrics import match_directions

LOSSES = pytest.mark.parametrize("loss", ["poisson", "huber"])


def numbers_of(loss, n_samples=800, n_features=4, seed=0):
    """Inputs, targets, the true outputs on the scale of the link, and the teacher."""
    X, signal, teacher = make_two_layer_regression(
        n_samples, n_features, n_directions=2, return_teacher=True, random_state=seed
    )
    signal = (signal - signal.mean()) / signal.std()
    generator = np.random.default_rng(seed)
    if loss == "poisson":
        return X, generator.poisson(2.0 * np.exp(signal)), signal + np.log(2.0), teacher
    noise = generator.standard_normal(n_samples)
    noise *= np.where(generator.random(n_samples) < 0.05, 6.0, 0.2)
    return X, signal + noise, signal, teacher


def fitted(loss, kind=RegularizedTwoLayerRegressor, **parameters):
    X, y, _, _ = numbers_of(loss)
    return kind(loss=loss, random_state=0, **parameters).fit(X, y)


@LOSSES
@pytest.mark.parametrize("is_cv", [False, True])
def test_finds_the_directions(loss, is_cv):
    X, y, outputs, teacher = numbers_of(loss)
    kind = RegularizedTwoLayerRegressorCV if is_cv else RegularizedTwoLayerRegressor
    parameters = {"cv": 3} if is_cv else {}
    model = kind(loss=loss, random_state=0, **parameters).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert len(model.features_) == 2
    assert match.angles.max() < 0.2
    assert np.mean((model.predict_link(X) - outputs) ** 2) < 0.02
    if is_cv:
        assert model.loss_path_.shape == (20, 3)
        assert model.blended_loss_path_.shape == (20, 3, 3)
        assert model.debiased_loss_.shape == (3,)
        assert not hasattr(model, "mse_path_")
        assert np.nanmin(model.loss_path_.mean(axis=1)) < model.loss_path_[0].mean()


def test_counts_have_the_mean_of_the_exponential_and_their_score():
    X, y, _, _ = numbers_of("poisson")
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    model = fitted("poisson")
    np.testing.assert_allclose(model.predict(X), np.exp(model.predict_link(X)))
    expected = d2_tweedie_score(y, model.predict(X), sample_weight=weights, power=1)
    assert model.score(X, y, weights) == pytest.approx(expected)
    far = model.predict(1e6 * X)
    assert np.isfinite(far).all()
    assert (far > 0.0).all()
    outliers = fitted("huber")
    own = numbers_of("huber")[1]
    assert outliers.score(X, own) == pytest.approx(r2_score(own, outliers.predict(X)))
    np.testing.assert_array_equal(outliers.predict_link(X), outliers.predict(X))


def test_the_linear_model_of_counts_is_that_of_scikit_learn():
    """From lambda_max on, with counts over exposures and exposures as weights."""
    X, counts, _, _ = numbers_of("poisson")
    exposure = np.random.default_rng(0).uniform(0.5, 5.0, len(X))
    model = RegularizedTwoLayerRegressor(
        loss="poisson", schedule=ConstantSchedule(1.01), random_state=0
    ).fit(X, counts / exposure, exposure)
    peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000)
    peer.fit(X, counts / exposure, exposure)
    assert model.features_.shape == (0, 4)
    assert model.lambda_ > model.lambda_max_
    np.testing.assert_allclose(model.linear_coef_, peer.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), peer.predict(X), rtol=1e-6)
    assert model.score(X, counts / exposure, exposure) == pytest.approx(
        peer.score(X, counts / exposure, exposure)
    )


UNIT = 2.0**20  # a power of two, so that nothing is rounded


@LOSSES
def test_targets_in_other_units_have_the_same_network(loss):
    X, y, _, _ = numbers_of(loss, 300)
    model = RegularizedTwoLayerRegressor(
        loss=loss, schedule=ConstantSchedule(0.5), tol=0.01, random_state=0
    )
    first, second = clone(model).fit(X, y), clone(model).fit(X, UNIT * y)
    np.testing.assert_allclose(first.predict(X) * UNIT, second.predict(X), rtol=1e-6)
    np.testing.assert_allclose(first.features_, second.features_, atol=1e-6)
    assert second.lambda_max_ == pytest.approx(UNIT * first.lambda_max_)
    power = 1 if loss == "poisson" else 2
    ratio = second.history_["objective"] / first.history_["objective"]
    np.testing.assert_allclose(ratio, UNIT**power, rtol=1e-6)
    assert second.dual_gap_ == pytest.approx(UNIT**power * first.dual_gap_, rel=1e-3)
    noise = "dispersion_" if loss == "poisson" else "scale_"
    assert getattr(second, noise) == pytest.approx(UNIT * getattr(first, noise))
    # Also a decay of the linear part in the units of the data.
    decayed = clone(model).set_params(linear_decay=0.01).fit(X, y)
    factor = UNIT if loss == "poisson" else 1.0
    other = clone(model).set_params(linear_decay=0.01 * factor).fit(X, UNIT * y)
    np.testing.assert_allclose(decayed.predict(X) * UNIT, other.predict(X), rtol=1e-6)
    assert decayed.linear_decay_ == pytest.approx(0.01)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))]
)
def test_a_search_does_not_depend_on_rounding(loss, seed):
    """Three is no power of two: all numbers of the fit are rounded otherwise."""
    X, y, outputs, _ = numbers_of(
        "huber" if loss == "huber" else "poisson", 200, 3, seed
    )
    generator = np.random.default_rng(seed)
    if loss == "squared_error":
        y = outputs + 0.3 * generator.standard_normal(200)
    weights = generator.uniform(0.5, 2.0, 200)
    model = RegularizedTwoLayerRegressor(loss=loss, random_state=0)
    first = clone(model).fit(X, y, weights)
    assert len(first.features_) > 0
    for factor, of_weights in [(3.0, 1.0), (1.0, 3.0), (0.7, 1.0)]:
        other = clone(model).fit(X, factor * y, of_weights * weights)
        np.testing.assert_allclose(other.features_, first.features_, atol=1e-6)
        np.testing.assert_allclose(
            other.predict(X), factor * first.predict(X), rtol=1e-6, atol=1e-6
        )


@LOSSES
def test_sparse_inputs_precision_and_weights(loss):
    X, y, _, _ = numbers_of(loss)
    model = fitted(loss)
    of_sparse = clone(model).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(model.predict(X), of_sparse.predict(X), rtol=1e-6)
    single = clone(model).set_params(dtype="float32").fit(X, y)
    match = match_directions(single.features_, model.features_)
    assert match.angles.max() < 0.03
    assert single.score(X, y) == pytest.approx(model.score(X, y), abs=1e-3)
    weighted = clone(model).fit(X, y, np.full(len(y), 3.0))
    np.testing.assert_allclose(model.predict(X), weighted.predict(X), rtol=1e-6)


def test_an_outlier_however_large_changes_little():
    X, y, _, _ = numbers_of("huber")
    first = fitted("huber")
    far = y.copy()
    far[:8] = 1e6
    second = clone(first).fit(X, far)
    assert np.abs(first.predict(X) - second.predict(X)).max() < 0.2
    assert second.scale_ == pytest.approx(first.scale_, rel=0.1)


@LOSSES
@pytest.mark.parametrize("kind", ["search", "path", "cv"])
def test_exports_come_back(loss, kind):
    X = numbers_of(loss)[0]
    if kind == "cv":
        model = fitted(loss, RegularizedTwoLayerRegressorCV, cv=2, lambdas=3)
    else:
        schedule = ConstantSchedule(0.5) if kind == "path" else None
        model = fitted(loss, schedule=schedule)
    again = type(model).from_dict(json.loads(json.dumps(model.to_dict())))
    pickled = pickle.loads(pickle.dumps(model))
    for other in (again, pickled):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert vars(other).keys() == vars(model).keys()
    assert ("dispersion_" if loss == "poisson" else "scale_") in vars(again)


@LOSSES
def test_the_criterion_keeps_a_stage(loss):
    schedule = StagedSchedule([1.0, 0.6])
    free, dear = (
        fitted(loss, schedule=schedule, criterion=price) for price in (0.0, 1e6)
    )
    assert free.lambda_ == free.lambdas_[free.history_["loss"].argmin()]
    assert len(free.features_) > 0
    assert dear.lambda_ == dear.lambda_max_
    assert len(dear.features_) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("solver", "fast"), ("solver", "gd"), ("debias", True), ("max_features", 3),
    ],
)  # fmt: skip
def test_parameters_for_squares_only_are_refused_by_name(name, value):
    X, y, _, _ = numbers_of("huber", 50)
    model = RegularizedTwoLayerRegressor(loss="huber", **{name: value})
    with pytest.raises(ValueError, match=rf"{name} must be.*loss='huber'"):
        model.fit(X, y)


def test_a_bound_on_the_features_is_refused_by_name():
    X, y, _, _ = numbers_of("poisson", 50)
    model = RegularizedTwoLayerRegressorCV(loss="poisson", max_features=3)
    with pytest.raises(ValueError, match=r"max_features must be.*loss='poisson'"):
        model.fit(X, y)


@pytest.mark.parametrize(
    "loss", [pytest.param("poisson", marks=pytest.mark.slow), "log_loss"]
)
def test_the_stage_that_the_folds_choose_is_solved_to_the_tolerance(loss):
    X, y, _, _ = numbers_of("poisson", 300)
    parameters = {"lambdas": [1.0, 0.3], "cv": 2, "debias": False, "random_state": 0}
    if loss == "poisson":
        model = RegularizedTwoLayerRegressorCV(loss=loss, **parameters)
    else:
        y, model = y > 2, RegularizedTwoLayerClassifierCV(**parameters)
    rough = clone(model).fit(X, y)
    exact = clone(model).set_params(tol=1e-4).fit(X, y)
    assert rough.lambda_ == exact.lambda_ < exact.lambda_max_
    bound = 1e-4 * exact.history_["objective"][-1]
    assert exact.dual_gap_ <= bound < rough.dual_gap_


@pytest.mark.parametrize(
    "kind",
    [
        RegularizedTwoLayerRegressor,
        pytest.param(RegularizedTwoLayerRegressorCV, marks=pytest.mark.slow),
    ],
)
def test_targets_that_do_not_suit_the_loss_are_refused(kind):
    X, y, _, _ = numbers_of("poisson", 60)
    counts = kind(loss="poisson")
    with pytest.raises(ValueError, match=r"y must not be negative.*exposures"):
        counts.fit(X, y - 1.0)
    with pytest.raises(ValueError, match="y must be positive in a row"):
        counts.fit(X, 0.0 * y)
    with pytest.raises(ValueError, match="y must be positive in a row"):
        counts.fit(X, y, (y == 0).astype(float))
    for loss in ("poisson", "huber"):
        with pytest.raises(ValueError, match=r"y must have one target.*MultiOutput"):
            kind(loss=loss).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="loss must be one of"):
        kind(loss="l1").fit(X, y)
    quick = {} if kind is RegularizedTwoLayerRegressor else {"cv": 2, "lambdas": [1.0]}
    with pytest.warns(DataConversionWarning):
        one = kind(loss="huber", random_state=0, **quick).fit(X, y[:, np.newaxis])
    assert one.predict(X).shape == (60,)
    assert not hasattr(counts, "features_")


def test_a_fold_without_counts_is_refused():
    X = np.random.default_rng(0).standard_normal((40, 2))
    y = np.zeros(40)
    y[:3] = 1.0
    splits = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]
    model = RegularizedTwoLayerRegressorCV(loss="poisson", cv=splits)
    with pytest.raises(ValueError, match=r"y must be positive.*fold 0 of cv"):
        model.fit(X, y)


def test_dask_is_refused():
    array = pytest.importorskip("dask.array")
    X, y, _, _ = numbers_of("huber", 50)
    with pytest.raises(TypeError, match=r"X is a Dask collection.*loss='huber'"):
        RegularizedTwoLayerRegressor(loss="huber").fit(
            array.from_array(X), array.from_array(y)
        )


def test_counts_are_predicted_lazily():
    array = pytest.importorskip("dask.array")
    X, model = numbers_of("poisson")[0], fitted("poisson")
    lazy = model.predict(array.from_array(X, chunks=(200, 4)))
    np.testing.assert_allclose(lazy.compute(), model.predict(X))


def test_zero_counts_that_a_line_separates_are_warned_of():
    generator = np.random.default_rng(0)
    X = np.column_stack([generator.standard_normal(300), np.arange(300) < 30])
    y = np.where(X[:, 1] == 1.0, 0, generator.poisson(2.0, 300))
    with pytest.warns(SeparableWarning, match="rows without counts"):
        model = RegularizedTwoLayerRegressor(loss="poisson", random_state=0).fit(X, y)
    assert model.linear_decay_ > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("is_cv", [False, True])
def test_a_fit_with_another_loss_leaves_nothing_of_the_earlier_one(is_cv):
    """Above all no transform of the columns, which would change the predictions."""
    X, y, _, _ = numbers_of("poisson", 200)
    X = np.sinh(2.0 * X)
    kind = RegularizedTwoLayerRegressorCV if is_cv else RegularizedTwoLayerRegressor
    options = {"cv": 2, "lambdas": 2, "column_transform": "clip"} if is_cv else {}
    model = kind(random_state=0, **options).fit(X, y)
    for loss in ("huber", "poisson", "squared_error"):
        fresh = kind(random_state=0, **options).set_params(loss=loss)
        model.set_params(loss=loss).fit(X, y)
        fresh.fit(X, y)
        assert vars(model).keys() == vars(fresh).keys()
        np.testing.assert_array_equal(model.predict(X), fresh.predict(X))
        assert ("loss  " in model.summary(X)) == (loss != "squared_error")


def test_losses_can_be_searched_for():
    X, y, _, _ = numbers_of("huber", 300)
    grid = GridSearchCV(
        RegularizedTwoLayerRegressor(random_state=0),
        {"loss": ["squared_error", "huber"]},
        scoring="neg_median_absolute_error",
        cv=2,
    )
    assert grid.fit(X, y).best_params_ == {"loss": "huber"}


@pytest.mark.filterwarnings(
    "ignore::sklearn_twolayer.exceptions.NoFeaturesWarning",
    "ignore::sklearn_twolayer.exceptions.SeparableWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
@parametrize_with_checks(
    [
        RegularizedTwoLayerRegressor(loss="poisson", n_neurons=10, max_iter=50),
        RegularizedTwoLayerRegressor(loss="huber", n_neurons=10, max_iter=50),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)
