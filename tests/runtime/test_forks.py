"""Forked processes fit as fast as others, whatever other threads did at the fork."""

import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from threading import Event, Thread

import pytest
from threadpoolctl import threadpool_info

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._runtime.threads import SMALL_ENTRIES, fit_threads
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no forks"),
    # Python 3.12 warns of forks while there are threads, which is what is tested.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

X, Y = make_two_layer_regression(100, 3, n_directions=1, noise=0.2, random_state=0)


def blas_threads():
    return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]


def in_child(call):
    """What a call returns in a forked process, within some seconds."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(call()))
    process.start()
    arrived = ours.poll(timeout=60)
    result = ours.recv() if arrived else "nothing"
    process.kill()
    process.join()
    return result


def timed_fit():
    began = time.perf_counter()
    RegularizedTwoLayerRegressor(random_state=0).fit(X, Y)
    return time.perf_counter() - began, blas_threads()


def test_a_fork_while_another_thread_fits(monkeypatch):
    monkeypatch.setattr("sklearn_twolayer._runtime.threads.TURN_SECONDS", 30.0)
    timed_fit()
    before = blas_threads()
    inside, leave = Event(), Event()

    def fit():
        with fit_threads(10):
            inside.set()
            leave.wait(120)

    thread = Thread(target=fit)
    thread.start()
    inside.wait()
    try:
        assert set(blas_threads()) == {1}
        assert in_child(blas_threads) == before
        seconds, after = in_child(timed_fit)
    finally:
        leave.set()
        thread.join()
    assert seconds < 15.0  # It did not wait for its turn.
    assert after == before
    assert blas_threads() == before  # The parent's limit has ended, too.


def test_a_fork_within_a_fit_keeps_its_turn():
    before = blas_threads()

    def rest_of_the_fit(stack):
        limited = blas_threads()
        timed_fit()  # A fit within the fit, which has the turn.
        still = blas_threads()
        stack.close()
        return limited, still, blas_threads(), timed_fit()[1]

    with ExitStack() as stack:
        stack.enter_context(fit_threads(10))
        found = in_child(lambda: rest_of_the_fit(stack))
    ones = [1] * len(before)
    assert found == (ones, ones, before, before)
    assert blas_threads() == before
    assert timed_fit()[1] == before


def test_forked_fits_use_one_thread():
    """GNU's OpenMP cannot start the threads anew that it had in the parent."""

    def limits():
        with fit_threads(SMALL_ENTRIES + 1):
            return {info["num_threads"] for info in threadpool_info()}

    assert in_child(limits) == {1}


AFTER_THREADS = """
import multiprocessing, sys, warnings
import torch
from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression

X, y = make_two_layer_regression(100, 3, n_directions=1, noise=0.2, random_state=0)
torch.set_num_threads(2)
values = torch.randn(2000, 2000)
(values.exp() @ values).sum()  # Threads of torch have worked.
model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)

def fit():
    model.fit(X, y)
    assert torch.get_num_threads() == 2

process = multiprocessing.get_context("fork").Process(target=fit)
process.start()
process.join(60)
print(process.exitcode)
process.kill()
"""


def test_a_fork_after_threads_of_torch():
    settings = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AFTER_THREADS],
        env=settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == "0\n", found.stderr[-2000:]
