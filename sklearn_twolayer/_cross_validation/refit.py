"""The fit of the chosen network on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.column_weights import column_weights
from sklearn_twolayer._cross_validation.folds import PENALTIES, path_options
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._runtime.watch import watched

if TYPE_CHECKING:
    from sklearn_twolayer._fit.loss_problem import LossProblem
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class ChosenFit:
    """The chosen network, fitted on all rows, and the record of its fit.

    Parameters
    ----------
    attributes : dict
        Fitted attributes of the estimator that describe the network.
    problem : PathProblem
        The data and the parameters of the fit.
    stages : list of Stage
        The stages to report: those of the path if a regularised network has a share in
        the result, otherwise the one stage of the search.
    n_iter : int
        Number of evaluations of the fit.
    n_averaged : int
        Number of networks in the mean; 0 for a regularised one of all rows alone.
    """

    attributes: dict[str, float | np.ndarray]
    problem: PathProblem | LossProblem
    stages: list[Stage]
    n_iter: int
    n_averaged: int


def fit_choice(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    options: PathOptions,
    fractions: np.ndarray,
    choice: Choice,
    penalty: str | float,
    *,
    to_tolerance: bool,
    max_features: int | None = None,
) -> ChosenFit:
    """Fit the chosen network on all rows, after those that weigh its columns."""
    data, n_iter = (X, y, sample_weight), 0
    for one in choice.before:
        fit = _fit_one(*data, options, fractions, one, penalty, to_tolerance=False)
        n_iter += fit.n_iter
        importances = np.asarray(fit.attributes["feature_importances_"])
        options = replace(options, column_weights=column_weights(importances))
    fit = _fit_one(
        *data, options, fractions, choice, penalty, to_tolerance=to_tolerance,
        max_features=max_features,
    )  # fmt: skip
    return replace(fit, n_iter=n_iter + fit.n_iter)


def _fit_one(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    options: PathOptions,
    fractions: np.ndarray,
    choice: Choice,
    penalty: str | float,
    *,
    to_tolerance: bool,
    max_features: int | None = None,
) -> ChosenFit:
    """Fit the chosen network on all rows, with the column weights of the options.

    The descent of the last stage of the path is continued, to the tolerance if
    ``to_tolerance``, otherwise for some steps.
    """
    # Imported here, because predicting and unpickling must not import torch.
    from sklearn_twolayer._fit.linear_decay import problem_of
    from sklearn_twolayer._fit.searches import mean_network, searches
    from sklearn_twolayer._fit.stages import improve, path_stages, reduced
    from sklearn_twolayer._rows.raw import RawRows
    from sklearn_twolayer._search.search import certify_result

    n_stages = None if choice.index is None else choice.index + 1
    share, n_averaged = choice.debiased_share, 0
    options = replace(options, linear_decay_factor=choice.linear_decay_factor)
    networks: list[FittedNetwork] = []
    shares: list[float] = []

    def add(own: Sequence[FittedNetwork], share: float) -> None:
        """Add a mean of networks with its share in the result."""
        networks.extend(own)
        shares.extend([share / len(own)] * len(own))

    raw = RawRows.local(X, y, sample_weight)
    with fit_threads(X.size), step_limit() as progress:
        options = path_options(options, fractions[:n_stages])
        problem = problem_of(raw, options)
        if share > 0.0:
            penalties = PENALTIES if choice.others else PENALTIES[:1]
            results = searches(problem, penalty, penalties)
            n_averaged = len(results) + len(choice.others)
            if choice.others:
                of_all_rows = [problem.fitted(one.network) for one in results]
                add([*of_all_rows, *choice.others], share)
            else:
                network = results[0].network
                add([problem.fitted(network)], share)
        if share == 1.0:
            stage = certify_result(
                problem.rows, results[0], progress, problem.generator, problem.tuning
            )
            stages = [stage]
        else:
            n_decays = len(problem.lambdas)
            stages = list(watched("stages", n_decays, path_stages(problem)))
            stages[-1] = improve(problem, stages[-1], to_tolerance=to_tolerance)
            network = stages[-1].network
            if choice.regularised:
                n_averaged += 1 + len(choice.regularised)
            add([problem.fitted(network), *choice.regularised], 1.0 - share)
        if len(networks) == 1:
            network = reduced(problem, network, max_features)
            attributes = problem.attributes(network)
        else:
            plain, mean, linear_part = mean_network(raw, options, networks, shares)
            if max_features is None:
                attributes = plain.attributes(mean, linear_part)
            else:
                attributes = plain.attributes(reduced(plain, mean, max_features))
    return ChosenFit(attributes, problem, stages, progress.n_iter, n_averaged)
