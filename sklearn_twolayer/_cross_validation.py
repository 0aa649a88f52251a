"""Errors on held-out rows along a path, and which of its networks they speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sklearn_twolayer._options import PathOptions
from sklearn_twolayer._schedule import StagedSchedule
from sklearn_twolayer._threads import fit_threads

# What ends a fold's path: so many stages in a row without a lower error, and an error
# above the least by so many standard errors of the rows' differences. Measured on the
# noisy problems and seven tables: without the second, one fold of a table with gross
# outliers ended far too early; one standard error takes longer and chooses the same.
PATIENCE = 2
CLEARLY = 0.5
# A network must beat the one at the largest decay, the linear model, by this many
# standard errors of the paired difference over the folds, unless the criterion finds
# features in every fold: Student's 97.5 % for five of them. For two or three, Student's
# would ask for more than strong signals give.
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
        Error and features of the network that the criterion chooses, without schedule;
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
    The path ends when all errors are past their least.
    """
    # Imported here: who only predicts does without torch.
    from sklearn_twolayer._problem import PathProblem
    from sklearn_twolayer._raw import RawRows

    held_out, weights = y[test], sample_weight[test]
    path, blended = HeldOut(held_out, weights), HeldOut(held_out, weights)
    debiased_error = debiased_n_features = np.nan
    n_features = np.full(len(options.schedule.lambdas), np.nan)
    n_iter = 0
    with fit_threads(X.size):
        problem = PathProblem.of(
            RawRows.local(X, y, _repeated(sample_weight, train)), options
        )
        if penalty is not None:
            (stage,) = problem.search(penalty)
            fitted = problem.fitted(stage.result)
            debiased, n_iter = fitted.predict(X[test]), stage.n_iter
            debiased_error = HeldOut(held_out, weights).add(debiased)
            debiased_n_features = fitted.n_features
        for index, stage in enumerate(problem.stages()):
            n_iter += stage.n_iter
            fitted = problem.fitted(stage.network)
            predicted = fitted.predict(X[test])
            n_features[index] = fitted.n_features
            path.add(predicted)
            if penalty is not None:
                blended.add((predicted + debiased) / 2.0)
            if path.is_past and blended.is_past:
                break
    return Fold(
        path.padded(len(n_features)),
        n_features,
        blended.padded(len(n_features)),
        debiased_error,
        debiased_n_features,
        weights.sum(),
        n_iter,
    )


class HeldOut:
    """Errors on held-out rows along a path, and whether it is past the least."""

    def __init__(self, y: np.ndarray, weights: np.ndarray) -> None:
        self.y, self.weights = y, weights
        self.errors: list[float] = []
        self._least: np.ndarray | None = None  # squares of the rows there
        self._is_clear = False

    def add(self, predicted: np.ndarray) -> float:
        """The next network's mean squared error."""
        squares = np.square(self.y - predicted).reshape(len(self.y), -1).mean(axis=1)
        error = np.average(squares, weights=self.weights)
        if self._least is None or error < min(self.errors):
            self._least, self._is_clear = squares, False
        else:
            rise, share = squares - self._least, self.weights / self.weights.sum()
            self._is_clear = share @ rise > CLEARLY * _standard_error(rise, share)
        self.errors.append(error)
        return error

    @property
    def is_past(self) -> bool:
        """Whether the least error is some stages ago and the last clearly higher."""
        if not self.errors:
            return True
        since = len(self.errors) - 1 - int(np.argmin(self.errors))
        return since >= PATIENCE and self._is_clear

    def padded(self, length: int) -> np.ndarray:
        """The errors, then NaN."""
        missing = np.full(length - len(self.errors), np.nan)
        return np.concatenate([self.errors, missing])


def _repeated(sample_weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights of all rows that stand for the rows at ``index`` alone.

    So that no copy is made of the rows.
    """
    return np.bincount(
        np.arange(len(sample_weight))[index],
        weights=sample_weight[index],
        minlength=len(sample_weight),
    )


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
    beats_first = gain @ share > BEATS_FIRST * _standard_error(gain, share)
    if not beats_first and not all(fold.debiased_n_features > 0 for fold in folds):
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
