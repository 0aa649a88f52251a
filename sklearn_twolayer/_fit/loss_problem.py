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
from sklearn_twolayer._fit.checkpoint import with_seed_of_checkpoint
from sklearn_twolayer._fit.problem import first_neurons, resolve_device
from sklearn_twolayer._fit.scales import Attributes, Scales
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.linear_model import settled_linear_model
from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.model import LossRows, Model, on_scale_of_link
from sklearn_twolayer._losses.newton import MOST_STEPS, Minimum, minimize_at
from sklearn_twolayer._losses.noise import (
    measured,
    pearson_dispersion,
    scaled_to,
)
from sklearn_twolayer._losses.path import (
    follow_loss_path,
    stage_of_model,
    start_loss_path,
)
from sklearn_twolayer._losses.search import LossSearchResult, search_model
from sklearn_twolayer._losses.units import LossUnits
from sklearn_twolayer._network.importances import input_importances
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._path.stage import PathStart, Stage
from sklearn_twolayer._rows.ranges import Ranges
from sklearn_twolayer._rows.raw import RawPart, RawRows, sizes
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.limits import Progress, limit_reached, step_limit
from sklearn_twolayer._runtime.memory import check_memory
from sklearn_twolayer._search.tuning import DEFAULT_TUNING

# Largest logarithm of a mean over that of all rows in held-out losses, so that their
# squares are finite (convention).
LARGEST_LOG_RATIO = 100.0
# Steps for the network that cross-validation keeps (convention).
KEPT_STEPS = 4


@dataclass(frozen=True, eq=False)
class ScaleSearch:
    """The search that the scale of the residuals is of, and its penalty."""

    result: LossSearchResult
    penalty: str | float


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
    ) -> LossProblem:
        """Set up the fit on raw rows whose ``y`` are targets of the loss.

        A loss that depends on the scale of the residuals gets that of the linear model.
        """
        options = with_seed_of_checkpoint(options)
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
            on_scale_of_link(rows, units),
            raw.parts.keep(_targets, units),
            loss,
            (options.linear_decay or 0.0) / units.linear_decay,
            resolve_device(options.device, dtype, raw),
            dtype,
        )
        data, linear, is_separable = settled_linear_model(data, options)
        n_neurons = first_neurons(rows.rank, most_rows, options)
        return cls._begun(raw, data, linear, options, is_separable, units, n_neurons)

    @classmethod
    def _begun(
        cls,
        raw: RawRows,
        data: LossRows,
        linear: Model,
        options: PathOptions,
        is_separable: bool,
        units: LossUnits,
        n_neurons: int,
    ) -> LossProblem:
        """Find the start of the fit, with random numbers from the seed on."""
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        start = start_loss_path(data, linear, n_neurons, generator)
        unit = units.decay
        lambdas = check_decays(options.schedule.stages(unit * start.lambda_max))
        lambdas = check_sizes(lambdas, unit)
        return cls(
            raw, data, linear, start, lambdas, options, generator, is_separable, units
        )

    def at_scale(self, scale: float) -> LossProblem:
        """The same fit with the loss for another scale of the residuals.

        It depends on the data, the seed and the scale only.
        """
        data = scaled_to(self.data, scale)
        linear = fit_linear_part(data, self.linear).model
        return self._begun(
            self.raw, measured(data, linear), linear, self.options, self.is_separable,
            self.units, len(self.start.directions),
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

    def network_of(self, fitted: FittedNetwork | None) -> Network | None:
        """A fitted network in the coordinates of the fit; None without neurons."""
        if fitted is None or fitted.n_features == 0:
            return None
        if self.data.loss.basis is not None:
            basis = self.data.loss.basis(self.rows.n_outputs).numpy()
            fitted = replace(fitted, amplitudes=fitted.amplitudes @ basis)
        weights, amplitudes = self.rows.units.from_user(fitted)
        return Network.from_parts(
            torch.from_numpy(weights), torch.from_numpy(amplitudes)
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


def at_searched_scale(
    problem: LossProblem, penalty: str | float, initial: Model | None = None
) -> LossProblem:
    """The fit with the scale of the residuals of the model that a search finds.

    The problem itself, if the loss depends on no scale.
    """
    if problem.data.loss.at_scale is None:
        return problem
    with step_limit(problem.options.max_iter):
        found = find_model(problem, penalty, initial)
    search = ScaleSearch(found, penalty)
    return replace(problem.at_scale(found.data.scale), search=search)


def loss_path(
    problem: LossProblem,
    initial: Model | None = None,
    finished: Sequence[Stage] = (),
) -> Iterator[Stage]:
    """The stages along the schedule, after the finished ones.

    The first with neurons begins from ``initial``, if it is given.
    """
    return follow_loss_path(
        problem.data,
        problem.linear,
        problem.start,
        cast("Sequence[float]", problem.lambdas),
        problem.options,
        problem.generator,
        initial,
        finished,
    )


def searched_stage(
    problem: LossProblem, result: LossSearchResult, progress: Progress
) -> Stage:
    """The result of a search as a stage, with its certificate."""
    lambda_ = result.lambda_
    state = certify_model(problem.data, result.model, lambda_, problem.generator)
    minimum = Minimum(result.model, state, result.stopped_by)
    return stage_of_model(
        problem.data, lambda_, minimum, progress.n_iter, progress.seconds,
        is_refitted=True,
    )  # fmt: skip


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
            data, stage.lambda_, minimum, progress.n_iter, progress.seconds
        )
    return replace(improved, is_last=stage.is_last)


def find_model(
    problem: LossProblem, penalty: str | float, initial: Model | None = None
) -> LossSearchResult:
    """The model that the criterion chooses, searched for from ``initial`` if given."""
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
        initial,
    )


def _targets(raw: RawPart, units: LossUnits) -> torch.Tensor:
    return torch.from_numpy((raw.y - units.centre) / units.scale)


def _sample_weight(raw: RawPart) -> np.ndarray:
    return raw.sample_weight
