import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    stop_validation_curve,
)
from sklearn_twolayer._path import path as path_module
from sklearn_twolayer.datasets import make_two_layer_regression

STOPS = [0.1, 0.4, 0.2]
CV = KFold(3, shuffle=True, random_state=0)


def model(**parameters):
    return RegularizedTwoLayerRegressor(
        **{
            "schedule": GeometricSchedule(ratio=0.6),
            "solver": "fast",
            "random_state": 0,
            **parameters,
        }
    )


def data(n_outputs=1):
    return make_two_layer_regression(
        150, 3, n_directions=2, n_targets=n_outputs, noise=0.3, random_state=0
    )


def searched(estimator, X, y, name="schedule__stop", stops=STOPS, **options):
    search = GridSearchCV(estimator, {name: stops}, refit=False, **options)
    return search.fit(X, y).cv_results_


def same_scores(curve, search):
    for name in ("mean_test_score", "std_test_score", "rank_test_score"):
        np.testing.assert_array_equal(curve[name], search[name])
    for k in range(3):
        name = f"split{k}_test_score"
        np.testing.assert_array_equal(curve[name], search[name])


@pytest.mark.parametrize(
    ("parameters", "n_outputs"),
    [
        ({}, 1),
        pytest.param({"solver": "newton", "tol": 0.1}, 1, marks=pytest.mark.slow),
        ({"debias": True}, 1),
        ({"max_features": 1}, 2),
        ({"schedule": GeometricSchedule(ratio=0.6, n_stages=2)}, 1),
    ],
)
def test_scores_are_those_of_a_grid_search(parameters, n_outputs):
    X, y = data(n_outputs)
    curve = stop_validation_curve(model(**parameters), X, y, stops=STOPS, cv=CV)
    same_scores(curve, searched(model(**parameters), X, y, cv=CV))
    np.testing.assert_array_equal(curve["param_stop"], STOPS)
    assert curve["fit_time"].shape == (3,)


def test_pipelines_tables_and_other_scores():
    X, y = data()
    X = pd.DataFrame(X * [1.0, 10.0, 100.0], columns=list("abc"))
    estimator = make_pipeline(StandardScaler(), model())
    options = {"cv": CV, "scoring": "neg_mean_absolute_error"}
    curve = stop_validation_curve(estimator, X, y, stops=STOPS, **options)
    name = "regularizedtwolayerregressor__schedule__stop"
    same_scores(curve, searched(estimator, X, y, name, **options))
    alone = stop_validation_curve(make_pipeline(model()), X, y, stops=STOPS, **options)
    same_scores(alone, searched(model(), X, y, **options))


def test_groups_reach_the_splitter():
    X, y = data()
    groups = np.arange(150) // 50
    curve = stop_validation_curve(
        model(), X, y, stops=STOPS, groups=groups, cv=GroupKFold(3)
    )
    folds = list(GroupKFold(3).split(X, y, groups))
    same_scores(curve, searched(model(), X, y, cv=folds))


def test_one_path_a_fold(monkeypatch):
    X, y = data()
    decays = []

    def counted(rows, network, lambda_, *rest):
        decays.append(lambda_)
        return descend(rows, network, lambda_, *rest)

    descend = path_module.DESCENTS["fast"]
    monkeypatch.setitem(path_module.DESCENTS, "fast", counted)
    stop_validation_curve(model(), X, y, stops=STOPS, cv=CV)
    longest = len(GeometricSchedule(ratio=0.6, stop=min(STOPS)).stages(1.0))
    assert len(decays) == 3 * longest


def test_the_estimator_is_left_as_it_was():
    X, y = data()
    estimator = model()
    before = repr(estimator)
    stop_validation_curve(estimator, X, y, stops=[0.4], cv=CV)
    assert repr(estimator) == before
    assert not hasattr(estimator, "features_")


@pytest.mark.parametrize(
    ("estimator", "stops", "error", "match"),
    [
        (Ridge(), STOPS, TypeError, "estimator must be a Regularized.*GridSearchCV"),
        (make_pipeline(Ridge()), STOPS, TypeError, "estimator must be"),
        (model(schedule=None), STOPS, TypeError, "schedule must be a Geometric"),
        (model(schedule=StagedSchedule([0.1])), STOPS, TypeError, "got StagedSch"),
        (model(criterion="bic"), STOPS, ValueError, "criterion must be None.*'bic'"),
        (model(warm_start=True), STOPS, ValueError, "warm_start must be False"),
        (model(checkpoint="a.npz"), STOPS, ValueError, "checkpoint must be None"),
        (model(), "auto", ValueError, "stops must be a sequence of numbers"),
        (model(), 0.1, ValueError, "stops must be a sequence of numbers"),
        (model(), [], ValueError, "stops must be a sequence of numbers"),
        (model(), [0.1, "auto"], TypeError, "stops"),
        (model(), [0.9], ValueError, r"GeometricSchedule.stop"),
    ],
)
def test_what_cannot_share_a_path_is_refused(estimator, stops, error, match):
    X, y = data()
    with pytest.raises(error, match=match):
        stop_validation_curve(estimator, X, y, stops=stops, cv=CV)
