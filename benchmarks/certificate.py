"""How near to the global optimum do schedules end, and does the search find the peak?

    python benchmarks/certificate.py --seeds 5
    python benchmarks/certificate.py --problem 3    # one of the problems only

Schedules that end at 0.2, 0.02 and 0.002 of lambda_max, without debiasing, on the
noiseless problems; for each tolerance a row of a Markdown table with the fits whose
reported gap is within it, the largest reported gap and certificate over the seeds,
the certificate by a denser search (2000 random starts, for each neuron 20 near it and
20 combinations with the others, all of them climbed for 120 steps), the neurons and the
time.
"""

import argparse
import warnings

import numpy as np
import torch
from common import BASE, chosen, draw, median, score, table
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer._certificate.peaks import ALL, Effort, find_peaks
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._rows.units import FittedNetwork

DENSE = Effort(
    n_random=2000, n_nearby=20, n_combined_each=20, n_refined=ALL, n_steps=80
)


def dense_certificate(model, X, y):
    """The largest norm of the certificate of the fitted model, searched anew."""
    rows = Rows.from_arrays(
        X, y.reshape(len(X), -1), np.ones(len(X)), standardize=True, hidden_bias=True,
        device=torch.device("cpu"), dtype=torch.float64,
    )  # fmt: skip
    fitted = FittedNetwork(
        model.features_, model.feature_intercepts_, model.amplitudes_,
        model.linear_coef_, model.linear_intercept_,
    )  # fmt: skip
    weights, amplitudes = map(torch.from_numpy, rows.units.from_user(fitted))
    network = Network.from_parts(weights, amplitudes)
    peaks = find_peaks(
        rows, residual_at(rows, network), network.directions,
        torch.Generator().manual_seed(1), DENSE,
    )  # fmt: skip
    return peaks.height * rows.units.target_scale / model.lambda_


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problem", type=int, help="only this one, from 1")
    arguments = parser.parse_args()
    n_seeds = arguments.seeds
    problems = chosen(list(BASE.items())[:3], arguments.problem)
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = []
    for problem, parameters in problems:
        for stop, decays in (
            (0.2, [0.2]),
            (0.02, [0.2, 0.02]),
            (0.002, [0.2, 0.02, 0.002]),
        ):
            for tol in (1e-3, 1e-5):
                rows = []
                for seed in range(n_seeds):
                    data = draw(parameters, seed)
                    model = RegularizedTwoLayerRegressor(
                        schedule=StagedSchedule(decays), tol=tol, random_state=0
                    )
                    with threadpool_limits(limits=1):
                        seconds = score(model, data).seconds
                        dense = dense_certificate(model, *data[:2])
                    gap = model.dual_gap_ / model.history_["objective"][-1]
                    rows.append(
                        (gap, model.certificate_, dense, len(model.features_), seconds)
                    )
                gaps, certificates, dense, counts, seconds = zip(*rows, strict=True)
                lines.append([
                    problem, stop, f"{tol:g}",
                    f"{sum(gap <= tol for gap in gaps)} of {n_seeds}",
                    f"{max(gaps):.1e}", f"{max(certificates):.5f}", f"{max(dense):.5f}",
                    f"{median(counts):g}", f"{median(seconds):.2f} s",
                ])  # fmt: skip
                print(*lines[-1], flush=True)
    header = ["problem", "ends at", "tol", "within tol", "largest gap", "certificate"]
    print("\n" + table([*header, "dense search", "neurons", "time"], lines))


if __name__ == "__main__":
    main()
