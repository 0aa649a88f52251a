"""A fit that runs out of time or steps ends with a usable model, and says so."""

import math
import time

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    two_layer_path,
)
from sklearn_twolayer._runtime.limits import (
    count_step,
    limit_reached,
    out_of_time,
    step_limit,
    time_limit,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import NoFeaturesWarning

X, Y = make_two_layer_regression(3000, 10, n_directions=5, noise=0.3, random_state=0)
SCHEDULE = GeometricSchedule(stop=1e-3, ratio=0.5)


def test_the_limit_holds_in_its_context_only():
    assert not out_of_time()
    with time_limit(1e-9):
        time.sleep(1e-3)
        assert out_of_time()
        with time_limit(100.0):  # an inner limit does not prolong the outer one
            assert out_of_time()
    assert not out_of_time()
    with time_limit(None):
        assert not out_of_time()


def test_the_limit_ends_when_the_block_raises():
    with pytest.raises(KeyError), time_limit(1e-9):
        raise KeyError
    assert not out_of_time()


@pytest.mark.parametrize("solver", ["newton", "fast", "gd"])
@pytest.mark.parametrize("schedule", [None, SCHEDULE], ids=["search", "schedule"])
def test_a_fit_ends_with_what_it_has(solver, schedule):
    model = RegularizedTwoLayerRegressor(
        solver=solver, schedule=schedule, max_time=1e-6, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match=r"duality gap.* \d\.\de.*max_time"):
        model.fit(X, Y)
    assert len(model.lambdas_) == len(model.history_["loss"])
    assert model.history_["loss"][-1] <= 0.5 * np.var(Y)
    assert math.isfinite(model.dual_gap_)
    assert model.score(X, Y) > 0.3


def test_a_path_ends_with_the_stages_reached():
    path = two_layer_path(X, Y, schedule=SCHEDULE, max_time=1e-6, random_state=0)
    assert len(path.networks) == len(path.lambdas) < 10


def test_a_long_limit_changes_nothing():
    fits = [
        RegularizedTwoLayerRegressor(max_time=max_time, random_state=0).fit(X, Y)
        for max_time in (None, 1000.0)
    ]
    np.testing.assert_array_equal(fits[0].features_, fits[1].features_)


def test_a_search_that_runs_out_of_steps_says_so():
    model = RegularizedTwoLayerRegressor(max_iter=30, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"search .*max_iter.* duality gap"):
        model.fit(X, Y)
    assert model.score(X, Y) > 0.3


@pytest.mark.parametrize("max_time", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_none(max_time):
    with pytest.raises(ValueError, match="max_time"):
        RegularizedTwoLayerRegressor(max_time=max_time).fit(X, Y)


def test_steps_count_for_all_limits_around_them():
    assert limit_reached() is None
    with step_limit(3) as outer:
        for _ in range(2):
            with step_limit(2) as inner:
                count_step()
                assert limit_reached() == ("max_iter" if outer.n_iter == 3 else None)
            assert inner.n_iter == 1
        count_step()
        assert limit_reached() == "max_iter"
        assert outer.n_iter == 3
    assert limit_reached() is None


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("max_iter", [1, 10, 30])
def test_max_iter_bounds_the_steps_of_a_search(noise, max_iter):
    X, y = make_two_layer_regression(
        1000, 8, n_directions=6, subspace_dim=2, min_angle=0.3, noise=noise,
        random_state=1,
    )  # fmt: skip
    model = RegularizedTwoLayerRegressor(max_iter=max_iter, random_state=0)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        model.fit(X, y)
    assert 1 <= model.n_iter_ <= max_iter + 20  # a line search takes at most 20
    assert model.score(X, y) > 0.3


@pytest.mark.parametrize("solver", ["newton", "fast", "gd"])
def test_max_iter_bounds_the_steps_of_each_stage_and_is_told(solver):
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.05, ratio=0.5), solver=solver, max_iter=5,
        tol=1e-9, random_state=0,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        model.fit(X, Y)
    assert (model.history_["n_iter"] <= 5 + 20).all()


@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"max_time": 1e-6}])
def test_a_stage_without_decay_tells_what_ended_it(limit):
    model = RegularizedTwoLayerRegressor(
        schedule=ConstantSchedule(0.0), random_state=0, **limit
    )
    (name,) = limit
    with pytest.warns(ConvergenceWarning, match=f"was ended by {name}"):
        model.fit(X, Y)


@pytest.mark.parametrize("limit", [{"max_iter": 8}, {"max_time": 1e-6}])
def test_debiasing_tells_what_ended_the_fit(limit):
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.2), debias=True, random_state=0, **limit
    )
    (name,) = limit
    with pytest.warns(ConvergenceWarning, match=f"raise {name}"):
        model.fit(X, Y)


def test_cross_validation_without_a_tolerance_cites_none():
    model = RegularizedTwoLayerRegressorCV(
        lambdas=3, eps=0.1, cv=3, debias=False, max_iter=3, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="was ended by max_iter") as caught:
        model.fit(X[:300], Y[:300])
    assert not any("tol" in str(warning.message) for warning in caught)


def test_warnings_point_at_the_line_of_the_caller():
    model = RegularizedTwoLayerRegressor(max_iter=1, random_state=0)
    linear = make_pipeline(StandardScaler(), RegularizedTwoLayerRegressor())
    linear.fit(X, X[:, 0])
    for call in (
        lambda: model.fit(X, Y),
        lambda: make_pipeline(StandardScaler(), model).fit(X, Y),
        lambda: model.fit_transform(X, Y),
        lambda: linear.transform(X),
        lambda: linear[-1].set_output(transform="pandas").transform(X),
    ):
        with pytest.warns((ConvergenceWarning, NoFeaturesWarning)) as caught:
            call()
        assert {warning.filename for warning in caught} == {__file__}
