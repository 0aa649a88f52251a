"""A fit with a loss other than the squared one, as the estimators run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._checks.losses import COUNTS, SQUARES
from sklearn_twolayer._fit.loss_problem import (
    LossProblem,
    keep_loss_stage,
    loss_path,
    loss_search,
)
from sklearn_twolayer._fit.scales import Attributes
from sklearn_twolayer._fit.squared_fit import SquaredFit
from sklearn_twolayer._losses.loss import class_loss, class_targets
from sklearn_twolayer._losses.numbers import NUMBER_LOSSES
from sklearn_twolayer._losses.units import LossUnits
from sklearn_twolayer._rows.raw import RawPart, RawRows

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class LossFit:
    """The problem of a fit with a loss."""

    problem: LossProblem

    def search(self, penalty: str | float, n_searches: int = 1) -> Iterator[Stage]:
        """The one stage of a search, which is not repeated."""
        return loss_search(self.problem, penalty)

    def path(self) -> Iterator[Stage]:
        """The stages of the schedule."""
        return loss_path(self.problem)

    def attributes(self, stage: Stage) -> Attributes:
        """Fitted attributes of the model of a stage."""
        return self.problem.attributes(self.problem.model_of(stage))

    def keep(self, stages: Sequence[Stage], penalty: str | float | None) -> Stage:
        """The last stage, or the one that the criterion chooses."""
        return keep_loss_stage(self.problem, stages, penalty)

    def finished(
        self, kept: Stage, max_features: int | None = None, *, debias: bool = False
    ) -> tuple[Attributes, None]:
        """Fitted attributes of the result, which is neither reduced nor debiased."""
        return self.attributes(kept), None


def class_problem(
    X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray, options: PathOptions
) -> LossProblem:
    """The problem of a classifier; ``y`` are numbers of classes."""
    n_classes = int(y.max()) + 1
    raw = RawRows.local(X, class_targets(y, n_classes), sample_weight)
    return LossProblem.of(raw, class_loss(n_classes), options)


def number_problem(
    raw: RawRows, options: PathOptions, loss: str, penalty: str | float
) -> LossProblem:
    """The problem of a regressor with a loss other than the squared one."""
    units_of = LossUnits.of_counts if loss == COUNTS else LossUnits.of_numbers
    (units,) = raw.parts.gather(_units, units_of)
    return LossProblem.of(raw, NUMBER_LOSSES[loss], options, units, penalty)


def _units(
    raw: RawPart, units_of: Callable[[np.ndarray, np.ndarray], LossUnits]
) -> LossUnits:
    return units_of(raw.y[:, 0], raw.sample_weight)


def fit_of_loss(
    loss: str,
    data: RawRows,
    options: PathOptions,
    initial: FittedNetwork | None,
    penalty: str | float,
) -> SquaredFit | LossFit:
    """Set up a fit of a regressor with a loss."""
    if loss == SQUARES:
        return SquaredFit.of(data, options, initial)
    return LossFit(number_problem(data, options, loss, penalty))
