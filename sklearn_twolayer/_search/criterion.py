"""The information criterion that prices neurons (theory eq. 12). No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.rows import Rows

# Penalty per parameter. Measured (benchmarks/noise.py): 2 (AIC) keeps neurons that fit
# noise, log(n_samples) (BIC) drops weak true ones; from 3 to 4 both are rare.
DEFAULT_PENALTY = 3.5


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
    def of(cls, rows: Rows, penalty: str | float, fraction: float = 1.0) -> Criterion:
        """The criterion with a fraction of a penalty, given as a number or a name."""
        n_parameters = rows.n_inputs + rows.n_outputs - 1
        per_parameter = fraction * penalty_per_parameter(penalty, rows.n_effective)
        return cls(
            price=per_parameter * n_parameters,
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
