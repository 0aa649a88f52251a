"""Which network of a path to keep, and whether to trust it. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._path import Stage
    from sklearn_twolayer._rows import Rows


# Measured on noisy teachers: 0.7, the height of the certificate's peak on pure noise,
# ends the path one stage before the least error on fresh data.
NOISE_LEVEL = 0.35
# Penalty per parameter. Measured (benchmarks/noise.py): 2 (AIC) keeps neurons that fit
# noise, log(n_samples) (BIC) drops weak true ones; from 3 to 4 both are rare.
DEFAULT_PENALTY = 3.5


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
        n_parameters = rows.n_inputs + rows.n_outputs - 1
        return cls(
            price=penalty_per_parameter(penalty, rows.n_effective) * n_parameters,
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


def penalty_per_parameter(penalty: str | float, n_effective: float) -> float:
    """The number that a criterion's name stands for, with so many rows."""
    named = {"aic": 2.0, "bic": math.log(max(n_effective, 1.0))}
    return named.get(penalty, penalty)


def select_stage(stages: Sequence[Stage], criterion: Criterion) -> Stage:
    """The stage with the least information criterion."""
    return min(
        stages, key=lambda stage: criterion.value(stage.loss, stage.network.n_neurons)
    )
