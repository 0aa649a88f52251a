"""One fit of an estimator without cross-validation: stages, callbacks, attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sklearn_twolayer._checks.data import warn_of_far_columns
from sklearn_twolayer._checks.losses import SQUARES
from sklearn_twolayer._estimators.attributes import store_fitted
from sklearn_twolayer._estimators.callbacks import followed
from sklearn_twolayer._fit.report import (
    fit_attributes,
    progress_line,
    warn_of_convergence,
)
from sklearn_twolayer._runtime.limits import time_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY

if TYPE_CHECKING:
    from sklearn_twolayer._fit.loss_fit import LossFit
    from sklearn_twolayer._fit.squared_fit import SquaredFit
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage


def follow_fit(
    estimator: Any,
    set_up: Callable[[str | float], SquaredFit | LossFit],
    n_entries: int,
    task: dict[str, Any],
    options: PathOptions,
    criterion: str | float | None,
    *,
    verbose: bool,
    n_searches: int = 1,
    max_features: int | None = None,
    debias: bool = False,
    known: Mapping[str, Any],
) -> None:
    """Run the search or the stages of a fit, and store what they find.

    ``set_up`` makes the fit for a penalty, ``task`` is what callbacks are given, and
    ``known`` are fitted attributes that do not depend on the network.
    """
    penalty = DEFAULT_PENALTY if criterion is None else criterion
    with fit_threads(n_entries), time_limit(options.max_time):
        fit = set_up(penalty)
        warn_of_far_columns(estimator, fit.prepared.rows.far_columns)
        path, most_stages = fit.path(), len(fit.prepared.lambdas)
        if estimator.schedule is None and options.solver == "newton":
            path, most_stages = fit.search(penalty, n_searches), 1
        context = estimator._init_callback_context(max_subtasks=most_stages)
        context.call_on_fit_task_begin(**task)

        def attributes_of(stage: Stage) -> dict[str, Any]:
            return {**fit.attributes(stage), **known}

        stages: list[Stage] = []
        for stage in followed(path, context, attributes_of, task):
            stages.append(stage)
            if verbose:
                print(
                    progress_line(fit.problem, stage, of_variance=fit.loss == SQUARES)
                )
        kept = fit.keep(stages, criterion)
        attributes, debiased_by = fit.finished(kept, max_features, debias=debias)
    problem, attributes = fit.problem, {**attributes, **known}
    store_fitted(estimator, attributes, fit_attributes(problem, stages, kept))
    problem.warn(estimator.linear_decay_)
    warn_of_convergence(kept, estimator.lambda_, options.tol, debiased_by)
    context.call_on_fit_task_end(**task, reconstruction_attributes=lambda: attributes)
