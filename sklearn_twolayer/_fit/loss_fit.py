"""A fit with a loss other than the squared one, as the estimators run it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

import numpy as np

from sklearn_twolayer._checks.losses import COUNTS, LOG_LOSS, SQUARES
from sklearn_twolayer._fit.checkpoint import Continuation, read_checkpoint
from sklearn_twolayer._fit.loss_problem import (
    LossProblem,
    at_searched_scale,
    find_model,
    loss_path,
    searched_stage,
)
from sklearn_twolayer._fit.report import USELESS_START
from sklearn_twolayer._fit.scales import Attributes
from sklearn_twolayer._fit.squared_fit import SquaredFit
from sklearn_twolayer._fit.stages import LEAST_EXPLAINED
from sklearn_twolayer._losses.linear_fit import ROUGH_PROMISE, fit_linear_part
from sklearn_twolayer._losses.loss import class_loss, class_targets
from sklearn_twolayer._losses.model import (
    Model,
    from_working_units,
    in_working_units,
    mean_loss,
    objective_of,
    outputs_of,
    working_rows,
)
from sklearn_twolayer._losses.noise import measured
from sklearn_twolayer._losses.numbers import NUMBER_LOSSES
from sklearn_twolayer._losses.units import LossUnits
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._rows.raw import RawPart, RawRows
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer._search.criterion import (
    DEFAULT_PENALTY,
    Criterion,
    select_stage,
)
from sklearn_twolayer.exceptions import WarmStartWarning

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class LossFit:
    """The problem of a fit with a loss, and the model that it continues.

    Parameters
    ----------
    loss : str
        The name of the loss.
    prepared : LossProblem
        The problem. If the loss depends on the scale of the residuals, it has that of
        the linear model.
    penalty : str or float
        Penalty per parameter of the search.
    initial : Model or None
        The model of an earlier fit.
    scale : float or None
        The scale of the residuals, if a checkpoint has it.
    """

    loss: str
    prepared: LossProblem
    penalty: str | float
    initial: Model | None = None
    scale: float | None = None

    @classmethod
    def of(
        cls,
        loss: str,
        prepared: LossProblem,
        penalty: str | float,
        initial: FittedNetwork | None = None,
    ) -> LossFit:
        """Set up the fit; an earlier network of no use is left out with a warning."""
        model, network = None, prepared.network_of(initial)
        if network is not None and prepared.start.lambda_max > 0.0:
            model = _useful_model(prepared, network)
            if model is None:
                warn_caller(USELESS_START, WarmStartWarning)
        file = prepared.options.checkpoint
        saved = None if file is None else read_checkpoint(file)
        scale = None if saved is None else saved.stages[0].scale
        return cls(loss, prepared, penalty, model, scale)

    @cached_property
    def problem(self) -> LossProblem:
        """The problem with the scale of the residuals of the network that is found.

        The search for this network runs when the problem is asked for, which is in the
        first stage, unless a checkpoint has the scale.
        """
        if self.scale is not None and self.prepared.data.loss.at_scale is not None:
            return self.prepared.at_scale(self.scale)
        return at_searched_scale(self.prepared, self.penalty, self.initial)

    def search(self, penalty: str | float, n_searches: int = 1) -> Iterator[Stage]:
        """The one stage of a search, which is not repeated."""
        settings = self.prepared.options.settings(self.loss, None, penalty)
        run, generator = partial(self._searched, penalty), self.prepared.generator
        yield from self._continued(settings, None, generator, run)

    def path(self) -> Iterator[Stage]:
        """The stages of the schedule."""
        options, problem = self.prepared.options, self.problem
        has_search = self.prepared.data.loss.at_scale is not None
        penalty = self.penalty if has_search else None
        settings = options.settings(self.loss, options.schedule, penalty)
        decays = cast("Sequence[float]", problem.lambdas)
        run = partial(loss_path, problem, self.initial)
        searched = problem.search
        if searched is not None and searched.result.stopped_by == "max_time":
            # A file would give the scale of this search to fits that have time.
            yield from run([])
            return
        yield from self._continued(settings, decays, problem.generator, run)

    def _searched(
        self, penalty: str | float, finished: Sequence[Stage]
    ) -> Iterator[Stage]:
        """Search for the network that the criterion chooses; it is the only stage."""
        with step_limit(self.prepared.options.max_iter) as progress:
            problem = self.problem
            result = find_model(problem, penalty, self.initial)
            stage = searched_stage(problem, result, progress)
        yield replace(stage, is_last=True)

    def _continued(
        self,
        settings: dict[str, object],
        decays: Sequence[float] | None,
        generator: torch.Generator,
        run: Callable[[Sequence[Stage]], Iterator[Stage]],
    ) -> Iterator[Stage]:
        """The stages of the checkpoint, if there is one, then new ones."""
        path, rows = self.prepared.options.checkpoint, self.prepared.rows
        if path is None:
            return run([])
        empty, n_linear = Network.empty(rows), len(rows.linear_basis)
        layout = (empty.n_outputs, empty.parameters.shape[1], n_linear)
        data = self._data_fingerprint()
        own = Continuation(settings, data, layout, decays, generator)
        return own.stages(path, run)

    def _data_fingerprint(self) -> list[np.ndarray | list[float]]:
        """Numbers that change with the data, the decays and the initial model."""
        prepared, model = self.prepared, self.initial
        units, linear = prepared.rows.units, prepared.linear
        loss = mean_loss(prepared.data, outputs_of(prepared.data, linear))
        return [
            units.shift / units.scale,
            np.log(units.scale),
            [prepared.units.centre / prepared.units.size],
            np.log([prepared.units.scale, prepared.units.loss]),
            [prepared.rows.n_samples, prepared.start.lambda_max, loss],
            linear.linear.numpy(),
            prepared.lambdas,
            [] if model is None else model.network.parameters.numpy(),
        ]

    def attributes(self, stage: Stage) -> Attributes:
        """Fitted attributes of the model of a stage."""
        return self.problem.attributes(self.problem.model_of(stage))

    def network(self, stage: Stage) -> FittedNetwork:
        """The network of a stage on the scale of the link, in the units of ``X``."""
        return self.problem.fitted(self.problem.model_of(stage))

    def keep(self, stages: Sequence[Stage], penalty: str | float | None) -> Stage:
        """The last stage, or with a ``penalty`` the one that the criterion chooses."""
        if penalty is None:
            return stages[-1]
        problem = self.problem
        largest = max(stages, key=lambda one: one.network.n_neurons)
        known = measured(problem.data, problem.model_of(largest)).dispersion
        criterion = Criterion.of(replace(problem.rows, dispersion=known), penalty)
        return select_stage(stages, criterion)

    def finished(
        self, kept: Stage, max_features: int | None = None, *, debias: bool = False
    ) -> tuple[Attributes, None]:
        """Fitted attributes of the result, which is neither reduced nor debiased."""
        return self.attributes(kept), None


def _useful_model(problem: LossProblem, network: Network) -> Model | None:
    """The earlier network with its best linear part, or None if it is of no use.

    It has to explain more than the linear model does, as with squares.
    """
    data, linear = problem.data, problem.linear
    working = working_rows(data, outputs_of(data, linear))
    begin = from_working_units(working, in_working_units(working, network))
    if not math.isfinite(objective_of(data, begin, 0.0)):
        return None
    model = fit_linear_part(data, begin, ROUGH_PROMISE).model
    most = (1.0 - LEAST_EXPLAINED) * objective_of(data, linear, 0.0)
    return model if objective_of(data, model, 0.0) <= most else None


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
    """The problem of a regressor with a loss other than the squared one.

    A search with the ``penalty`` finds the scale of the residuals, if the loss depends
    on it.
    """
    return at_searched_scale(_prepared(raw, options, loss), penalty)


def _prepared(raw: RawRows, options: PathOptions, loss: str) -> LossProblem:
    """The same with the scale of the residuals of the linear model."""
    units_of = LossUnits.of_counts if loss == COUNTS else LossUnits.of_numbers
    (units,) = raw.parts.gather(_units, units_of)
    return LossProblem.of(raw, NUMBER_LOSSES[loss], options, units)


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
    return LossFit.of(loss, _prepared(data, options, loss), penalty, initial)


def fit_of_classes(
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    options: PathOptions,
    initial: FittedNetwork | None,
    penalty: str | float,
) -> LossFit:
    """Set up a fit of a classifier; ``y`` are numbers of classes."""
    problem = class_problem(X, y, sample_weight, options)
    return LossFit.of(LOG_LOSS, problem, penalty, initial)


def fit_of_arrays(
    loss: str,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    options: PathOptions,
) -> SquaredFit | LossFit:
    """Set up a fit with any loss to arrays, which begins anew."""
    if loss == LOG_LOSS:
        return fit_of_classes(X, y, sample_weight, options, None, DEFAULT_PENALTY)
    raw = RawRows.local(X, y, sample_weight)
    return fit_of_loss(loss, raw, options, None, DEFAULT_PENALTY)
