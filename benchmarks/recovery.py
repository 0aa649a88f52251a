"""Are the directions of a noiseless teacher recovered, and how well?

    python benchmarks/recovery.py --seeds 20            # the four standard problems
    python benchmarks/recovery.py --seeds 20 --hard     # harder teachers and inputs
    python benchmarks/recovery.py --problem 3           # one of the problems only

A Markdown table of medians over seeds, on one thread: the share of exact recoveries
(every direction within 1e-6 rad, none spurious), the largest angle to a teacher
direction, the excess risk (mean squared distance to the noiseless teacher on fresh
rows), the units alive, those that are not within 0.2 rad of a teacher direction of
their own, and the time. The oracle is least squares started at the true teacher. The
peers are MLPRegressor with its defaults and with lbfgs over alpha, at its strongest
(20 units, tightly converged), gradient descent with our schedule (--gd), and, where
installed, xrfm and projection-pursuit.
"""

import argparse
import time
import warnings

import numpy as np
from common import (
    BASE,
    HARD,
    NARROW,
    Score,
    chosen,
    draw,
    median,
    mlp,
    mlp_directions,
    optional,
    oracle_score,
    our_directions,
    score,
    table,
)
from threadpoolctl import threadpool_limits

from sklearn_twolayer import RegularizedTwoLayerRegressor


def projection_pursuit_score(data):
    from skpp import ProjectionPursuitRegressor

    teacher = data[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ProjectionPursuitRegressor(r=len(teacher.directions), random_state=0)
        return score(model, data)


def xrfm_score(data):
    from xrfm import xRFM

    X, y, X_test, y_test, _ = data
    began, cut = time.perf_counter(), int(0.8 * len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = xRFM(device="cpu", tuning_metric="mse", verbose=False)
        columns = y.reshape(len(X), -1)
        model.fit(X[:cut], columns[:cut], X[cut:], columns[cut:])
        predicted = np.asarray(model.predict(X_test)).reshape(y_test.shape)
    risk = float(np.mean((predicted - y_test) ** 2))
    return Score(time.perf_counter() - began, risk)


def methods(arguments):
    """Name and scoring function of each row of the table."""
    for hidden_bias in (True, False):
        name = f"hidden_bias={hidden_bias}"
        yield f"**two-layer, {name}**", lambda data, h=hidden_bias: score(
            RegularizedTwoLayerRegressor(hidden_bias=h, random_state=0),
            data, our_directions,
        )  # fmt: skip
        yield f"oracle, {name}", lambda data, h=hidden_bias: oracle_score(data, h)
    if arguments.ours:
        return
    if arguments.gd:
        yield "two-layer, gd", lambda data: score(
            RegularizedTwoLayerRegressor(solver="gd", random_state=0),
            data, our_directions,
        )  # fmt: skip
    yield "MLPRegressor()", lambda data: score(mlp(solver="adam"), data, mlp_directions)
    for alpha in (1e-4, 1e-2, 1.0):
        yield (
            f"MLP lbfgs, alpha={alpha:g}",
            lambda data, a=alpha: score(mlp(alpha=a), data, mlp_directions),
        )
    yield (
        "MLP lbfgs, 20 units, tight",
        lambda data: score(mlp(**NARROW), data, mlp_directions),
    )
    if optional("skpp"):
        yield "projection pursuit", projection_pursuit_score
    if optional("xrfm"):
        yield "xRFM", xrfm_score


def summary(name, scores):
    cells = [name]
    if scores[0].angle is None:
        cells += ["", "", f"{median([s.excess_risk for s in scores]):.0e}", "", ""]
    else:
        cells += [
            f"{sum(s.is_exact for s in scores)} of {len(scores)}",
            f"{median([s.angle for s in scores]):.0e}",
            f"{median([s.excess_risk for s in scores]):.0e}",
            f"{median([s.n_units for s in scores]):g}",
            f"{median([s.n_spurious for s in scores]):g}",
        ]
    return [*cells, f"{median([s.seconds for s in scores]):.2f} s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hard", action="store_true", help="the harder problems")
    parser.add_argument("--gd", action="store_true", help="include gradient descent")
    parser.add_argument("--ours", action="store_true", help="leave out the peers")
    parser.add_argument("--problem", type=int, help="only this one, from 1")
    arguments = parser.parse_args()
    problems = list((HARD if arguments.hard else BASE).items())
    problems = chosen(problems, arguments.problem)
    header = ["method", "exact", "angle", "excess risk", "units", "spurious", "time"]
    with threadpool_limits(limits=1):
        for problem, parameters in problems:
            data = [draw(parameters, seed) for seed in range(arguments.seeds)]
            lines = [
                summary(name, [evaluate(d) for d in data])
                for name, evaluate in methods(arguments)
            ]
            print(f"\n{problem}\n\n{table(header, lines)}", flush=True)


if __name__ == "__main__":
    main()
