"""What was chosen, fitted on all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.folds import PENALTIES
from sklearn_twolayer._runtime.limits import step_limit

if TYPE_CHECKING:
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._path.stage import Stage


@dataclass(frozen=True, eq=False)
class ChosenFit:
    """The network of a choice, fitted on all rows, and how it was found.

    Parameters
    ----------
    network : Network
        In the coordinates of the fit.
    stages : list of Stage
        The stages to report: those of the path, if it has a share, or the one of the
        search.
    n_iter : int
        Evaluations that the fit took.
    n_averaged : int
        Number of debiased networks that the network is the mean of.
    """

    network: Network
    stages: list[Stage]
    n_iter: int
    n_averaged: int


def fit_choice(
    problem: PathProblem, choice: Choice, penalty: str | float, *, to_tolerance: bool
) -> ChosenFit:
    """Fit what was chosen on all rows.

    The last stage of a path is descended on, ``to_tolerance`` or for a while.
    """
    # Imported here, because predicting and unpickling do without torch.
    from sklearn_twolayer._fit.searches import mean_network, searches
    from sklearn_twolayer._fit.stages import improve, path_stages
    from sklearn_twolayer._network.network import weighted_mean
    from sklearn_twolayer._search.search import certify_result

    share, n_averaged = choice.debiased_share, 0
    networks, shares = [], []
    with step_limit() as progress:
        if share > 0.0:
            fractions = PENALTIES if choice.others else PENALTIES[:1]
            results = searches(problem, penalty, fractions)
            debiased = results[0].network
            n_averaged = len(results) + len(choice.others)
            if choice.others:
                of_all_rows = [problem.fitted(one.network) for one in results]
                debiased = mean_network(problem, [*of_all_rows, *choice.others])
            networks.append(debiased)
            shares.append(share)
        if share == 1.0:
            stage = certify_result(
                problem.rows, results[0], progress, problem.generator, problem.tuning
            )
            stages = [stage]
        else:
            stages = list(path_stages(problem))
            stages[-1] = improve(problem, stages[-1], to_tolerance=to_tolerance)
            networks.append(stages[-1].network)
            shares.append(1.0 - share)
    network = weighted_mean(networks, shares)
    return ChosenFit(network, stages, progress.n_iter, n_averaged)
