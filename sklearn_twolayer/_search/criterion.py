"""The information criterion for the number of neurons (theory eq. 12).

This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.rows import Rows

# Penalty per parameter. Measured (benchmarks/noise.py): 2 (AIC) keeps neurons that fit
# noise, log(n_samples) (BIC) drops weak true ones; from 3 to 4 both are rare.
DEFAULT_PENALTY = 3.5
# A neuron that takes up all values is priced as if this share were taken, so that its
# price is finite (convention).
LARGEST_SHARE_OF_VALUES = 1.0 - 1e-9


# Factor between the mean gain of a neuron on noise and its price. It is the ratio of
# DEFAULT_PENALTY to the mean for independent Gaussian noise of many rows, 2.1 for each
# parameter (benchmarks/nulls.py).
ABOVE_MEAN = 1.7
# Standard deviations of the gain on noise that the price is above the mean, at least.
# Measured on noise of many kinds: with 2, more neurons were found on heavy tails.
DEVIATIONS = 2.5
# Prices measured below this many usual prices are not told from the usual price, since
# ten flips measure it with errors of that size.
AS_ASSUMED = 1.1
# Parameters, the linear part's included, for each effective value (convention).
PARAMETERS_PER_VALUE = 0.5


@dataclass(frozen=True)
class Criterion:
    """The information criterion ``n_values * log(loss) + price * n_neurons``.

    See theory eqs. (12) and (22), and (31) where the noise is known.

    Parameters
    ----------
    penalty : float
        Penalty for each parameter.
    n_parameters : float
        Parameters of one neuron: ``rank + n_outputs - 1``, or as many as noise makes of
        them. One is subtracted because only the product of the scales of weights and
        amplitudes matters.
    n_values : float
        Number of fitted values, ``n_effective * n_outputs``.
    n_independent : float
        The same with the effective number of targets (theory eq. 23).
    n_linear : float
        Parameters of the linear part, for the effective number of targets. Of a shrunk
        one they are its effective degrees of freedom (theory eq. 26).
    bound : float, default=inf
        A bound of the number of neurons that was asked for.
    deviance_of_square : float or None, default=None
        What a unit of the squares adds to the deviance, if the noise is known. The
        deviance, twice the loss in these units, then takes the place of the first term.
    """

    penalty: float
    n_parameters: float
    n_values: float
    n_independent: float
    n_linear: float
    bound: float = math.inf
    deviance_of_square: float | None = None

    @classmethod
    def of(cls, rows: Rows, penalty: str | float, fraction: float = 1.0) -> Criterion:
        """The criterion with ``fraction`` of a penalty, a number, "aic" or "bic"."""
        per_parameter = fraction * penalty_per_parameter(penalty, rows.n_effective)
        n_parameters = float(max(rows.rank + rows.n_outputs - 1, 1))
        n_values, known = rows.n_effective * rows.n_outputs, rows.dispersion
        if rows.linear_decay is not None and per_parameter > 0.0:
            price = price_of_few_rows(per_parameter * n_parameters, n_values)
            n_parameters = price / per_parameter
        return cls(
            penalty=per_parameter,
            n_parameters=n_parameters,
            n_values=n_values,
            n_independent=rows.n_effective * rows.n_effective_outputs,
            n_linear=(rows.linear_degrees_of_freedom + 1) * rows.n_effective_outputs,
            deviance_of_square=known and rows.n_effective / known,
        )

    @property
    def price(self) -> float:
        """Penalty of one neuron."""
        return self.penalty * self.n_parameters

    @property
    def most_neurons(self) -> int:
        """The largest number of neurons that would not interpolate, or the bound."""
        left = PARAMETERS_PER_VALUE * self.n_independent - self.n_linear
        return int(min(max(0.0, left / self.n_parameters), self.bound))

    def measured(self, gains: np.ndarray, n_others: int) -> Criterion:
        """The criterion with the price that gains on noise ask for (theory eq. 22).

        ``gains`` are the falls of the logarithm of the loss by one neuron on noise, as
        the only neuron. Others have taken degrees of freedom from the noise, so that
        the same gain is a larger part of the loss that they leave.
        """
        mean, deviation = float(gains.mean()), float(gains.std(ddof=1))
        fair = max(ABOVE_MEAN * mean, mean + DEVIATIONS * deviation)
        free = max(self.n_independent - self.n_linear, 1.0)
        taken = min(n_others * self.n_parameters, 0.5 * free)
        equivalent = self.n_values * fair / DEFAULT_PENALTY * free / (free - taken)
        if equivalent <= AS_ASSUMED * self.n_parameters:
            return self
        return replace(self, n_parameters=equivalent)

    def value(self, loss: float, n_neurons: int) -> float:
        """The value of the criterion; lower is better."""
        if self.deviance_of_square is not None:
            return 2.0 * self.deviance_of_square * loss + self.price * n_neurons
        fit = self.n_values * math.log(loss) if loss > 0 else -math.inf
        return fit + self.price * n_neurons

    def prices(self, squares: float, more: float) -> float:
        """The rise of the first term if ``squares`` grow by ``more``, in prices."""
        if self.price == 0.0 or squares <= 0.0:
            return math.inf
        if self.deviance_of_square is not None:
            return self.deviance_of_square * max(more, 0.0) / self.price
        return self.n_values * math.log1p(max(more, 0.0) / squares) / self.price


def price_of_few_rows(price: float, n_values: float) -> float:
    """The price of a neuron where its parameters may be as many as the values.

    Theory eq. (27).
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
