"""The path along a schedule of decays, with a loss in place of squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sklearn_twolayer._certificate.peaks import (
    OF_TARGETS,
    QUICK,
    THOROUGH,
    early_directions,
    find_peaks,
)
from sklearn_twolayer._descent import DESCENTS
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    loss_residual,
    outputs_of,
)
from sklearn_twolayer._losses.newton import MOST_STEPS, Minimum, minimize_at
from sklearn_twolayer._losses.noise import measured
from sklearn_twolayer._losses.search import noise_level_of
from sklearn_twolayer._path.pace import STILL_FALLS, next_index
from sklearn_twolayer._path.path import DECAY_ROUNDING, LEAST_LAMBDA_MAX
from sklearn_twolayer._path.stage import PathStart, Stage
from sklearn_twolayer._runtime.limits import count_step, step_limit

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._options.path_options import PathOptions

# Steps at each decay, each a fast descent, of paths whose stages are compared on
# held-out rows (convention).
FAST_STEPS = 2


def start_loss_path(
    data: LossRows, linear: Model, n_neurons: int, generator: torch.Generator
) -> PathStart:
    """Early features of the loss beside the linear model, and ``lambda_max``."""
    residual = loss_residual(data, outputs_of(data, linear))
    directions = early_directions(data.rows, residual, n_neurons, generator)
    peaks = find_peaks(data.rows, residual, directions, generator, OF_TARGETS)
    lambda_max = peaks.height if peaks.height > LEAST_LAMBDA_MAX else 0.0
    return PathStart(directions, lambda_max)


def follow_loss_path(
    data: LossRows,
    linear: Model,
    start: PathStart,
    lambdas: Sequence[float],
    options: PathOptions,
    generator: torch.Generator,
    initial: Model | None = None,
    finished: Sequence[Stage] = (),
) -> Iterator[Stage]:
    """Minimise at each decay, from the model of the decay before.

    Where that has no neurons, ``initial`` takes its place if it is given. After
    ``finished`` stages the path continues from the last of them.
    """
    stages = list(finished)
    index = _index_after(data, linear, lambdas, stages, options) if stages else 0
    while index is not None:
        lambda_ = lambdas[index]
        model = _model_of(stages[-1]) if stages else linear
        if model.network.n_neurons == 0:
            model = initial or model
        with step_limit(options.max_iter) as progress:
            if lambda_ >= start.lambda_max * (1.0 - DECAY_ROUNDING):
                count_step()
                state = certify_model(data, linear, lambda_, generator)
                minimum = Minimum(linear, state, "tol")
            else:
                minimum = _minimum(data, model, lambda_, options, generator)
            stage = stage_of_model(
                data, lambda_, minimum, progress.n_iter, progress.seconds
            )
        stages.append(stage)
        index = _index_after(data, linear, lambdas, stages, options)
        yield replace(stage, is_last=index is None)


def _index_after(
    data: LossRows,
    linear: Model,
    lambdas: Sequence[float],
    stages: Sequence[Stage],
    options: PathOptions,
) -> int | None:
    """Index of the decay after these stages; None if the path ends."""
    noisy = measured(data, _model_of(stages[-1]))
    ends = partial(_noise_ends_path, noisy, linear)
    return next_index(data.rows, lambdas, stages, options, ends)


def _model_of(stage: Stage) -> Model:
    assert stage.linear is not None  # Stages with a loss store it.
    return Model(stage.network, stage.linear)


def stage_of_model(
    data: LossRows,
    lambda_: float,
    minimum: Minimum,
    n_iter: int,
    seconds: float,
    *,
    is_refitted: bool = False,
) -> Stage:
    """The record of a model."""
    known, network = minimum.certificate, minimum.model.network
    return Stage(
        lambda_=lambda_,
        network=network,
        refitted=network if is_refitted else None,
        loss=known.loss,
        objective=known.objective,
        certificate=known.peaks.height / lambda_ if lambda_ > 0 else float("inf"),
        dual_gap=known.dual_gap,
        n_iter=n_iter,
        stopped_by=minimum.stopped_by,
        seconds=seconds,
        linear=minimum.model.linear,
        scale=data.scale,
    )


def _minimum(
    data: LossRows,
    model: Model,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Minimum:
    if lambda_ == 0.0:
        raise ValueError(
            "schedule has a decay of zero, which only loss='squared_error' can be "
            "fitted at: end it above zero, or leave schedule=None."
        )
    is_fast = options.solver == "fast"
    minimum = minimize_at(
        data,
        model,
        lambda_,
        DESCENTS[options.solver],
        options,
        generator,
        FAST_STEPS if is_fast else MOST_STEPS,
        QUICK if is_fast else THOROUGH,
    )
    if is_fast and minimum.stopped_by == "stall":
        return replace(minimum, stopped_by="steps")
    return minimum


def _noise_ends_path(
    data: LossRows, linear: Model, previous: Stage | None, stage: Stage, lambda_: float
) -> bool:
    """Whether a stage at this decay would fit noise, of the dispersion of the rows."""
    if previous is None or lambda_ >= noise_level_of(data, linear):
        return False
    rows = data.rows
    n_parameters = stage.network.n_neurons * rows.rank * rows.n_outputs
    of_noise = 0.5 * data.dispersion * n_parameters / rows.n_effective
    return previous.loss - stage.loss <= STILL_FALLS * of_noise
