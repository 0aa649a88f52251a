"""scikit-learn's callbacks see the stages."""

import time

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer._losses.search import search_model
from sklearn_twolayer.datasets import make_two_layer_regression

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_two_layer_regression(100, 3, n_directions=2, random_state=0)
SCHEDULE = StagedSchedule([0.5, 0.3, 0.1])


class Recorder:
    """Keeps what the hooks are given; stops after `stop_after` stages."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events, self.models = [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "fit":
            self.max_stages = context.max_subtasks
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        self.models.append(fitted_estimator)
        n_stages = self.events.count("end stage")
        return self.stop_after is not None and n_stages >= self.stop_after


class Clock(Recorder):
    """Notes when stages begin and end."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_fit_task_begin(self, estimator, context):
        super().on_fit_task_begin(estimator, context)
        self.began = time.perf_counter()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "stage":
            self.seconds.append(time.perf_counter() - self.began)
        return super().on_fit_task_end(
            estimator, context, fitted_estimator=fitted_estimator
        )


@pytest.mark.parametrize(
    "schedule", [SCHEDULE, GeometricSchedule(), None], ids=["fixed", "auto", "none"]
)
def test_the_work_of_a_stage_lies_between_its_hooks(schedule):
    clock = Clock()
    fitted = model().set_params(schedule=schedule).set_callbacks(clock).fit(X, Y)
    seconds = fitted.history_["seconds"]
    assert len(clock.seconds) == len(seconds)
    assert (np.array(clock.seconds) >= seconds).all()
    assert clock.events.count("begin stage") == clock.events.count("end stage")


def model():
    return RegularizedTwoLayerRegressor(
        n_neurons=5, max_iter=20, schedule=SCHEDULE, random_state=0
    )


def test_hooks_are_called_for_the_fit_and_each_stage():
    recorder = Recorder()
    fitted = model().set_callbacks(recorder).fit(X, Y)
    stage = ["begin stage", "end stage"]
    expected = ["setup", "begin fit", *3 * stage, "end fit", "teardown"]
    assert recorder.events == expected
    assert recorder.max_stages == 3  # without it a progress bar cannot advance
    np.testing.assert_array_equal(recorder.models[-1].predict(X), fitted.predict(X))
    errors = [np.mean((m.predict(X) - Y) ** 2) for m in recorder.models[:3]]
    assert errors[0] > errors[1] > errors[2]


def test_a_callback_can_end_the_schedule():
    fitted = model().set_callbacks(Recorder(stop_after=2)).fit(X, Y)
    assert len(fitted.lambdas_) == 2


COUNTS = np.random.default_rng(0).poisson(np.exp(2.0 * Y))
OF_LOSSES = pytest.mark.parametrize(
    ("kind", "loss", "y"),
    [
        (RegularizedTwoLayerClassifier, {}, np.array(["no", "yes"])[(Y > 0.2) * 1]),
        (RegularizedTwoLayerClassifier, {}, np.digitize(Y, [-0.3, 0.3])),
        (RegularizedTwoLayerRegressor, {"loss": "poisson"}, COUNTS),
        (RegularizedTwoLayerRegressor, {"loss": "huber"}, Y),
    ],
    ids=["two classes", "three classes", "poisson", "huber"],
)


@OF_LOSSES
def test_stages_with_a_loss_are_told_stopped_and_printed(kind, loss, y, capsys):
    score = "accuracy" if not loss else "r2"
    recorder, monitor = Recorder(stop_after=2), ScoringMonitor(scoring=score)
    model = kind(schedule=SCHEDULE, max_iter=30, random_state=0, verbose=1, **loss)
    model.set_callbacks(recorder, monitor, ProgressBar()).fit(X, y)
    stage = ["begin stage", "end stage"]
    assert recorder.events == ["setup", "begin fit", *2 * stage, "end fit", "teardown"]
    assert recorder.max_stages == 3
    assert capsys.readouterr().out.count("lambda/lambda_max") == 2
    assert len(model.lambdas_) == 2
    # Each stage has a model that predicts, the last of them the result.
    np.testing.assert_array_equal(recorder.models[-1].predict(X), model.predict(X))
    np.testing.assert_array_equal(recorder.models[1].predict(X), model.predict(X))
    logs = monitor.get_logs().data
    scores = [entry[score] for entry in logs if entry["task_name"] == "stage"]
    scorer = get_scorer(score)
    assert scores == [scorer(one, X, y) for one in recorder.models[:2]]
    # Callbacks change nothing: the path has the same stages, and one more.
    whole = kind(schedule=SCHEDULE, max_iter=30, random_state=0, **loss).fit(X, y)
    np.testing.assert_array_equal(whole.history_["loss"][:2], model.history_["loss"])
    assert len(whole.lambdas_) == 3


@OF_LOSSES
@pytest.mark.parametrize("schedule", [None, ConstantSchedule(0.5)])
def test_the_work_with_a_loss_lies_between_its_hooks(
    kind, loss, y, schedule, monkeypatch
):
    """Also the search for the scale of the residuals, before the first stage."""
    clock, searches = Clock(), []

    def told(*args):
        searches.append(clock.events[-1])
        return search_model(*args)

    monkeypatch.setattr("sklearn_twolayer._fit.loss_problem.search_model", told)
    model = kind(schedule=schedule, max_iter=30, random_state=0, **loss)
    model.set_callbacks(clock).fit(X, y)
    assert clock.events.count("begin stage") == clock.events.count("end stage") == 1
    assert clock.seconds[0] >= model.history_["seconds"][0]
    has_search = schedule is None or loss == {"loss": "huber"}
    assert searches == ["begin stage"] * has_search


def test_teardown_follows_an_error():
    recorder = Recorder()
    with pytest.raises(ValueError, match="n_neurons"):
        model().set_params(n_neurons=0).set_callbacks(recorder).fit(X, Y)
    bad = np.full_like(X, np.nan)
    with pytest.raises(ValueError, match="X"):
        model().set_callbacks(recorder).fit(bad, Y)
    assert recorder.events.count("setup") == recorder.events.count("teardown")


def test_progress_bar_shows_stages(capsys):
    model().set_callbacks(ProgressBar()).fit(X, Y)
    shown = capsys.readouterr().out
    assert "RegularizedTwoLayerRegressor" in shown
    assert "100%" in shown


def test_progress_bar_through_grid_search(capsys):
    search = GridSearchCV(model(), {"merge_angle": [0.01, 0.1]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(X, Y)
    assert "RegularizedTwoLayerRegressor" in capsys.readouterr().out


def scores_of(monitor):
    """Scores of the stages, fit by fit."""
    fits = {}
    for entry in monitor.get_logs().data:
        if entry["task_name"] == "stage":
            fits.setdefault(entry["parent_task_id_path"], []).append(entry["r2"])
    return list(fits.values())


def test_scoring_monitor_scores_every_stage():
    monitor = ScoringMonitor(scoring="r2")
    fitted = model().set_callbacks(monitor).fit(X, Y)
    (scores,) = scores_of(monitor)
    assert len(scores) == 3
    assert scores[-1] == fitted.score(X, Y)
    assert scores == sorted(scores)


def test_scoring_monitor_through_grid_search_and_pipeline():
    monitor = ScoringMonitor(scoring="r2")
    pipeline = make_pipeline(StandardScaler(), model().set_callbacks(monitor))
    grid = {"regularizedtwolayerregressor__merge_angle": [0.01, 0.1]}
    GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    fits = scores_of(monitor)
    assert [len(scores) for scores in fits] == 5 * [3]  # two by two, and the refit
    assert all(scores == sorted(scores) for scores in fits)


@pytest.mark.parametrize(
    ("kind", "n_jobs"),
    [
        (RegularizedTwoLayerRegressorCV, None),
        pytest.param(RegularizedTwoLayerRegressorCV, 2, marks=pytest.mark.slow),
        (RegularizedTwoLayerClassifierCV, None),
    ],
)
def test_folds_are_told_and_printed(kind, n_jobs, capsys):
    recorder = Recorder()
    model = kind(cv=3, lambdas=2, eps=0.3, verbose=1, n_jobs=n_jobs, random_state=0)
    y = Y if kind is RegularizedTwoLayerRegressorCV else Y.argsort() % 2
    model.set_callbacks(recorder, ProgressBar()).fit(X, y)
    events = recorder.events
    assert (events[:2], events[-2:]) == (
        ["setup", "begin fit"],
        ["end fit", "teardown"],
    )
    assert events.count("begin fold") == events.count("end fold") >= 3
    begin, end = events.index("begin folds"), events.index("end folds")
    assert events[begin + 1 : end] == ["begin fold", "end fold"] * 3
    assert "folds: 3 of 3" in capsys.readouterr().out
    plain = kind(cv=3, lambdas=2, eps=0.3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(plain.features_, model.features_)
    last = recorder.models[-1]
    np.testing.assert_array_equal(last.predict(X), model.predict(X))


def test_a_fit_by_folds_that_fails_tears_down():
    recorder = Recorder()
    model = RegularizedTwoLayerRegressorCV(cv=3, lambdas=-1).set_callbacks(recorder)
    with pytest.raises(ValueError, match="lambdas"):
        model.fit(X, Y)
    assert recorder.events[-1] == "teardown"
