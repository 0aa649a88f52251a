"""Safe pruning and merging: kept only if the re-optimised objective allows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.network import merge, prune
from sklearn_twolayer._network.objective import objective_at

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.rows import Rows

# Merges are tried from coarse to fine. A coarse one that merges two true directions
# fails the test of the objective; one that is too fine leaves neurons that share a
# direction, which the next steps would have to tell apart.
ANGLES = (0.5, 0.35, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01)
LEAST_MASS = 1e-2  # relative to the largest: lighter neurons are tried without
STEPS = 60


def simplify(
    rows: Rows,
    network: Network,
    lambda_: float,
    *,
    slack: float,
    to_the_end: bool = True,
) -> Network:
    """Find the smallest merged network that is as good.

    Of the networks merged at each angle and re-optimised, it is the first whose
    objective is at most ``1 + slack`` times that of ``network``, or ``network``. If not
    ``to_the_end``, it is optimised no further than that.
    """
    limit = (1.0 + slack) * objective_at(rows, network, lambda_)[1]
    n_tried = 0
    for angle in ANGLES:
        candidate = prune(merge(network, angle), LEAST_MASS)
        if candidate.n_neurons == n_tried:  # the angle before gave the same merges
            continue
        n_tried = candidate.n_neurons
        if n_tried == network.n_neurons:
            break
        candidate = quasi_newton(
            rows,
            candidate,
            lambda_,
            max_iter=STEPS,
            tol=1e-9,
            enough=-math.inf if to_the_end else limit,
        )
        if objective_at(rows, candidate, lambda_)[1] <= limit:
            return candidate
    return network
