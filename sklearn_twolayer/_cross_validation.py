"""Errors on held-out rows along a path, and which of its networks they speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._options import PathOptions
from sklearn_twolayer._schedule import StagedSchedule
from sklearn_twolayer._threads import fit_threads

if TYPE_CHECKING:
    from sklearn_twolayer._units import FittedNetwork

PATIENCE = 3  # stages in a row without a lower error that end a fold's path
# A network must beat the one at the largest decay, the linear model, by this many
# standard errors of the paired difference over the folds.
BEATS_FIRST = 2.0


@dataclass(frozen=True, eq=False)
class Fold:
    """What the held-out rows of one fold say.

    Parameters
    ----------
    errors : ndarray of shape (n_lambdas,)
        Mean squared errors of the networks along the path; NaN where it was not
        followed.
    n_features : ndarray of shape (n_lambdas,)
        Their numbers of features, likewise.
    debiased_error, debiased_n_features : float
        The same of the network without decay that the criterion chooses; NaN if it
        was not asked for.
    weight : float
        Sum of the sample weights of the held-out rows.
    n_iter : int
        Evaluations that it took.
    """

    errors: np.ndarray
    n_features: np.ndarray
    debiased_error: float
    debiased_n_features: float
    weight: float
    n_iter: int


@dataclass(frozen=True)
class Choice:
    """Stage of the path whose network to keep, or None for the debiased network."""

    index: int | None


def path_options(options: PathOptions, fractions: Sequence[float]) -> PathOptions:
    """Options of a path whose stages are compared: rough, on a grid of its own."""
    return replace(options, schedule=StagedSchedule(fractions), solver="fast")


def follow_fold(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
    penalty: str | float | None,
) -> Fold:
    """Follow the path on the rows ``train``; errors on the rows ``test``.

    It ends when the error has not reached a new minimum for some stages. With a
    ``penalty``, the network that the criterion chooses is tried, too.
    """
    # Imported here: who only predicts does without torch.
    from sklearn_twolayer._problem import PathProblem

    weights = sample_weight[test]

    def error(fitted: FittedNetwork) -> float:
        squares = np.square(y[test] - fitted.predict(X[test]))
        return np.average(squares.reshape(len(test), -1).mean(axis=1), weights=weights)

    with fit_threads(X.size):
        problem = PathProblem.from_arrays(
            X[train], y[train], sample_weight[train], options
        )
        errors = np.full(len(problem.lambdas), np.nan)
        n_features = np.full(len(problem.lambdas), np.nan)
        n_iter = 0
        for index, stage in enumerate(problem.stages()):
            n_iter += stage.n_iter
            fitted = problem.fitted(stage.network)
            errors[index], n_features[index] = error(fitted), fitted.n_features
            if index - np.nanargmin(errors) >= PATIENCE:
                break
        debiased_error = debiased_n_features = np.nan
        if penalty is not None:
            (stage,) = problem.search(penalty)
            n_iter += stage.n_iter
            fitted = problem.fitted(stage.result)
            debiased_error, debiased_n_features = error(fitted), fitted.n_features
    return Fold(
        errors,
        n_features,
        debiased_error,
        debiased_n_features,
        weights.sum(),
        n_iter,
    )


def choose(folds: Sequence[Fold], one_standard_error: bool) -> Choice:
    """The network with the least mean error over the folds.

    With ``one_standard_error``, and if it is on the path, the first stage whose error
    is within one standard error of the least.
    """
    share = np.array([fold.weight for fold in folds])
    share = share / share.sum()
    errors = np.stack([fold.errors for fold in folds], axis=-1)
    debiased = np.array([fold.debiased_error for fold in folds])
    mean = errors @ share
    best: int | None = int(np.nanargmin(mean))
    chosen = errors[best]
    if debiased @ share < mean[best]:
        best, chosen = None, debiased
    gain = errors[0] - chosen
    if gain @ share <= BEATS_FIRST * _standard_error(gain, share):
        return Choice(0)
    if best is not None and one_standard_error:
        limit = mean[best] + _standard_error(chosen, share)
        best = int(np.flatnonzero(mean <= limit)[0])
    return Choice(best)


def _standard_error(values: np.ndarray, share: np.ndarray) -> float:
    """Of the weighted mean of independent values."""
    n_values = len(values)
    if n_values < 2:
        return 0.0
    variance = share @ np.square(values - share @ values) * n_values / (n_values - 1)
    return float(np.sqrt(variance * (share @ share)))
