"""Fits with a loss go on from a checkpoint, and from the network of an earlier fit."""

import warnings

import numpy as np
import pytest
import torch
from conftest import Interrupting
from sklearn.base import clone

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
)
from sklearn_twolayer._fit.loss_fit import class_problem
from sklearn_twolayer._fit.loss_problem import loss_path
from sklearn_twolayer._losses.model import Model
from sklearn_twolayer._losses.newton import minimize_at
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import WarmStartWarning

X, SIGNAL = make_two_layer_regression(300, 3, n_directions=2, random_state=0)
SIGNAL = 2.0 * (SIGNAL - SIGNAL.mean()) / SIGNAL.std()
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.logistic(size=300)
TARGETS = {
    "two": np.where(3.0 * SIGNAL + NOISE > 0.0, "yes", "no"),
    "three": np.digitize(3.0 * SIGNAL + NOISE, [-3.0, 3.0]),
    "poisson": RANDOM.poisson(np.exp(0.7 * SIGNAL)).astype(float),
    "huber": SIGNAL + np.where(RANDOM.random(300) < 0.05, 10.0, 0.2) * NOISE,
}
SCHEDULE = StagedSchedule([1.2, 0.7, 0.5])
KINDS = pytest.mark.parametrize("kind", list(TARGETS))
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def model_of(kind, **parameters):
    parameters = {"random_state": 0, "tol": 1e-2, **parameters}
    if kind in ("two", "three"):
        return RegularizedTwoLayerClassifier(**parameters)
    return RegularizedTwoLayerRegressor(loss=kind, **parameters)


def interrupted(model, after, y):
    with pytest.raises(KeyboardInterrupt):
        model.set_callbacks(Interrupting(after)).fit(X, y)
    return model.set_callbacks()


def same(model, other):
    for name, value in vars(other).items():
        if name.endswith("_") and name != "history_":
            np.testing.assert_array_equal(getattr(model, name), value)
    for name, values in other.history_.items():
        if name != "seconds":
            np.testing.assert_array_equal(model.history_[name], values)


def no_search(*args):
    raise AssertionError("a search has begun")


@KINDS
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_fit_goes_on_after_any_stage(tmp_path, monkeypatch, kind, after):
    path, y = tmp_path / "fit.npz", TARGETS[kind]
    model = interrupted(model_of(kind, schedule=SCHEDULE, checkpoint=path), after, y)
    with np.load(path, allow_pickle=False) as archive:
        assert len(archive["loss"]) == after
        seconds = archive["seconds"]
    whole = model_of(kind, schedule=SCHEDULE).fit(X, y)
    # The scale of the residuals is in the file: nothing is searched for again.
    monkeypatch.setattr("sklearn_twolayer._fit.loss_problem.search_model", no_search)
    same(model.fit(X, y), whole)
    assert len(model.features_) > 0
    np.testing.assert_array_equal(model.history_["seconds"][:after], seconds)
    assert list(tmp_path.iterdir()) == [path]


@KINDS
def test_a_finished_search_is_read_back(tmp_path, monkeypatch, kind):
    y, model = TARGETS[kind], model_of(kind, checkpoint=tmp_path / "fit.npz")
    first = clone(model).fit(X, y)
    monkeypatch.setattr("sklearn_twolayer._fit.loss_problem.search_model", no_search)
    second = model.fit(X, y)
    same(second, first)
    np.testing.assert_array_equal(second.history_["seconds"], first.history_["seconds"])
    assert len(second.features_) > 0


@pytest.mark.parametrize("kind", ["three", "huber"])
def test_a_warm_start_goes_on_from_a_checkpoint_too(tmp_path, kind):
    y = TARGETS[kind]
    first = model_of(kind, warm_start=True).fit(X, y).set_params(schedule=SCHEDULE)
    plain = clone(first)
    vars(plain).update(vars(first))
    model = interrupted(first.set_params(checkpoint=tmp_path / "fit.npz"), 2, y)
    same(model.fit(X, y), plain.fit(X, y))
    with pytest.raises(ValueError, match="other data"):  # It begins elsewhere.
        clone(model).fit(X, y)


def test_without_a_seed_the_one_of_the_file_is_taken(tmp_path):
    options = {
        "random_state": None, "checkpoint": tmp_path / "fit", "schedule": SCHEDULE,
    }  # fmt: skip
    y = TARGETS["two"]
    interrupted(model_of("two", **options), 2, y)
    same(model_of("two", **options).fit(X, y), model_of("two", **options).fit(X, y))


def test_a_stage_that_ran_out_of_time_is_not_kept(tmp_path):
    path, y = tmp_path / "fit.npz", TARGETS["huber"]
    model_of("huber", schedule=SCHEDULE, max_time=1e-6, checkpoint=path).fit(X, y)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["two", "huber"])
def test_files_of_other_fits_are_refused(tmp_path, kind):
    path, y = tmp_path / "fit.npz", TARGETS[kind]
    model = model_of(kind, schedule=ConstantSchedule(0.6), checkpoint=path).fit(X, y)
    before = path.read_bytes()
    counts = np.arange(300.0) % 7
    squares = {"loss": "squared_error", "solver": "newton", "prune_tol": 0.0}
    for other, told in [
        (model_of("poisson", checkpoint=path), "for loss = .*got 'poisson'"),
        (model_of("poisson", checkpoint=path).set_params(**squares), "for loss = "),
        (clone(model).set_params(tol=1e-3), "for tol = "),
        (clone(model).set_params(schedule=None), "for schedule = "),
    ]:
        targets = y if type(other) is type(model) and kind == "two" else counts
        with pytest.raises(ValueError, match=rf"checkpoint .*{told}.*Delete"):
            other.fit(X, targets)
    if kind == "huber":  # The search that finds the scale depends on it.
        with pytest.raises(ValueError, match="for criterion = "):
            clone(model).set_params(criterion="bic").fit(X, y)
    moved = X.copy()
    moved[7, 2] += 1e-3
    changed = np.roll(y, 1)
    for data in [
        (moved, y), (X, changed), (X[:-1], y[:-1]), (X[:, :-1], y),
        (X, y, np.arange(1.0, 301.0)),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=r"checkpoint .*other data"):
            clone(model).fit(*data)
    if kind == "two":  # the same classes in the other order
        with pytest.raises(ValueError, match=r"checkpoint .*other data"):
            clone(model).fit(X, np.where(y == "yes", "no", "yes"))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("linear", lambda linear: linear * np.nan), ("linear", lambda linear: linear.T),
        ("linear", lambda linear: linear[:-1]), ("linear", lambda linear: linear[:0]),
        ("linear", lambda linear: linear * 1e60), ("scale", lambda scale: -scale),
        ("scale", lambda scale: scale[:-1]), ("scale", lambda scale: scale * np.inf),
    ],
)  # fmt: skip
def test_damaged_parts_of_a_loss_are_refused(tmp_path, name, change):
    path, y = tmp_path / "fit.npz", TARGETS["huber"]
    model = model_of("huber", schedule=StagedSchedule([1.2, 1.1]), checkpoint=path)
    model.fit(X, y)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"checkpoint .*(cannot be read|other data)"):
        clone(model).fit(X, y)


@KINDS
def test_a_search_goes_on_from_the_earlier_network(kind):
    y, model = TARGETS[kind], model_of(kind, warm_start=True)
    first = clone(model).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", WarmStartWarning)
        second = model.fit(X, y).fit(X, y)
    assert second.n_iter_ < first.n_iter_
    assert len(second.features_) == len(first.features_) == 2
    assert second.history_["loss"][0] == pytest.approx(first.history_["loss"][0], 0.01)
    np.testing.assert_allclose(
        np.abs(second.features_ @ first.features_.T).max(1), 1.0, atol=1e-2
    )


@KINDS
def test_a_stage_goes_on_from_the_earlier_network(kind, monkeypatch):
    y, schedule, begun = TARGETS[kind], ConstantSchedule(0.5), []

    def told(data, model, *args):
        begun.append(model.network.n_neurons)
        return minimize_at(data, model, *args)

    monkeypatch.setattr("sklearn_twolayer._losses.path.minimize_at", told)
    model = model_of(kind, warm_start=True, schedule=schedule)
    first = clone(model).fit(X, y)
    second = model.fit(X, y).fit(X, y)
    assert begun == [0, 0, len(first.features_)]
    objectives = [one.history_["objective"][0] for one in (first, second)]
    assert objectives[1] == pytest.approx(objectives[0], rel=1e-2)
    assert second.dual_gap_ <= 1e-2 * objectives[1]


@KINDS
@pytest.mark.parametrize(
    "schedule", [None, pytest.param(ConstantSchedule(0.5), marks=pytest.mark.slow)]
)
def test_a_warm_start_begins_anew_in_other_units(kind, schedule):
    y, model = TARGETS[kind], model_of(kind, warm_start=True, schedule=schedule)
    model.fit(X, y)
    for factor in (1e3, 1e-9):
        fresh = clone(model).fit(factor * X, y)
        again = clone(model)
        vars(again).update(vars(model))
        with pytest.warns(WarmStartWarning, match="begun anew") as told:
            again.fit(factor * X, y)
        same(again, fresh)
        assert told[0].filename == __file__


def test_a_warm_start_needs_the_same_classes_and_columns():
    y = TARGETS["three"]
    model = model_of("three", warm_start=True, schedule=ConstantSchedule(1.1))
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"whose classes were \[0, 1, 2\]; y has \[0,"):
        model.fit(X, np.minimum(y, 1))
    with pytest.raises(ValueError, match="had 3 inputs"):
        model.fit(X[:, :2], y)
    with pytest.raises(TypeError, match="warm_start"):
        model.set_params(warm_start="no").fit(X, y)


@pytest.mark.parametrize("n_classes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_network_comes_back_to_the_coordinates_of_the_fit(n_classes):
    options = check_path_options(
        schedule=ConstantSchedule(0.5), solver="newton", n_neurons=50, hidden_bias=True,
        standardize=True, max_iter=300, max_time=None, tol=1e-3, prune_tol=0.0,
        merge_angle=0.0, device=None, dtype="float64", random_state=0, checkpoint=None,
    )  # fmt: skip
    index = np.minimum(TARGETS["three"], n_classes - 1)
    problem = class_problem(3.0 * X + 1.0, index, np.ones(300), options)
    (stage,) = loss_path(problem)
    model = problem.model_of(stage)
    network = problem.network_of(problem.fitted(model))
    assert network.n_neurons > 1
    before = problem.fitted(model)
    after = problem.fitted(Model(network, torch.zeros_like(model.linear)))
    assert before.amplitudes.shape[1:] == (() if n_classes == 2 else (3,))
    for name in ("features", "feature_intercepts", "amplitudes"):
        np.testing.assert_allclose(
            getattr(after, name), getattr(before, name), rtol=0.0, atol=1e-12
        )
    assert problem.network_of(problem.fitted(problem.linear)) is None
