"""What a session has set changes no fit, and is as before after it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer._runtime.settings import own_settings
from sklearn_twolayer.datasets import make_two_layer_regression

X, Y = make_two_layer_regression(120, 4, n_directions=2, noise=0.1, random_state=0)


def one(**options):
    model = RegularizedTwoLayerRegressor(random_state=0, **options).fit(X, Y)
    return model.predict(X), model.transform(X)


def cv(**options):
    model = RegularizedTwoLayerRegressorCV(
        lambdas=3, cv=2, random_state=0, **options
    ).fit(X, Y)
    return model.predict(X), model.transform(X)


def path(**options):
    schedule = StagedSchedule([0.3, 0.05])
    networks = two_layer_path(
        X, Y, schedule=schedule, debias=True, random_state=0, **options
    ).networks
    return [network.predict(X) for network in networks]


FITS = {
    "default": one,
    "schedule": lambda **options: one(schedule=GeometricSchedule(stop=0.1), **options),
    "fast": lambda **options: one(
        schedule=GeometricSchedule(stop=0.1), solver="fast", debias=True, **options
    ),
    "cv": cv,
    "path": path,
}


@pytest.mark.parametrize("fit", FITS)
def test_floating_point_errors_that_raise(fit):
    expected = FITS[fit]()
    with np.errstate(all="raise"):
        before = np.geterr()
        found = FITS[fit]()
        assert np.geterr() == before
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, reference)


@pytest.mark.parametrize("fit", FITS)
def test_mixed_precision_of_torch(fit):
    expected = FITS[fit](dtype="float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = FITS[fit](dtype="float32")
        assert torch.is_autocast_enabled("cpu")
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.bfloat16
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, reference)


def test_predictions_of_numbers_that_underflow():
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, Y)
    model.linear_coef_, model.amplitudes_ = X[0] * 1e-300, model.amplitudes_ * 1e-200
    small, smaller = X * 1e-200, X * 1e-320
    with np.errstate(all="raise"):
        assert np.isfinite(model.predict(small)).all()
        assert np.isfinite(model.transform(smaller)).all()
        with pytest.raises(FloatingPointError):  # What overflows is theirs to know.
            model.transform(np.full((1, 4), 1.7e308))


def test_settings_are_as_before_after_an_error():
    with np.errstate(all="raise"), torch.autocast("cpu", dtype=torch.bfloat16):
        before = np.geterr()
        with pytest.raises(ValueError, match="tol"):
            RegularizedTwoLayerRegressor(tol=-1.0).fit(X, Y)
        assert np.geterr() == before
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"),
        torch.OutOfMemoryError("CUDA out of memory."),
    ],
)
def test_memory_that_torch_does_not_get(error):
    told = r"lower n_neurons.*torch says"
    with pytest.raises(MemoryError, match=told), own_settings():
        raise error
    with pytest.raises(RuntimeError, match="another"), own_settings():
        raise RuntimeError("another")


LIMITED = """
import resource, sys, warnings
import numpy as np
from sklearn_twolayer import *
from sklearn_twolayer.datasets import make_two_layer_regression

warnings.simplefilter("ignore")
X, y = make_two_layer_regression(4000, 20, n_directions=2, noise=0.1, random_state=0)
model = eval(sys.argv[1])
model.fit(X[:50, :3], y[:50])  # All libraries are loaded.
before = dict(vars(model))
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**22, taken + 2**22))
try:
    model.fit(np.tile(X, (1, 3)), y)
except MemoryError:
    assert vars(model) == before
    print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    "model",
    [
        "RegularizedTwoLayerRegressor(random_state=0)",
        pytest.param(
            "RegularizedTwoLayerRegressor(solver='gd', n_neurons=400, max_iter=5)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_limit_of_memory_is_a_memory_error(model):
    command = [sys.executable, "-c", LIMITED, model]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "MemoryError\n", found.stderr[-2000:]
