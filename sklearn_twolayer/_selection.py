"""Where a path ends, which of its stages to keep, and whether to trust it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._path import Stage
    from sklearn_twolayer._rows import Rows


# Measured on noisy teachers: 0.7, the height of the certificate's peak on pure noise,
# ends the path one stage before the least error on fresh data.
NOISE_LEVEL = 0.35
# A loss that fell, in the last stage, by more than this times what its neurons can take
# from noise is still finding signal, which the straight line took for noise.
STILL_FALLS = 4.0
NO_RESIDUAL = 1e-18  # mean squared residual, relative to the targets', of rounding


def data_end_path(
    rows: Rows, previous: Stage | None, stage: Stage, next_lambda: float
) -> bool:
    """Whether a next stage at ``next_lambda`` would fit noise, or nothing at all.

    The loss falls with the decay to that of the noise, at first faster than in
    proportion and, where it is all bias, as the square (theory, "Laws"). The straight
    line through two stages, taken to a decay of zero, estimates the noise's part; it
    is too high while directions are still being found, which a falling loss shows.
    """
    if 2.0 * stage.loss < NO_RESIDUAL:
        return True
    if previous is None:
        return False
    ratio = stage.lambda_ / previous.lambda_
    noise = max(0.0, (stage.loss - ratio * previous.loss) / (1.0 - ratio))
    level = NOISE_LEVEL * math.sqrt(2.0 * noise * rows.n_inputs / rows.n_samples)
    n_parameters = stage.network.n_neurons * rows.n_inputs
    fitted_noise = noise * n_parameters / rows.n_samples
    still_falls = previous.loss - stage.loss > STILL_FALLS * fitted_noise
    return next_lambda < level and not still_falls


# What to do about a gap above the tolerance, by what ended the descent.
REMEDIES = {
    "tol": "with solver='gd' lower tol, a bound on the gradient there",
    "max_iter": "raise max_iter",
    "stall": "the objective no longer falls, use solver='newton' or larger decays",
}


def gap_message(stage: Stage, lambda_: float, tol: float) -> str | None:
    """What to tell of a regularised stage whose relative duality gap is above ``tol``.

    ``lambda_`` is the stage's decay in the units of the data.
    """
    if stage.refitted is not None or stage.relative_gap <= tol:
        return None
    return (
        f"The stage at lambda_ = {lambda_:.3g} has a relative duality gap of "
        f"{stage.relative_gap:.1e}, above tol = {tol:.1e}: "
        f"{REMEDIES[stage.stopped_by]}, or raise tol if the gap will do."
    )


def select_stage(
    stages: Sequence[Stage], criterion: str | float | None, n_samples: float
) -> Stage:
    """The last stage, or the one with the least information criterion.

    The criterion is ``n_samples log(loss) + penalty * n_parameters`` (theory eq. 12);
    a neuron has as many parameters as it has inputs and outputs, less one for the
    scale that can move between them.
    """
    if criterion is None:
        return stages[-1]
    penalty = {"aic": 2.0, "bic": math.log(max(n_samples, 1.0))}.get(
        criterion, criterion
    )

    def value(stage: Stage) -> float:
        network = stage.network
        n_parameters = network.n_neurons * (network.parameters.shape[1] - 1)
        fit = math.log(stage.loss) if stage.loss > 0 else -math.inf
        return n_samples * fit + penalty * n_parameters

    return min(stages, key=value)
