"""Hyper-parameter searches of scikit-learn over schedules."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
)
from sklearn_twolayer.datasets import make_two_layer_regression


@pytest.fixture(scope="module")
def data():
    return make_two_layer_regression(300, 4, n_directions=2, noise=0.3, random_state=0)


def pipeline(schedule):
    model = RegularizedTwoLayerRegressor(
        schedule=schedule, solver="fast", random_state=0
    )
    return Pipeline([("scaler", StandardScaler()), ("model", model)])


def agrees_with_the_best(search, X, y):
    """Refit by hand with the best parameters: the same predictions."""
    by_hand = pipeline(GeometricSchedule()).set_params(**search.best_params_)
    np.testing.assert_allclose(
        search.predict(X), by_hand.fit(X, y).predict(X), rtol=1e-6
    )


def test_grid_over_the_parameters_of_a_schedule(data):
    X, y = data
    grid = {
        "model__schedule__stop": [0.4, 0.1],
        "model__schedule__ratio": [0.5, 0.25],
    }
    start = GeometricSchedule(start=0.8)
    search = GridSearchCV(pipeline(start), grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_params_["model__schedule__stop"] == 0.1
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    # The search works on clones: what it was given is as it was.
    assert start.get_params() == GeometricSchedule(start=0.8).get_params()
    agrees_with_the_best(
        GridSearchCV(pipeline(GeometricSchedule()), grid, cv=3).fit(X, y), X, y
    )


def test_grid_over_whole_schedules_in_two_processes(data):
    X, y = data
    schedules = [
        ConstantSchedule(0.5), StagedSchedule([0.5, 0.1]), GeometricSchedule(stop=0.1),
    ]  # fmt: skip
    grid = {"model__schedule": schedules}
    serial, parallel = (
        GridSearchCV(pipeline(None), grid, cv=3, n_jobs=n, error_score="raise").fit(
            X, y
        )
        for n in (None, 2)
    )
    np.testing.assert_allclose(
        parallel.cv_results_["mean_test_score"],
        serial.cv_results_["mean_test_score"],
        rtol=0.02,
    )
    assert serial.best_params_["model__schedule"] is not schedules[0]


@pytest.mark.slow
def test_randomized_and_halving_searches(data):
    X, y = data
    names = {"model__schedule__stop": [0.4, 0.2, 0.1, 0.05]}
    random = RandomizedSearchCV(
        pipeline(GeometricSchedule()), names, n_iter=3, cv=3, random_state=0, n_jobs=2,
        error_score="raise",
    ).fit(X, y)  # fmt: skip
    assert random.best_score_ > cross_val_score(LinearRegression(), X, y, cv=3).mean()
    halving = HalvingGridSearchCV(
        pipeline(GeometricSchedule()), names, cv=3, random_state=0,
        error_score="raise",
    ).fit(X, y)  # fmt: skip
    assert halving.n_resources_[0] < len(X)
    assert halving.best_estimator_["model"].features_.shape[1] == 4


def test_search_with_metadata_routing(data):
    X, y = data
    groups = np.arange(len(X)) % 3
    weights = np.ones(len(X))
    weights[groups == 1] = 1e-6
    with config_context(enable_metadata_routing=True):
        model = RegularizedTwoLayerRegressor(
            schedule=GeometricSchedule(stop=0.2), solver="fast", random_state=0
        )
        model.set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        search = GridSearchCV(
            Pipeline([("scaler", StandardScaler().set_fit_request(sample_weight=False)),
                      ("model", model)]),
            {"model__schedule__stop": [0.4, 0.2]},
            cv=GroupKFold(3), n_jobs=2, error_score="raise",
        )  # fmt: skip
        search.fit(X, y, sample_weight=weights, groups=groups)
        light = weights < 1.0
        scaler = StandardScaler().fit(X)
        alone = model.set_params(**{
            name.removeprefix("model__"): value
            for name, value in search.best_params_.items()
        }).fit(scaler.transform(X[~light]), y[~light])  # fmt: skip
    # Rows of next to no weight hardly matter: the weights have reached the fit.
    difference = search.predict(X) - alone.predict(scaler.transform(X))
    assert np.sqrt(np.mean(difference**2)) < 0.05 * y.std()
