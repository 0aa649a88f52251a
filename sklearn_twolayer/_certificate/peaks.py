"""Search for the peaks of the correlation with the residual over directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.ascent import bfgs_ascent
from sklearn_twolayer._network.network import Network, balance, row_norms, unit_rows
from sklearn_twolayer._network.objective import correlations, in_single

if TYPE_CHECKING:
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows


@dataclass(frozen=True)
class Effort:
    """Numbers of starts and steps in the search for the highest peak.

    Parameters
    ----------
    n_random, n_random_each : int
        Number of early-feature directions: one gradient step from random directions.
        There are ``n_random``, and ``n_random_each`` more for each given start.
    n_nearby : int
        Number of random directions near each given start. Their angles to it are
        log-uniform between 0.005 and 1 radian.
    n_combined_each : int
        Number of random combinations of the given starts, for each given start.
    n_hyperplanes, n_hyperplanes_each : int
        Number of random hyperplanes, and how many more for each given start.
    n_refined : int
        Number of ascents that are followed to the end, the highest ones.
    n_steps : int
        Steps of these ascents, after half as many steps of all ascents.
    in_single : bool
        Whether the ascents are in single precision, which takes half the time. The
        heights of their ends are evaluated in full precision.
    """

    n_random: int
    n_nearby: int
    n_refined: int
    n_steps: int
    in_single: bool = False
    n_random_each: int = 0
    n_combined_each: int = 0
    n_hyperplanes: int = 0
    n_hyperplanes_each: int = 0


ALL = 2**30  # a number of starts that no search has (convention)
# Measured. OF_TARGETS is for the targets, with early features as starts: the peak that
# it finds is too low by 2e-5 in the median, with much noise by up to 5e-3. FOR_BIRTHS
# is for neurons that are refitted at once: more effort finds no better ones. QUICK is
# for where time is short. Near the optimum many peaks are almost as high as the
# highest, most of them within a few hundredths of a radian of living neurons (theory,
# "Births"). BIRTHS finds most of these at once: with ascents of 15 steps there are no
# more rounds of births than with ascents of 30 (tables, 3000 x 30). With six starts
# more for each neuron, far from it, rounds are half as many but longer, and a fit takes
# 0.8 to 1.3 times the time (tables, 800 x 15). THOROUGH follows ascents to the end;
# without it more peaks are missed. Other peaks are far from all neurons, and one start
# in thousands leads to them. LAST searches for these; it succeeds 1.5 times as often
# because it refines all starts (5000 x 30). Its kinds of start find different peaks,
# after searches from other starts have found no more.
# Measured on tables after THOROUGH: early features, combinations of neurons and
# hyperplanes find about as many, directions near neurons hardly any.
OF_TARGETS = Effort(n_random=16, n_nearby=0, n_refined=8, n_steps=10)
FOR_BIRTHS = Effort(n_random=24, n_nearby=0, n_refined=8, n_steps=7)
QUICK = Effort(n_random=48, n_nearby=0, n_refined=16, n_steps=12)
BIRTHS = Effort(
    n_random=24, n_nearby=2, n_refined=ALL, n_steps=10, in_single=True,
    n_hyperplanes=24,
)  # fmt: skip
THOROUGH = Effort(
    n_random=48, n_nearby=4, n_refined=300, n_steps=80, in_single=True,
    n_hyperplanes=64,
)  # fmt: skip
LAST = Effort(
    n_random=64, n_nearby=1, n_refined=ALL, n_steps=100, in_single=True,
    n_random_each=4, n_combined_each=4, n_hyperplanes=64, n_hyperplanes_each=4,
)  # fmt: skip
NEARBY = (0.005, 1.0)  # smallest and largest angle, in radians (convention)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Local maxima of ``||v(u)||`` over unit directions, highest first.

    Parameters
    ----------
    directions : torch.Tensor of shape (n_peaks, n_inputs)
        Unit directions.
    correlations : torch.Tensor of shape (n_peaks, n_outputs)
        ``v(u) = mean r relu(u.x)`` at each direction.
    """

    directions: torch.Tensor
    correlations: torch.Tensor

    @property
    def height(self) -> float:
        """The largest ``||v(u)||`` found."""
        return float(row_norms(self.correlations).max())

    def distinct(self, apart: float) -> Peaks:
        """One peak, the highest, of all whose lines are within ``apart`` radians."""
        cosines = (self.directions @ self.directions.T).abs()
        below = (cosines > math.cos(apart)).triu(diagonal=1).numpy()
        kept = np.ones(len(below), dtype=bool)
        for j in np.flatnonzero(below.any(axis=1)):
            if kept[j]:
                kept &= ~below[j]
        return self.take(torch.from_numpy(kept))

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
        """Balanced neurons along the peaks; a small ``mass`` lowers the objective."""
        return balance(
            Network.from_parts(self.directions, unit_rows(self.correlations) * mass)
        )


def early_directions(
    rows: Rows, residual: Residual, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Directions after one gradient step that cancels the initial weights.

    Stage 1 of the algorithm (theory eq. 9). From unit weights ``w`` and small
    amplitudes along ``v(w)``, the step leads to a multiple of ``mean (r.v) relu'(w.x)
    x``, which lies near the span of the relevant directions. The other half of a
    symmetric initialisation, ``(-a, w)``, would end on the opposite direction, hence on
    the same line, and is omitted. Where a neuron is linear on all rows, nothing but
    rounding is left of the step; its direction is zero, as where it is nowhere active.
    """
    initial = _random_directions(rows, n_directions, generator)
    steps = correlations(rows, residual, initial)[1]
    sizes = row_norms(steps)
    least = math.sqrt(rows.exact) * sizes.max() if n_directions else 0.0
    return unit_rows(steps * (sizes > least))


def combinations(
    directions: torch.Tensor, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Random directions in the span of ``directions``, as Gaussian combinations."""
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

    Monotone ascents start from ``starts``, from directions near them, from combinations
    of them, and from early-feature directions; all ascents are evaluated together as
    one matrix product. With a ``goal``, ascents that are expected to reach neither it
    nor the highest are given up early. Opposite directions have the same height if
    the residual has no linear part. The fixed-point iteration ``u <- gradient /
    ||gradient||`` is not used, because it is not monotone and can end far below the
    heights that it has passed. With a shrunk linear part opposite directions have
    different heights, and ascents start from both.
    """
    n_random = effort.n_random + effort.n_random_each * len(starts)
    early = early_directions(rows, residual, n_random, generator)
    if rows.linear_decay is not None:
        # The residual correlates with its inputs, so that opposite directions differ.
        starts = torch.cat([starts, -starts])
    nearby = [_nearby(rows, starts, generator) for _ in range(effort.n_nearby)]
    combined = combinations(starts, effort.n_combined_each * len(starts), generator)
    n_planes = effort.n_hyperplanes + effort.n_hyperplanes_each * len(starts)
    planes = _random_hyperplanes(rows, n_planes, generator)
    starts = torch.cat([starts, early, *nearby, combined, planes])
    problem = rows, residual, starts
    in_single_precision = effort.in_single and rows.fits_single
    if in_single_precision:
        problem = rows.in_single(), in_single(rows, residual), starts.float()
    found, index = bfgs_ascent(*problem, effort.n_steps, effort.n_refined, goal)
    values, _ = correlations(rows, residual, found)
    if in_single_precision:
        # In full precision an end may be lower than its start, which is then returned.
        begun, _ = correlations(rows, residual, starts[index])
        higher = row_norms(values) > row_norms(begun)
        found = torch.where(higher, found, starts[index])
        values = torch.where(higher, values, begun)
    order = torch.argsort(row_norms(values)[:, 0], descending=True, stable=True)
    return Peaks(found[order], values[order])


def _random_directions(
    rows: Rows, n_directions: int, generator: torch.Generator
) -> torch.Tensor:
    """Uniform unit directions."""
    shape = (n_directions, rows.n_inputs)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return unit_rows(normal)


def _random_hyperplanes(
    rows: Rows, n_hyperplanes: int, generator: torch.Generator
) -> torch.Tensor:
    """Directions whose hyperplanes cut the rows at a standard normal distance.

    Of a uniform direction the constant input has a share of ``1 / p``, so that its
    hyperplane passes near the middle of the rows. Peaks of neurons that are active on
    few of the rows, or on nearly all, are seldom reached from there. Measured on 3000
    rows of 30 inputs: hyperplanes lead to such a peak of 1.3, which the first neurons
    of a stage had missed, in 44 of 1000 ascents, uniform directions in 5, and early
    features in one. Without hidden biases these are uniform directions.
    """
    uniform = _random_directions(rows, n_hyperplanes, generator)
    if not rows.units.hidden_bias or rows.n_inputs == 1:
        return uniform
    shape = (n_hyperplanes, 1)
    bias = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return unit_rows(torch.cat([unit_rows(uniform[:, :-1]), bias], dim=1))


def _nearby(
    rows: Rows, directions: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Each direction turned towards a random one, by a log-uniform angle."""
    shape = (len(directions), 1)
    fraction = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
    nearest, farthest = NEARBY
    angles = nearest * (farthest / nearest) ** fraction
    turns = _random_directions(rows, len(directions), generator)
    return unit_rows(directions + angles * turns)
