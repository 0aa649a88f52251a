"""How targets, outputs and losses of a fit are shifted and scaled.

This module does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Huber's threshold in units of the scale of the residuals: 95 % as efficient as squares
# where these are Gaussian (the usual choice).
THRESHOLD = 1.345
# Median of the absolute value of a standard Gaussian number.
MEDIAN_OF_GAUSSIAN = 0.6744897501960817


@dataclass(frozen=True)
class LossUnits:
    """From the units of the data to those of the fit, in which targets have size one.

    Parameters
    ----------
    centre, scale : float
        The fit sees targets less ``centre``, over ``scale``.
    shift, size : float
        The network puts out ``shift`` more than ``size`` times the outputs of the fit.
    loss : float
        The loss is this times that of the fit.
    """

    centre: float = 0.0
    scale: float = 1.0
    shift: float = 0.0
    size: float = 1.0
    loss: float = 1.0

    @classmethod
    def of_counts(cls, y: np.ndarray, weights: np.ndarray) -> LossUnits:
        """Those of logarithms of means: the mean becomes one."""
        mean = float(np.average(y, weights=weights))
        return cls(scale=mean, shift=math.log(mean), loss=mean)

    @classmethod
    def of_numbers(cls, y: np.ndarray, weights: np.ndarray) -> LossUnits:
        """Those of numbers with outliers: median and absolute deviation from it."""
        centre = weighted_median(y, weights)
        size = weighted_median(np.abs(y - centre), weights) / MEDIAN_OF_GAUSSIAN
        if size == 0.0:  # More than half of the targets are equal.
            size = float(np.average(np.abs(y - centre), weights=weights)) or 1.0
        return cls(centre, size, centre, size, size**2)

    @property
    def decay(self) -> float:
        """The decay of neurons is this times that of the fit."""
        return self.loss / self.size

    @property
    def linear_decay(self) -> float:
        """The decay of the linear part is this times that of the fit."""
        return self.loss / self.size**2


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The least value that half of the weight is not above."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, 0.5 * sums[-1])])
