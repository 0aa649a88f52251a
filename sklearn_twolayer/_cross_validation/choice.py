"""Which network the errors on held-out rows speak for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.folds import SHARES, Fold, standard_error

if TYPE_CHECKING:
    from sklearn_twolayer._rows.units import FittedNetwork

# How much lower, as a fraction, the error of anything else must be than that of the
# debiased network, which has few features. Measured on the noisy problems: the mean of
# the folds' networks is lower by about one percent even where all of them are right; at
# two percent, more of the debiased networks that are kept have missed a neuron.
SPARSE = 0.015
# Errors that differ by less than this fraction of the linear model's are the same, so
# that exact networks are not told apart by rounding (convention).
SAME_ERROR = 1e-9
# A network must beat the one at the largest decay, the linear model, by this many
# standard errors of the paired difference over the folds, unless the criterion finds
# features in every fold. It is the 97.5 % quantile of Student's distribution for five
# folds. The quantiles for two or three folds would ask for more than strong signals
# give.
BEATS_FIRST = 2.78
# The same where the linear part has a decay. Rows are then few, and differences seldom
# certain. Measured on teachers of 200 rows and 100 inputs: with 1, networks are given
# up that explain a tenth of the variance; with 0, linear data lose as much.
BEATS_RIDGE = 0.5


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
    error : float, default=inf
        Mean error over the folds.
    linear_decay_factor : float, default=1.0
        What the likely decay of the linear part is multiplied by.
    """

    index: int | None
    debiased_share: float
    others: tuple[FittedNetwork, ...] = ()
    error: float = field(default=np.inf, compare=False)
    linear_decay_factor: float = 1.0


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


def choose(
    folds: Sequence[Fold],
    ambiguity: float,
    one_standard_error: bool,
    linear: np.ndarray | None = None,
) -> Choice:
    """The network, or the mean of several, with the least mean error over the folds.

    The errors are those of each fold's own networks. From those with a share of
    debiased ones comes off what averaging these over the folds gains. With
    ``one_standard_error``, the first stage whose error, with the same share, is within
    one standard error of the least. ``linear`` are the errors of the linear model in
    each fold; None for those of the first stage.
    """
    weights = np.array([fold.weight for fold in folds])
    of_fold = weights / weights.sum()
    errors = np.stack([fold.errors for fold in folds], axis=-1)
    debiased = np.array([fold.debiased_error for fold in folds])
    averaged = np.array([fold.averaged_error for fold in folds])
    linear = errors[0, 0] if linear is None else linear
    is_shrunk = all(fold.linear_decay > 0.0 for fold in folds)
    enough = BEATS_RIDGE if is_shrunk else BEATS_FIRST
    others = tuple(network for fold in folds for network in fold.debiased)
    blends = errors @ of_fold - np.square(SHARES) * ambiguity
    mean = averaged @ of_fold - ambiguity
    known = np.where(np.isnan(blends), np.inf, blends)
    index, column = np.unravel_index(np.argmin(known), known.shape)
    least = np.fmin(known[index, column], mean)
    same = SPARSE * max(least, 0.0) + SAME_ERROR * (errors[0, 0] @ of_fold)
    if debiased @ of_fold <= least + same:
        best, chosen = Choice(None, 1.0), debiased
    elif mean == least:
        best, chosen = Choice(None, 1.0, others), averaged
    else:
        share = float(SHARES[column])
        best = Choice(int(index), share, others if share > 0.0 else ())
        chosen = errors[index, column]

    def is_certain(errors_chosen: np.ndarray) -> bool:
        gain = linear - errors_chosen
        beats_first = gain @ of_fold > enough * standard_error(gain, of_fold)
        return beats_first or all(fold.debiased_n_features > 0 for fold in folds)

    if not is_certain(chosen):
        # Searches of some folds may have missed what the paths of all have found.
        index, column = int(np.argmin(known[:, 0])), 0
        best, chosen = Choice(index, 0.0), errors[index, 0]
        least = known[index, 0]
        if not is_certain(chosen):
            return Choice(0, 0.0, error=float(linear @ of_fold))
    if best.index is not None and one_standard_error:
        within = blends[:, column] <= least + standard_error(chosen, of_fold)
        best = replace(best, index=int(np.flatnonzero(within)[0]))
    return replace(best, error=float(least))
