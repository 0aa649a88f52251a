"""Where a path ends, which of its networks to keep, and whether to trust it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._objective import counted

if TYPE_CHECKING:
    from sklearn_twolayer._options import PathOptions
    from sklearn_twolayer._path import Stage
    from sklearn_twolayer._rows import Rows


# Measured on noisy teachers: 0.7, the height of the certificate's peak on pure noise,
# ends the path one stage before the least error on fresh data.
NOISE_LEVEL = 0.35
# A loss that fell, in the last stage, by more than this times what its neurons can take
# from noise is still finding signal, which the straight line took for noise.
STILL_FALLS = 4.0
LONGEST_STRIDE = 4  # decays in one step
# Penalty per parameter. Measured (benchmarks/noise.py): 2 (AIC) keeps neurons that fit
# noise, log(n_samples) (BIC) drops weak true ones; from 3 to 4 both are rare.
DEFAULT_PENALTY = 3.5


def next_index(
    rows: Rows, lambdas: Sequence[float], stages: Sequence[Stage], options: PathOptions
) -> int | None:
    """Index of the next stage's decay after these; None where the path ends.

    If the schedule leaves it to the data, they may end the path early, and decays are
    left out while the certificate holds: where the last stage reached its gap without
    more neurons than the one before, the next step is twice as long.
    """
    if stages[-1].stopped_by == "max_time":
        return None
    if not getattr(options.schedule, "is_adaptive", False):
        return len(stages) if len(stages) < len(lambdas) else None
    last, previous = stages[-1], stages[-2] if len(stages) > 1 else None
    if last.lambda_ == 0.0:  # there was nothing to find
        return None
    # A geometric sequence, of which every decay occurs once.
    index, stride = _index(lambdas, last), 1
    if previous is not None and _holds(last, previous, options.tol):
        stride = min(2 * (index - _index(lambdas, previous)), LONGEST_STRIDE)
    rows = counted(rows, last.network)
    for candidate in range(min(index + stride, len(lambdas) - 1), index, -1):
        if not data_end_path(rows, previous, last, lambdas[candidate]):
            return candidate
    return None


def _holds(last: Stage, previous: Stage, tol: float) -> bool:
    """Whether the last stage is certified, with no more neurons than the one before."""
    n_neurons = last.network.n_neurons
    return last.relative_gap <= tol and 0 < n_neurons <= previous.network.n_neurons


def _index(lambdas: Sequence[float], stage: Stage) -> int:
    return int(np.argmin(np.abs(np.subtract(lambdas, stage.lambda_))))


def data_end_path(
    rows: Rows, previous: Stage | None, stage: Stage, next_lambda: float
) -> bool:
    """Whether a next stage at ``next_lambda`` would fit noise, or nothing at all.

    The loss falls with the decay to that of the noise, at first faster than in
    proportion and, where it is all bias, as the square (theory, "Laws"). The straight
    line through two stages, taken to a decay of zero, estimates the noise's part; it
    is too high while directions are still being found, which a falling loss shows.
    """
    if 2.0 * stage.loss < rows.exact:
        return True
    if previous is None:
        return False
    ratio = stage.lambda_ / previous.lambda_
    noise = max(0.0, (stage.loss - ratio * previous.loss) / (1.0 - ratio))
    level = noise_level(rows, 2.0 * noise)
    n_parameters = stage.network.n_neurons * rows.n_inputs
    fitted_noise = noise * n_parameters / rows.n_effective
    still_falls = previous.loss - stage.loss > STILL_FALLS * fitted_noise
    return next_lambda < level and not still_falls


def noise_level(rows: Rows, squares: float) -> float:
    """The decay below which neurons are spent on noise with this sum of squares."""
    return NOISE_LEVEL * math.sqrt(squares * rows.n_inputs / rows.n_effective)


# What to do about a gap above the tolerance, by what ended the descent.
REMEDIES = {
    "tol": "with solver='gd' lower tol, a bound on the gradient there",
    "max_iter": "raise max_iter",
    "max_time": "raise max_time",
    "stall": "the objective no longer falls, use solver='newton' or larger decays",
}


def gap_message(stage: Stage, lambda_: float, tol: float) -> str | None:
    """What to tell of a stage that was ended early, or whose gap is above ``tol``.

    ``lambda_`` is the stage's decay in the units of the data.
    """
    limited = stage.stopped_by in ("max_iter", "max_time")
    if stage.refitted is not None:
        if not limited:
            return None
        return (
            f"The search for the number of neurons was ended by {stage.stopped_by}; at "
            f"lambda_ = {lambda_:.3g} the relative duality gap of the network reached "
            f"is {stage.relative_gap:.1e}: {REMEDIES[stage.stopped_by]} for a search "
            "to the end."
        )
    if stage.relative_gap <= tol:
        return None
    if stage.stopped_by == "steps":  # a rough descent, asked for as such
        return None
    return (
        f"The stage at lambda_ = {lambda_:.3g} has a relative duality gap of "
        f"{stage.relative_gap:.1e}, above tol = {tol:.1e}: "
        f"{REMEDIES[stage.stopped_by]}, or raise tol if the gap will do."
    )


@dataclass(frozen=True)
class Criterion:
    """An information criterion: what a neuron must gain to be kept (theory eq. 12).

    Parameters
    ----------
    price : float
        Of one neuron: the penalty per parameter times its ``n_inputs + n_outputs - 1``
        parameters (one scale can move between amplitudes and weights).
    n_values : float
        Number of values fitted, ``n_effective * n_outputs``.
    """

    price: float
    n_values: float

    @classmethod
    def of(cls, rows: Rows, penalty: str | float) -> Criterion:
        named = {"aic": 2.0, "bic": math.log(max(rows.n_effective, 1.0))}
        n_parameters = rows.n_inputs + rows.n_outputs - 1
        return cls(
            price=named.get(penalty, penalty) * n_parameters,
            n_values=rows.n_effective * rows.n_outputs,
        )

    def value(self, loss: float, n_neurons: int) -> float:
        """The criterion itself; the least is best."""
        fit = self.n_values * math.log(loss) if loss > 0 else -math.inf
        return fit + self.price * n_neurons

    def prices(self, squares: float, more: float) -> float:
        """How many neurons' prices a rise of the residual's squares is worth."""
        if self.price == 0.0 or squares <= 0.0:
            return math.inf
        return self.n_values * math.log1p(max(more, 0.0) / squares) / self.price


def select_stage(stages: Sequence[Stage], criterion: Criterion) -> Stage:
    """The stage with the least information criterion."""
    return min(
        stages, key=lambda stage: criterion.value(stage.loss, stage.network.n_neurons)
    )
