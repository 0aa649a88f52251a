"""Safe pruning and merging: accepted only if the objective does not get worse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.network import merge, prune
from sklearn_twolayer._network.objective import objective_at

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.rows import Rows

# Angles of the merges, in radians, tried from coarse to fine (convention). A merge that
# is too coarse joins two true directions, which the objective after it shows. A merge
# that is too fine leaves several neurons along one direction, and the descents after it
# would have to tell them apart.
ANGLES = (0.5, 0.35, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01)
# Candidates are pruned: neurons with a mass below this fraction of the largest are
# dropped (convention).
CANDIDATE_PRUNE_TOL = 1e-2
REFIT_STEPS = 60  # most quasi-Newton steps for each candidate (convention)


def simplify(
    rows: Rows,
    network: Network,
    lambda_: float,
    *,
    slack: float,
    to_the_end: bool = True,
) -> Network:
    """Find the smallest merged network whose objective is not worse.

    The candidates are the network merged at each angle and re-optimised. The result is
    the first whose objective is at most ``1 + slack`` times that of ``network``, or
    ``network`` if none is. Unless ``to_the_end``, the re-optimisation stops as soon as
    the objective is that low.
    """
    limit = (1.0 + slack) * objective_at(rows, network, lambda_)[1]
    n_tried = 0
    for angle in ANGLES:
        candidate = prune(merge(network, angle), CANDIDATE_PRUNE_TOL)
        if candidate.n_neurons == n_tried:  # the last angle gave the same candidate
            continue
        n_tried = candidate.n_neurons
        if n_tried == network.n_neurons:
            break
        candidate = quasi_newton(
            rows,
            candidate,
            lambda_,
            max_iter=REFIT_STEPS,
            tol=1e-9,
            enough=-math.inf if to_the_end else limit,
        )
        if objective_at(rows, candidate, lambda_)[1] <= limit:
            return candidate
    return network
