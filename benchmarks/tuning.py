"""What the constants of the search decide: recovery and noise, by their values.

    python benchmarks/tuning.py --seeds 5                       # all sweeps
    python benchmarks/tuning.py --seeds 20 --constant cheap     # one of them
    python benchmarks/tuning.py --peaks                         # peaks of pure noise

Each sweep varies one constant of ``SearchTuning`` (or the criterion's penalty) and
leaves the others as they are. Exact counts are those of ``recovery.py``, ratios and
right counts those of ``noise.py``: excess risk over that of the oracle, in the median,
and data sets with as many features as the teacher.

``--peaks`` prints the height of the certificate's peak on pure noise in units of
``sigma sqrt(n_inputs / n_samples)``, where ``sigma^2`` is the mean square of the noise
over rows, summed over the targets (theory, "Exact recovery").
"""

import argparse
import math
import time
from dataclasses import replace

import numpy as np
import torch
from common import BASE, Score, draw, median, oracle_score, table
from noise import PROBLEMS, draw_problem
from threadpoolctl import threadpool_limits

from sklearn_twolayer._certificate.peaks import THOROUGH, early_directions, find_peaks
from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._fit.stages import search_stage
from sklearn_twolayer._network.objective import target_residual
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY
from sklearn_twolayer._search.tuning import DEFAULT_TUNING
from sklearn_twolayer.metrics import match_directions

# Values of the six constants that decide most; the default is among them.
SWEEPS = {
    "penalty": (2.0, 3.0, 3.5, 4.0, 5.0),
    "coarse_angle": (0.1, 0.15, 0.25, 0.35, 0.5),
    "first_steps": (6, 12, 25),
    "noisy_share": (0.03, 0.1, 0.3),
    "hopeless_birth": (0.3, 0.55, 0.8),
    "n_combined": (10, 20, 40, 80),
}
OPTIONS = {
    "schedule": None, "solver": "auto", "n_neurons": 100, "hidden_bias": True,
    "standardize": True, "max_iter": 2000, "max_time": None, "tol": 1e-3,
    "prune_tol": 1e-6, "merge_angle": 0.05, "device": None, "dtype": "float64",
    "random_state": 0, "checkpoint": None,
}  # fmt: skip


def search_score(data, tuning, penalty):
    """Search with these constants, and compare as ``common.score`` does."""
    X, y, X_test, y_test, teacher = data
    began = time.perf_counter()
    raw = RawRows.local(X, y, np.ones(len(X)))
    problem = PathProblem.of(raw, check_path_options(**OPTIONS), tuning)
    (stage,) = search_stage(problem, penalty)
    fitted = problem.fitted(stage.network)
    seconds = time.perf_counter() - began
    risk = float(np.mean((fitted.predict(X_test) - y_test) ** 2))
    match = match_directions(fitted.features, teacher.directions)
    return Score(
        seconds, risk, fitted.n_features, match.n_spurious, match.n_missed,
        float(match.angles.max(initial=0.0)),
    )  # fmt: skip


def sweep(constant, n_seeds):
    """A table with a row a value and a column a problem."""
    seeds = range(n_seeds)
    clean = [[draw(parameters, seed) for seed in seeds] for parameters in BASE.values()]
    noisy = [[draw_problem(problem, seed) for seed in seeds] for problem in PROBLEMS]
    oracle = [[oracle_score(data, True).excess_risk for data in d] for d in noisy]
    lines = []
    for value in SWEEPS[constant]:
        tuning, penalty = DEFAULT_TUNING, DEFAULT_PENALTY
        if constant == "penalty":
            penalty = value
        else:
            tuning = replace(tuning, **{constant: value})
        cells, began = [str(value)], time.perf_counter()
        for data_sets in clean:
            scores = [search_score(data, tuning, penalty) for data in data_sets]
            cells.append(f"{sum(s.is_exact for s in scores)} of {n_seeds}")
        for problem, data_sets, best in zip(PROBLEMS, noisy, oracle, strict=True):
            scores = [search_score(data, tuning, penalty) for data in data_sets]
            ratios = [s.excess_risk / b for s, b in zip(scores, best, strict=True)]
            right = sum(s.n_units == problem[3] for s in scores)
            cells.append(f"{median(ratios):.2f}, {right} of {n_seeds}")
        lines.append([*cells, f"{time.perf_counter() - began:.0f} s"])
    names = [*BASE, *(", ".join(map(str, problem)) for problem in PROBLEMS)]
    return table([constant, *names, "time"], lines)


def peak_of_noise(n_samples, n_features, n_outputs, seed):
    """Height of the peak on noise, in units of ``sigma sqrt(n_inputs / n_samples)``."""
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_samples, n_features))
    y = generator.standard_normal((n_samples, n_outputs))
    rows = Rows.from_arrays(
        X, y, np.ones(n_samples), standardize=True, hidden_bias=True,
        device=torch.device("cpu"), dtype=torch.float64,
    )  # fmt: skip
    residual, source = target_residual(rows), torch.Generator().manual_seed(seed)
    starts = early_directions(rows, residual, 32, source)
    height = find_peaks(rows, residual, starts, source, THOROUGH).height
    return height / math.sqrt(residual.squares * rows.n_inputs / n_samples)


def peaks_table(n_seeds):
    lines = []
    for n_samples, n_features in [(500, 3), (1000, 10), (5000, 10), (3000, 30)]:
        cells = [f"{n_samples}, {n_features}"]
        for n_outputs in (1, 2, 5):
            heights = [
                peak_of_noise(n_samples, n_features, n_outputs, seed)
                for seed in range(n_seeds)
            ]
            cells.append(f"{np.mean(heights):.2f} ± {np.std(heights):.2f}")
        lines.append(cells)
    return table(["rows, inputs", "1 target", "2 targets", "5 targets"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--constant", choices=SWEEPS, help="only this one")
    parser.add_argument("--peaks", action="store_true", help="peaks of pure noise")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        if arguments.peaks:
            print(peaks_table(arguments.seeds))
            return
        names = SWEEPS if arguments.constant is None else [arguments.constant]
        for constant in names:
            print(sweep(constant, arguments.seeds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
