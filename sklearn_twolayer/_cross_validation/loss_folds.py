"""Held-out losses of each fold, and the fit of what they choose on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.folds import (
    FEWEST_ROWS,
    SHARES,
    Fold,
    HeldOut,
    RowErrors,
    path_options,
    rows_repeated,
)
from sklearn_twolayer._cross_validation.refit import ChosenFit
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY

if TYPE_CHECKING:
    from sklearn_twolayer._fit.loss_problem import LossProblem
    from sklearn_twolayer._rows.units import FittedNetwork


def log_losses(number: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The log loss of each row, of the number of its class and of scores."""
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros_like(scores), scores])
    largest = scores.max(axis=1)
    total = np.log(np.exp(scores - largest[:, np.newaxis]).sum(axis=1)) + largest
    losses: np.ndarray = total - scores[np.arange(len(number)), number]
    return losses


@dataclass(frozen=True)
class FoldLoss:
    """What folds are fitted and compared with.

    Parameters
    ----------
    loss : str or None
        A loss of the regressors; None for the log loss of classes, which are given by
        their numbers.
    """

    loss: str | None = None

    @property
    def label(self) -> str:
        """What the fitted attributes call the errors."""
        return "log_loss" if self.loss is None else "loss"

    def problem(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        options: PathOptions,
        penalty: str | float | None,
    ) -> LossProblem:
        """The fit to some rows; others have a weight of zero."""
        from sklearn_twolayer._fit.loss_fit import class_problem, number_problem
        from sklearn_twolayer._rows.raw import RawRows

        if self.loss is None:
            return class_problem(X, y, sample_weight, options)
        raw = RawRows.local(X, y, sample_weight)
        penalty = DEFAULT_PENALTY if penalty is None else penalty
        return number_problem(raw, options, self.loss, penalty)

    def row_errors(self, problem: LossProblem) -> RowErrors:
        """The error of each row, of targets and of outputs of a network."""
        return log_losses if self.loss is None else problem.row_losses


def follow_loss_fold(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
    penalty: str | float | None,
    n_stages: int,
) -> Fold:
    """Fit networks on the rows ``train``; compute losses on the rows ``test``.

    As :func:`follow_fold`, with one debiased network, and means of outputs on the scale
    of the link.
    """
    # Imported here, because predicting and unpickling must not import torch.
    from sklearn_twolayer._fit.loss_problem import find_model, loss_path

    n_lambdas = np.size(options.schedule.stages(1.0))
    n_features = np.full(n_lambdas, np.nan)
    errors = np.full((n_lambdas, len(SHARES)), np.nan)
    squares = errors.copy()
    with fit_threads(X.size), step_limit() as progress:
        weights = rows_repeated(sample_weight, train)
        problem = kind.problem(X, y, weights, options, penalty)
        if problem.linear_decay > 0.0 and problem.rows.n_distinct < FEWEST_ROWS:
            penalty, n_stages = None, 1
        debiased: tuple[FittedNetwork, ...] = ()
        scores = np.zeros(())
        if penalty is not None:
            with step_limit(options.max_iter):
                debiased = (problem.fitted(find_model(problem, penalty).model),)
            scores = debiased[0].predict(X[test])
        shares = SHARES if debiased else SHARES[:1]
        held_out = y[test], sample_weight[test], kind.row_errors(problem)
        paths = [HeldOut(*held_out) for _ in shares]
        for index, stage in enumerate(islice(loss_path(problem), n_stages)):
            fitted = problem.fitted(problem.model_of(stage))
            predicted = fitted.predict(X[test])
            n_features[index] = fitted.n_features
            for column, (share, path) in enumerate(zip(shares, paths, strict=True)):
                blended = (1.0 - share) * predicted + share * scores
                errors[index, column] = path.add(blended)
                squares[index, column] = path.fall_squares(blended)
            # The shares 0 and 0.5 decide for all four.
            if all(path.is_past for path in paths[::2]):
                break
    return Fold(
        errors,
        squares,
        n_features,
        debiased,
        debiased_error=HeldOut(*held_out).add(scores) if debiased else np.nan,
        averaged_error=np.nan,
        debiased_squares=paths[0].fall_squares(scores) if debiased else np.nan,
        averaged_squares=np.nan,
        weight=sample_weight[test].sum(),
        n_iter=progress.n_iter,
        linear_decay=problem.linear_decay,
    )


def fit_loss_choice(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    options: PathOptions,
    fractions: np.ndarray,
    choice: Choice,
    penalty: str | float,
) -> ChosenFit:
    """Fit the chosen network on all rows; the last stage is continued for some steps.

    In a mean with the regularised network, the debiased one is that of all rows.
    """
    from sklearn_twolayer._fit.loss_problem import (
        find_model,
        improved,
        loss_path,
        searched_stage,
    )

    n_stages = None if choice.index is None else choice.index + 1
    share = choice.debiased_share
    with fit_threads(X.size), step_limit() as progress:
        own = path_options(options, fractions[:n_stages])
        problem = kind.problem(X, y, sample_weight, own, penalty)
        models = []
        if share > 0.0:
            with step_limit(options.max_iter):
                result = find_model(problem, penalty)
            models.append((share, result.model))
        if share == 1.0:
            stages = [searched_stage(problem, result, progress)]
        else:
            stages = list(loss_path(problem))
            stages[-1] = improved(problem, stages[-1])
            models.append((1.0 - share, problem.model_of(stages[-1])))
        scaled = [model.scaled(own) for own, model in models]
        model = scaled[0] if len(scaled) == 1 else scaled[0].plus(scaled[1])
        attributes = problem.attributes(model)
    return ChosenFit(
        attributes,
        problem,
        stages,
        progress.n_iter,
        n_averaged=int(share > 0.0),
    )


def loss_fold_attributes(kind: FoldLoss, folds: Sequence[Fold]) -> dict[str, object]:
    """Fitted attributes of the estimator with the losses of the folds."""
    errors, label = np.stack([fold.errors for fold in folds], axis=1), kind.label
    return {
        f"{label}_path_": errors[:, :, 0],
        "n_features_path_": np.stack([fold.n_features for fold in folds], axis=1),
        f"blended_{label}_path_": errors[:, :, 1:],
        f"debiased_{label}_": np.array([fold.debiased_error for fold in folds]),
        "debiased_n_features_": np.array([f.debiased_n_features for f in folds]),
    }
