"""How far from optimal: the dual certificate and the duality gap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate.peaks import THOROUGH, Effort, Peaks, find_peaks
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import residual_at

if TYPE_CHECKING:
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of a balanced network at one decay.

    Parameters
    ----------
    loss, objective : float
        Half the mean squared residual; with the decay.
    peaks : Peaks
        Maxima of ``||v(u)||``; their height over the decay is the certificate.
    dual_gap : float
        Bound on the excess objective over networks of any width.
    """

    loss: float
    objective: float
    peaks: Peaks
    dual_gap: float

    @property
    def relative_gap(self) -> float:
        """Duality gap as a fraction of the objective; zero where both are."""
        return self.dual_gap / self.objective if self.objective > 0 else 0.0

    def joined_by(self, other: Certificate) -> Certificate:
        """What two searches know of the same network."""
        gap = max(self.dual_gap, other.dual_gap)
        return replace(self, peaks=self.peaks.joined_by(other.peaks), dual_gap=gap)


def certify(
    rows: Rows,
    network: Network,
    lambda_: float,
    generator: torch.Generator,
    effort: Effort = THOROUGH,
    tol: float | None = None,
) -> Certificate:
    """Loss, objective, certificate and duality gap of a balanced network.

    A certificate of at most one proves that no network of any width has a lower
    objective, as far as the search for the peak found it; a value above one disproves
    it for certain.
    """
    residual = residual_at(rows, network)
    loss = 0.5 * residual.squares
    objective = loss + lambda_ * float(network.masses.sum())
    goal = None if tol is None else lambda_ * (1.0 + 0.5 * tol)
    peaks = find_peaks(rows, residual, network.directions, generator, effort, goal)
    gap = duality_gap(residual, objective, lambda_, peaks.height)
    return Certificate(loss, objective, peaks, gap)


def duality_gap(
    residual: Residual, objective: float, lambda_: float, peak: float
) -> float:
    """Bound on the excess objective over networks of any width (theory eq. 7).

    ``peak`` is the largest ``||v(u)||``; the residual shrunk by ``lambda / peak``,
    if that is below one, is feasible for the dual problem.
    """
    shrink = 1.0 if peak <= lambda_ else lambda_ / peak
    dual = shrink * residual.inner - 0.5 * shrink**2 * residual.squares
    return objective - dual
