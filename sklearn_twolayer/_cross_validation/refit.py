"""The fit of the chosen network on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.column_weights import column_weights
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import path_options
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
    kind: FoldLoss,
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
        fit = _fit_one(
            kind, *data, options, fractions, one, penalty, to_tolerance=False
        )
        n_iter += fit.n_iter
        importances = np.asarray(fit.attributes["feature_importances_"])
        options = replace(options, column_weights=column_weights(importances))
    fit = _fit_one(
        kind, *data, options, fractions, choice, penalty, to_tolerance=to_tolerance,
        max_features=max_features,
    )  # fmt: skip
    return replace(fit, n_iter=n_iter + fit.n_iter)


def _fit_one(
    kind: FoldLoss,
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
    n_stages = None if choice.index is None else choice.index + 1
    share, n_averaged = choice.debiased_share, 0
    options = replace(options, linear_decay_factor=choice.linear_decay_factor)
    networks: list[Any] = []
    shares: list[float] = []
    others: list[tuple[FittedNetwork, float]] = []

    def add(
        own: Sequence[Any], of_folds: Sequence[FittedNetwork], share: float
    ) -> None:
        """Add a mean of networks with its share in the result."""
        each = share / (len(own) + len(of_folds))
        networks.extend(own)
        shares.extend([each] * len(own))
        others.extend((one, each) for one in of_folds)

    with fit_threads(X.size), step_limit() as progress:
        own = path_options(options, fractions[:n_stages])
        fit = kind.fit(X, y, sample_weight, own, penalty)
        if share > 0.0:
            results = fit.searches(penalty, averaged=bool(choice.others))
            n_averaged = len(results) + len(choice.others)
            add([fit.found(one) for one in results], choice.others, share)
        if share == 1.0:
            stages = [fit.searched_stage(results[0], progress)]
        else:
            n_decays = len(fit.problem.lambdas)
            stages = list(watched("stages", n_decays, fit.path()))
            stages[-1] = fit.improved(stages[-1], to_tolerance=to_tolerance)
            if choice.regularised:
                n_averaged += 1 + len(choice.regularised)
            add([fit.of_stage(stages[-1])], choice.regularised, 1.0 - share)
        attributes = fit.attributes(networks, shares, others, max_features)
    return ChosenFit(attributes, fit.problem, stages, progress.n_iter, n_averaged)
