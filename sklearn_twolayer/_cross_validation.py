"""Errors on held-out rows along a path, and which of its networks they speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sklearn_twolayer._options import PathOptions
from sklearn_twolayer._schedule import StagedSchedule
from sklearn_twolayer._threads import fit_threads

# Stages in a row without a lower error that end a fold's path. Measured on the noisy
# problems and seven tables: 3 takes a quarter longer and chooses the same.
PATIENCE = 2
# A network must beat the one at the largest decay, the linear model, by this many
# standard errors of the paired difference over the folds: Student's 97.5 % for five of
# them. For two or three, Student's would ask for more than strong signals give.
BEATS_FIRST = 2.78


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
    blended_errors : ndarray of shape (n_lambdas,)
        Errors of the mean of each of them and the debiased network; NaN without one.
    debiased_error, debiased_n_features : float
        Error and features of the network without decay that the criterion chooses;
        NaN if it was not asked for.
    weight : float
        Sum of the sample weights of the held-out rows.
    n_iter : int
        Evaluations that it took.
    """

    errors: np.ndarray
    n_features: np.ndarray
    blended_errors: np.ndarray
    debiased_error: float
    debiased_n_features: float
    weight: float
    n_iter: int


@dataclass(frozen=True)
class Choice:
    """What to fit on all rows.

    Parameters
    ----------
    index : int or None
        Stage of the path; None if it plays no part.
    debiased_share : {0.0, 0.5, 1.0}
        Share of the debiased network beside it.
    """

    index: int | None
    debiased_share: float


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

    With a ``penalty``, the debiased network that the criterion chooses is tried, too,
    alone and in the mean with that of each stage, as the relaxed Lasso blends the two.
    The path ends when no error has reached a new minimum for some stages.
    """
    # Imported here: who only predicts does without torch.
    from sklearn_twolayer._problem import PathProblem
    from sklearn_twolayer._raw import RawRows

    weights = sample_weight[test]

    def error(predicted: np.ndarray) -> float:
        squares = np.square(y[test] - predicted).reshape(len(test), -1)
        return np.average(squares.mean(axis=1), weights=weights)

    with fit_threads(X.size):
        problem = PathProblem.of(
            RawRows.local(X, y, _repeated(sample_weight, train)), options
        )
        errors, blended_errors, n_features = np.full((3, len(problem.lambdas)), np.nan)
        n_iter, debiased = 0, None
        debiased_error = debiased_n_features = np.nan
        if penalty is not None:
            (stage,) = problem.search(penalty)
            fitted = problem.fitted(stage.result)
            debiased, n_iter = fitted.predict(X[test]), stage.n_iter
            debiased_error, debiased_n_features = error(debiased), fitted.n_features
        for index, stage in enumerate(problem.stages()):
            n_iter += stage.n_iter
            fitted = problem.fitted(stage.network)
            predicted = fitted.predict(X[test])
            errors[index], n_features[index] = error(predicted), fitted.n_features
            if debiased is not None:
                blended_errors[index] = error((predicted + debiased) / 2.0)
            since = [index - _last_minimum(e) for e in (errors, blended_errors)]
            if min(since) >= PATIENCE:
                break
    return Fold(
        errors,
        n_features,
        blended_errors,
        debiased_error,
        debiased_n_features,
        weights.sum(),
        n_iter,
    )


def _repeated(sample_weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights of all rows that stand for the rows at ``index`` alone.

    So that no copy is made of the rows.
    """
    return np.bincount(
        np.arange(len(sample_weight))[index],
        weights=sample_weight[index],
        minlength=len(sample_weight),
    )


def _last_minimum(errors: np.ndarray) -> float:
    """Index of the least error; minus infinity if there is none."""
    return -np.inf if np.isnan(errors).all() else float(np.nanargmin(errors))


def choose(folds: Sequence[Fold], one_standard_error: bool) -> Choice:
    """The network, or the mean of two, with the least mean error over the folds.

    With ``one_standard_error``, the first stage whose error, with the same share of
    the debiased network, is within one standard error of the least.
    """
    weights = np.array([fold.weight for fold in folds])
    share = weights / weights.sum()
    paths = {
        0.0: np.stack([fold.errors for fold in folds], axis=-1),
        0.5: np.stack([fold.blended_errors for fold in folds], axis=-1),
    }
    first = paths[0.0][0]
    debiased = np.array([fold.debiased_error for fold in folds])
    best, least, chosen = Choice(None, 1.0), debiased @ share, debiased
    for debiased_share, errors in paths.items():
        mean = errors @ share
        if not np.isnan(mean).all() and not np.nanmin(mean) >= least:
            index = int(np.nanargmin(mean))
            best = Choice(index, debiased_share)
            least, chosen = mean[index], errors[index]
    gain = first - chosen
    if gain @ share <= BEATS_FIRST * _standard_error(gain, share):
        return Choice(0, 0.0)
    if best.index is not None and one_standard_error:
        limit = least + _standard_error(chosen, share)
        within = paths[best.debiased_share] @ share <= limit
        best = replace(best, index=int(np.flatnonzero(within)[0]))
    return best


def _standard_error(values: np.ndarray, share: np.ndarray) -> float:
    """Of the weighted mean of independent values."""
    n_values = len(values)
    if n_values < 2:
        return 0.0
    variance = share @ np.square(values - share @ values) * n_values / (n_values - 1)
    return float(np.sqrt(variance * (share @ share)))
