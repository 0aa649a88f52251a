"""The linear fit to the targets, which is subtracted from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.sums import add, added_up, fetched

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts


def without_linear_fit(
    parts: Parts[Part], basis: np.ndarray, n_outputs: int
) -> tuple[Parts[Part], np.ndarray]:
    """The parts with targets less their linear fit, and its coefficients."""
    linear = np.zeros((len(basis), n_outputs))
    for _ in range(2):  # one step of iterative refinement
        moments = added_up(parts.gather(target_moments))
        change = basis @ (basis.T @ moments)
        linear = linear + change
        parts = parts.made(parts.keep(_without_linear, change))
    return parts, linear


def constant_alone(n_columns: int) -> np.ndarray:
    """The basis of a linear part that is a constant."""
    return np.eye(n_columns, 1, 1 - n_columns)


def target_moments(part: Part) -> np.ndarray:
    moments = None
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        moments = add(moments, block.moments(part.targets[rows]))
    assert moments is not None  # There is at least one block.
    return fetched(moments).numpy()


def _without_linear(part: Part, linear: np.ndarray) -> Part:
    coefficients = part.cast(torch.from_numpy(linear))
    targets = torch.empty_like(part.targets)
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        targets[rows] = block.without(part.targets[rows], coefficients)
    return replace(part, targets=targets)
