"""Errors on held-out rows along a path, and which of its networks they speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from joblib import effective_n_jobs
from sklearn.metrics import mean_squared_error
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._options.schedule import StagedSchedule
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads

if TYPE_CHECKING:
    from sklearn_twolayer._rows.units import FittedNetwork

# Shares of the mean of the debiased networks in the blends with each regularised one
# (convention).
SHARES = np.array([0.0, 0.25, 0.5, 0.75])
# Penalties of the debiased networks that are averaged, as fractions of the criterion's.
# Lower penalties give more neurons, and averaging removes what these fit of the noise.
# Measured on 500 rows (50 data sets, the average alone): 90 % of the errors are below
# 1.45 times an oracle's with the three, 1.48 without the last and 1.63 with the first
# alone; a fourth gains no more. The last is left out where the residual has little
# noise, since there it took time and gained nothing.
PENALTIES = (1.0, 0.7, 0.5)
# The path of a fold ends after so many stages in a row without a lower error, if the
# last error is above the least by so many standard errors of the rows' differences.
# Measured on the noisy problems and seven tables: without the second condition, one
# fold of a table with gross outliers ended far too early; one standard error takes
# longer and chooses the same.
STAGES_PAST_LEAST = 2
ERRORS_ABOVE_LEAST = 0.5


@dataclass(frozen=True, eq=False)
class Fold:
    """What the held-out rows of one fold say.

    Parameters
    ----------
    errors : ndarray of shape (n_lambdas, n_shares)
        Mean squared errors of the networks along the path, blended with the mean of
        the debiased ones by each of ``SHARES``; NaN where the path was not followed,
        or without debiased networks.
    n_features : ndarray of shape (n_lambdas,)
        Numbers of features of the networks along the path.
    debiased : tuple of FittedNetwork
        The networks that the criterion chooses, without schedule, at its penalty and at
        lower ones; empty if they were not asked for.
    debiased_error, averaged_error : float
        Mean squared errors of the first of them and of their mean; NaN without them.
    weight : float
        Sum of the sample weights of the held-out rows.
    n_iter : int
        Evaluations that it took.
    linear_decay : float, default=0.0
        Decay of the linear part.
    """

    errors: np.ndarray
    n_features: np.ndarray
    debiased: tuple[FittedNetwork, ...]
    debiased_error: float
    averaged_error: float
    weight: float
    n_iter: int
    linear_decay: float = 0.0

    @property
    def n_stages(self) -> int:
        """How far the path was followed."""
        return int(np.isfinite(self.n_features).sum())

    @property
    def debiased_n_features(self) -> float:
        """Features of the debiased network; NaN without it."""
        return float(self.debiased[0].n_features) if self.debiased else np.nan

    def until(self, n_stages: int) -> Fold:
        """As if the path had been followed no further than so many stages."""
        reached = np.arange(len(self.errors)) < n_stages
        return replace(
            self,
            errors=np.where(reached[:, np.newaxis], self.errors, np.nan),
            n_features=np.where(reached, self.n_features, np.nan),
        )

    def averaged(self, X: np.ndarray) -> np.ndarray:
        """Predictions of the mean of the debiased networks."""
        return sum(network.predict(X) for network in self.debiased) / len(self.debiased)


def path_options(options: PathOptions, fractions: Sequence[float]) -> PathOptions:
    """Options of a path whose stages are compared: rough, on a grid of its own."""
    return replace(options, schedule=StagedSchedule(fractions), solver="fast")


def follow_folds(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
    penalty: str | float | None,
    n_jobs: int | None,
) -> list[Fold]:
    """Follow the path in each fold, as far as all folds go.

    A stage that one fold does not reach can not be chosen. One after the other, the
    folds stop where one before them did; at the same time, what is beyond is dropped.
    """
    n_stages = len(options.schedule.lambdas)
    folds: list[Fold] = []
    if effective_n_jobs(n_jobs) == 1:
        for split in splits:
            fold = follow_fold(X, y, sample_weight, *split, options, penalty, n_stages)
            folds.append(fold)
            n_stages = fold.n_stages
    else:
        folds = Parallel(n_jobs=n_jobs)(
            delayed(follow_fold)(
                X, y, sample_weight, *split, options, penalty, n_stages
            )
            for split in splits
        )
        n_stages = min(fold.n_stages for fold in folds)
    return [fold.until(n_stages) for fold in folds]


def follow_fold(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
    penalty: str | float | None,
    n_stages: int,
) -> Fold:
    """Follow the path on the rows ``train``; errors on the rows ``test``.

    With a ``penalty``, the debiased networks that the criterion chooses are tried, too:
    the first alone, and the mean of all alone and in means with the network of each
    stage, as the relaxed Lasso blends the two. The path ends when its errors are past
    their least, without debiased networks and with as much of both, or after
    ``n_stages``.
    """
    # Imported here, because predicting and unpickling do without torch.
    from sklearn_twolayer._fit.linear_decay import problem_of
    from sklearn_twolayer._fit.searches import searches
    from sklearn_twolayer._fit.stages import path_stages
    from sklearn_twolayer._rows.raw import RawRows

    n_lambdas = len(options.schedule.lambdas)
    n_features = np.full(n_lambdas, np.nan)
    errors = np.full((n_lambdas, len(SHARES)), np.nan)
    with fit_threads(X.size), step_limit() as progress:
        problem = problem_of(
            RawRows.local(X, y, _repeated(sample_weight, train)), options
        )
        results = [] if penalty is None else searches(problem, penalty, PENALTIES)
        debiased = tuple(problem.fitted(one.network) for one in results)
        rivals = [network.predict(X[test]) for network in debiased]
        averaged = np.mean(rivals, axis=0) if rivals else 0.0
        shares = SHARES if rivals else SHARES[:1]
        paths = [HeldOut(y[test], sample_weight[test]) for _ in shares]
        for index, stage in enumerate(islice(path_stages(problem), n_stages)):
            fitted = problem.fitted(stage.network)
            predicted = fitted.predict(X[test])
            n_features[index] = fitted.n_features
            for column, (share, path) in enumerate(zip(shares, paths, strict=True)):
                blended = (1.0 - share) * predicted + share * averaged
                errors[index, column] = path.add(blended)
            # Shares of 0 and 0.5 decide for the two that are not looked at here.
            if all(path.is_past for path in paths[::2]):
                break
    error = partial(mean_squared_error, y[test], sample_weight=sample_weight[test])
    return Fold(
        errors,
        n_features,
        debiased,
        debiased_error=error(rivals[0]) if rivals else np.nan,
        averaged_error=error(averaged) if rivals else np.nan,
        weight=sample_weight[test].sum(),
        n_iter=progress.n_iter,
        linear_decay=problem.linear_decay,
    )


def fold_attributes(folds: Sequence[Fold], ambiguity: float) -> dict[str, object]:
    """Fitted attributes of the estimator that tell what the folds say."""
    errors = np.stack([fold.errors for fold in folds], axis=1)
    averaged = np.array([fold.averaged_error for fold in folds])
    return {
        "mse_path_": errors[:, :, 0],
        "n_features_path_": np.stack([fold.n_features for fold in folds], axis=1),
        "blended_mse_path_": errors[:, :, 1:] - np.square(SHARES[1:]) * ambiguity,
        "debiased_mse_": np.array([fold.debiased_error for fold in folds]),
        "debiased_n_features_": np.array([f.debiased_n_features for f in folds]),
        "averaged_mse_": averaged - ambiguity,
        "ambiguity_": ambiguity,
    }


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
            self._is_clear = share @ rise > ERRORS_ABOVE_LEAST * standard_error(
                rise, share
            )
        self.errors.append(error)
        return error

    @property
    def is_past(self) -> bool:
        """Whether the least error is some stages ago and the last clearly higher."""
        since = len(self.errors) - 1 - int(np.argmin(self.errors))
        return since >= STAGES_PAST_LEAST and self._is_clear


def _repeated(sample_weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights of all rows that stand for the rows at ``index`` alone.

    So that no copy is made of the rows.
    """
    return np.bincount(
        np.arange(len(sample_weight))[index],
        weights=sample_weight[index],
        minlength=len(sample_weight),
    )


def standard_error(values: np.ndarray, share: np.ndarray) -> float:
    """Of the weighted mean of independent values."""
    n_values = len(values)
    if n_values < 2:
        return 0.0
    variance = share @ np.square(values - share @ values) * n_values / (n_values - 1)
    return float(np.sqrt(variance * (share @ share)))
