"""One gradient against its three matrix products alone, in the same run.

    python benchmarks/gradient.py

The products are the hidden layer, the output layer and the derivative with respect to
the hidden weights. Prints a Markdown table: medians over repeats of both in turn.
"""

import statistics
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._rows.rows import Rows

SHAPES = [
    (2000, 10, 100, 1),
    (5000, 30, 100, 1),
    (50_000, 20, 100, 1),
    (2000, 10, 10, 1),
    (5000, 30, 100, 3),
]
REPEATS = 60


def seconds(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def ratio(n_samples, n_features, n_neurons, n_outputs):
    generator = np.random.default_rng(0)
    rows = Rows.from_arrays(
        generator.standard_normal((n_samples, n_features)),
        generator.standard_normal((n_samples, n_outputs)),
        np.ones(n_samples),
        standardize=True,
        hidden_bias=True,
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    weights = torch.from_numpy(generator.standard_normal((n_neurons, rows.n_inputs)))
    amplitudes = torch.from_numpy(generator.standard_normal((n_neurons, n_outputs)))
    network = Network.from_parts(weights, amplitudes)
    inputs = torch.from_numpy(generator.standard_normal((n_samples, rows.n_inputs)))
    hidden = torch.from_numpy(generator.random((n_samples, n_neurons)))

    def products():
        _ = inputs @ weights.T
        _ = hidden @ amplitudes
        _ = hidden.T @ inputs

    pairs = [
        (seconds(products), seconds(lambda: evaluate(rows, network, 0.1)))
        for _ in range(REPEATS)
    ]
    bare, gradient = (statistics.median(column) for column in zip(*pairs, strict=True))
    return bare, gradient, statistics.median(g / b for b, g in pairs)


def main():
    print(
        "| rows | inputs | neurons | outputs | threads | products | gradient | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            for shape in SHAPES:
                bare, gradient, quotient = ratio(*shape)
                cells = [*shape, threads, f"{bare * 1e3:.2f} ms"]
                cells += [f"{gradient * 1e3:.2f} ms", f"{quotient:.2f}"]
                print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
