"""The choice of a network by the errors on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.folds import SHARES, Fold
from sklearn_twolayer._cross_validation.held_out import standard_error

if TYPE_CHECKING:
    from sklearn_twolayer._rows.units import FittedNetwork

# The debiased network, which has few features, is chosen unless another error is lower
# by more than this fraction. Measured on the noisy problems: the error of the mean of
# the folds' networks is lower by about one percent even if all of them have the right
# neurons; at two percent, more of the debiased networks that are kept miss a neuron.
SPARSE = 0.015
# Errors that differ by less than this fraction of the error of the linear model count
# as equal, so that rounding does not decide between exact networks (convention).
SAME_ERROR = 1e-9
# The error of the linear model, which is the network at the largest decay, must exceed
# that of a network by this many standard errors of the fall over the rows, and by as
# many over the folds, unless the criterion finds features in every fold. Measured on
# 320 linear data sets of 150 to 500 rows, with noise and inputs of four kinds: a
# network of the path passes on one of them. With 2.78 over the folds alone, a quantile
# of Student's distribution, four pass, and networks are refused on tables where few
# rows decide the error.
BEATS_FIRST = 2.0
# Where the linear part has a decay, it must exceed it by this many standard errors over
# the folds. Rows are then few, and differences seldom certain. Measured on teachers of
# 200 rows and 100 inputs: with 1, networks are given up that explain a tenth of the
# variance; with 0, linear data lose as much.
BEATS_RIDGE = 0.5


@dataclass(frozen=True)
class Choice:
    """The network to fit on all rows: a weighted mean of a regularised and a debiased.

    Parameters
    ----------
    index : int or None
        Stage of the path whose network is used; None if only debiased ones are used.
    debiased_share : float
        Weight of the debiased network in the mean.
    others : tuple of FittedNetwork, default=()
        Debiased networks of the folds. If there are any, the debiased network is
        the mean of these and of the debiased networks of all rows.
    regularised : tuple of FittedNetwork, default=()
        Networks of the folds at the same stage. If there are any, the regularised
        network is the mean of these and of that of all rows.
    errors : ndarray of shape (n_folds,)
        Held-out error of each fold, less what averaging the folds' networks gains.
    error : float
        Mean of the errors, by the weights of the folds.
    linear_decay_factor : float, default=1.0
        What the likely decay of the linear part is multiplied by.
    before : tuple of Choice, default=()
        The choices of earlier rounds. The network of each gives the weights of the
        columns in the next.
    """

    index: int | None
    debiased_share: float
    others: tuple[FittedNetwork, ...] = ()
    regularised: tuple[FittedNetwork, ...] = ()
    errors: np.ndarray = field(default_factory=lambda: np.zeros(0), compare=False)
    error: float = field(default=np.inf, compare=False)
    linear_decay_factor: float = 1.0
    before: tuple[Choice, ...] = ()


def ambiguity(folds: Sequence[Fold], X: np.ndarray, sample_weight: np.ndarray) -> float:
    """Variance of the folds' predictions at each row, averaged over the rows.

    The prediction of a fold is that of the mean of its debiased networks. The variance
    is what averaging over the folds gains: the mean squared error of the average is
    lower than the average of the mean squared errors by it (theory eq. 18). Zero
    without debiased networks.
    """
    if not folds[0].debiased:
        return 0.0
    first, *others = (fold.averaged(X) for fold in folds)
    # The first predictions are subtracted, so that a large mean does not cancel digits.
    deviations = [other - first for other in others]
    total = sum(deviations, np.zeros_like(first))
    squares = sum(map(np.square, deviations), np.zeros_like(first))
    variances = squares / len(folds) - np.square(total / len(folds))
    rows = variances.reshape(len(variances), -1).mean(axis=1)
    return float(np.average(rows, weights=sample_weight))


def choose(
    folds: Sequence[Fold],
    ambiguity: float,
    one_standard_error: bool,
    linear: np.ndarray | None = None,
) -> Choice:
    """Choose the network with the least held-out error, averaged over the folds.

    Compared are the debiased network, the mean of debiased networks, and at each stage
    the regularised network, alone or in a weighted mean with the debiased ones. If
    debiased networks have a share in a mean, ``share**2 * ambiguity`` is subtracted
    from its error, because they are averaged over the folds in the end. The debiased
    network is preferred up to a margin, and the linear model is chosen if no network is
    clearly better. With ``one_standard_error``, the one of fewest features is chosen
    whose error is within one standard error of that. ``linear`` are the errors of the
    linear model in each fold; None for those of the first stage.
    """
    weights = np.array([fold.weight for fold in folds])
    of_fold = weights / weights.sum()
    errors = np.stack([fold.errors for fold in folds], axis=-1)
    debiased = np.array([fold.debiased_error for fold in folds])
    averaged = np.array([fold.averaged_error for fold in folds])
    linear = errors[0, 0] if linear is None else linear
    is_shrunk = all(fold.linear_decay > 0.0 for fold in folds)
    squares = np.sum([fold.squares for fold in folds], axis=0)
    debiased_squares = sum(fold.debiased_squares for fold in folds)
    averaged_squares = sum(fold.averaged_squares for fold in folds)
    others = tuple(network for fold in folds for network in fold.debiased)
    blends = errors @ of_fold - np.square(SHARES) * ambiguity
    mean = averaged @ of_fold - ambiguity
    known = np.where(np.isnan(blends), np.inf, blends)
    index, column = map(int, np.unravel_index(np.argmin(known), known.shape))
    least = np.fmin(known[index, column], mean)
    same = SPARSE * max(least, 0.0) + SAME_ERROR * (errors[0, 0] @ of_fold)
    if debiased @ of_fold <= least + same:
        best, chosen, spread = Choice(None, 1.0), debiased, debiased_squares
    elif mean == least:
        best, chosen, spread = Choice(None, 1.0, others), averaged, averaged_squares
    else:
        share = float(SHARES[column])
        best = Choice(index, share, others if share > 0.0 else ())
        chosen, spread = errors[index, column], squares[index, column]

    def is_certain(chosen: np.ndarray, spread: float) -> bool:
        """Whether the errors ``chosen`` are clearly below those of the linear model."""
        fall = linear - chosen
        over_folds = standard_error(fall, of_fold)
        if is_shrunk:
            enough = BEATS_RIDGE * over_folds
        else:
            over_rows = np.sqrt(spread) / weights.sum()
            enough = BEATS_FIRST * max(over_rows, over_folds)
        has_features = all(fold.debiased_n_features > 0 for fold in folds)
        return bool(fall @ of_fold > enough) or has_features

    if not is_certain(chosen, spread):
        # Try the best regularised network instead: the debiased networks of some folds
        # may have missed directions that the paths of all folds have found.
        index, column = int(np.argmin(known[:, 0])), 0
        best, chosen = Choice(index, 0.0), errors[index, 0]
        least = known[index, 0]
        if not is_certain(chosen, squares[index, 0]):
            return Choice(0, 0.0, errors=linear, error=float(linear @ of_fold))
    if one_standard_error:
        error = max(least, debiased @ of_fold) if best == Choice(None, 1.0) else least
        limit = error + standard_error(chosen, of_fold)
        best = _smallest(folds, of_fold, blends, mean, limit)
    shift = least - chosen @ of_fold
    return replace(best, errors=chosen + shift, error=float(least))


def _smallest(
    folds: Sequence[Fold],
    of_fold: np.ndarray,
    blends: np.ndarray,
    averaged_error: float,
    limit: float,
) -> Choice:
    """Of all whose error is at most ``limit``, the network of fewest features.

    Of those that have as many, it is the one of the least error. A mean has the
    features of the networks of every fold and, about as many as in a fold, of all rows.
    """
    path = np.stack([fold.n_features for fold in folds], axis=-1) @ of_fold
    debiased = np.array([fold.debiased_error for fold in folds]) @ of_fold
    single = np.array([fold.debiased_n_features for fold in folds]) @ of_fold
    averaged = np.array([fold.averaged_n_features for fold in folds])
    whole = averaged.sum() + averaged @ of_fold
    others = tuple(network for fold in folds for network in fold.debiased)
    found = [
        (single, debiased, Choice(None, 1.0)),
        (whole, averaged_error, Choice(None, 1.0, others)),
    ]
    for index, errors in enumerate(blends):
        found.append((path[index], errors[0], Choice(index, 0.0)))
        found += [
            (path[index] + whole, error, Choice(index, float(share), others))
            for share, error in zip(SHARES[1:], errors[1:], strict=True)
        ]
    within = [one for one in found if one[1] <= limit]
    return min(within, key=lambda one: one[:2])[2]
