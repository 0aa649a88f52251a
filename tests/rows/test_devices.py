"""Fits on a device without float64, such as MPS, which is imitated on the CPU."""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    two_layer_path,
)
from sklearn_twolayer._rows.sums import moved
from sklearn_twolayer.datasets import make_two_layer_regression

DEVICE = torch.device("mps")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class There(torch.Tensor):
    """A tensor that claims to lie on the device."""

    @property
    def device(self):
        return DEVICE


def there(value):
    """The value on the device; its precision must exist there."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError("Cannot convert to float64: the device has no such type.")
    return value.as_subclass(There)


def here(value):
    return value.as_subclass(torch.Tensor) if isinstance(value, There) else value


class WithoutFloat64(TorchFunctionMode):
    """All operations of torch, with the rules of the device for its tensors."""

    def __init__(self):
        super().__init__()
        self.n_operations = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return self.run(func, args, kwargs)

    def run(self, func, args, kwargs):
        values = tree_flatten((args, kwargs))[0]
        is_there = any(isinstance(value, There) for value in values)
        if func in (torch.Tensor.to, torch.Tensor.cpu):
            return self.copy(func, args, kwargs, is_there)
        target = kwargs.get("device")
        if target is not None and torch.device(target) == DEVICE:
            return there(func(*args, **{**kwargs, "device": "cpu"}))
        if not is_there:
            return func(*args, **kwargs)
        if func is torch.Tensor.numpy:
            raise TypeError("can't convert a tensor of the device to numpy")
        for value in values:
            if isinstance(value, torch.Tensor) and value.dim() > 0:
                assert isinstance(value, There), f"{func} mixes devices"
        self.n_operations += 1
        results = func(*tree_map(here, args), **tree_map(here, kwargs))
        return tree_map(there, results)

    def copy(self, func, args, kwargs, is_there):
        tensor, *rest = args
        targets = [*rest, *kwargs.values()]
        devices = [value for value in targets if isinstance(value, (torch.device, str))]
        devices = ["cpu"] if func is torch.Tensor.cpu else devices
        goes_there = torch.device(devices[0]) == DEVICE if devices else is_there
        dtypes = [value for value in targets if isinstance(value, torch.dtype)]
        if is_there and torch.float64 in dtypes:  # even on the way to the CPU
            raise TypeError("Cannot convert to float64: the device has no such type.")
        plain = here(tensor).to(dtypes[0]) if dtypes else here(tensor)
        if goes_there and not is_there:
            there(here(tensor) if not dtypes else plain)
        return there(plain) if goes_there else plain


@pytest.mark.parametrize("tensor", [torch.ones(3), torch.ones(3).double()])
def test_copies_change_precision_on_the_cpu(tensor):
    with WithoutFloat64():
        over = moved(tensor, DEVICE, torch.float32)
        assert over.device == DEVICE
        with pytest.raises(TypeError, match="float64"):
            over.to("cpu", torch.float64)
        back = moved(over, torch.device("cpu"), torch.float64)
    assert (back.device.type, back.dtype) == ("cpu", torch.float64)


STAGES = GeometricSchedule(stop=0.1)


@pytest.mark.parametrize(
    ("schedule", "solver", "hidden_bias"),
    [
        (None, "auto", True),
        (None, "auto", False),
        (STAGES, "newton", False),
        (STAGES, "fast", True),
        (STAGES, "fast", False),
        (STAGES, "gd", False),
        pytest.param(STAGES, "newton", True, marks=pytest.mark.slow),
        pytest.param(STAGES, "gd", True, marks=pytest.mark.slow),
    ],
)
def test_fits_without_float64(schedule, solver, hidden_bias):
    X, y = make_two_layer_regression(120, 3, n_directions=2, noise=0.1, random_state=0)
    X = X - X.mean(axis=0)
    model = RegularizedTwoLayerRegressor(
        schedule=schedule, solver=solver, hidden_bias=hidden_bias, dtype="float32",
        debias=schedule is not None, max_iter=100, random_state=0,
    )  # fmt: skip
    expected = model.fit(X, y).predict(X)
    with WithoutFloat64() as mode:
        found = model.set_params(device="mps").fit(X, y).predict(X)
    assert mode.n_operations > 100
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_blocks_without_float64(monkeypatch):
    monkeypatch.setattr("sklearn_twolayer._rows.standardize.KEPT_ENTRIES", 0)
    X, y = make_two_layer_regression(120, 3, n_directions=2, noise=0.1, random_state=0)
    options = {
        "schedule": GeometricSchedule(stop=0.2), "tol": 1e-6, "random_state": 0,
    }  # fmt: skip
    expected = two_layer_path(X, y, dtype="float32", **options)
    with WithoutFloat64() as mode:
        found = two_layer_path(X, y, dtype="float32", device="mps", **options)
    assert mode.n_operations > 100
    for network, other in zip(found.networks, expected.networks, strict=True):
        np.testing.assert_allclose(network.predict(X), other.predict(X), atol=1e-3)


def test_float64_is_refused_there():
    X, y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)
    told = r"device must be .* with dtype='float32', 'mps', got 'mps' with float64"
    with WithoutFloat64(), pytest.raises(ValueError, match=told):
        RegularizedTwoLayerRegressor(device="mps").fit(X, y)
