"""The information criterion for the number of neurons (theory eq. 12).

This module does not import torch.
"""

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
# A neuron that takes up all values is priced as if this share were taken, so that its
# price is finite (convention).
LARGEST_SHARE_OF_VALUES = 1.0 - 1e-9


@dataclass(frozen=True)
class Criterion:
    """The information criterion ``n_values * log(loss) + price * n_neurons``.

    See theory eq. (12).

    Parameters
    ----------
    price : float
        Penalty of one neuron: the penalty per parameter times ``n_inputs + n_outputs -
        1`` parameters. One is subtracted because only the product of the scales of
        weights and amplitudes matters.
    n_values : float
        Number of fitted values, ``n_effective * n_outputs``.
    """

    price: float
    n_values: float

    @classmethod
    def of(cls, rows: Rows, penalty: str | float, fraction: float = 1.0) -> Criterion:
        """The criterion with ``fraction`` of a penalty, a number, "aic" or "bic"."""
        n_parameters = rows.n_inputs + rows.n_outputs - 1
        per_parameter = fraction * penalty_per_parameter(penalty, rows.n_effective)
        price, n_values = (
            per_parameter * n_parameters,
            rows.n_effective * rows.n_outputs,
        )
        if rows.linear_decay is not None:
            price = price_of_few_rows(price, n_values)
        return cls(price=price, n_values=n_values)

    def value(self, loss: float, n_neurons: int) -> float:
        """The value of the criterion; lower is better."""
        fit = self.n_values * math.log(loss) if loss > 0 else -math.inf
        return fit + self.price * n_neurons

    def prices(self, squares: float, more: float) -> float:
        """The rise of the first term if ``squares`` grow by ``more``, in prices."""
        if self.price == 0.0 or squares <= 0.0:
            return math.inf
        return self.n_values * math.log1p(max(more, 0.0) / squares) / self.price


def price_of_few_rows(price: float, n_values: float) -> float:
    """The price of a neuron where its parameters may be as many as the values.

    Theory eq. (23).
    """
    share = min(0.5 * price / n_values, LARGEST_SHARE_OF_VALUES)
    return -2.0 * n_values * math.log1p(-share)


def penalty_per_parameter(penalty: str | float, n_effective: float) -> float:
    """The penalty as a number: 2 for "aic", the logarithm of the rows for "bic"."""
    if isinstance(penalty, str):
        return {"aic": 2.0, "bic": math.log(max(n_effective, 1.0))}[penalty]
    return penalty


def select_stage(stages: Sequence[Stage], criterion: Criterion) -> Stage:
    """The stage whose information criterion is lowest."""
    return min(
        stages, key=lambda stage: criterion.value(stage.loss, stage.network.n_neurons)
    )
