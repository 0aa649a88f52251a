"""Quasi-Newton ascent of ``||v(u)||`` on the sphere, from many starts at once.

The function is rough at the scale of single rows: its maxima lie on kinks, where rows
leave the half-space. Gradient steps stop below them; the BFGS method with a weak Wolfe
line search (theory, "Search for the peaks") does not, since it learns along which lines
the gradient jumps. Measured at 5000 x 30 near the optimum, 100 looks each from the
living neurons: 105 of 128 end above ``1 + 1e-5``, 17 with gradient steps. The function
that is climbed is ``||v(w)|| / ||w||``, which needs no constraint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._network.objective import correlations

if TYPE_CHECKING:
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows

FIRST_STEP = 0.1  # about in radians
# Of the weak Wolfe conditions: the least share of the promised rise that a step must
# bring, and the share of the slope before it above which it is too short.
RISE, STEEP = 1e-4, 0.5
# Above it the matrices of the method cost more than the products with the rows.
MOST_INPUTS = 100
MOST_REMEMBERED = 2**24  # numbers in matrices; more starts than that climb in groups
# With a goal, an ascent is given up if it would not reach it by rising for PATIENCE
# times as long as since the last check, as it did since. Measured at 5000 x 30: five of
# six of the ascents to peaks above the goal go on, at a third of the steps.
CHECK_EVERY, PATIENCE = 10, 8


def climb(
    rows: Rows,
    residual: Residual,
    starts: torch.Tensor,
    n_steps: int,
    n_refined: int,
    goal: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit directions no lower than their starts, and the starts' indices.

    Half of ``n_steps`` for all, and then ``n_steps`` for the ``n_refined`` highest;
    fewer for those that will reach neither the ``goal`` nor the highest. The work is in
    the precision of the starts, the directions are in double precision.
    """
    group_size = math.ceil(MOST_REMEMBERED / min(starts.shape[1], MOST_INPUTS) ** 2)
    climbed, indices = [], []
    for first in range(0, len(starts), group_size):
        group = starts[first : first + group_size]
        ascent = _Ascent(rows, residual, group.numpy())
        ascent.climb(n_steps // 2, goal)
        share = math.ceil(n_refined * len(group) / len(starts))
        refined = np.argsort(-ascent.tops[:, 0], kind="stable")[:share]
        ascent.keep(np.isin(ascent.index, refined))
        ascent.climb(n_steps, goal)
        ends = ascent.ends[refined].astype(np.float64)
        climbed.append(ends / _divisors(_norms(ends)))
        indices.append(first + refined)
    return (
        torch.from_numpy(np.concatenate(climbed)),
        torch.from_numpy(np.concatenate(indices)),
    )


class _Ascent:
    """Where ascents are, each with a line search and an inverse Hessian of its own.

    Every array has one row for each ascent that goes on; those of one column are the
    state of the line search: the step size, and the bracket that it has to lie in.
    ``ends`` and ``tops`` are points and heights of all, ``index`` tells which go on;
    heights and gradients are multiples of ``unit``.
    In NumPy, which takes half of torch's time for arrays of this size.
    """

    def __init__(self, rows: Rows, residual: Residual, starts: np.ndarray) -> None:
        self.rows, self.residual, self.unit = rows, residual, 1.0
        self.points = starts.copy()
        heights, gradients = self._look(self.points)
        # A power of two, so that nothing is rounded: squares of small residuals would
        # vanish in single precision.
        self.unit = math.ldexp(1.0, math.frexp(heights.max(initial=0.0))[1])
        self.heights, self.gradients = heights / self.unit, gradients / self.unit
        # ||v|| has the scale of its gradient, so that the step is one in radians.
        scales = FIRST_STEP / _divisors(self.heights)
        self.moves = scales * self.gradients
        self.slopes = _dot(self.gradients, self.moves)
        self.step_sizes = np.ones_like(self.heights)
        self.lower = np.zeros_like(self.heights)
        self.upper = np.full_like(self.heights, math.inf)
        self.curvature = _Curvature(scales, starts.shape[1])
        self.ends, self.tops = self.points.copy(), self.heights.copy()
        self.index = np.arange(len(starts))

    def climb(self, n_steps: int, goal: float | None) -> None:
        """Take steps, the fewer the less they promise if there is a ``goal``."""
        for first in range(0, n_steps, CHECK_EVERY):
            if len(self.index) == 0:
                return
            before, more = self.heights.copy(), min(CHECK_EVERY, n_steps - first)
            for _ in range(more):
                self._step()
            self.ends[self.index], self.tops[self.index] = self.points, self.heights
            if goal is not None:
                promise = PATIENCE * CHECK_EVERY / more * (self.heights - before)
                least = min(goal / self.unit, self.tops.max())
                self.keep((self.heights + promise > least)[:, 0])

    def keep(self, mask: np.ndarray) -> None:
        """Go on with some of the ascents only."""
        for name in (
            "points", "heights", "gradients", "moves", "slopes", "step_sizes", "lower",
            "upper", "index",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[mask])
        self.curvature.keep(mask)

    def _step(self) -> None:
        """Try one step size each; where it is accepted, go there and turn."""
        steps = self.step_sizes * self.moves
        points = self.points + steps
        heights, gradients = self._look(points)
        slopes = _dot(gradients, self.moves)
        rises = heights > self.heights + RISE * self.step_sizes * self.slopes
        too_short = rises & (slopes > STEEP * self.slopes)
        accepted = rises & ~too_short
        moves = self.curvature.learn(
            steps,
            self.gradients - gradients,
            self.step_sizes * (self.slopes - slopes),
            gradients,
            accepted,
        )
        for state, new in (
            (self.points, points),
            (self.heights, heights),
            (self.gradients, gradients),
            (self.moves, moves),
            (self.slopes, _dot(gradients, moves)),
        ):
            np.copyto(state, new, where=accepted)
        np.copyto(self.lower, self.step_sizes, where=too_short)
        np.copyto(self.upper, self.step_sizes, where=~rises)
        far = 2.0 * self.lower
        self.step_sizes = np.where(
            self.upper == math.inf, far, 0.5 * (self.lower + self.upper)
        )
        self.step_sizes[accepted], self.lower[accepted] = 1.0, 0.0
        self.upper[accepted] = math.inf

    def _look(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``||v(w)|| / ||w||`` and its gradient, in the unit."""
        norms = _divisors(_norms(points))  # a zero start stays there
        directions = points / norms
        values, gradients = correlations(
            self.rows, self.residual, torch.from_numpy(directions)
        )
        heights = (_norms(values.numpy()) / self.unit).astype(points.dtype)
        gradients = (gradients.numpy() / self.unit).astype(points.dtype)
        # Its radial part is the height, ||v|| being homogeneous.
        return heights, (gradients - heights * directions) / norms


class _Curvature:
    """Inverse Hessians, one for each ascent, by the BFGS method.

    Multiples of the identity where inputs are too many for a matrix each.
    """

    def __init__(self, scales: np.ndarray, n_inputs: int) -> None:
        self.scales = scales
        self.has_learnt = np.zeros_like(scales, dtype=bool)
        self.matrices = None
        if n_inputs <= MOST_INPUTS:
            self.matrices = scales[:, :, None] * np.eye(n_inputs, dtype=scales.dtype)

    def keep(self, mask: np.ndarray) -> None:
        self.scales, self.has_learnt = self.scales[mask], self.has_learnt[mask]
        if self.matrices is not None:
            self.matrices = self.matrices[mask]

    def learn(
        self,
        steps: np.ndarray,
        changes: np.ndarray,
        products: np.ndarray,
        gradients: np.ndarray,
        accepted: np.ndarray,
    ) -> np.ndarray:
        """Take in how gradients fell along accepted steps; products with new ones.

        ``products`` are those of ``steps`` and ``changes``.
        """
        # Of which the inverse is finite, too.
        learns = accepted & (products > np.finfo(products.dtype).tiny)
        if self.matrices is None:
            self.scales = self._scales_along(changes, products, learns)
            return self.scales * gradients
        if not self.has_learnt.all():
            # Once for a matrix: the identity's scale is that of the first step.
            fresh = learns & ~self.has_learnt
            scales = self._scales_along(changes, products, fresh)
            self.matrices *= (scales / self.scales)[:, :, None]
            self.has_learnt |= learns
        # Both products with one pass over the matrices.
        pairs = np.stack([changes, gradients], axis=1) @ self.matrices
        images, moves = pairs[:, 0], pairs[:, 1]
        r = np.divide(1.0, products, out=np.zeros_like(products), where=learns)
        c = r * (1.0 + r * _dot(changes, images))
        left = np.stack([steps, images], axis=2)
        right = np.stack([c * steps - r * images, -r * steps], axis=1)
        self.matrices += left @ right
        return moves + (left @ (right @ gradients[:, :, None]))[:, :, 0]

    def _scales_along(
        self, changes: np.ndarray, products: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """The scales, where ``mask`` says so as the last step would have them."""
        squares = _divisors(_dot(changes, changes))
        return np.divide(products, squares, out=self.scales.copy(), where=mask)


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner product of each pair of rows, as a column."""
    return np.einsum("ij,ij->i", left, right)[:, None]


def _norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean norm of each row, as a column."""
    return np.sqrt(_dot(rows, rows))


def _divisors(norms: np.ndarray) -> np.ndarray:
    """Norms that can be divided by: zero becomes tiny, and zero over it is zero."""
    return np.maximum(norms, np.finfo(norms.dtype).tiny)
