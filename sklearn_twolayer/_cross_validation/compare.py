"""Everything that the folds compare, and the choice among it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.choice import (
    Choice,
    ambiguity,
    choose,
)
from sklearn_twolayer._cross_validation.column_weights import (
    MOST_REWEIGHTINGS,
    column_weights,
)
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import Fold, follow_folds
from sklearn_twolayer._cross_validation.held_out import standard_error

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions

# Multiples of the likely decay of the linear part that are compared where it is not
# zero. With a larger one the neurons take over more of the linear signal, which tells
# their directions. Measured on dense teachers of 100 to 1000 rows and 80 to 500 inputs:
# multiples of 3, 10 and 1000 are equally good, 0.3 is never better than 1.
FACTORS = (1.0, 10.0)
# With "auto", the first weights of columns must lower the held-out error by this many
# standard errors of the paired difference over the folds. It is about the 95 % quantile
# of Student's distribution for five folds. Measured on dense teachers, where weights do
# harm: 1 of 18 data sets is above it; on those of three columns among a hundred or
# more, the fall is five times as many.
BEATS_L2 = 2.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """The folds that the choice was made on, what averaging gains, and the choice.

    ``is_shrunk`` tells whether the linear part has a decay in every fold without
    weights of columns. ``column_weights`` are those of each fold, if there are any, and
    ``n_repeated`` the evaluations of repeated folds.
    """

    folds: Sequence[Fold]
    ambiguity: float
    choice: Choice
    is_shrunk: bool = False
    column_weights: Sequence[np.ndarray] = ()
    n_repeated: int = 0

    @property
    def n_iter(self) -> int:
        """Evaluations of all folds."""
        return self.n_repeated + sum(fold.n_iter for fold in self.folds)


def compare(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
    penalty: str | float | None,
    n_jobs: int | None,
    *,
    one_standard_error: bool,
    direction_penalty: str,
) -> Comparison:
    """Follow the folds, and choose.

    Unless ``direction_penalty`` is "l2", this is repeated with columns weighted by the
    networks chosen before, each fold's by its own, until the held-out error falls no
    more; where rows are many, once.
    """
    follow = partial(
        follow_folds, kind, X, y, sample_weight, splits, n_jobs=n_jobs,
        with_importances=direction_penalty != "l2",
    )  # fmt: skip

    def compared(
        name: str,
        own: list[PathOptions],
        penalty: str | float | None,
        factors: tuple[float, ...],
        scales: Sequence[float] | None = None,
    ) -> Comparison:
        folds = follow(own, penalty, name=name, scales=scales)
        # Measured on 48 data sets of ten settings, 60 to 200 rows and 20 to 100 inputs:
        # where the linear part is shrunk, counting what averaging gains changes the
        # mean R2 of a setting by -0.003 to 0.008. Without it fewer models are means of
        # folds, which have features of columns that all rows leave out.
        is_counted = kind.averages and not _are_shrunk(folds)
        gain = ambiguity(folds, X, sample_weight) if is_counted else 0.0
        found = _compare_decays(
            name, folds, gain, follow, own, one_standard_error, factors
        )
        if kind.averages:
            return found
        return replace(found, choice=replace(found.choice, others=()))

    weighted = [options] * len(splits)
    first = compared("folds", weighted, penalty, FACTORS)
    # Losses that depend on the scale of the residuals keep it, so that all are compared
    # by one loss.
    scales = [fold.scale for fold in first.folds]
    is_shrunk = _are_shrunk(first.folds)
    # Weights do not help a linear model or a network that the criterion chooses, unless
    # these may be wrong because rows are few.
    is_simple = first.choice.index == 0 or first.choice == Choice(None, 1.0)
    is_auto = direction_penalty == "auto"
    first = replace(first, is_shrunk=is_shrunk)
    if direction_penalty == "l2" or (is_auto and is_simple and not is_shrunk):
        return first
    # Where rows are many, there is one round, for paths only, because debiased networks
    # take most of the time. They are added after it if they have had a share before.
    best = first if is_shrunk else _of_paths(first, one_standard_error)
    factors = FACTORS if is_shrunk else FACTORS[:1]
    for number in range(1, 1 + (MOST_REWEIGHTINGS if is_shrunk else 1)):
        index = -1 if best.choice.index is None else best.choice.index
        weights = [column_weights(fold.importances[index]) for fold in best.folds]
        tried = [replace(options, column_weights=own) for own in weights]
        name = f"folds, column weights {number}"
        again = compared(name, tried, penalty if is_shrunk else None, factors, scales)
        must_pay = is_auto and not (is_shrunk and best.choice.before)
        if not _is_lower(again, best, BEATS_L2 if must_pay else 0.0):
            break
        weighted, before = tried, (*best.choice.before, best.choice)
        choice = replace(again.choice, before=before)
        best = replace(again, choice=choice, column_weights=weights)
    if is_shrunk:
        return replace(best, is_shrunk=True)
    if best.choice.before and first.choice.debiased_share > 0.0:
        name = "folds, column weights and debiased networks"
        last = compared(name, weighted, penalty, factors, scales)
        choice = replace(last.choice, before=best.choice.before)
        best = replace(last, choice=choice, column_weights=best.column_weights)
    return best if best.choice.error < first.choice.error else first


def _are_shrunk(folds: Sequence[Fold]) -> bool:
    """Whether the linear part has a decay in every fold."""
    return all(fold.linear_decay > 0.0 for fold in folds)


def _of_paths(compared: Comparison, one_standard_error: bool) -> Comparison:
    """The comparison of the regularised networks alone."""
    folds = [fold.without_debiased() for fold in compared.folds]
    return Comparison(folds, 0.0, choose(folds, 0.0, one_standard_error))


def _is_lower(new: Comparison, old: Comparison, enough: float) -> bool:
    """Whether the error falls by more than ``enough`` standard errors of the fall."""
    weights = np.array([fold.weight for fold in old.folds])
    of_fold, fall = weights / weights.sum(), old.choice.errors - new.choice.errors
    return bool(of_fold @ fall > enough * standard_error(fall, of_fold))


def _compare_decays(
    name: str,
    folds: list[Fold],
    gain: float,
    follow: Callable[..., list[Fold]],
    options: list[PathOptions],
    one_standard_error: bool,
    factors: tuple[float, ...],
) -> Comparison:
    """Choose, with several decays of the linear part where it has one.

    ``name`` is that of the ``folds``, ``gain`` what averaging their networks gains, and
    ``follow`` follows others.
    Only paths are followed at other multiples of the likely decay: networks without
    decay of their own are not found where the linear part needs one.
    """
    linear = np.array([fold.errors[0, 0] for fold in folds])
    choice = choose(folds, gain, one_standard_error)
    best = Comparison(folds, gain, choice)
    if not _are_shrunk(folds):
        return best
    for factor in factors[1:]:
        decayed = [replace(own, linear_decay_factor=factor) for own in options]
        scales = [fold.scale for fold in folds]
        others = follow(
            decayed, None, name=f"{name}, linear decay x {factor:g}", scales=scales
        )
        choice = choose(others, 0.0, one_standard_error, linear)
        choice = replace(choice, linear_decay_factor=factor)
        if choice.error < best.choice.error:
            best = Comparison(others, 0.0, choice)
    return best
