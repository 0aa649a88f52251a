"""The fit of the estimators with cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_twolayer._checks.data import warn_of_far_columns
from sklearn_twolayer._checks.losses import SQUARES
from sklearn_twolayer._checks.parameters import (
    check_column_transform,
    check_criterion,
    check_debias,
    check_flag,
    check_fractions,
    check_max_features,
    check_option,
)
from sklearn_twolayer._cross_validation.bagging import with_mean_of_folds
from sklearn_twolayer._cross_validation.compare import compare
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import fold_attributes, path_options
from sklearn_twolayer._cross_validation.refit import fit_choice
from sklearn_twolayer._cross_validation.transforms import chosen_transform
from sklearn_twolayer._estimators.attributes import store_fitted
from sklearn_twolayer._fit.report import (
    fit_attributes,
    progress_line,
    warn_of_convergence,
)
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY

if TYPE_CHECKING:
    from sklearn_twolayer._estimators.routing import SplitsRows

DIRECTION_PENALTIES = ["auto", "l2", "adaptive"]


def fit_by_folds(
    estimator: SplitsRows,
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
    penalty = DEFAULT_PENALTY if criterion is None else criterion
    max_features = check_max_features(own.max_features)
    direction_penalty = check_option(
        "direction_penalty", own.direction_penalty, DIRECTION_PENALTIES
    )
    column_transform = check_column_transform(own.column_transform, X)
    transform, n_tried = chosen_transform(
        kind, column_transform, X, y, weights, splits, options, own.n_jobs
    )
    data = X if transform is None else transform(X), y, weights
    compared = compare(
        kind, *data, splits, path_options(options, fractions),
        penalty if may_debias else None, own.n_jobs,
        one_standard_error=one_standard_error, direction_penalty=direction_penalty,
    )  # fmt: skip
    if not one_standard_error:
        compared = with_mean_of_folds(
            kind, compared, *data, splits, own.cv, options, fractions, own.n_jobs
        )
    refit = fit_choice(
        kind, *data, options, fractions, compared.choice, penalty,
        to_tolerance=own.tol is not None, max_features=max_features,
    )  # fmt: skip
    kept, problem = refit.stages[-1], refit.problem
    for stage in refit.stages if own.verbose else ():
        print(progress_line(problem, stage, of_variance=kind.loss == SQUARES))
    warn_of_far_columns(own, problem.rows.far_columns)
    store_fitted(
        own,
        refit.attributes,
        fit_attributes(problem, refit.stages, kept),
        fold_attributes(kind, compared.folds, compared.ambiguity),
    )
    column_weights = problem.options.column_weights
    own.lambdas_ = own.lambda_max_ * fractions
    own.debiased_share_ = compared.choice.debiased_share
    own.n_averaged_ = refit.n_averaged
    own.n_iter_ = n_tried + compared.n_iter + refit.n_iter
    own.column_transform_ = None if transform is None else transform.attributes()
    own.column_weights_ = (
        np.ones(X.shape[1]) if column_weights is None else column_weights
    )
    problem.warn(own.linear_decay_)
    warn_of_convergence(kept, own.lambda_, own.tol)
