"""Cross-validation of the estimators with a loss other than the squared one."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from sklearn_twolayer._checks.data import warn_of_far_columns
from sklearn_twolayer._checks.parameters import (
    check_criterion,
    check_debias,
    check_flag,
    check_fractions,
)
from sklearn_twolayer._cross_validation.choice import choose
from sklearn_twolayer._cross_validation.folds import follow_folds, path_options
from sklearn_twolayer._cross_validation.loss_folds import (
    FoldLoss,
    fit_loss_choice,
    follow_loss_fold,
    loss_fold_attributes,
)
from sklearn_twolayer._estimators.attributes import store_fitted
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._fit.report import (
    fit_attributes,
    progress_line,
    warn_of_convergence,
)
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY


def fit_by_folds(
    estimator: TwoLayerModel,
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
) -> None:
    """Follow the path in each fold, choose, fit on all rows, and store the result."""
    own: Any = estimator
    fractions = check_fractions(own.lambdas, own.eps)
    may_debias = check_debias(own.debias)
    one_standard_error = check_flag("one_standard_error", own.one_standard_error)
    criterion = check_criterion(own.criterion)
    verbose = check_scalar(own.verbose, "verbose", Integral, min_val=0)
    penalty = DEFAULT_PENALTY if criterion is None else criterion
    folds = follow_folds(
        X,
        y,
        weights,
        splits,
        [path_options(options, fractions)] * len(splits),
        penalty if may_debias else None,
        own.n_jobs,
        partial(follow_loss_fold, kind),
    )
    choice = choose(folds, 0.0, one_standard_error)
    refit = fit_loss_choice(kind, X, y, weights, options, fractions, choice, penalty)
    for stage in refit.stages if verbose else ():
        print(progress_line(refit.problem, stage, of_variance=False))
    warn_of_far_columns(estimator, refit.problem.rows.far_columns)
    kept = refit.stages[-1]
    store_fitted(
        own,
        refit.attributes,
        fit_attributes(refit.problem, refit.stages, kept),
        loss_fold_attributes(kind, folds),
    )
    own.lambdas_ = own.lambda_max_ * fractions
    own.debiased_share_ = choice.debiased_share
    own.n_iter_ = refit.n_iter + sum(fold.n_iter for fold in folds)
    refit.problem.warn(own.linear_decay_)
    warn_of_convergence(kept, own.lambda_, None)
