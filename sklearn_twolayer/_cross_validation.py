"""Errors on held-out rows along a path, and which of its networks they speak for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from joblib import effective_n_jobs
from sklearn.metrics import mean_squared_error
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._options import PathOptions
from sklearn_twolayer._schedule import StagedSchedule
from sklearn_twolayer._threads import fit_threads

if TYPE_CHECKING:
    from sklearn_twolayer._network import Network
    from sklearn_twolayer._path import Stage
    from sklearn_twolayer._problem import PathProblem
    from sklearn_twolayer._units import FittedNetwork

# Shares of debiased networks in the means that are tried with each regularised one.
SHARES = np.array([0.0, 0.25, 0.5, 0.75])
# Penalties of the debiased networks that are averaged, as fractions of the criterion's:
# averaging takes off what more neurons fit of the noise. Measured on 500 rows (50 data
# sets, the average alone): 90 % of the errors are below 1.45 times an oracle's with the
# three, 1.48 without the last and 1.63 with the first alone; a fourth gains no more.
# The last is left out where little noise is left: it took time and gained nothing.
PENALTIES = (1.0, 0.7, 0.5)
# How much lower, as a fraction, the error of anything else must be than that of the
# debiased network, which has few features. Measured on the noisy problems: the mean of
# the folds' networks is lower by about one percent even where all of them are right; at
# two percent, more of the debiased networks that are kept have missed a neuron.
SPARSE = 0.015
ROUNDING = 1e-9  # of the linear model's error: exact networks do not differ
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
    """

    errors: np.ndarray
    n_features: np.ndarray
    debiased: tuple[FittedNetwork, ...]
    debiased_error: float
    averaged_error: float
    weight: float
    n_iter: int

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


@dataclass(frozen=True)
class Choice:
    """What to fit on all rows.

    Parameters
    ----------
    index : int or None
        Stage of the path; None if it plays no part.
    debiased_share : float
        Share of the debiased network beside it.
    others : tuple of FittedNetwork, default=()
        The folds' debiased networks, if their mean with those of all rows takes its
        place.
    """

    index: int | None
    debiased_share: float
    others: tuple[FittedNetwork, ...] = ()


@dataclass(frozen=True, eq=False)
class Followed:
    """What a choice has led to on all rows.

    Parameters
    ----------
    network : Network
        In the coordinates of the fit.
    stages : list of Stage
        To report: those of the path, if it has a share, or the one of the search.
    n_iter : int
        Evaluations that it took.
    n_averaged : int
        Number of debiased networks in it.
    """

    network: Network
    stages: list[Stage]
    n_iter: int
    n_averaged: int


def path_options(options: PathOptions, fractions: Sequence[float]) -> PathOptions:
    """Options of a path whose stages are compared: rough, on a grid of its own."""
    return replace(options, schedule=StagedSchedule(fractions), solver="fast")


def follow_folds(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
    penalty: float | None,
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
    penalty: float | None,
    n_stages: int,
) -> Fold:
    """Follow the path on the rows ``train``; errors on the rows ``test``.

    With a ``penalty``, the debiased networks that the criterion chooses are tried, too:
    the first alone, and the mean of all alone and in means with the network of each
    stage, as the relaxed Lasso blends the two. The path ends when its errors are past
    their least, without debiased networks and with as much of both, or after
    ``n_stages``.
    """
    # Imported here: who only predicts does without torch.
    from sklearn_twolayer._problem import PathProblem
    from sklearn_twolayer._raw import RawRows

    n_lambdas = len(options.schedule.lambdas)
    n_features = np.full(n_lambdas, np.nan)
    errors = np.full((n_lambdas, len(SHARES)), np.nan)
    with fit_threads(X.size):
        problem = PathProblem.of(
            RawRows.local(X, y, _repeated(sample_weight, train)), options
        )
        found = [] if penalty is None else problem.searches(penalty, PENALTIES)
        debiased = tuple(problem.fitted(one.network) for one in found)
        n_iter = sum(one.n_iter for one in found)
        rivals = [network.predict(X[test]) for network in debiased]
        averaged = np.mean(rivals, axis=0) if rivals else 0.0
        shares = SHARES if rivals else SHARES[:1]
        paths = [HeldOut(y[test], sample_weight[test]) for _ in shares]
        for index, stage in enumerate(islice(problem.stages(), n_stages)):
            n_iter += stage.n_iter
            fitted = problem.fitted(stage.network)
            predicted = fitted.predict(X[test])
            n_features[index] = fitted.n_features
            for column, (share, path) in enumerate(zip(shares, paths, strict=True)):
                blended = (1.0 - share) * predicted + share * averaged
                errors[index, column] = path.add(blended)
            if all(path.is_past for path in paths[::2]):  # the others are between
                break
    error = partial(mean_squared_error, y[test], sample_weight=sample_weight[test])
    return Fold(
        errors,
        n_features,
        debiased,
        debiased_error=error(rivals[0]) if rivals else np.nan,
        averaged_error=error(averaged) if rivals else np.nan,
        weight=sample_weight[test].sum(),
        n_iter=n_iter,
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
        since = len(self.errors) - 1 - int(np.argmin(self.errors))
        return since >= PATIENCE and self._is_clear


def _repeated(sample_weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights of all rows that stand for the rows at ``index`` alone.

    So that no copy is made of the rows.
    """
    return np.bincount(
        np.arange(len(sample_weight))[index],
        weights=sample_weight[index],
        minlength=len(sample_weight),
    )


def ambiguity(folds: Sequence[Fold], X: np.ndarray, sample_weight: np.ndarray) -> float:
    """How far the folds' debiased networks differ: their variance, averaged over rows.

    By so much the mean of the networks has a lower mean squared error than they have
    in the mean (theory eq. 18). Zero without debiased networks.
    """
    if not folds[0].debiased:
        return 0.0
    first, *others = (fold.averaged(X) for fold in folds)
    # About the first, so that a large mean costs no digits.
    deviations = [other - first for other in others]
    total = sum(deviations, np.zeros_like(first))
    squares = sum(map(np.square, deviations), np.zeros_like(first))
    variances = squares / len(folds) - np.square(total / len(folds))
    rows = variances.reshape(len(variances), -1).mean(axis=1)
    return float(np.average(rows, weights=sample_weight))


def choose(folds: Sequence[Fold], ambiguity: float, one_standard_error: bool) -> Choice:
    """The network, or the mean of several, with the least mean error over the folds.

    The errors are those of each fold's own networks. From those with a share of
    debiased ones comes off what averaging these over the folds gains. With
    ``one_standard_error``, the first stage whose error, with the same share, is within
    one standard error of the least.
    """
    weights = np.array([fold.weight for fold in folds])
    of_fold = weights / weights.sum()
    errors = np.stack([fold.errors for fold in folds], axis=-1)
    debiased = np.array([fold.debiased_error for fold in folds])
    averaged = np.array([fold.averaged_error for fold in folds])
    others = tuple(network for fold in folds for network in fold.debiased)
    blends = errors @ of_fold - np.square(SHARES) * ambiguity
    mean = averaged @ of_fold - ambiguity
    known = np.where(np.isnan(blends), np.inf, blends)
    index, column = np.unravel_index(np.argmin(known), known.shape)
    least = np.fmin(known[index, column], mean)
    same = SPARSE * max(least, 0.0) + ROUNDING * (errors[0, 0] @ of_fold)
    if debiased @ of_fold <= least + same:
        best, chosen = Choice(None, 1.0), debiased
    elif mean == least:
        best, chosen = Choice(None, 1.0, others), averaged
    else:
        share = float(SHARES[column])
        best = Choice(int(index), share, others if share > 0.0 else ())
        chosen = errors[index, column]

    def is_certain(errors_chosen: np.ndarray) -> bool:
        gain = errors[0, 0] - errors_chosen
        beats_first = gain @ of_fold > BEATS_FIRST * _standard_error(gain, of_fold)
        return beats_first or all(fold.debiased_n_features > 0 for fold in folds)

    if not is_certain(chosen):
        # Searches of some folds may have missed what the paths of all have found.
        index, column = int(np.argmin(known[:, 0])), 0
        best, chosen = Choice(index, 0.0), errors[index, 0]
        least = known[index, 0]
        if not is_certain(chosen):
            return Choice(0, 0.0)
    if best.index is not None and one_standard_error:
        within = blends[:, column] <= least + _standard_error(chosen, of_fold)
        best = replace(best, index=int(np.flatnonzero(within)[0]))
    return best


def follow_choice(
    problem: PathProblem, choice: Choice, penalty: float, *, to_tolerance: bool
) -> Followed:
    """What was chosen, on all rows.

    The last stage of a path is descended on, ``to_tolerance`` or for a while.
    """
    from sklearn_twolayer._network import weighted_mean

    began, n_iter, n_averaged = time.perf_counter(), 0, 0
    share = choice.debiased_share
    networks, shares = [], []
    if share > 0.0:
        fractions = PENALTIES if choice.others else PENALTIES[:1]
        found = problem.searches(penalty, fractions)
        debiased, n_averaged = found[0].network, len(found) + len(choice.others)
        if choice.others:
            of_all_rows = [problem.fitted(one.network) for one in found]
            debiased = problem.averaged([*of_all_rows, *choice.others])
        n_iter += sum(one.n_iter for one in found)
        networks.append(debiased)
        shares.append(share)
    if share == 1.0:
        stages = [problem.found_stage(found[0], began)]
    else:
        stages = list(problem.stages())
        stages[-1] = problem.improved(stages[-1], to_tolerance=to_tolerance)
        n_iter += sum(stage.n_iter for stage in stages)
        networks.append(stages[-1].network)
        shares.append(1.0 - share)
    return Followed(weighted_mean(networks, shares), stages, n_iter, n_averaged)


def _standard_error(values: np.ndarray, share: np.ndarray) -> float:
    """Of the weighted mean of independent values."""
    n_values = len(values)
    if n_values < 2:
        return 0.0
    variance = share @ np.square(values - share @ values) * n_values / (n_values - 1)
    return float(np.sqrt(variance * (share @ share)))
