"""How long does a fit take, against MLPRegressor and against its own arithmetic?

    python benchmarks/speed.py --seeds 7

Three Markdown tables. The first holds a fit against the time that its matrix products
alone take, measured for products of the same shapes, and says where the time goes. The
second compares whole fits, in turn on the same data: ours with its defaults,
MLPRegressor (100 units, lbfgs, 200 iterations) at its best number of threads, and
MLPRegressor at its strongest (20 units, tightly converged). The third compares the
"newton" and "gd" solvers on the way to the same angle.
"""

import argparse
import cProfile
import pstats
import time
from collections import Counter
from unittest.mock import patch

import torch
from common import (
    BASE,
    NARROW,
    chosen,
    draw,
    median,
    mlp,
    our_directions,
    score,
    table,
)
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import FlopCounterMode

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._rows.sums import product

aten = torch.ops.aten
PARTS = {
    "quasi-Newton": "quasi_newton",
    "Gauss-Newton": "gauss_newton",
    "certificate": "find_peaks",
    "set-up of the rows": "from_parts",
}


def ours(**parameters):
    return RegularizedTwoLayerRegressor(random_state=0, **parameters)


def seconds(model, data, n_threads, n_repeats=3):
    """Median of fits that follow one another, so that caches are as warm for all."""
    with threadpool_limits(limits=n_threads):
        return median([score(model, data).seconds for _ in range(n_repeats)])


def against_mlp(n_seeds, problems):
    lines = []
    for problem, parameters in problems:
        rows = []
        for seed in range(n_seeds):
            data = draw(parameters, seed)
            wide = min(seconds(mlp(), data, threads) for threads in (1, 2))
            rows.append(
                (seconds(ours(), data, 2), wide, seconds(mlp(**NARROW), data, 1))
            )
        columns = list(zip(*rows, strict=True))
        cells = [f"{median(column):.3f} s" for column in columns]
        cells.append(f"{median([a / b for a, b, _ in rows]):.2f}")
        cells.append(f"{median([a / c for a, _, c in rows]):.2f}")
        lines.append([problem, *cells])
    header = ["problem", "two-layer", "MLP, 100 units", "MLP, 20 units, tight"]
    return table([*header, "ratio to the first", "ratio to the second"], lines)


def products_of(fit):
    """How often a fit multiplies matrices of which shapes."""
    shapes = Counter()

    def matrices(first, second, **_):
        shapes[tuple(first), tuple(second)] += 1
        return operations(first, second)

    def added(into, first, second, **_):
        return matrices(first, second)

    counted = {aten.mm: matrices, aten.addmm: added, aten.addmm_: added}
    with (  # the counter sees torch's products only
        patch("sklearn_twolayer._rows.sums._by_numpy", lambda tensor: False),
        FlopCounterMode(display=False, custom_mapping=counted),
    ):
        fit()
    return shapes


def operations(first, second):
    """Floating-point operations of a product."""
    return 2 * first[0] * first[1] * second[1]


def seconds_alone(first, second):
    """Time of one product of these shapes, stored as in a fit."""
    left, right = along_memory(first), along_memory(second)
    if first == second[::-1]:
        right = left.T  # a Gram matrix
    times = []
    while sum(times) < 0.01 or len(times) < 5:
        began = time.perf_counter()
        product(left, right)
        times.append(time.perf_counter() - began)
    return median(times)


def along_memory(shape):
    """Random numbers; the longer dimension, that of the samples, is contiguous."""
    n_rows, n_columns = shape
    if n_rows > n_columns:
        return torch.rand(n_columns, n_rows, dtype=torch.float64).T
    return torch.rand(n_rows, n_columns, dtype=torch.float64)


def against_arithmetic(n_seeds):
    lines = []
    with threadpool_limits(limits=1):
        for problem, parameters in BASE.items():
            rates, ratios, shares = [], [], {name: [] for name in PARTS}
            for seed in range(n_seeds):
                data = draw(parameters, seed)
                products = products_of(lambda data=data: ours().fit(*data[:2]))
                taken = seconds(ours(), data, 1)
                # Beside the fit, since the machine's speed changes in minutes.
                alone = work = 0
                for shapes, count in products.items():
                    alone += count * seconds_alone(*shapes)
                    work += count * operations(*shapes)
                rates.append(work / alone)
                ratios.append(taken / alone)
                profile = cProfile.Profile()
                profile.runcall(ours().fit, *data[:2])
                stats = pstats.Stats(profile)
                for name, function in PARTS.items():
                    inside = sum(
                        entry[3]
                        for key, entry in stats.stats.items()
                        if key[2] == function
                    )
                    shares[name].append(inside / stats.total_tt)
            parts = [f"{median(values):.0%}" for values in shares.values()]
            cells = [f"{median(rates) / 1e9:.0f} Gflop/s", f"{median(ratios):.1f}"]
            lines.append([problem, *cells, *parts])
    header = ["problem", "rate of the products", "fit / products alone"]
    return table([*header, *PARTS], lines)


def against_gradient_descent(n_seeds):
    parameters = next(iter(BASE.values()))
    rows = []
    for seed in range(n_seeds):
        data = draw(parameters, seed)
        with threadpool_limits(limits=1):
            fast = score(ours(), data, our_directions)
            slow = score(ours(solver="gd"), data, our_directions)
        rows.append((fast.seconds, fast.angle, slow.seconds, slow.angle))
    columns = [median(column) for column in zip(*rows, strict=True)]
    cells = [f"{columns[0]:.3f} s", f"{columns[1]:.0e}", f"{columns[2]:.2f} s"]
    cells += [f"{columns[3]:.0e}", f"{median([c / a for a, _, c, _ in rows]):.0f}"]
    return table(["newton", "its angle", "gd", "its angle", "ratio"], [cells])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--arithmetic", action="store_true", help="first table only")
    parser.add_argument("--problem", type=int, help="second table, this one, from 1")
    arguments = parser.parse_args()
    n_seeds, problems = arguments.seeds, list(BASE.items())
    score(ours(), draw(next(iter(BASE.values())), 0))  # imports and first calls
    if arguments.problem is not None:
        print(against_mlp(n_seeds, chosen(problems, arguments.problem)))
        return
    print(against_arithmetic(n_seeds), end="\n\n", flush=True)
    if arguments.arithmetic:
        return
    print(against_mlp(n_seeds, problems), end="\n\n", flush=True)
    print(against_gradient_descent(n_seeds))


if __name__ == "__main__":
    main()
