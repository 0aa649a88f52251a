"""Rows whose linear part is shrunk (theory eq. 24)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.sums import add, added_up, fetched, sum_products

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts


@dataclass(frozen=True, eq=False)
class LinearDecay:
    """The decay of the linear part of rows, and what it makes of their targets.

    Parameters
    ----------
    rho : float
        The decay, which is above zero.
    targets : torch.Tensor of shape (rank, n_outputs)
        ``linear_basis.T @ inputs.T @ targets``: the targets keep their linear part.
    """

    rho: float
    targets: torch.Tensor

    def penalty(self, linear: torch.Tensor) -> float:
        """``rho ||beta||^2`` of a linear part; its constant is not decayed."""
        return self.rho * float(linear[:-1].square().sum())


def with_targets(parts: Parts[Part], scale: float, linear: np.ndarray) -> Parts[Part]:
    """The parts with targets times ``scale``, and with this linear fit added again."""
    return parts.made(parts.keep(_with_linear_fit, scale, linear))


def with_unit_loss(
    parts: Parts[Part], basis: torch.Tensor, rho: float
) -> tuple[Parts[Part], LinearDecay, float]:
    """Targets divided by a size that makes ``y'Sy`` one, their decay, and the size."""
    moments = fetched(added_up(parts.gather(_moments)))
    projected = basis.T @ moments
    linear = basis @ projected
    squares = float(fetched(added_up(parts.gather(_residual_squares, linear))))
    squares += LinearDecay(rho, projected).penalty(linear)
    size = math.sqrt(squares) or 1.0
    parts = parts.made(parts.keep(_divided, size))
    return parts, LinearDecay(rho, projected / size), size


def _with_linear_fit(part: Part, scale: float, linear: np.ndarray) -> Part:
    if not linear.any():
        return replace(part, targets=part.targets * scale)
    coefficients = part.cast(torch.from_numpy(-linear))
    targets = part.targets * scale
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        targets[rows] = block.without(targets[rows], coefficients)
    return replace(part, targets=targets)


def _moments(part: Part) -> torch.Tensor:
    moments = None
    for rows in part.blocks(1):
        moments = add(moments, part.inputs.block(rows).moments(part.targets[rows]))
    assert moments is not None  # There is at least one block.
    return moments


def _residual_squares(part: Part, linear: torch.Tensor) -> torch.Tensor:
    coefficients, squares = part.cast(linear), None
    for rows in part.blocks(1):
        left = part.inputs.block(rows).without(part.targets[rows], coefficients)
        squares = add(squares, sum_products(left, left))
    assert squares is not None  # There is at least one block.
    return squares


def _divided(part: Part, size: float) -> Part:
    return replace(part, targets=part.targets / size)
