"""Data, start and stages of a fit with a loss other than the squared one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from sklearn_twolayer._certificate.peaks import QUICK, THOROUGH
from sklearn_twolayer._checks.losses import warn_of_separation
from sklearn_twolayer._checks.parameters import check_decays, check_sizes
from sklearn_twolayer._descent import newton_descent, refine
from sklearn_twolayer._fit.problem import first_neurons, resolve_device
from sklearn_twolayer._fit.scales import Attributes, Scales
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_decay import with_likely_decay
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.model import LossRows, Model
from sklearn_twolayer._losses.newton import MOST_STEPS, Minimum, minimize_at
from sklearn_twolayer._losses.noise import (
    adapted,
    has_settled,
    measured,
    pearson_dispersion,
)
from sklearn_twolayer._losses.path import (
    follow_loss_path,
    stage_of_model,
    start_loss_path,
)
from sklearn_twolayer._losses.search import LossSearchResult, search_model
from sklearn_twolayer._losses.units import LossUnits
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
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion
from sklearn_twolayer._search.tuning import DEFAULT_TUNING

# Linear fits, each for the scale and the dispersion that the one before leaves, at most
# (convention; two to five are usual).
MOST_LINEAR_FITS = 10
# Largest logarithm of a mean over that of all rows in held-out losses, so that their
# squares are finite (convention).
LARGEST_LOG_RATIO = 100.0
# Steps for the network that cross-validation keeps (convention).
KEPT_STEPS = 4


@dataclass(frozen=True, eq=False)
class ScaleSearch:
    """The search that the scale of the residuals is of, its penalty and its steps."""

    result: LossSearchResult
    penalty: str | float
    progress: Progress


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
    units : LossUnits
        The units of targets, outputs and losses.
    search : ScaleSearch or None, default=None
        For a loss that depends on the scale of the residuals, the search that this
        scale is of.
    """

    raw: RawRows
    data: LossRows
    linear: Model
    start: PathStart
    lambdas: np.ndarray
    options: PathOptions
    generator: torch.Generator
    is_separable: bool
    units: LossUnits
    search: ScaleSearch | None = None

    @classmethod
    def of(
        cls,
        raw: RawRows,
        loss: Loss,
        options: PathOptions,
        units: LossUnits = LossUnits(),  # noqa: B008
        penalty: str | float = DEFAULT_PENALTY,
    ) -> LossProblem:
        """Set up the fit on raw rows whose ``y`` are targets of the loss.

        A search with the ``penalty`` finds the scale of the residuals, if the loss
        depends on it.
        """
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
            column_weights=options.column_weights,
        )
        dtype = getattr(torch, options.dtype)
        data = LossRows(
            _on_scale_of_link(rows, units),
            raw.parts.keep(_targets, units),
            loss,
            (options.linear_decay or 0.0) / units.linear_decay,
            resolve_device(options.device, dtype, raw),
            dtype,
        )
        data, linear, is_separable = _settled_linear_model(data, options)
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        n_neurons = first_neurons(rows.rank, most_rows, options)
        start = start_loss_path(data, linear, n_neurons, generator)
        searched = None
        if loss.at_scale is not None:
            with step_limit(options.max_iter) as progress:
                found = search_model(
                    data, linear, start, penalty, options, generator, DEFAULT_TUNING
                )
            searched = ScaleSearch(found, penalty, progress)
            data = found.data
            linear = fit_linear_part(data, linear).model
            start = start_loss_path(data, linear, n_neurons, generator)
        unit = units.decay
        lambdas = check_decays(options.schedule.stages(unit * start.lambda_max))
        lambdas = check_sizes(lambdas, unit)
        return cls(
            raw, data, linear, start, lambdas, options, generator, is_separable, units,
            searched,
        )  # fmt: skip

    @property
    def rows(self) -> Rows:
        """The rows, whose units take networks to the units of ``X``."""
        return self.data.rows

    @property
    def lambda_max(self) -> float:
        """``lambda_max`` in the units of the data."""
        return self.start.lambda_max * self.units.decay

    @property
    def scales(self) -> Scales:
        """What decays, losses and masses are multiplied by for the user."""
        return Scales(self.units.decay, self.units.loss, self.units.size)

    @property
    def linear_decay(self) -> float:
        """The decay of the linear part, for scaled columns; zero if there is none."""
        return self.data.linear_decay * self.units.linear_decay

    def warn(self, linear_decay: float) -> None:
        """Warn if the linear part had to be shrunk, by this in units of the data."""
        is_of_classes = self.data.loss.vanishes_far_away
        warn_of_separation(
            linear_decay,
            is_separable=self.is_separable,
            what="classes" if is_of_classes else "rows without counts",
        )

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

    @property
    def _mean_weight(self) -> float:
        """The mean of the weights as they were given."""
        weights = self.raw.parts.gather(_sample_weight)
        return float(np.concatenate(weights).mean())

    def row_losses(self, y: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The loss of each row, of one target and of outputs in the units of ``X``."""
        units = self.units
        targets = torch.from_numpy((y - units.centre) / units.scale)
        inner = torch.from_numpy((outputs - units.shift) / units.size)
        if self.data.loss.at_scale is None:
            inner = inner.clamp_max(LARGEST_LOG_RATIO)
        losses = self.data.loss.value(inner[:, None], targets[:, None])
        return units.loss * losses.numpy()

    def attributes(self, model: Model) -> Attributes:
        """Fitted attributes of the estimator that describe its network."""
        squares = self.rows.spectrum.column_squares()
        squares = squares[: len(self.rows.units.columns.kept)]
        fitted, loss = self.fitted(model), self.data.loss
        found = {}
        if loss.at_scale is not None:
            found["scale_"] = self.data.scale * self.units.scale
        elif loss.dispersion is None:
            found["dispersion_"] = self.units.loss * self._mean_weight
            found["dispersion_"] *= pearson_dispersion(self.data, model)
        ranges = Ranges.of(fitted, self.raw.parts, self.rows.units.shift)
        return {
            **fitted.attributes(),
            **ranges.attributes(),
            **found,
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
        if problem.search is not None:
            progress = problem.search.progress
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


def improved(problem: LossProblem, stage: Stage, *, to_tolerance: bool) -> Stage:
    """Continue the descent of a stage, to ``options.tol`` or for some steps."""
    if stage.network.n_neurons == 0:
        return stage
    method = newton_descent if to_tolerance else refine
    amount = (MOST_STEPS, THOROUGH) if to_tolerance else (KEPT_STEPS, QUICK)
    data, model, options = problem.data, problem.model_of(stage), problem.options
    with step_limit(options.max_iter) as progress:
        minimum = minimize_at(
            data, model, stage.lambda_, method, options, problem.generator, *amount
        )
        if not to_tolerance:
            minimum = replace(minimum, stopped_by=limit_reached() or "steps")
        improved = stage_of_model(
            stage.lambda_, minimum, progress.n_iter, progress.seconds
        )
    return replace(improved, is_last=stage.is_last)


def find_model(problem: LossProblem, penalty: str | float) -> LossSearchResult:
    """The model that the criterion chooses."""
    if problem.search is not None and problem.search.penalty == penalty:
        return problem.search.result
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
    largest = max(stages, key=lambda one: one.network.n_neurons)
    known = measured(problem.data, problem.model_of(largest)).dispersion
    criterion = Criterion.of(replace(problem.rows, dispersion=known), penalty)
    return min(stages, key=lambda one: criterion.value(one.loss, one.network.n_neurons))


def _settled_linear_model(
    data: LossRows, options: PathOptions
) -> tuple[LossRows, Model, bool]:
    """The best linear model, and rows that know scale and dispersion beside it."""
    free, model = data.linear_decay, Model.zero(data.rows)
    for _ in range(MOST_LINEAR_FITS):
        before, data = data, adapted(data.decayed(data.linear_decay), model)
        data, model, is_separable = _linear_model(data.decayed(free), model, options)
        if has_settled(before, data):
            break
    return data, model, is_separable


def _linear_model(
    data: LossRows, begin: Model, options: PathOptions
) -> tuple[LossRows, Model, bool]:
    """The rows with the decay that the linear part needs, and the best linear model.

    Without a decay the loss of classes that a linear function separates has no minimum.
    """
    rows = data.rows
    is_free = data.linear_decay == 0.0
    # Columns that were chosen by the same rows fit them too well.
    are_few = rows.n_effective < ROWS_PER_INPUT * len(rows.linear_basis)
    are_few = are_few or options.column_weights is not None
    is_tried = is_free and (options.linear_decay == 0.0 or not are_few)
    if is_tried:
        fit = fit_linear_part(data, begin)
        if fit.has_minimum:
            return data, fit.model, False
    if is_free:
        data = with_likely_decay(data)
        data = data.decayed(data.linear_decay * options.linear_decay_factor)
    return data, fit_linear_part(data, begin).model, is_tried


def _on_scale_of_link(rows: Rows, units: LossUnits) -> Rows:
    """The rows with units whose targets are outputs on the scale of the link."""
    own = rows.units
    shift, linear = (
        np.full_like(own.target_mean, units.shift),
        np.zeros_like(own.linear),
    )
    own = replace(own, linear=linear, target_mean=shift, target_scale=units.size)
    return replace(rows, units=own)


def _targets(raw: RawPart, units: LossUnits) -> torch.Tensor:
    return torch.from_numpy((raw.y - units.centre) / units.scale)


def _sample_weight(raw: RawPart) -> np.ndarray:
    return raw.sample_weight
