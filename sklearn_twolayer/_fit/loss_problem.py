"""Data, start and stages of a fit with a loss other than the squared one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from sklearn_twolayer._certificate.peaks import QUICK
from sklearn_twolayer._checks.parameters import check_decays
from sklearn_twolayer._descent import refine
from sklearn_twolayer._fit.problem import first_neurons, resolve_device
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_decay import with_likely_decay
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.model import LossRows, Model
from sklearn_twolayer._losses.newton import Minimum, minimize_at
from sklearn_twolayer._losses.path import (
    follow_loss_path,
    stage_of_model,
    start_loss_path,
)
from sklearn_twolayer._losses.search import LossSearchResult, search_model
from sklearn_twolayer._network.importances import input_importances
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._path.stage import PathStart, Stage
from sklearn_twolayer._rows.distinct import ROWS_PER_INPUT
from sklearn_twolayer._rows.ranges import Ranges
from sklearn_twolayer._rows.raw import RawPart, RawRows, sizes
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.limits import Progress, limit_reached, step_limit
from sklearn_twolayer._runtime.memory import check_memory
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.tuning import DEFAULT_TUNING

# Steps for the network that cross-validation keeps (convention).
KEPT_STEPS = 4


@dataclass(frozen=True, eq=False)
class LossProblem:
    """The data, the parameters and the start of a fit with a loss.

    Parameters
    ----------
    raw : RawRows
        The rows as they were given, with targets of the loss.
    data : LossRows
        The rows and the loss.
    linear : Model
        The best model without neurons.
    start : PathStart
        Early-feature directions and ``lambda_max``.
    lambdas : ndarray
        Decays of the schedule.
    options : PathOptions
        Validated parameters.
    generator : torch.Generator
        Source of all random numbers of the fit.
    is_separable : bool
        Whether a linear function separates the classes, so that its coefficients had to
        be shrunk.
    """

    raw: RawRows
    data: LossRows
    linear: Model
    start: PathStart
    lambdas: np.ndarray
    options: PathOptions
    generator: torch.Generator
    is_separable: bool

    @classmethod
    def of(cls, raw: RawRows, loss: Loss, options: PathOptions) -> LossProblem:
        """Set up the fit on raw rows whose ``y`` are targets of the loss."""
        counts, columns, targets = zip(*raw.parts.gather(sizes), strict=True)
        n_rows, n_features = sum(counts), columns[0]
        n_inputs = n_features + options.hidden_bias
        shrinks = options.linear_decay != 0.0
        most_rows = n_rows if shrinks else np.inf
        most_neurons = first_neurons(n_inputs, most_rows, options)
        check_memory(n_features, targets[0], most_neurons, min(n_rows, n_features))
        rows = Rows.from_parts(
            raw.parts,
            standardize=options.standardize,
            hidden_bias=options.hidden_bias,
            device=torch.device("cpu"),
            dtype=torch.float64,
            shrinks=shrinks,
        )
        dtype = getattr(torch, options.dtype)
        data = LossRows(
            _on_scale_of_link(rows),
            raw.parts.keep(_targets),
            loss,
            options.linear_decay or 0.0,
            resolve_device(options.device, dtype, raw),
            dtype,
        )
        data, linear, is_separable = _linear_model(data, options)
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        n_neurons = first_neurons(rows.rank, most_rows, options)
        start = start_loss_path(data, linear, n_neurons, generator)
        lambdas = check_decays(options.schedule.stages(start.lambda_max))
        return cls(raw, data, linear, start, lambdas, options, generator, is_separable)

    @property
    def rows(self) -> Rows:
        """The rows, whose units take networks to the units of ``X``."""
        return self.data.rows

    @property
    def lambda_max(self) -> float:
        """``lambda_max`` in the units of the loss."""
        return self.start.lambda_max

    @property
    def linear_decay(self) -> float:
        """The decay of the linear part, for scaled columns; zero if there is none."""
        return self.data.linear_decay

    def fitted(self, model: Model) -> FittedNetwork:
        """The model on the scale of the link, in the units of ``X``."""
        fitted = self.rows.units.to_user(
            model.network.weights.numpy(),
            model.network.amplitudes.numpy(),
            model.linear.numpy(),
            single_output=self.rows.n_outputs == 1,
        )
        if self.data.loss.basis is None:
            return fitted
        basis = self.data.loss.basis(self.rows.n_outputs).numpy()
        return replace(
            fitted,
            amplitudes=fitted.amplitudes @ basis.T,
            linear_coef=basis @ fitted.linear_coef,
            linear_intercept=basis @ fitted.linear_intercept,
        )

    def model_of(self, stage: Stage) -> Model:
        """The model of a stage."""
        assert stage.linear is not None  # Paths and searches with a loss store it.
        return Model(stage.result, stage.linear)

    def attributes(self, model: Model) -> dict[str, float | np.ndarray]:
        """Fitted attributes of the estimator that describe its network."""
        squares = self.rows.spectrum.column_squares()
        squares = squares[: len(self.rows.units.columns.kept)]
        fitted = self.fitted(model)
        ranges = Ranges.of(fitted, self.raw.parts, self.rows.units.shift)
        return {
            **fitted.attributes(),
            **ranges.attributes(),
            "feature_importances_": input_importances(
                self.rows, model.network, model.linear
            ),
            "feature_scales_": self.rows.units.deviations(squares),
        }


def loss_path(problem: LossProblem) -> Iterator[Stage]:
    """The stages along the schedule."""
    return follow_loss_path(
        problem.data,
        problem.linear,
        problem.start,
        cast("Sequence[float]", problem.lambdas),
        problem.options,
        problem.generator,
    )


def loss_search(problem: LossProblem, penalty: str | float) -> Iterator[Stage]:
    """Search for the network that the criterion chooses; it becomes the only stage."""
    with step_limit(problem.options.max_iter) as progress:
        result = find_model(problem, penalty)
        stage = searched_stage(problem, result, progress)
    yield replace(stage, is_last=True)


def searched_stage(
    problem: LossProblem, result: LossSearchResult, progress: Progress
) -> Stage:
    """The result of a search as a stage, with its certificate."""
    lambda_ = result.lambda_
    state = certify_model(problem.data, result.model, lambda_, problem.generator)
    minimum = Minimum(result.model, state, result.stopped_by)
    return stage_of_model(
        lambda_, minimum, progress.n_iter, progress.seconds, is_refitted=True
    )


def improved(problem: LossProblem, stage: Stage) -> Stage:
    """Continue the descent of a stage for some steps."""
    if stage.network.n_neurons == 0:
        return stage
    with step_limit(problem.options.max_iter) as progress:
        minimum = minimize_at(
            problem.data,
            problem.model_of(stage),
            stage.lambda_,
            refine,
            problem.options,
            problem.generator,
            KEPT_STEPS,
            QUICK,
        )
        improved = stage_of_model(
            stage.lambda_,
            replace(minimum, stopped_by=limit_reached() or "steps"),
            progress.n_iter,
            progress.seconds,
        )
    return replace(improved, is_last=stage.is_last)


def find_model(problem: LossProblem, penalty: str | float) -> LossSearchResult:
    """The model that the criterion chooses."""
    return search_model(
        problem.data,
        problem.linear,
        problem.start,
        penalty,
        problem.options,
        problem.generator,
        DEFAULT_TUNING,
    )


def keep_loss_stage(
    problem: LossProblem, stages: Sequence[Stage], penalty: str | float | None
) -> Stage:
    """The last stage, or with a ``penalty`` the one that the criterion chooses."""
    if penalty is None:
        return stages[-1]
    dispersion = problem.data.loss.dispersion
    criterion = Criterion.of(replace(problem.rows, dispersion=dispersion), penalty)
    return min(stages, key=lambda one: criterion.value(one.loss, one.network.n_neurons))


def _linear_model(data: LossRows, options: PathOptions) -> tuple[LossRows, Model, bool]:
    """The rows with the decay that the linear part needs, and the best linear model.

    Without a decay the loss of classes that a linear function separates has no minimum.
    """
    rows = data.rows
    is_free = data.linear_decay == 0.0
    are_few = rows.n_effective < ROWS_PER_INPUT * len(rows.linear_basis)
    is_tried = is_free and (options.linear_decay == 0.0 or not are_few)
    if is_tried:
        fit = fit_linear_part(data, Model.zero(rows))
        if fit.has_minimum:
            return data, fit.model, False
    if is_free:
        data = with_likely_decay(data)
        data = data.decayed(data.linear_decay * options.linear_decay_factor)
    return data, fit_linear_part(data, Model.zero(rows)).model, is_tried


def _on_scale_of_link(rows: Rows) -> Rows:
    """The rows with units whose targets are outputs on the scale of the link."""
    units = rows.units
    zeros = np.zeros_like(units.target_mean)
    linear = np.zeros_like(units.linear)
    units = replace(units, linear=linear, target_mean=zeros, target_scale=1.0)
    return replace(rows, units=units)


def _targets(raw: RawPart) -> torch.Tensor:
    return torch.from_numpy(raw.y)
