"""How far from optimal: the peak of the dual certificate and the duality gap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network import Network, balance, row_norms, unit_rows
from sklearn_twolayer._objective import correlations, residual_at

if TYPE_CHECKING:
    from sklearn_twolayer._objective import Residual
    from sklearn_twolayer._rows import Rows


@dataclass(frozen=True)
class Effort:
    """How hard to look for the peak.

    Parameters
    ----------
    n_random : int
        Random directions, of which one gradient step makes early-feature directions.
    n_nearby : int
        Random directions about half a radian from each of the given starts: at the
        optimum of noisy data the peaks that are missed are near living neurons.
    n_refined : int
        Highest starts that are followed to the end and then perturbed.
    n_steps : int
        Steps of the ascent; half as many before the highest are chosen, and after
        each perturbation.
    n_perturbations : int
        Times that the highest are perturbed.
    """

    n_random: int
    n_nearby: int
    n_refined: int
    n_steps: int
    n_perturbations: int


# Measured against denser searches: on targets, of which the starts are early features,
# OF_TARGETS is short by 1e-5, at most 1.4e-4; on residuals far from the optimum QUICK
# by about 1e-4. Near the optimum many peaks are almost as high as the
# highest, more so with noise: following many starts to the end finds more of the excess
# over one than starting from more random directions. THOROUGH is still short by up to
# 3e-3 there with 30 inputs, LAST by 1e-3 (benchmarks/certificate.py).
OF_TARGETS = Effort(n_random=16, n_nearby=0, n_refined=8, n_steps=10, n_perturbations=1)
QUICK = Effort(n_random=48, n_nearby=0, n_refined=16, n_steps=10, n_perturbations=1)
THOROUGH = Effort(
    n_random=64, n_nearby=12, n_refined=128, n_steps=30, n_perturbations=1
)
LAST = Effort(n_random=128, n_nearby=16, n_refined=256, n_steps=40, n_perturbations=1)
NEARBY = 0.5  # radians
PERTURBATION = 0.03


@dataclass(frozen=True, eq=False)
class Peaks:
    """Local maxima of ``||v(u)||`` over unit directions, highest first.

    Parameters
    ----------
    directions : torch.Tensor of shape (n_peaks, n_inputs)
        Unit directions.
    correlations : torch.Tensor of shape (n_peaks, n_outputs)
        ``v(u) = mean r relu(u.x)`` at each.
    """

    directions: torch.Tensor
    correlations: torch.Tensor

    @property
    def height(self) -> float:
        """The largest ``||v(u)||`` found."""
        return float(row_norms(self.correlations).max())

    def distinct(self, apart: float) -> Peaks:
        """The highest of those whose lines are within ``apart`` radians."""
        cosines = (self.directions @ self.directions.T).abs()
        close = cosines > math.cos(apart)
        kept: list[int] = []
        for j in range(len(close)):
            if not close[j, kept].any():
                kept.append(j)
        return self.take(kept)

    def take(self, index: list[int] | torch.Tensor) -> Peaks:
        """The peaks at ``index`` (integers or a mask)."""
        return Peaks(self.directions[index], self.correlations[index])

    def neurons(self, mass: float) -> Network:
        """Balanced neurons along the peaks, which lower the objective if light."""
        return balance(
            Network.from_parts(self.directions, unit_rows(self.correlations) * mass)
        )


def early_directions(
    rows: Rows, residual: Residual, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Directions after one gradient step that cancels the initial weights.

    Stage 1 of the algorithm (theory eq. 9). From unit weights ``w`` and small
    amplitudes along ``v(w)``, the step leaves a multiple of ``mean (r.v) relu'(w.x)
    x``, which lies near the span of the relevant directions. The other half of a
    symmetric initialisation, ``(-a, w)``, ends on the opposite direction, hence on
    the same line, and is left out.
    """
    initial = _random_directions(rows, n_directions, generator)
    return unit_rows(correlations(rows, residual, initial)[1])


def find_peaks(
    rows: Rows,
    residual: Residual,
    starts: torch.Tensor,
    generator: torch.Generator,
    effort: Effort = QUICK,
) -> Peaks:
    """Search for the maxima of ``||mean r relu(u.x)||`` from several kinds of start.

    Monotone gradient ascent on the sphere from ``starts`` and from one gradient step
    off random directions, all as one product; then small random perturbations of the
    highest, because the function is rough at the scale of single samples. Opposite
    directions have the same height, since the residual has no linear part. The fixed
    point ``u <- gradient / ||gradient||`` is not monotone and can end far below where
    it passed.
    """
    early = early_directions(rows, residual, effort.n_random, generator)
    nearby = [_moved(rows, starts, NEARBY, generator) for _ in range(effort.n_nearby)]
    state = _Ascent.start(rows, residual, torch.cat([starts, early, *nearby]))
    state = state.climb(rows, residual, effort.n_steps // 2)
    state = state.highest(effort.n_refined)
    state = state.climb(rows, residual, effort.n_steps)
    for _ in range(effort.n_perturbations):
        state = state.perturbed(rows, residual, generator)
        state = state.climb(rows, residual, effort.n_steps // 2)
    state = state.highest(effort.n_refined)
    return Peaks(state.directions, state.values)


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


def certify(
    rows: Rows,
    network: Network,
    lambda_: float,
    generator: torch.Generator,
    effort: Effort = THOROUGH,
) -> Certificate:
    """Loss, objective, certificate and duality gap of a balanced network.

    A certificate of at most one proves that no network of any width has a lower
    objective, as far as the search for the peak found it; a value above one disproves
    it for certain.
    """
    residual = residual_at(rows, network)
    loss = 0.5 * residual.squares
    objective = loss + lambda_ * float(network.masses.sum())
    peaks = find_peaks(rows, residual, network.directions, generator, effort)
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


def _random_directions(
    rows: Rows, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Uniform unit directions, without share in inputs that are zero on all rows."""
    shape = (n_directions, rows.n_inputs)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return unit_rows(normal * rows.input_varies)


def _moved(
    rows: Rows, directions: torch.Tensor, angle: float, generator: torch.Generator
) -> torch.Tensor:
    """Directions about ``angle`` away, each in a random direction."""
    noise = _random_directions(rows, len(directions), generator)
    return unit_rows(directions + angle * noise)


@dataclass(frozen=True, eq=False)
class _Ascent:
    """Batched monotone ascent: a step that does not rise is not taken."""

    directions: torch.Tensor
    values: torch.Tensor
    gradients: torch.Tensor
    step_sizes: torch.Tensor

    @classmethod
    def start(cls, rows: Rows, residual: Residual, directions: torch.Tensor) -> _Ascent:
        values, gradients = correlations(rows, residual, directions)
        # ||v(u)|| has the scale of its gradient: a first step of about one radian.
        scale = row_norms(gradients)
        return cls(directions, values, gradients, 1.0 / scale.clamp_min(1e-300))

    @property
    def heights(self) -> torch.Tensor:
        return row_norms(self.values)[:, 0]

    def climb(self, rows: Rows, residual: Residual, n_steps: int) -> _Ascent:
        state = self
        for _ in range(n_steps):
            state = state.step(rows, residual)
        return state

    def step(self, rows: Rows, residual: Residual) -> _Ascent:
        radial = (self.gradients * self.directions).sum(dim=1, keepdim=True)
        tangent = self.gradients - radial * self.directions
        candidates = unit_rows(self.directions + self.step_sizes * tangent)
        return self._keep_higher(rows, residual, candidates)

    def perturbed(
        self, rows: Rows, residual: Residual, generator: torch.Generator
    ) -> _Ascent:
        """Jump to nearby directions where they are higher; start small steps anew."""
        candidates = _moved(rows, self.directions, PERTURBATION, generator)
        moved = self._keep_higher(rows, residual, candidates)
        scale = row_norms(moved.gradients).clamp_min(1e-300)
        return _Ascent(moved.directions, moved.values, moved.gradients, 0.1 / scale)

    def highest(self, count: int) -> _Ascent:
        order = torch.argsort(self.heights, descending=True, stable=True)[:count]
        return _Ascent(
            self.directions[order],
            self.values[order],
            self.gradients[order],
            self.step_sizes[order],
        )

    def _keep_higher(
        self, rows: Rows, residual: Residual, candidates: torch.Tensor
    ) -> _Ascent:
        values, gradients = correlations(rows, residual, candidates)
        higher = row_norms(values) > row_norms(self.values)
        return _Ascent(
            torch.where(higher, candidates, self.directions),
            torch.where(higher, values, self.values),
            torch.where(higher, gradients, self.gradients),
            self.step_sizes * torch.where(higher, 1.6, 0.4),
        )
