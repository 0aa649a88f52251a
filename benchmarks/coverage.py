"""How often intervals of ``direction_errors`` cover the truth, in fresh data sets.

Data sets whose network has another number of features than the truth are left out, as
the intervals are conditional on it.
"""

import argparse

import numpy as np

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors
from sklearn_twolayer.metrics import match_directions

PROBLEMS = [  # rows, inputs, directions, noise, targets
    (2000, 5, 2, 0.3, 1),
    (5000, 10, 3, 0.3, 1),
    (2000, 5, 2, 0.3, 2),
    (500, 4, 2, 0.3, 1),
]


def covered(interval, truth):
    return (interval[0] <= truth) & (truth <= interval[1])


def coverage(n_samples, n_features, n_directions, noise, n_targets, n_sets):
    """Shares of entries of features, amplitudes and of angles that are covered."""
    found = {"features": [], "amplitudes": [], "angles": []}
    n_used = 0
    for seed in range(n_sets):
        X, y, teacher = make_two_layer_regression(
            n_samples, n_features, n_directions=n_directions, n_targets=n_targets,
            noise=noise, return_teacher=True, random_state=seed,
        )  # fmt: skip
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
        if len(model.features_) != n_directions:
            continue
        n_used += 1
        errors = direction_errors(model, X, y)
        match = match_directions(model.features_, teacher.directions)
        for true, j in enumerate(match.indices):
            sign = np.sign(model.features_[j] @ teacher.directions[true])
            found["features"].append(
                covered(errors.features_interval[:, j], sign * teacher.directions[true])
            )
            found["amplitudes"].append(
                np.atleast_1d(
                    covered(errors.amplitudes_interval[:, j], teacher.amplitudes[true])
                )
            )
            found["angles"].append([match.angles[true] <= errors.angles[j]])
    return n_used, {name: np.mean(values) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="data sets a row")
    n_sets = parser.parse_args().sets
    print("| rows, inputs, directions, noise, targets | sets | features | amplitudes |"
          " angles |")  # fmt: skip
    print("|---|---|---|---|---|")
    for problem in PROBLEMS:
        n_used, shares = coverage(*problem, n_sets)
        cells = [", ".join(map(str, problem)), f"{n_used} of {n_sets}"]
        cells += [f"{share:.3f}" for share in shares.values()]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
