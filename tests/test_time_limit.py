"""A fit that runs out of time or steps ends with a usable model, and says so."""

import math
import time

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    two_layer_path,
)
from sklearn_twolayer._runtime.limits import out_of_time, time_limit
from sklearn_twolayer.datasets import make_two_layer_regression

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
