"""Where should a search begin? Other first directions in place of the early features.

    python benchmarks/starts.py --seeds 10           # targets hard to see in one step
    python benchmarks/starts.py --seeds 10 --hard    # the harder ones of recovery.py
    python benchmarks/starts.py --rows 5000 --target "sin(4 x1)"   # one, on more rows

*one step*: early features, which the package begins with. *three steps*: two more on
the same rows. *random*: as they are drawn. *spectral*: random combinations of the
eigenvectors of the second moment of the inputs, weighted by the residual of the linear
model, each with the size of its eigenvalue. *ascents*: where ascents from early
features end, the peaks of the correlation. One search each.

The targets are functions of one to three directions of ten inputs, of variance one,
with noise of standard deviation 0.1. A target counts as found if R2 on fresh rows
without noise is above a half.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from common import HARD, draw, median, table
from threadpoolctl import threadpool_limits
from tuning import OPTIONS

from sklearn_twolayer._certificate.peaks import QUICK, find_peaks
from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._fit.searches import limited_search
from sklearn_twolayer._network.network import unit_rows
from sklearn_twolayer._network.objective import correlations, target_residual
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY
from sklearn_twolayer.metrics import match_directions

N_FEATURES, NOISE = 10, 0.1
TARGETS = {
    "x1 x2": lambda z: z[:, 0] * z[:, 1],
    "x1 x2 x3": lambda z: z[:, 0] * z[:, 1] * z[:, 2],
    "x1^3 - 3 x1": lambda z: z[:, 0] ** 3 - 3.0 * z[:, 0],
    "sin(3 x1)": lambda z: np.sin(3.0 * z[:, 0]),
    "sin(4 x1)": lambda z: np.sin(4.0 * z[:, 0]),
    "cos(4 x1)": lambda z: np.cos(4.0 * z[:, 0]),
}


def one_step(problem):
    return problem.start.directions


def three_steps(problem):
    rows, directions = problem.rows, problem.start.directions
    for _ in range(2):
        directions = unit_rows(correlations(rows, target_residual(rows), directions)[1])
    return directions


def random(problem):
    return unit_rows(normal(problem, *problem.start.directions.shape))


def spectral(problem):
    rows = problem.rows
    part = rows.parts.part
    # The last input of the neurons is constant.
    inputs = part.inputs.block(slice(None)).dense(rows.n_inputs)[:, :-1]
    residual = target_residual(rows).values.values
    moments = torch.einsum("nq,ni,nj->qij", residual, inputs, inputs)
    values, vectors = torch.linalg.eigh((moments @ moments).sum(0))
    n_directions = len(problem.start.directions)
    sizes = values.clamp(min=0.0).sqrt()
    directions = (normal(problem, n_directions, len(sizes)) * sizes) @ vectors.T
    biases = normal(problem, n_directions, 1)
    return unit_rows(torch.cat([unit_rows(directions), biases], dim=1))


def ascents(problem):
    rows, directions = problem.rows, problem.start.directions
    found = find_peaks(
        rows, target_residual(rows), directions, problem.generator, QUICK
    )
    return found.directions[: len(directions)]


def normal(problem, *shape):
    return torch.randn(shape, generator=problem.generator, dtype=torch.float64)


STARTS = {
    "one step": one_step, "three steps": three_steps, "random": random,
    "spectral": spectral, "ascents": ascents,
}  # fmt: skip


def searched(X, y, start, seed):
    """The network that one search finds, and its seconds."""
    began = time.perf_counter()
    raw = RawRows.local(X, y, np.ones(len(X)))
    options = check_path_options(**{**OPTIONS, "random_state": seed})
    problem = PathProblem.of(raw, options)
    begin = replace(problem.start, directions=STARTS[start](problem))
    result = limited_search(replace(problem, start=begin), DEFAULT_PENALTY)
    return problem.fitted(result.network), time.perf_counter() - began


def target_score(name, start, seed, n_rows):
    """R2 on fresh rows without noise, and the seconds."""
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.standard_normal((N_FEATURES, N_FEATURES)))[0]
    X = generator.standard_normal((2 * n_rows, N_FEATURES))
    signal = TARGETS[name](X @ directions)
    signal /= signal.std()
    y = signal + NOISE * generator.standard_normal(len(X))
    network, seconds = searched(X[:n_rows], y[:n_rows], start, seed)
    error = network.predict(X[n_rows:]) - signal[n_rows:]
    return 1.0 - np.mean(error**2) / np.var(signal[n_rows:]), seconds


def hard_score(name, start, seed):
    """Whether the teacher is found to rounding, and the seconds."""
    X, y, *_, teacher = draw(HARD[name], seed)
    network, seconds = searched(X, y, start, seed)
    match = match_directions(network.features, teacher.directions)
    exact = match.n_missed == match.n_spurious == 0 and match.angles.max() <= 1e-6
    return exact, seconds


def row(name, n_seeds, score):
    cells = []
    for start in STARTS:
        scores = [score(name, start, seed) for seed in range(n_seeds)]
        values, seconds = zip(*scores, strict=True)
        found = sum(value > 0.5 for value in values)
        shown = "" if score is hard_score else f", {np.median(values):.3f}"
        cells.append(f"{found} of {n_seeds}{shown}, {median(seconds):.2f} s")
    return [name, *cells]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--hard", action="store_true", help="teachers of recovery.py")
    parser.add_argument("--rows", type=int, default=2000, help="rows of the targets")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    arguments = parser.parse_args()
    score, names, lines = partial(target_score, n_rows=arguments.rows), TARGETS, []
    if arguments.hard:
        score, names = hard_score, HARD
    elif arguments.target is not None:
        names = [arguments.target]
    with threadpool_limits(limits=1):
        for name in names:
            lines.append(row(name, arguments.seeds, score))
            print(*lines[-1], sep=" | ", flush=True)
    print(table(["found, R2, time", *STARTS], lines))


if __name__ == "__main__":
    main()
