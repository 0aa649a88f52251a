"""Everything that the folds compare, and the choice among it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._cross_validation.choice import Choice, ambiguity, choose
from sklearn_twolayer._cross_validation.folds import Fold, follow_folds

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions

# Multiples of the likely decay of the linear part that are compared where it is not
# zero. With a larger one the neurons take over more of the linear signal, which tells
# their directions. Measured on dense teachers of 100 to 1000 rows and 80 to 500 inputs:
# multiples of 3, 10 and 1000 are equally good, 0.3 is never better than 1.
FACTORS = (1.0, 10.0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The folds that the choice was made on, what averaging gains, and the choice."""

    folds: Sequence[Fold]
    ambiguity: float
    choice: Choice


def compare(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
    penalty: str | float | None,
    n_jobs: int | None,
    *,
    one_standard_error: bool,
) -> Comparison:
    """Follow the folds, and choose; with several decays of the linear part if it helps.

    Only paths are followed at other multiples of the likely decay: networks without
    decay of their own are not found where the linear part needs one.
    """
    data = X, y, sample_weight, splits
    folds = follow_folds(*data, options, penalty, n_jobs)
    is_shrunk = all(fold.linear_decay > 0.0 for fold in folds)
    # Linear parts of few rows differ most, but the mean of the networks has one that is
    # fitted on all rows: averaging gains less than the ambiguity says.
    gain = 0.0 if is_shrunk else ambiguity(folds, X, sample_weight)
    linear = np.array([fold.errors[0, 0] for fold in folds])
    choice = choose(folds, gain, one_standard_error)
    best = Comparison(folds, gain, choice)
    if not is_shrunk:
        return best
    for factor in FACTORS[1:]:
        decayed = replace(options, linear_decay_factor=factor)
        others = follow_folds(*data, decayed, None, n_jobs)
        choice = choose(others, 0.0, one_standard_error, linear)
        choice = replace(choice, linear_decay_factor=factor)
        if choice.error < best.choice.error:
            best = Comparison(others, 0.0, choice)
    return best
