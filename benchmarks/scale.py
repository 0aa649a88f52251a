"""Time and memory of large fits: memory maps, sparse inputs, Dask, predictions.

Each fit runs in a process of its own; memory is its peak of resident memory above what
it held with torch loaded, just before the fit. Without arguments all parts are run,
which takes a quarter of an hour; see ``--help`` for the parts.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._fit import searches
from sklearn_twolayer._rows import parts
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

N_DIRECTIONS = 5
NOISE = 0.3
CHUNK = 125_000


def teacher_of(n_features):
    """Directions and outputs that do not depend on the rows drawn."""
    *_, teacher = make_two_layer_regression(
        100, n_features, n_directions=N_DIRECTIONS, return_teacher=True, random_state=0
    )
    return teacher


def draw(n_samples, n_features, seed):
    """Some rows with noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    signal = teacher_of(n_features).predict(X)
    return X, signal + NOISE * rng.standard_normal(n_samples)


def draw_sparse(n_samples, n_features, noise):
    """1 % of the entries, three directions on 30 of the columns."""
    rng = np.random.default_rng(0)
    X = sparse.random_array(
        (n_samples, n_features), density=0.01, format="csr", rng=rng,
        data_sampler=rng.standard_normal,
    )  # fmt: skip
    directions = np.zeros((3, n_features))
    columns = rng.choice(n_features, 30, replace=False)
    directions[:, columns] = rng.standard_normal((3, 30))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    signal = np.maximum(X @ directions.T, 0) @ [1.0, -1.5, 1.0]
    return X, signal + noise * signal.std() * rng.standard_normal(n_samples), directions


def write_map(folder, n_samples, n_features):
    """A memory map on disk, written block by block."""
    path = Path(folder) / f"X_{n_samples}_{n_features}.npy"
    mapped = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float64, shape=(n_samples, n_features)
    )
    y = np.empty(n_samples)
    for seed, first in enumerate(range(0, n_samples, CHUNK)):
        rows = slice(first, min(first + CHUNK, n_samples))
        mapped[rows], y[rows] = draw(rows.stop - first, n_features, seed)
    mapped.flush()
    np.save(path.with_suffix(".y.npy"), y)
    return path


def peak_memory():
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fitted(X, y, directions, **parameters):
    """What one fit took and found."""
    torch.ones(2, 2) @ torch.ones(2, 2)
    before, began = peak_memory(), time.perf_counter()
    model = RegularizedTwoLayerRegressor(random_state=0, **parameters).fit(X, y)
    match = match_directions(model.features_, directions)
    return {
        "seconds": time.perf_counter() - began,
        "memory": peak_memory() - before,
        "features": len(model.features_),
        "angle": float(np.max(match.angles)),
    }


def measure(arguments):
    """In a process of its own: one fit of what the arguments describe."""
    kind = arguments["kind"]
    if kind == "sparse":
        X, y, directions = draw_sparse(200_000, 2000, arguments["noise"])
        return fitted(X, y, directions)
    path = Path(arguments["path"])
    X = np.load(path, mmap_mode="r" if kind == "map" else None)
    y = np.load(path.with_suffix(".y.npy"))
    if not arguments.get("sample", True):
        searches.LARGEST_SHARE = 0.0
    parameters = arguments.get("parameters", {})
    return fitted(X, y, teacher_of(X.shape[1]).directions, **parameters)


def in_process(**arguments):
    result = subprocess.run(
        [sys.executable, __file__, "--measure", json.dumps(arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(result.stdout.splitlines()[-1])


def line(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def header(*cells):
    print()
    line(*cells)
    line(*["---"] * len(cells))


def outcome(result):
    return (
        f"{result['seconds']:.1f} s", f"{result['memory']:.0f} MB",
        str(result["features"]), f"{result['angle']:.4f}",
    )  # fmt: skip


def arrays(folder):
    """Time and memory against rows, inputs, neurons, precision and kind."""
    header("rows, inputs", "fit", "time", "memory", "features", "largest angle")
    for n_samples, n_features, kind, parameters in [
        (125_000, 20, "array", {}),
        (125_000, 20, "array", {"n_neurons": 400}),
        (125_000, 20, "array", {"dtype": "float32"}),
        (125_000, 20, "map", {}),
        (125_000, 80, "map", {}),
        (500_000, 20, "array", {}),
        (500_000, 20, "map", {}),
        (2_000_000, 20, "map", {}),
    ]:
        path = write_map(folder, n_samples, n_features)
        result = in_process(kind=kind, path=str(path), parameters=parameters)
        name = ", ".join([kind, *(f"{k}={v}" for k, v in parameters.items())])
        line(f"{n_samples:,} x {n_features}", name, *outcome(result))
        path.unlink()


def samples(folder):
    """The search begun on a sample of the rows, or on all of them, in turn."""
    header("500,000 x 20, median of 3", "time", "memory", "features", "largest angle")
    path = str(write_map(folder, 500_000, 20))
    for kind in ("array", "map"):
        results = {True: [], False: []}
        for _ in range(3):
            for sample, found in results.items():
                found.append(in_process(kind=kind, path=path, sample=sample))
        for sample, found in results.items():
            median = sorted(found, key=lambda result: result["seconds"])[1]
            begun = "begun on a sample" if sample else "on all rows"
            line(f"{kind}, {begun}", *outcome(median))


def sparse_inputs(folder):
    """Sparse inputs, with noise and without."""
    header("200,000 x 2,000, 1 %", "time", "memory", "features", "largest angle")
    for noise in (0.3, 0.0):
        result = in_process(kind="sparse", noise=noise)
        line(f"noise {noise} of the signal", *outcome(result))


def predictions(folder):
    """``predict`` on a million rows against two bare products."""
    model = RegularizedTwoLayerRegressor(random_state=0).fit(*draw(5000, 20, 0))
    X = np.random.default_rng(1).standard_normal((1_000_000, 20))
    weights = np.column_stack([model.features_.T, model.linear_coef_])

    def bare():
        y = np.empty(len(X))
        for first in range(0, len(X), 10_000):
            rows = slice(first, first + 10_000)
            projection = X[rows] @ weights
            y[rows] = np.maximum(projection[:, :-1], 0) @ model.amplitudes_
            y[rows] += projection[:, -1]
        return y

    times = {"predict": [], "bare products": []}
    for _ in range(7):
        for name, function in [
            ("predict", lambda: model.predict(X)),
            ("bare products", bare),
        ]:
            began = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - began)
    header("1,000,000 x 20, 5 features", "time")
    for name, seconds in times.items():
        line(name, f"{np.median(seconds):.3f} s")
    line(
        "ratio",
        f"{np.median(times['predict']) / np.median(times['bare products']):.2f}",
    )


def clusters(folder):
    """Dask: one and two workers against this process; a client short of memory."""
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    from sklearn_twolayer._rows import dask as dask_module

    passes = counted(dask_module.DaskParts)
    header("20,000 x 10", "time", "calls", "a call beyond memory's", "to memory's fit")
    X, y = draw(20_000, 10, 0)
    calls = counted(parts.LocalParts)
    began = time.perf_counter()
    known = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    in_memory = time.perf_counter() - began
    line("in memory", f"{in_memory:.1f} s", str(calls()), "", "")
    for n_workers in (1, 2):
        with (
            LocalCluster(n_workers, threads_per_worker=1, dashboard_address=None) as it,
            Client(it),
        ):
            blocks = da.from_array(X, chunks=(5000, 10)).persist()
            before, began = passes(), time.perf_counter()
            model = RegularizedTwoLayerRegressor(random_state=0)
            model.fit(blocks, da.from_array(y, chunks=5000))
            seconds, n_calls = time.perf_counter() - began, passes() - before
        overhead = 1000 * (seconds - in_memory) / n_calls
        apart = np.abs(model.features_ - known.features_).max()
        line(
            f"{n_workers} workers", f"{seconds:.1f} s", str(n_calls),
            f"{overhead:.0f} ms", f"{apart:.0e}",
        )  # fmt: skip
    short_of_memory()


def counted(parts):
    """Count the calls that go to the parts."""
    n_calls = 0
    for name in ("keep", "gather", "joined"):
        method = getattr(parts, name)

        def counting(*args, method=method):
            nonlocal n_calls
            n_calls += 1
            return method(*args)

        setattr(parts, name, counting)
    return lambda: n_calls


def short_of_memory(n_samples=6_250_000, n_features=20, allowed=100):
    """A client that may allocate a tenth of the data, which workers draw."""
    import dask
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    def blocks(index, shape, columns):
        parts = [
            da.from_delayed(dask.delayed(draw_one)(seed, index), shape, dtype=float)
            for seed in range(n_samples // CHUNK)
        ]
        return da.concatenate(parts).persist()

    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        X = blocks(0, (CHUNK, n_features), n_features)
        y = blocks(1, (CHUNK,), 1)
        RegularizedTwoLayerRegressor(random_state=0).fit(X[:2000], y[:2000])
        used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0])
        limit = (used + 1024 * allowed) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        result = fitted(X, y, teacher_of(n_features).directions)
    size = n_samples * n_features * 8 / 1e6
    header(
        "2 workers",
        "the client may allocate",
        "time",
        "memory",
        "features",
        "largest angle",
    )
    line(f"{size:.0f} MB of inputs", f"{allowed} MB", *outcome(result))


def draw_one(seed, index):
    return draw(CHUNK, 20, seed)[index]


PARTS = {
    "arrays": arrays, "samples": samples, "sparse": sparse_inputs,
    "predictions": predictions, "clusters": clusters,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=" ".join(PARTS))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(json.loads(arguments.measure))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.parts:
            PARTS[part](folder)


if __name__ == "__main__":
    main()
