"""The same input gives the same output, and nothing around a fit is changed."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_two_layer_regression(300, 5, n_directions=3, noise=0.2, random_state=0)
SCHEDULE = StagedSchedule([0.5, 0.2])
MODELS = {
    "search": RegularizedTwoLayerRegressor(random_state=3),
    "newton": RegularizedTwoLayerRegressor(schedule=SCHEDULE, random_state=3),
    "gd": RegularizedTwoLayerRegressor(
        schedule=SCHEDULE, solver="gd", max_iter=100, random_state=3
    ),
    "cv": RegularizedTwoLayerRegressorCV(lambdas=6, cv=3, random_state=3),
}
FITTED = (
    "features_",
    "feature_intercepts_",
    "amplitudes_",
    "linear_coef_",
    "linear_intercept_",
)


def digits(model):
    """All bits of the fitted network, as text."""
    parts = [np.asarray(getattr(model, name)).tobytes().hex() for name in FITTED]
    return " ".join(parts)


@pytest.mark.parametrize("name", MODELS)
def test_bitwise_equal_in_one_process(name):
    first = digits(MODELS[name].fit(X, Y))
    np.random.default_rng().standard_normal(10)
    torch.randn(10, device="cpu")
    assert digits(MODELS[name].fit(X, Y)) == first


@pytest.mark.slow
def test_bitwise_equal_across_processes():
    names = ["search", "newton"]
    code = (
        "import warnings; warnings.simplefilter('ignore'); import sys;"
        f"sys.path.insert(0, {str(__file__).rpartition('/')[0]!r});"
        "from test_repeatability import *;"
        f"print(*(digits(MODELS[name].fit(X, Y)) for name in {names}), sep=chr(10))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    expected = [digits(MODELS[name].fit(X, Y)) for name in names]
    assert found.stdout.splitlines() == expected


@pytest.mark.parametrize("schedule", [None, SCHEDULE], ids=["search", "schedule"])
def test_numbers_of_threads_do_not_matter(schedule):
    X, y = make_two_layer_regression(4000, 15, n_directions=3, random_state=0)
    fits = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            model = RegularizedTwoLayerRegressor(schedule=schedule, random_state=0)
            fits.append(model.fit(X, y))
    one, two = fits
    assert digits(one) == digits(two)


def surroundings():
    return {
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "pools": [
            (pool["filepath"], pool["num_threads"]) for pool in threadpool_info()
        ],
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch seed": torch.get_rng_state().tolist(),
        "numpy seed": [np.asarray(p).tolist() for p in np.random.get_state()],  # noqa: NPY002
        "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "warnings": list(warnings.filters),
    }


class Failing(GeometricSchedule):
    """Lets a fit fail after the data are set up."""

    def stages(self, lambda_max):
        raise RuntimeError("in the middle")


@pytest.mark.parametrize("name", [*MODELS, "path", "raises", "refused"])
def test_surroundings_are_left_as_they_were(name):
    y = np.abs(X[:, 0])
    before = surroundings()
    if name == "path":
        two_layer_path(X, y, schedule=SCHEDULE, random_state=0)
    elif name == "raises":
        with pytest.raises(RuntimeError, match="in the middle"):
            RegularizedTwoLayerRegressor(schedule=Failing()).fit(X, y)
    elif name == "refused":
        with pytest.raises(ValueError, match="NaN"):
            RegularizedTwoLayerRegressor().fit(X, np.full(len(X), np.nan))
    else:
        model = MODELS[name].fit(X, y)
        model.predict(X)
        model.transform(X)
        model.to_torch()
    assert surroundings() == before


def test_surroundings_do_not_matter():
    """Another default precision, NumPy errors that raise, gradients switched off."""
    expected = digits(MODELS["search"].fit(X, Y))
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with np.errstate(all="raise"), torch.no_grad():
            assert digits(MODELS["search"].fit(X, Y)) == expected
    finally:
        torch.set_default_dtype(default)
