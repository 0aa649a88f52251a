"""Fits on devices with float64 and without, which are imitated on the CPU."""

import inspect

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    two_layer_path,
)
from sklearn_twolayer._descent.gauss_newton import gauss_newton_matrix
from sklearn_twolayer._descent.hessian_product import curvature_product
from sklearn_twolayer._fit.problem import resolve_device
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import correlations, evaluate, residual_at
from sklearn_twolayer._rows.devices import (
    PINNED_BYTES,
    block_entries,
    has_room,
    home_of,
    moved,
)
from sklearn_twolayer._rows.inputs import ArrayInputs, DenseInputs
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class There(torch.Tensor):
    """A tensor that claims to lie on the imitated device."""

    @property
    def device(self):
        return Imitated.current.where


def here(value):
    return value.as_subclass(torch.Tensor) if isinstance(value, There) else value


def caller_of_copy():
    """The function of the package that asks for a copy between devices."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals["__name__"].startswith("sklearn_twolayer."):
            return frame.f_code.co_name
        frame = frame.f_back
    return "test"


class Imitated(TorchFunctionMode):
    """All operations of torch, with the rules of the device for its tensors.

    ``copies`` has the number of entries of each tensor that was copied there or back.
    Reading a number of the device is refused: it is a copy that the code hides.
    """

    current = None
    READING = (
        torch.Tensor.item, torch.Tensor.__float__, torch.Tensor.__bool__,
        torch.Tensor.__int__, torch.Tensor.tolist, torch.Tensor.numpy,
    )  # fmt: skip

    def __init__(self, where, has_float64):
        super().__init__()
        self.where, self.has_float64 = torch.device(where), has_float64
        self.n_operations, self.copies = 0, []

    def __enter__(self):
        Imitated.current = self
        home_of.cache_clear()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        home_of.cache_clear()

    def there(self, value):
        """The value on the device; its precision must exist there."""
        if not isinstance(value, torch.Tensor):
            return value
        if value.dtype == torch.float64 and not self.has_float64:
            raise TypeError("Cannot convert to float64: the device has no such type.")
        return value.as_subclass(There)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return self.run(func, args, kwargs)

    def run(self, func, args, kwargs):
        values = tree_flatten((args, kwargs))[0]
        is_there = any(isinstance(value, There) for value in values)
        if func in (torch.Tensor.to, torch.Tensor.cpu):
            return self.copy(func, args, kwargs, is_there)
        if func is torch.Tensor.pin_memory:
            return args[0]
        target = kwargs.get("device")
        if target is not None and torch.device(target) == self.where:
            return self.there(func(*args, **{**kwargs, "device": "cpu"}))
        if not is_there:
            return func(*args, **kwargs)
        if func in self.READING:
            raise TypeError("can't convert a tensor of the device to numbers")
        for value in values:
            if isinstance(value, torch.Tensor) and value.dim() > 0:
                assert isinstance(value, There), f"{func} mixes devices"
        self.n_operations += 1
        results = func(*tree_map(here, args), **tree_map(here, kwargs))
        return tree_map(self.there, results)

    def copy(self, func, args, kwargs, is_there):
        tensor, *rest = args
        targets = [*rest, *kwargs.values()]
        devices = [value for value in targets if isinstance(value, (torch.device, str))]
        devices = ["cpu"] if func is torch.Tensor.cpu else devices
        goes_there = torch.device(devices[0]) == self.where if devices else is_there
        dtypes = [value for value in targets if isinstance(value, torch.dtype)]
        if is_there and torch.float64 in dtypes and not self.has_float64:
            # Not even on the way to the CPU.
            raise TypeError("Cannot convert to float64: the device has no such type.")
        plain = here(tensor).to(dtypes[0]) if dtypes else here(tensor)
        if goes_there and not is_there:
            self.there(here(tensor) if not dtypes else plain)
        if goes_there != is_there and caller_of_copy() != "resolve_device":
            assert caller_of_copy() in ("moved", "test")
            self.copies.append(tensor.numel())
        return self.there(plain) if goes_there else plain


def without_float64():
    return Imitated("mps", has_float64=False)


def with_float64():
    return Imitated("xpu", has_float64=True)


@pytest.mark.parametrize("tensor", [torch.ones(3), torch.ones(3).double()])
def test_copies_change_precision_on_the_cpu(tensor):
    with without_float64():
        over = moved(tensor, torch.device("mps"), torch.float32)
        assert over.device == torch.device("mps")
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
    with without_float64() as mode:
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
    with without_float64() as mode:
        found = two_layer_path(X, y, dtype="float32", device="mps", **options)
    assert mode.n_operations > 100
    for network, other in zip(found.networks, expected.networks, strict=True):
        np.testing.assert_allclose(network.predict(X), other.predict(X), atol=1e-3)


def test_float64_is_refused_there():
    X, y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)
    told = r"device must be .* with dtype='float32', 'mps', got 'mps' with float64"
    with without_float64(), pytest.raises(ValueError, match=told):
        RegularizedTwoLayerRegressor(device="mps").fit(X, y)


def rows_there(X, y, device="xpu", **options):
    y = np.asarray(y, dtype=float).reshape(len(X), -1)
    options = {
        "standardize": True, "hidden_bias": True, "dtype": torch.float64, **options,
    }  # fmt: skip
    return Rows.from_arrays(
        X, y, np.ones(len(X)), device=torch.device(device), **options
    )


def some_network(rng, rows, n_neurons=4):
    def numbers(n_columns):
        return torch.from_numpy(rng.standard_normal((n_neurons, n_columns)))

    return Network.from_parts(numbers(rows.n_inputs), numbers(rows.n_outputs))


SHIFT = np.array([0.0, 3.0, -5.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("n_blocks", [1, 7])
def test_an_evaluation_copies_its_parameters_there_and_its_sums_back(
    rng, monkeypatch, n_blocks, n_outputs, dtype
):
    monkeypatch.setattr(
        "sklearn_twolayer._rows.part.block_entries", lambda device: 20_000 // n_blocks
    )
    X, y = (
        rng.standard_normal((4000, 4)) + SHIFT,
        rng.standard_normal((4000, n_outputs)),
    )
    expected_rows = rows_there(X, y, "cpu", dtype=dtype)
    network = some_network(rng, expected_rows)
    residual = residual_at(expected_rows, network)
    expected = evaluate(expected_rows, network, 0.1)
    slopes = correlations(expected_rows, residual, network.directions)
    direction = torch.from_numpy(rng.standard_normal(tuple(network.parameters.shape)))
    tolerance = {"atol": 1e-13 if dtype == torch.float64 else 1e-5, "rtol": 0}
    with with_float64() as mode:
        rows = rows_there(X, y, dtype=dtype)
        assert n_blocks <= len(rows.parts.part.blocks(4)) <= n_blocks + 1
        rows.linear_part(rows.sums(_moments_of_targets))  # sends its basis once

        def copies(function, *arguments):
            del mode.copies[:]
            result = function(*arguments)
            assert max(mode.copies) < len(y)  # so no residual is among them
            return result, len(mode.copies)

        found, n_copies = copies(evaluate, rows, network, 0.1)
        assert n_copies == 2
        there, n_copies = copies(residual_at, rows, network)
        assert n_copies == 2
        found_slopes, n_copies = copies(correlations, rows, there, network.directions)
        assert n_copies == 2
        matrix, n_copies = copies(gauss_newton_matrix, rows, network)
        assert n_copies == 2
        _, n_copies = copies(curvature_product, rows, network, 0.1, direction)
        assert n_copies == 4  # two of them for the residual
    assert found.objective == pytest.approx(expected.objective, abs=tolerance["atol"])
    torch.testing.assert_close(found.gradient, expected.gradient, **tolerance)
    for one, other in zip(found_slopes, slopes, strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    expected_matrix = gauss_newton_matrix(expected_rows, network)
    torch.testing.assert_close(matrix, expected_matrix, **tolerance)


def _moments_of_targets(part):
    return part.inputs.block(slice(None)).moments(part.targets).double()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16])
def test_inputs_go_there_once_and_stay(rng, kind, dtype):
    X = (10.0 * rng.standard_normal((900, 4)) + SHIFT).astype(kind)
    y = rng.standard_normal(900)
    with with_float64() as mode:
        rows = rows_there(X, y, dtype=getattr(torch, dtype))
        inputs = rows.parts.part.inputs
        assert type(inputs) is DenseInputs
        assert inputs.values.device == mode.where
        # X once; shares of the weights in the sums for means and scales, their roots,
        # and the targets.
        assert sum(mode.copies) < X.size + 6 * len(y)
    expected = rows_there(X, y, "cpu", dtype=getattr(torch, dtype))
    torch.testing.assert_close(
        here(inputs.values), expected.parts.part.inputs.values, rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inputs_without_room_are_streamed(rng, monkeypatch, dtype):
    X, y = rng.standard_normal((400, 4)) + SHIFT, rng.standard_normal(400)
    expected_rows = rows_there(X, y, "cpu", dtype=dtype)
    network = some_network(rng, expected_rows)
    expected = evaluate(expected_rows, network, 0.1)
    monkeypatch.setattr("sklearn_twolayer._rows.devices.UNKNOWN_MEMORY", 2**10)
    monkeypatch.setattr("sklearn_twolayer._rows.standardize.KEPT_ENTRIES", 0)
    with with_float64() as mode:
        rows = rows_there(X, y, dtype=dtype)
        assert type(rows.parts.part.inputs) is ArrayInputs
        found = evaluate(rows, network, 0.1)
        assert mode.n_operations > 10
    atol = 1e-13 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("schedule", "n_targets", "noise"),
    [
        (None, 1, 0.1),
        (None, 2, 0.0),
        pytest.param(STAGES, 1, 0.0, marks=pytest.mark.slow),
    ],
)
def test_fits_with_float64_are_those_of_the_cpu(schedule, n_targets, noise):
    X, y = make_two_layer_regression(
        200, 3, n_directions=2, noise=noise, random_state=0
    )
    y = np.column_stack([y, X[:, 0] - 2.0 * y])[:, :n_targets]
    model = RegularizedTwoLayerRegressor(schedule=schedule, random_state=0)
    expected = model.fit(X, y).predict(X)
    with with_float64() as mode:
        found = model.set_params(device="xpu").fit(X, y).predict(X)
    assert mode.n_operations > 100
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_large_tensors_go_to_cuda_by_way_of_page_locked_memory(monkeypatch):
    calls = []

    class Watched(Imitated):
        def run(self, func, args, kwargs):
            if func in (torch.Tensor.pin_memory, torch.Tensor.to):
                calls.append((func.__name__, kwargs.get("non_blocking", False)))
            return super().run(func, args, kwargs)

    with Watched("cuda", has_float64=True) as mode:
        for n in (10, PINNED_BYTES // 8):
            values = torch.arange(n, dtype=torch.float64)
            over = moved(values, mode.where, torch.float64)
            assert over.device == mode.where
            assert torch.equal(moved(over, torch.device("cpu"), torch.float64), values)
    assert [name for name, _ in calls].count("pin_memory") == 1
    assert calls[calls.index(("pin_memory", False)) + 1] == ("to", True)


def test_memory_of_cuda_sets_blocks_and_room(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**36))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**29)
    assert block_entries(cuda) == 2**36 // 64 // 8
    assert has_room(cuda, (2**30 + 2**29) // 2)
    assert not has_room(cuda, (2**30 + 2**29) // 2 + 1)
    assert block_entries(torch.device("cpu")) is None


def test_sums_of_dask_parts_leave_the_device_where_they_are_made(rng):
    dask = pytest.importorskip("dask")
    da = pytest.importorskip("dask.array")
    X, y = make_two_layer_regression(200, 3, n_directions=2, random_state=0)
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y).predict(X)
    model = RegularizedTwoLayerRegressor(device="xpu", random_state=0)
    with with_float64() as mode, dask.config.set(scheduler="synchronous"):
        model.fit(da.from_array(X, chunks=(80, 3)), da.from_array(y, chunks=80))
    assert mode.n_operations > 100
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("found", "shape", "dtype", "expected"),
    [
        ("xpu", (1000, 2000), torch.float64, "xpu"),
        ("xpu", (1000, 1999), torch.float64, "cpu"),
        (None, (1000, 2000), torch.float64, "cpu"),
        ("mps", (1000, 2000), torch.float64, "cpu"),
        ("mps", (1000, 2000), torch.float32, "mps"),
    ],
)
def test_auto_takes_an_accelerator_for_many_entries(
    monkeypatch, found, shape, dtype, expected
):
    device = None if found is None else torch.device(found)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: device)
    weights = np.ones(shape[0])
    dense = RawRows.local(np.zeros(shape), weights, weights)
    empty = RawRows.local(sparse.csr_array(shape), weights, weights)
    with Imitated(found or "xpu", has_float64=found == "xpu"):
        assert resolve_device("auto", dtype, dense) == torch.device(expected)
        assert resolve_device("auto", dtype, empty) == torch.device("cpu")
        assert resolve_device(None, dtype, dense) == torch.device("cpu")


def test_auto_without_an_accelerator_is_the_cpu():
    X, y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    found = RegularizedTwoLayerRegressor(device="auto", random_state=0).fit(X, y)
    np.testing.assert_array_equal(found.features_, expected.features_)
