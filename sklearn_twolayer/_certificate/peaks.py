"""Search for the peaks of the correlation with the residual over directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate.ascent import climb
from sklearn_twolayer._network.network import Network, balance, row_norms, unit_rows
from sklearn_twolayer._network.objective import correlations, in_single

if TYPE_CHECKING:
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows


@dataclass(frozen=True)
class Effort:
    """How hard to look for the peak.

    Parameters
    ----------
    n_random, n_random_each : int
        Random directions, of which one gradient step makes early-feature directions;
        how many at least, and how many more for each of the given starts.
    n_nearby : int
        Random directions near each of the given starts, at distances from thousandths
        of a radian to a whole one, as many at each scale.
    n_combined_each : int
        Random combinations of the given starts, so many for each.
    n_refined : int
        Highest starts that are followed to the end.
    n_steps : int
        Steps of the ascent; half as many before the highest are chosen.
    in_single : bool
        Whether to climb in single precision, which takes half the time; where that
        leads is looked at in full precision.
    """

    n_random: int
    n_nearby: int
    n_refined: int
    n_steps: int
    in_single: bool = False
    n_random_each: int = 0
    n_combined_each: int = 0


ALL = 2**30  # starts, more than there are
# Measured: on targets, of which the starts are early features, OF_TARGETS is short by
# 2e-5 in the median, with much noise by up to 5e-3. Near the optimum many peaks are
# almost as high as the highest, most of them within a few hundredths of a radian of
# living neurons: there THOROUGH finds hundreds at once (theory, "Births"). Others are
# where hardly any neuron is, and one start in thousands leads to them: LAST looks for
# these, half again as often with success if it drops no start half-way (5000 x 30). Its
# kinds of start find different ones: early features at 1e-3, combinations of neurons
# and directions near them at 1e-5, after searches that began elsewhere found no more.
# FOR_BIRTHS is for neurons that are refitted at once: more effort finds no better ones.
OF_TARGETS = Effort(n_random=16, n_nearby=0, n_refined=8, n_steps=10)
FOR_BIRTHS = Effort(n_random=24, n_nearby=0, n_refined=8, n_steps=7)
QUICK = Effort(n_random=48, n_nearby=0, n_refined=16, n_steps=12)
THOROUGH = Effort(n_random=48, n_nearby=4, n_refined=300, n_steps=80, in_single=True)
LAST = Effort(
    n_random=64, n_nearby=4, n_refined=ALL, n_steps=100, in_single=True,
    n_random_each=4, n_combined_each=4,
)  # fmt: skip
NEARBY = (0.005, 1.0)  # radians


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

    def joined_by(self, other: Peaks) -> Peaks:
        """The peaks of two searches."""
        directions = torch.cat([self.directions, other.directions])
        correlations = torch.cat([self.correlations, other.correlations])
        heights = row_norms(correlations)[:, 0]
        order = torch.argsort(heights, descending=True, stable=True)
        return Peaks(directions[order], correlations[order])

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


def combinations(
    directions: torch.Tensor, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Random directions in the span of those given, mostly where these are many."""
    shape = (n_directions, len(directions))
    normal = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return unit_rows(normal @ directions)


def find_peaks(
    rows: Rows,
    residual: Residual,
    starts: torch.Tensor,
    generator: torch.Generator,
    effort: Effort = QUICK,
    goal: float | None = None,
) -> Peaks:
    """Search for the maxima of ``||mean r relu(u.x)||`` from several kinds of start.

    Monotone ascent from ``starts``, from near them and combinations of them, and from
    one gradient step off random directions, all as one product; with a ``goal``,
    ascents that will reach neither it nor the highest are given up early. Opposite
    directions have the same height, since the residual has no linear part. The fixed
    point ``u <- gradient / ||gradient||`` is not monotone and can end far below where
    it passed.
    """
    n_random = effort.n_random + effort.n_random_each * len(starts)
    early = early_directions(rows, residual, n_random, generator)
    nearby = [_nearby(rows, starts, generator) for _ in range(effort.n_nearby)]
    combined = combinations(starts, effort.n_combined_each * len(starts), generator)
    starts = torch.cat([starts, early, *nearby, combined])
    place = rows, residual, starts
    if effort.in_single:
        place = rows.in_single(), in_single(rows, residual), starts.float()
    found, index = climb(*place, effort.n_steps, effort.n_refined, goal)
    values, _ = correlations(rows, residual, found)
    if effort.in_single:  # where that led, if it is higher in full precision
        begun, _ = correlations(rows, residual, starts[index])
        higher = row_norms(values) > row_norms(begun)
        found = torch.where(higher, found, starts[index])
        values = torch.where(higher, values, begun)
    order = torch.argsort(row_norms(values)[:, 0], descending=True, stable=True)
    return Peaks(found[order], values[order])


def _random_directions(
    rows: Rows, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Uniform unit directions, without share in inputs that are zero on all rows."""
    shape = (n_directions, rows.n_inputs)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return unit_rows(normal * rows.input_varies)


def _nearby(
    rows: Rows, directions: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Each direction turned into a random one, by an angle that is log-uniform."""
    shape = (len(directions), 1)
    share = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    nearest, farthest = NEARBY
    angles = nearest * (farthest / nearest) ** share
    turns = _random_directions(rows, len(directions), generator)
    return unit_rows(directions + angles * turns)
