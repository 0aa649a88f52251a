"""The dual certificate and the duality gap, which bound the distance to the optimum."""

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
    """Loss, objective, dual certificate and duality gap of a balanced network.

    Parameters
    ----------
    loss, objective : float
        Half the mean squared residual; the same plus the decay term.
    peaks : Peaks
        Maxima of ``||v(u)||``; the largest divided by the decay is the certificate.
    dual_gap : float
        Bound on how far the objective is above the optimum over networks of any width.
    """

    loss: float
    objective: float
    peaks: Peaks
    dual_gap: float

    @property
    def relative_gap(self) -> float:
        """Duality gap as a fraction of the objective; zero if the objective is zero."""
        return self.dual_gap / self.objective if self.objective > 0 else 0.0

    def joined_by(self, other: Certificate) -> Certificate:
        """The certificate from the peaks of two searches on the same network."""
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
    objective, provided that the search has found the highest peak. A value above one
    proves for certain that some network has.

    With ``tol``, the search gives up ascents that are not expected to rise above
    ``1 + tol / 2`` or to become the highest.
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
    """Bound on how far the objective is above the optimum (theory eq. 7).

    The optimum is over networks of any width. ``peak`` is the largest ``||v(u)||``; the
    residual multiplied by ``lambda / peak``, if that is below one, is feasible for the
    dual problem.
    """
    shrink = 1.0 if peak <= lambda_ else lambda_ / peak
    dual = shrink * residual.inner - 0.5 * shrink**2 * residual.squares
    return objective - dual
