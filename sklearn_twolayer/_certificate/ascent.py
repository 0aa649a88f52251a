"""Quasi-Newton ascent of ``||v(u)||`` on the sphere, from many starts at once.

The function is rough at the scale of single rows: its maxima lie on kinks, where rows
leave the half-space. Gradient steps stop below them; the BFGS method with a weak Wolfe
line search (theory, "Search for the peaks") does not, because its matrix learns in
which directions the gradient jumps. Measured at 5000 x 30 near the optimum, with
ascents from the living neurons and 100 evaluations each: 105 of 128 ascents end above
``1 + 1e-5``, against 17 with gradient steps. The function that is maximised is
``||v(w)|| / ||w||``, so that no constraint on the norm is needed.
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

FIRST_ANGLE = 0.1  # length of the first step, about in radians (convention)
# The weak Wolfe conditions (convention): a step must bring at least the fraction
# WOLFE_RISE of the rise that the slope promises, and it is too short if the slope after
# it is still above the fraction WOLFE_SLOPE of the slope before it.
WOLFE_RISE, WOLFE_SLOPE = 1e-4, 0.5
# With more inputs there are no BFGS matrices, because they would cost more than the
# products with the rows (convention).
MOST_INPUTS = 100
# Where the height keeps rising along a line, steps can double without end. One that is
# longer than this, from points of length one, says nothing of the curvature, and its
# square could overflow (convention).
LONGEST_UPDATE = 1e8
# Entries of all BFGS matrices together; if the starts need more, they are processed in
# groups (convention).
MOST_MATRIX_ENTRIES = 2**24
# With a goal, an ascent is checked every CHECK_EVERY steps. It is given up if a further
# rise of RISE_FACTOR times its rise since the last check would not reach the goal.
# Measured at 5000 x 30: five of six of the ascents to peaks above the goal go on, and
# all ascents together take a third of the steps.
CHECK_EVERY, RISE_FACTOR = 10, 8


def bfgs_ascent(
    rows: Rows,
    residual: Residual,
    starts: torch.Tensor,
    n_steps: int,
    n_refined: int,
    goal: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit directions no lower than their starts, and the starts' indices.

    All ascents take half of ``n_steps``, and then the ``n_refined`` highest take
    ``n_steps`` more. With a ``goal``, ascents are given up early if they are expected
    to reach neither the goal nor the highest. The computation is in the precision of
    the starts; the returned directions are in double precision.
    """
    matrix_entries = max(1, min(starts.shape[1], MOST_INPUTS)) ** 2
    group_size = math.ceil(MOST_MATRIX_ENTRIES / matrix_entries)
    found, indices = [], []
    for first in range(0, len(starts), group_size):
        group = starts[first : first + group_size]
        ascent = BfgsAscent(rows, residual, group.numpy())
        ascent.take_steps(n_steps // 2, goal)
        # Every group gets its share of the ascents that are followed to the end.
        share = math.ceil(n_refined * len(group) / len(starts))
        refined = np.argsort(-ascent.end_heights[:, 0], kind="stable")[:share]
        ascent.keep(np.isin(ascent.index, refined))
        ascent.take_steps(n_steps, goal)
        ends = ascent.ends[refined].astype(np.float64)
        found.append(ends / _divisors(_norms(ends)))
        indices.append(first + refined)
    return (
        torch.from_numpy(np.concatenate(found)),
        torch.from_numpy(np.concatenate(indices)),
    )


class BfgsAscent:
    """State of many ascents, each with its own line search and inverse Hessian.

    Arrays have one row for each ascent that is still running. The line search of an
    ascent keeps its ``step_sizes`` and the bracket from ``lower`` to ``upper`` that the
    step size has to lie in. ``ends`` and ``end_heights`` have a row for every ascent,
    with its last point and height; ``index`` tells which of them are still running.
    Heights and gradients are divided by ``unit``. The arrays are NumPy's, which takes
    half of torch's time for arrays of this size.
    """

    def __init__(self, rows: Rows, residual: Residual, starts: np.ndarray) -> None:
        self.rows, self.residual, self.unit = rows, residual, 1.0
        self.points = starts.copy()
        heights, gradients = self.evaluate(self.points)
        # Without the division by a unit, squares of small residuals would underflow in
        # single precision. A power of two divides without rounding.
        self.unit = math.ldexp(1.0, math.frexp(heights.max(initial=0.0))[1])
        self.heights, self.gradients = heights / self.unit, gradients / self.unit
        # The gradient of ||v|| is about as large as ||v||, so that dividing it by the
        # height gives a length in radians.
        scales = FIRST_ANGLE / _divisors(self.heights)
        self.moves = scales * self.gradients
        self.slopes = _dot(self.gradients, self.moves)
        self.step_sizes = np.ones_like(self.heights)
        self.lower = np.zeros_like(self.heights)
        self.upper = np.full_like(self.heights, math.inf)
        self.curvature = _Curvature(scales, starts.shape[1])
        self.ends, self.end_heights = self.points.copy(), self.heights.copy()
        self.index = np.arange(len(starts))

    def take_steps(self, n_steps: int, goal: float | None) -> None:
        """Take steps; with a ``goal``, end ascents that are not expected to reach it.

        An ascent goes on if it is expected to get above the goal or above the highest
        ascent so far.
        """
        for first in range(0, n_steps, CHECK_EVERY):
            if len(self.index) == 0:
                return
            before, n_taken = self.heights.copy(), min(CHECK_EVERY, n_steps - first)
            for _ in range(n_taken):
                self._step()
            self.ends[self.index] = self.points
            self.end_heights[self.index] = self.heights
            if goal is not None:
                rise = RISE_FACTOR * CHECK_EVERY / n_taken * (self.heights - before)
                least = min(goal / self.unit, self.end_heights.max())
                self.keep((self.heights + rise > least)[:, 0])

    def keep(self, mask: np.ndarray) -> None:
        """Go on with the ascents in the ``mask`` only."""
        for name in (
            "points", "heights", "gradients", "moves", "slopes", "step_sizes", "lower",
            "upper", "index",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[mask])
        self.curvature.keep(mask)

    def _step(self) -> None:
        """Try one step size for each ascent, and move where it is accepted."""
        steps = self.step_sizes * self.moves
        points = self.points + steps
        heights, gradients = self.evaluate(points)
        slopes = _dot(gradients, self.moves)
        rises = heights > self.heights + WOLFE_RISE * self.step_sizes * self.slopes
        too_short = rises & (slopes > WOLFE_SLOPE * self.slopes)
        accepted = rises & ~too_short
        moves = self.curvature.update(
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
        # Double the step size until the bracket has an upper end, then bisect.
        doubled, middle = 2.0 * self.lower, 0.5 * (self.lower + self.upper)
        self.step_sizes = np.where(self.upper == math.inf, doubled, middle)
        self.step_sizes[accepted], self.lower[accepted] = 1.0, 0.0
        self.upper[accepted] = math.inf

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``||v(w)|| / ||w||`` and its gradient, divided by the unit."""
        norms = _divisors(_norms(points))  # a start at zero has height zero and stays
        directions = points / norms
        values, slopes = correlations(
            self.rows, self.residual, torch.from_numpy(directions)
        )
        heights = (_norms(values.numpy()) / self.unit).astype(points.dtype)
        gradients = (slopes.numpy() / self.unit).astype(points.dtype)
        # ||v|| is homogeneous of degree one, so that its gradient's radial component is
        # the height; the quotient's gradient has no radial component.
        return heights, (gradients - heights * directions) / norms


class _Curvature:
    """Inverse Hessians, one for each ascent, by the BFGS method.

    With more than ``MOST_INPUTS`` inputs they are multiples of the identity.
    """

    def __init__(self, scales: np.ndarray, n_inputs: int) -> None:
        self.scales = scales
        self.is_scaled = np.zeros_like(scales, dtype=bool)
        self.matrices: np.ndarray | None = None
        if n_inputs <= MOST_INPUTS:
            self.matrices = scales[:, :, None] * np.eye(n_inputs, dtype=scales.dtype)

    def keep(self, mask: np.ndarray) -> None:
        self.scales, self.is_scaled = self.scales[mask], self.is_scaled[mask]
        if self.matrices is not None:
            self.matrices = self.matrices[mask]

    def update(
        self,
        steps: np.ndarray,
        changes: np.ndarray,
        products: np.ndarray,
        gradients: np.ndarray,
        accepted: np.ndarray,
    ) -> np.ndarray:
        """Update by the accepted steps; return the products with the ``gradients``.

        ``changes`` are by how much the gradients fell along ``steps``, and ``products``
        the inner products of each step and its change.
        """
        # Skip updates whose 1 / (s.y) would overflow, and those of endless steps.
        updates = accepted & (products > np.finfo(products.dtype).tiny)
        longest = np.abs(steps).max(axis=1, keepdims=True, initial=0.0)
        updates &= longest < LONGEST_UPDATE
        if self.matrices is None:
            self.scales = self._scales_along(changes, products, updates)
            scaled: np.ndarray = self.scales * gradients
            return scaled
        if not self.is_scaled.all():
            # Before its first update, a matrix is rescaled to the curvature along the
            # first step.
            first = updates & ~self.is_scaled
            scales = self._scales_along(changes, products, first)
            self.matrices *= (scales / self.scales)[:, :, None]
            self.is_scaled |= updates
        # Both products in one pass over the matrices.
        pairs = np.stack([changes, gradients], axis=1) @ self.matrices
        images, old_moves = pairs[:, 0], pairs[:, 1]
        r = np.divide(1.0, products, out=np.zeros_like(products), where=updates)
        c = r * (1.0 + r * _dot(changes, images))
        # The BFGS update has rank two: the product of these two factors.
        left = np.stack([steps, images], axis=2)
        right = np.stack([c * steps - r * images, -r * steps], axis=1)
        self.matrices += left @ right
        # Products of this shape sometimes raise the flag for entries they do not use.
        with np.errstate(invalid="ignore"):
            changes_of_moves = left @ (right @ gradients[:, :, None])
        moves: np.ndarray = old_moves + changes_of_moves[:, :, 0]
        return moves

    def _scales_along(
        self, changes: np.ndarray, products: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        """The scales, replaced within the ``mask`` by ``s.y / y.y`` of this step."""
        squares = _divisors(_dot(changes, changes))
        scales: np.ndarray = self.scales.copy()
        np.divide(products, squares, out=scales, where=mask)
        return scales


# The next functions repeat helpers of _network/network.py, which are for torch tensors:
# the ascent works on NumPy arrays, to save half of the time.


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner product of each pair of rows, as a column."""
    products: np.ndarray = np.einsum("ij,ij->i", left, right)[:, None]
    return products


def _norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean norm of each row, as a column."""
    norms: np.ndarray = np.sqrt(_dot(rows, rows))
    return norms


def _divisors(norms: np.ndarray) -> np.ndarray:
    """Norms with zero replaced by the smallest normal number; 0 divided by it is 0."""
    divisors: np.ndarray = np.maximum(norms, np.finfo(norms.dtype).tiny)
    return divisors
