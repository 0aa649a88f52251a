"""The decay of the linear part under which the targets are most likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from sklearn_twolayer._network.objective import before_linear_part

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.rows import Rows

# Decays that are compared, as powers of ten times the mean eigenvalue of the inputs'
# Gram matrix (convention). The least stands for data without noise, the largest for
# data without a linear part.
POWERS = np.linspace(-8.0, 5.0, 66)


def likely_linear_decay(rows: Rows, network: Network) -> float:
    """The decay ``rho`` with the largest marginal likelihood, given the neurons.

    Theory eq. (25). The rows must have a decay already, so that their targets still
    have a linear part. All targets have one decay; each has its own noise.
    """
    squares = rows.spectrum.squares
    if not squares.size:
        return 1.0
    sums = before_linear_part(rows, network)
    moments, total = sums[0].numpy(), sums[1].numpy()
    along = rows.spectrum.vectors.T @ moments / np.sqrt(squares)[:, None]
    seen, total = np.square(along), total - np.square(moments[-1])
    left = np.maximum(total - seen.sum(axis=0), 0.0)
    n_values = max(rows.n_effective - 1.0, float(len(squares)))
    mean = float(squares.mean())

    def surprise(power: float) -> float:
        """Minus twice the logarithm of the likelihood, up to a constant."""
        ratios = 1.0 + squares / (mean * 10.0**power)
        noise = (seen / ratios[:, None]).sum(axis=0) + left
        tiny = np.finfo(float).tiny
        terms = n_values * np.log(np.maximum(noise, tiny)) + np.log(ratios).sum()
        return float(terms.sum())

    def slope(power: float) -> float:
        """Derivative of the surprise in the logarithm of the decay."""
        ratios = 1.0 + squares / (mean * 10.0**power)
        noise = (seen / ratios[:, None]).sum(axis=0) + left
        shares = (ratios - 1.0) / ratios
        falls = (seen * (shares / ratios)[:, None]).sum(axis=0)
        noise = np.maximum(noise, np.finfo(float).tiny)
        return float((n_values * falls / noise - shares.sum()).sum())

    best = int(np.argmin([surprise(power) for power in POWERS]))
    low, high = POWERS[max(best - 1, 0)], POWERS[min(best + 1, len(POWERS) - 1)]
    power = POWERS[best]
    if slope(low) < 0.0 < slope(high):
        # A zero of the slope is known to more digits than the place of the minimum.
        power = brentq(slope, low, high, xtol=1e-13)
    return float(mean * 10.0**power)
