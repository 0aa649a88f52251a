"""A fit by the loss of the folds: what squares and other losses have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sklearn_twolayer._checks.losses import LOG_LOSS, SQUARES
from sklearn_twolayer._cross_validation.held_out import (
    RowErrors,
    log_losses,
    squared_errors,
)

if TYPE_CHECKING:
    from sklearn_twolayer._fit.loss_problem import LossProblem
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._fit.scales import Attributes
    from sklearn_twolayer._losses.model import Model
    from sklearn_twolayer._losses.search import LossSearchResult
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.units import FittedNetwork
    from sklearn_twolayer._runtime.limits import Progress
    from sklearn_twolayer._search.search import SearchResult

# Penalties of the debiased networks that are averaged, as fractions of the penalty of
# the criterion. Lower penalties give more neurons; averaging cancels most of the noise
# that these fit. Measured on 500 rows (50 data sets, the average alone): 90 % of the
# errors are below 1.45 times an oracle's with the three, 1.48 without the last and 1.63
# with the first alone; a fourth gains no more. The last is left out if the residual has
# little noise, because then it took time and gained nothing.
PENALTIES = (1.0, 0.7, 0.5)


class FoldFit(Protocol):
    """The problem of a fit, and what is done with it.

    Networks in the coordinates of the fit are those that `found` and `of_stage` return.
    They are passed back to the other methods.
    """

    # Any, because squares and other losses have problems and networks of other types.
    @property
    def problem(self) -> Any:
        """The problem."""

    @property
    def scale(self) -> float:
        """The scale of the residuals that the loss is for, if it depends on one."""

    def row_errors(self, scale: float | None = None) -> RowErrors:
        """The error of each row, of targets and outputs, for this scale or its own."""

    def path(self) -> Iterator[Stage]:
        """The stages along the schedule."""

    def searches(self, penalty: str | float, *, averaged: bool) -> list[Any]:
        """What searches for debiased networks find; several if they are averaged."""

    def found(self, result: Any) -> Any:
        """The network of a search."""

    def of_stage(self, stage: Stage) -> Any:
        """The network of a stage."""

    def fitted(self, network: Any) -> FittedNetwork:
        """The network in the units of the data."""

    def importances(self, network: Any) -> np.ndarray:
        """The importances of the columns for the network."""

    def searched_stage(self, result: Any, progress: Progress) -> Stage:
        """The result of a search as a stage, with its certificate."""

    def improved(self, stage: Stage, *, to_tolerance: bool) -> Stage:
        """The stage whose descent is continued."""

    def attributes(
        self,
        networks: Sequence[Any],
        shares: Sequence[float],
        others: Sequence[tuple[FittedNetwork, float]] = (),
        max_features: int | None = None,
    ) -> Attributes:
        """Fitted attributes of a weighted mean of networks, whose shares add up to one.

        ``others`` are networks of other fits and their shares. With ``max_features`` it
        is a network of at most so many features with nearly the outputs of the mean.
        """


@dataclass(frozen=True)
class FoldLoss:
    """What folds are fitted and compared with.

    Parameters
    ----------
    loss : str, default="squared_error"
        A loss of the regressors, or "log_loss".
    """

    loss: str = SQUARES

    @property
    def label(self) -> str:
        """What the fitted attributes call the errors."""
        return {SQUARES: "mse", LOG_LOSS: "log_loss"}.get(self.loss, "loss")

    @property
    def averages(self) -> bool:
        """Whether networks of several folds are averaged: with squares only.

        The loss of a mean is known for other losses, too. But measured on breast cancer
        and two Friedman functions with classes, the log loss of the mean of the folds'
        networks, of repeated ones or debiased ones, is 0.97 to 1.05 times that of one
        network of all rows, and on average no lower. On counts it is the same.
        """
        return self.loss == SQUARES

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        options: PathOptions,
        penalty: str | float | None = None,
    ) -> FoldFit:
        """Set up the fit to some rows; others have a weight of zero.

        With the ``penalty`` a search finds the scale of the residuals if the loss
        depends on it; None stands for the default.
        """
        # Imported here, because predicting and unpickling must not import torch.
        from sklearn_twolayer._fit.linear_decay import problem_of
        from sklearn_twolayer._fit.loss_fit import class_problem, number_problem
        from sklearn_twolayer._rows.raw import RawRows
        from sklearn_twolayer._search.criterion import DEFAULT_PENALTY

        if self.loss == LOG_LOSS:
            problem = class_problem(X, y, sample_weight, options)
            return LossFoldFit(problem, of_classes=True)
        raw = RawRows.local(X, y, sample_weight)
        if self.loss == SQUARES:
            return SquaredFoldFit(problem_of(raw, options))
        penalty = DEFAULT_PENALTY if penalty is None else penalty
        return LossFoldFit(number_problem(raw, options, self.loss, penalty))


@dataclass(frozen=True, eq=False)
class SquaredFoldFit:
    """A fit of squares, whose networks are without their linear part."""

    problem: PathProblem
    scale: float = 1.0

    def row_errors(self, scale: float | None = None) -> RowErrors:
        return squared_errors

    def path(self) -> Iterator[Stage]:
        from sklearn_twolayer._fit.stages import path_stages

        return path_stages(self.problem)

    def searches(self, penalty: str | float, *, averaged: bool) -> list[SearchResult]:
        from sklearn_twolayer._fit.searches import searches

        return searches(self.problem, penalty, PENALTIES if averaged else PENALTIES[:1])

    def found(self, result: SearchResult) -> Network:
        return result.network

    def of_stage(self, stage: Stage) -> Network:
        return stage.network

    def fitted(self, network: Network) -> FittedNetwork:
        return self.problem.fitted(network)

    def importances(self, network: Network) -> np.ndarray:
        from sklearn_twolayer._network.importances import input_importances

        return input_importances(self.problem.rows, network)

    def searched_stage(self, result: SearchResult, progress: Progress) -> Stage:
        from sklearn_twolayer._search.search import certify_result

        own = self.problem
        return certify_result(own.rows, result, progress, own.generator, own.tuning)

    def improved(self, stage: Stage, *, to_tolerance: bool) -> Stage:
        from sklearn_twolayer._fit.stages import improve

        return improve(self.problem, stage, to_tolerance=to_tolerance)

    def attributes(
        self,
        networks: Sequence[Network],
        shares: Sequence[float],
        others: Sequence[tuple[FittedNetwork, float]] = (),
        max_features: int | None = None,
    ) -> Attributes:
        from sklearn_twolayer._fit.searches import mean_network
        from sklearn_twolayer._fit.stages import reduced
        from sklearn_twolayer._network.network import weighted_mean

        problem, linear_part = self.problem, None
        if others:
            own = zip(map(problem.fitted, networks), shares, strict=True)
            fitted, shares = zip(*own, *others, strict=True)
            problem, mean, linear_part = mean_network(problem, fitted, shares)
        else:
            mean = weighted_mean(networks, shares)
        if max_features is not None:
            mean, linear_part = reduced(problem, mean, max_features), None
        return problem.attributes(mean, linear_part)


@dataclass(frozen=True, eq=False)
class LossFoldFit:
    """A fit of another loss, whose networks have their linear part."""

    problem: LossProblem
    of_classes: bool = False

    @property
    def scale(self) -> float:
        return self.problem.data.scale

    def row_errors(self, scale: float | None = None) -> RowErrors:
        if self.of_classes:
            return log_losses
        data = self.problem.data
        if scale is None or data.loss.at_scale is None:
            return self.problem.row_losses
        data = replace(data, loss=data.loss.at_scale(scale), scale=scale)
        return replace(self.problem, data=data).row_losses

    def path(self) -> Iterator[Stage]:
        from sklearn_twolayer._fit.loss_problem import loss_path

        return loss_path(self.problem)

    def searches(
        self, penalty: str | float, *, averaged: bool
    ) -> list[LossSearchResult]:
        from sklearn_twolayer._fit.loss_problem import find_model
        from sklearn_twolayer._runtime.limits import step_limit

        with step_limit(self.problem.options.max_iter):
            return [find_model(self.problem, penalty)]

    def found(self, result: LossSearchResult) -> Model:
        return result.model

    def of_stage(self, stage: Stage) -> Model:
        return self.problem.model_of(stage)

    def fitted(self, network: Model) -> FittedNetwork:
        return self.problem.fitted(network)

    def importances(self, network: Model) -> np.ndarray:
        from sklearn_twolayer._network.importances import input_importances

        return input_importances(self.problem.rows, network.network, network.linear)

    def searched_stage(self, result: LossSearchResult, progress: Progress) -> Stage:
        from sklearn_twolayer._fit.loss_problem import searched_stage

        return searched_stage(self.problem, result, progress)

    def improved(self, stage: Stage, *, to_tolerance: bool) -> Stage:
        from sklearn_twolayer._fit.loss_problem import improved

        return improved(self.problem, stage, to_tolerance=to_tolerance)

    def attributes(
        self,
        networks: Sequence[Model],
        shares: Sequence[float],
        others: Sequence[tuple[FittedNetwork, float]] = (),
        max_features: int | None = None,
    ) -> Attributes:
        # With these losses there are neither networks of folds nor a most of features.
        if len(networks) == 1:
            return self.problem.attributes(networks[0])
        first, *more = (
            network.scaled(share)
            for network, share in zip(networks, shares, strict=True)
        )
        for one in more:
            first = first.plus(one)
        return self.problem.attributes(first)
