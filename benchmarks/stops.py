"""Where should a schedule stop? Scores and times of a search over stops.

    python benchmarks/stops.py --data DIR       # the tables in DIR, the target last
    python benchmarks/stops.py --data DIR --tables airfoil

For each table and solver, the mean R2 of five shuffled folds (seed 0) at each stop, by
`stop_validation_curve`, and by a fit of each fold with stop="auto", whose path leaves
out decays. The seconds, process time, are those of the curve and, with --grid, of a
GridSearchCV over the smallest stop alone and over all stops. One thread.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    stop_validation_curve,
)

STOPS = [0.4, 0.2, 0.1, 0.06, 0.03, 0.02]
FOLDS = KFold(5, shuffle=True, random_state=0)


def timed(function, *arguments, **keywords):
    began = time.process_time()
    result = function(*arguments, **keywords)
    return result, time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--tables", nargs="+", default=["airfoil", "concrete"])
    parser.add_argument("--grid", action="store_true", help="time GridSearchCV, too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("table solver | R2 at", *STOPS, "| auto | seconds")
    for name in arguments.tables:
        path = Path(arguments.data) / f"{name}.csv"
        values = np.genfromtxt(path, delimiter=",", skip_header=1)
        X, y = values[:, :-1], values[:, -1]
        for solver in ("fast", "newton"):
            model = RegularizedTwoLayerRegressor(
                schedule=GeometricSchedule(), solver=solver, random_state=0
            )
            curve, ours = timed(
                stop_validation_curve, model, X, y, stops=STOPS, cv=FOLDS
            )
            automatic = cross_val_score(model, X, y, cv=FOLDS).mean()
            seconds = [ours]
            for stops in (STOPS[-1:], STOPS) if arguments.grid else ():
                search = GridSearchCV(
                    model, {"schedule__stop": stops}, cv=FOLDS, refit=False
                )
                seconds.append(timed(search.fit, X, y)[1])
            scores = " ".join(f"{score:.3f}" for score in curve["mean_test_score"])
            times = ", ".join(f"{spent:.1f}" for spent in seconds)
            print(f"{name} {solver} | {scores} | {automatic:.3f} | {times}", flush=True)


if __name__ == "__main__":
    main()
