"""Fits and predictions at the same time, and inside torch's modes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import joblib
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer._runtime.threads import SMALL_ENTRIES, fit_threads
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_two_layer_regression(400, 6, n_directions=3, noise=0.2, random_state=0)
MODELS = [
    RegularizedTwoLayerRegressor(random_state=seed, schedule=schedule)
    for seed in range(2)
    for schedule in (None, StagedSchedule([0.5, 0.2]))
]


def fitted(model):
    return model.fit(X, Y).features_


def pools():
    return sorted((info["filepath"], info["num_threads"]) for info in threadpool_info())


def test_limits_of_fits_that_overlap_end_with_the_last(monkeypatch):
    monkeypatch.setattr("sklearn_twolayer._runtime.threads.TURN_SECONDS", 0.01)
    before, steps = pools(), Barrier(2)
    with fit_threads(10):  # must not keep other threads from limits of their own
        pass

    def first():
        with fit_threads(10):
            steps.wait()  # both are in
            steps.wait()
        steps.wait()  # the first has left before the second

    def second():
        with fit_threads(10):
            steps.wait()
            steps.wait()
            steps.wait()
            blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
            assert all(info["num_threads"] == 1 for info in blas)

    with ThreadPoolExecutor(2) as executor:
        for future in [executor.submit(first), executor.submit(second)]:
            future.result(timeout=30)
    assert pools() == before


def entered(patience, monkeypatch, wait):
    """Whether a second fit begins while another thread's lasts."""
    monkeypatch.setattr("sklearn_twolayer._runtime.threads.TURN_SECONDS", patience)
    begun = Event()

    def second():
        with fit_threads(10):
            begun.set()

    with ThreadPoolExecutor(1) as executor:
        with fit_threads(10), fit_threads(10):  # a fit within a fit does not wait
            future = executor.submit(second)
            early = begun.wait(wait)
        future.result(timeout=30)
    return early


def test_small_fits_take_turns_but_not_for_ever(monkeypatch):
    assert not entered(30.0, monkeypatch, wait=0.2)
    assert entered(0.01, monkeypatch, wait=30.0)
    assert not entered(30.0, monkeypatch, wait=0.2)  # the turn was given back


@pytest.mark.parametrize("n_entries", [10, SMALL_ENTRIES + 1])
def test_fits_of_all_sizes_use_one_thread(n_entries):
    before = pools()
    with fit_threads(n_entries):
        assert {n_threads for _, n_threads in pools()} == {1}
    assert pools() == before


def test_fits_in_four_threads_are_the_serial_ones():
    expected, before = [fitted(model) for model in MODELS], pools()
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(fitted, MODELS))
    for features, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(features, reference)
    assert pools() == before


@pytest.mark.slow
def test_fits_in_four_processes_are_the_serial_ones():
    expected = [fitted(model) for model in MODELS]
    found = joblib.Parallel(n_jobs=4, backend="loky")(
        joblib.delayed(fitted)(model) for model in MODELS
    )
    for features, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(features, reference)


def test_one_model_predicts_in_eight_threads():
    model = MODELS[0].fit(X, Y)
    parts = [X[k : k + 50] for k in range(0, 400, 50)]
    expected = [model.predict(part) for part in parts]
    transformed = [model.transform(part) for part in parts]
    start, results = Barrier(8), [None] * 8

    def work(k):
        start.wait()
        for _ in range(50):
            results[k] = (model.predict(parts[k]), model.transform(parts[k]))

    threads = [Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        np.testing.assert_array_equal(results[k][0], expected[k])
        np.testing.assert_array_equal(results[k][1], transformed[k])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("model", MODELS[:2])
def test_modes_of_torch_do_not_matter(mode, model):
    expected = fitted(model)
    with mode():
        np.testing.assert_array_equal(fitted(model), expected)
        np.testing.assert_array_equal(model.predict(X), model.fit(X, Y).predict(X))


@pytest.mark.parametrize("model", MODELS[:2])
def test_a_fit_inside_somebody_elses_differentiation(model):
    """Their graph is theirs: the fit neither joins nor disturbs it."""
    expected = fitted(model)
    value = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        square = value**2
        np.testing.assert_array_equal(fitted(model), expected)
        (square * float(model.predict(X[:1])[0])).backward()
    np.testing.assert_allclose(value.grad, 4.0 * model.predict(X[:1]))


def test_the_exported_module_can_be_trained_in_a_graph():
    module = MODELS[0].fit(X, Y).to_torch()
    module(torch.from_numpy(X[:5])).sum().backward()
    assert module.features.grad is not None
