"""Noisy teachers: how near to knowing the answer, how many features, how fast?

    python benchmarks/noise.py --seeds 20           # our estimators and the oracle
    python benchmarks/noise.py --seeds 20 --peers   # and MLPRegressor over a grid
    python benchmarks/noise.py --default            # ours without cross-validation
    python benchmarks/noise.py --penalties          # the criterion's penalty
    python benchmarks/noise.py --problem 4          # one of the problems only

Markdown tables, one a problem (rows, inputs, dimension of the subspace, directions,
noise). The ratio is the excess risk (mean squared distance to the noiseless teacher on
fresh rows) over that of the oracle, least squares started at the true teacher with the
same parameters. "Exact" counts the fits with as many features as the teacher. The time
is also given as a fraction of that of MLPRegressor (100 units, lbfgs, 200 iterations)
on the same data at its best number of threads. The peers are MLPRegressor with lbfgs
over width and alpha, the best of the grid chosen with hindsight on the test rows, and
the grid search over it, with the folds that our cross-validation uses; the grid
search, which takes minutes, on the first five data sets alone.
"""

import argparse
import time

import numpy as np
from common import (
    MLP_GRID,
    chosen,
    draw,
    median,
    mlp,
    oracle_score,
    our_directions,
    score,
    table,
)
from sklearn.model_selection import GridSearchCV, ParameterGrid
from threadpoolctl import threadpool_limits

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

PROBLEMS = [
    (2000, 10, 3, 4, 0.3), (3000, 20, 5, 5, 0.5), (5000, 30, 5, 8, 0.3),
    (500, 10, 3, 3, 0.5),
]  # fmt: skip
# Data sets, the first ones, on which what takes long is run.
MLP_TIMED = 5
SEARCHED = 5


def ours(hidden_bias, only_default):
    parameters = {"hidden_bias": hidden_bias, "random_state": 0}
    yield "two-layer", RegularizedTwoLayerRegressor(**parameters)
    if only_default:
        one = RegularizedTwoLayerRegressor(n_searches=1, **parameters)
        yield "two-layer, one search", one
    else:
        yield "two-layer, CV", RegularizedTwoLayerRegressorCV(**parameters)


def draw_problem(problem, seed):
    n_samples, n_features, subspace, n_directions, noise = problem
    parameters = {
        "n_samples": n_samples, "n_features": n_features, "subspace_dim": subspace,
        "n_directions": n_directions,
    }  # fmt: skip
    return draw(parameters, seed, noise=noise)


def nothing_to_find(name, draw_targets, n_seeds, only_default):
    """How often an estimator finds features where there are none."""
    cells = []
    for _, model in ours(True, only_default):
        n_features = []
        for seed in range(n_seeds):
            generator = np.random.default_rng(seed)
            X = generator.standard_normal((1000, 10))
            n_features.append(len(model.fit(X, draw_targets(X, generator)).features_))
        cells.append(f"{n_features.count(0)} of {n_seeds}")
    return [name, *cells]


def wide_seconds(data):
    """Time of the wide MLPRegressor at its best number of threads."""
    times = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            times.append(score(mlp(), data).seconds)
    return min(times)


def summary(name, scores, oracle, wide, n_directions):
    ratios = [
        s.excess_risk / o.excess_risk for s, o in zip(scores, oracle, strict=True)
    ]
    seconds = [s.seconds for s in scores]
    # The MLP is timed on the first data sets only.
    shares = [s / w for s, w in zip(seconds, wide, strict=False)]
    cells = [name, f"{median(ratios):.3f}", f"{np.quantile(ratios, 0.9):.2f}"]
    if scores[0].n_units is None:
        return [*cells, "", "", f"{median(seconds):.3f} s", f"{median(shares):.2f}"]
    n_exact = sum(s.n_units == n_directions for s in scores)
    cells += [f"{n_exact} of {len(scores)}", f"{median([s.angle for s in scores]):.3f}"]
    return [*cells, f"{median(seconds):.3f} s", f"{median(shares):.2f}"]


def peers(data_sets, oracle, wide):
    grid = [mlp(**parameters) for parameters in ParameterGrid(MLP_GRID)]
    with threadpool_limits(limits=1):
        results = [[score(model, data) for model in grid] for data in data_sets]
        best = [min(scores, key=lambda s: s.excess_risk) for scores in results]
        yield summary("best MLP of the grid, with hindsight", best, oracle, wide, 0)
        search = GridSearchCV(mlp(), MLP_GRID, cv=5)
        scores = [score(search, data) for data in data_sets[:SEARCHED]]
        name = f"grid search over MLP, first {len(scores)} data sets"
        yield summary(name, scores, oracle[: len(scores)], wide, 0)


def problem_table(problem, n_seeds, with_peers, only_default):
    n_directions = problem[3]
    data_sets = [draw_problem(problem, seed) for seed in range(n_seeds)]
    wide = [wide_seconds(data) for data in data_sets[:MLP_TIMED]]
    lines = []
    for hidden_bias in (True, False):
        oracle = [oracle_score(data, hidden_bias) for data in data_sets]
        if hidden_bias and with_peers:
            lines += peers(data_sets, oracle, wide)
        for name, model in ours(hidden_bias, only_default):
            with threadpool_limits(limits=1):
                scores = [score(model, data, our_directions) for data in data_sets]
            name = f"**{name}, hidden_bias={hidden_bias}**"
            lines.append(summary(name, scores, oracle, wide, n_directions))
    header = ["method", "median ratio", "90 %", "exact", "largest angle", "time"]
    return table([*header, "of MLP's time"], lines)


def penalties_table(n_seeds):
    """Median ratio, counts that are right, and false finds in noise, by penalty."""
    lines = []
    for penalty in (2.0, 3.0, 3.5, 4.0, "bic"):
        model = RegularizedTwoLayerRegressor(criterion=penalty, random_state=0)
        cells = [str(penalty)]
        for problem in PROBLEMS:
            data_sets = [draw_problem(problem, seed) for seed in range(n_seeds)]
            scores = [score(model, data, our_directions) for data in data_sets]
            ratios = [
                s.excess_risk / oracle_score(data, True).excess_risk
                for s, data in zip(scores, data_sets, strict=True)
            ]
            exact = sum(s.n_units == problem[3] for s in scores)
            cells.append(f"{median(ratios):.2f}, {exact} of {n_seeds}")
        n_features = []
        for seed in range(n_seeds):
            generator = np.random.default_rng(seed)
            X, y = (
                generator.standard_normal((1000, 10)),
                generator.standard_normal(1000),
            )
            n_features.append(len(model.fit(X, y).features_))
        lines.append([*cells, f"{n_features.count(0)} of {n_seeds}"])
    names = [", ".join(map(str, problem)) for problem in PROBLEMS]
    return table(["penalty", *names, "none on noise"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--default", action="store_true", help="without CV")
    parser.add_argument("--penalties", action="store_true")
    parser.add_argument("--problem", type=int, help="only this one, from 1")
    arguments = parser.parse_args()
    if arguments.penalties:
        with threadpool_limits(limits=1):
            print(penalties_table(arguments.seeds))
        return
    only_default = arguments.default
    for _, model in ours(True, only_default):  # imports and first calls
        score(model, draw({"n_samples": 200, "n_features": 3, "n_directions": 1}, 0))
    for problem in chosen(PROBLEMS, arguments.problem):
        began = time.perf_counter()
        print(", ".join(map(str, problem)), end="\n\n")
        options = arguments.seeds, arguments.peers, only_default
        print(problem_table(problem, *options), end="\n\n")
        print(f"({time.perf_counter() - began:.0f} s)\n", flush=True)
    if arguments.problem is not None:
        return
    targets = {
        "noise": lambda X, g: g.standard_normal(len(X)),
        "linear": lambda X, g: X @ g.standard_normal(10) + 1.0,
        "linear and noise": (
            lambda X, g: X @ g.standard_normal(10) + g.standard_normal(len(X))
        ),
    }
    lines = [
        nothing_to_find(name, draw_targets, arguments.seeds, only_default)
        for name, draw_targets in targets.items()
    ]
    names = [name for name, _ in ours(True, only_default)]
    print(table(["targets (1000 rows, 10 inputs)", *names], lines))


if __name__ == "__main__":
    main()
