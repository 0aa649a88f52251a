"""Evaluations and default fits on the CPU and on the accelerator that torch finds.

    python benchmarks/device.py [--large] [--dtype float32] [--no-fits]

For each shape: one objective with its gradient, the same matrix products written
plainly, on the standardised rows as one block and with one transfer, and the tensors
that an evaluation copies between devices, which are counted. Then the default fit.
Prints Markdown tables: medians over repeats of both in turn. One thread on the CPU.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch.overrides import TorchFunctionMode

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer.datasets import make_two_layer_regression

# Rows, inputs and neurons of an evaluation.
SHAPES = [(200_000, 30, 5), (1_000_000, 20, 5), (1_000_000, 100, 16)]
LARGE = [(10_000_000, 20, 5)]
REPEATS = 15
N_DIRECTIONS = 5
NOISE = 0.3
CHUNK = 100_000
READING = (
    torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__float__,
    torch.Tensor.__int__, torch.Tensor.__bool__,
)  # fmt: skip


class Copies(TorchFunctionMode):
    """Counts tensors that are copied between devices, and numbers that are read."""

    def __init__(self):
        super().__init__()
        self.n_copies = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if args and isinstance(args[0], torch.Tensor):
            before = args[0].device.type
            moves = function in (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda)
            reads = function in READING and before != "cpu"
            self.n_copies += reads or (moves and result.device.type != before)
        return result


def devices():
    """The CPU, and the accelerator if there is one."""
    found = torch.accelerator.current_accelerator()
    return [torch.device("cpu"), *([] if found is None else [found])]


def name_of(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def wait_for(device):
    """Until the device has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def draw(n_samples, n_features, dtype):
    """Rows with noise, drawn chunk by chunk."""
    *_, teacher = make_two_layer_regression(
        100, n_features, n_directions=N_DIRECTIONS, return_teacher=True, random_state=0
    )
    generator = np.random.default_rng(0)
    X, y = np.empty((n_samples, n_features), dtype), np.empty(n_samples)
    for first in range(0, n_samples, CHUNK):
        rows = slice(first, first + CHUNK)
        X[rows] = generator.standard_normal(X[rows].shape)
        signal = teacher.predict(X[rows].astype(float))
        y[rows] = signal + NOISE * generator.standard_normal(len(signal))
    return X, y


def plain_products(inputs, residual, weights):
    """What an evaluation multiplies, and one transfer."""
    hidden = weights @ inputs.T
    moments = residual.T @ inputs
    _ = inputs @ moments.T
    return (hidden @ inputs).cpu()


def evaluation(X, y, n_neurons, dtype, device):
    """Seconds to set up, to evaluate and for the products; copies of an evaluation."""
    began = time.perf_counter()
    rows = Rows.from_arrays(
        X, y[:, np.newaxis], np.ones(len(y)),
        standardize=True, hidden_bias=True, device=device, dtype=dtype,
    )  # fmt: skip
    wait_for(device)
    setup = time.perf_counter() - began
    generator = np.random.default_rng(0)
    network = Network.from_parts(
        torch.from_numpy(generator.standard_normal((n_neurons, rows.n_inputs))),
        torch.from_numpy(generator.standard_normal((n_neurons, 1))),
    )
    evaluate(rows, network, 0.1)
    with Copies() as copies:
        evaluate(rows, network, 0.1)
    part = rows.parts.part
    shape = (len(y), rows.n_inputs)
    inputs = torch.randn(shape, dtype=dtype, device=device)
    weights = part.cast(network.weights)
    times = {"evaluate": [], "products": []}
    for _ in range(REPEATS):
        for name, function in [
            ("evaluate", lambda: evaluate(rows, network, 0.1)),
            ("products", lambda: plain_products(inputs, part.targets, weights)),
        ]:
            began = time.perf_counter()
            function()
            wait_for(device)
            times[name].append(time.perf_counter() - began)
    own, bare = (statistics.median(times[name]) for name in times)
    return setup, own, bare, copies.n_copies


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells):
    print()
    line(*cells)
    line(*["---"] * len(cells))


def evaluations(shapes, dtypes):
    header(
        "rows x inputs, neurons", "precision", "device", "set up", "evaluate",
        "products", "ratio", "copies",
    )  # fmt: skip
    for n_samples, n_features, n_neurons in shapes:
        for dtype in dtypes:
            X, y = draw(n_samples, n_features, dtype)
            for device in devices():
                with fit_threads(X.size):
                    setup, own, bare, n_copies = evaluation(
                        X, y, n_neurons, getattr(torch, dtype), device
                    )
                line(
                    f"{n_samples:,} x {n_features}, {n_neurons}", dtype,
                    name_of(device), f"{setup:.2f} s", f"{own * 1e3:.2f} ms",
                    f"{bare * 1e3:.2f} ms", f"{own / bare:.1f}", n_copies,
                )  # fmt: skip


def fits(shapes, dtypes):
    header("rows x inputs", "precision", "device", "fit", "features")
    for n_samples, n_features, _ in shapes:
        for dtype in dtypes:
            X, y = draw(n_samples, n_features, dtype)
            for device in devices():
                model = RegularizedTwoLayerRegressor(
                    device=device, dtype=dtype, random_state=0
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    began = time.perf_counter()
                    model.fit(X, y)
                line(
                    f"{n_samples:,} x {n_features}", dtype, name_of(device),
                    f"{time.perf_counter() - began:.2f} s", len(model.features_),
                )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="10,000,000 rows, too")
    parser.add_argument("--dtype", choices=["float64", "float32"], help="one of both")
    parser.add_argument("--no-fits", action="store_true", help="evaluations only")
    arguments = parser.parse_args()
    shapes = SHAPES + (LARGE if arguments.large else [])
    dtypes = [arguments.dtype] if arguments.dtype else ["float64", "float32"]
    evaluations(shapes, dtypes)
    if not arguments.no_fits:
        fits(shapes, dtypes)


if __name__ == "__main__":
    main()
