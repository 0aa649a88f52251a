"""What was chosen, fitted on all rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.folds import PENALTIES

if TYPE_CHECKING:
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._path.stage import Stage


@dataclass(frozen=True, eq=False)
class Followed:
    """What a choice has led to on all rows.

    Parameters
    ----------
    network : Network
        In the coordinates of the fit.
    stages : list of Stage
        To report: those of the path, if it has a share, or the one of the search.
    n_iter : int
        Evaluations that it took.
    n_averaged : int
        Number of debiased networks in it.
    """

    network: Network
    stages: list[Stage]
    n_iter: int
    n_averaged: int


def follow_choice(
    problem: PathProblem, choice: Choice, penalty: float, *, to_tolerance: bool
) -> Followed:
    """What was chosen, on all rows.

    The last stage of a path is descended on, ``to_tolerance`` or for a while.
    """
    from sklearn_twolayer._network.network import weighted_mean

    began, n_iter, n_averaged = time.perf_counter(), 0, 0
    share = choice.debiased_share
    networks, shares = [], []
    if share > 0.0:
        fractions = PENALTIES if choice.others else PENALTIES[:1]
        found = problem.searches(penalty, fractions)
        debiased, n_averaged = found[0].network, len(found) + len(choice.others)
        if choice.others:
            of_all_rows = [problem.fitted(one.network) for one in found]
            debiased = problem.averaged([*of_all_rows, *choice.others])
        n_iter += sum(one.n_iter for one in found)
        networks.append(debiased)
        shares.append(share)
    if share == 1.0:
        stages = [problem.found_stage(found[0], began)]
    else:
        stages = list(problem.stages())
        stages[-1] = problem.improved(stages[-1], to_tolerance=to_tolerance)
        n_iter += sum(stage.n_iter for stage in stages)
        networks.append(stages[-1].network)
        shares.append(1.0 - share)
    return Followed(weighted_mean(networks, shares), stages, n_iter, n_averaged)
