"""Eight fits at once, in four threads and in four processes, against the ideal.

The ideal is the time of the fits one after another, each in one thread, divided by the
number of cores (at most four). Run it on an idle machine.
"""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
from threadpoolctl import threadpool_limits

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression

REPEATS = 5
SEEDS = range(8)
SIZES = {"small": (2000, 10), "medium": (10_000, 30)}


def fit(X, y, seed):
    return RegularizedTwoLayerRegressor(random_state=seed).fit(X, y)


def serial(X, y):
    with threadpool_limits(1):
        return [fit(X, y, seed) for seed in SEEDS]


def threads(X, y):
    with ThreadPoolExecutor(4) as executor:
        return list(executor.map(lambda seed: fit(X, y, seed), SEEDS))


def processes(X, y):
    return joblib.Parallel(n_jobs=4)(joblib.delayed(fit)(X, y, s) for s in SEEDS)


def main():
    n_cores = min(4, os.cpu_count())
    print(f"{n_cores} cores; medians of {REPEATS}")
    print(f"{'':8s}{'serial':>9s}{'threads':>9s}{'processes':>11s}  of ideal")
    for name, (n_samples, n_features) in SIZES.items():
        data = make_two_layer_regression(
            n_samples, n_features, n_directions=5, noise=0.3, random_state=0
        )
        processes(*data)  # start the workers
        times = {serial: [], threads: [], processes: []}
        for _ in range(REPEATS):
            for run in times:
                began = time.perf_counter()
                run(*data)
                times[run].append(time.perf_counter() - began)
        alone, shared, apart = (statistics.median(t) for t in times.values())
        ideal = alone / n_cores
        print(
            f"{name:8s}{alone:8.2f}s{shared:8.2f}s{apart:10.2f}s"
            f"  {shared / ideal:.2f} {apart / ideal:.2f}"
        )


if __name__ == "__main__":
    main()
