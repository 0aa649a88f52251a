"""Effective sample size and noise level under the noise of a residual."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import PartResidual, residual_at
from sklearn_twolayer._rows.rows import effective_rank
from sklearn_twolayer._rows.sums import add, exact_copy, sum_products

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows

# The noise level of the decay in units of sigma sqrt(rank / n_samples). Measured:
# on pure noise the peak of the certificate is at 0.42 to 0.45 with one target and ten
# inputs or more, and lower with fewer inputs or more targets (benchmarks/tuning.py
# --peaks). On noisy teachers, twice this level ends a path one stage before the stage
# with the smallest error on fresh data.
NOISE_LEVEL = 0.35


def with_effective_size(rows: Rows, network: Network) -> Rows:
    """The rows, with the effective sample size and number of targets of a residual.

    Theory eqs. (16) and (23), with the network's residual as the noise. Rows whose
    noise is known have their sizes already.
    """
    if rows.dispersion is not None:
        return rows
    residual = residual_at(rows, network)
    weighted = float(rows.total(_weighted_squares, residual.values))
    if weighted == 0.0:
        return rows
    squares = residual.squares - residual.linear_penalty
    n_effective = min(squares / weighted, float(rows.n_distinct))
    if rows.n_outputs == 1:
        return replace(rows, n_effective=n_effective)
    products = rows.total(_target_products, residual.values)
    n_outputs = effective_rank(products.numpy())
    return replace(rows, n_effective=n_effective, n_effective_outputs=n_outputs)


def _target_products(part: Part, residual: PartResidual) -> torch.Tensor:
    """Gram matrix of the residuals of the targets."""
    values = exact_copy(residual.values)
    return values.T @ values


def _weighted_squares(part: Part, residual: PartResidual) -> torch.Tensor:
    """Sum over the rows of the squared residual times the row's share of weight."""
    total = None
    for rows in part.blocks(1):
        roots = part.roots(part.inputs.block(rows))
        weighted = roots.T * residual.values[rows]
        total = add(total, sum_products(weighted, weighted))
    assert total is not None  # There is at least one block.
    return total


def noise_level(rows: Rows, squares: float) -> float:
    """The decay below which neurons fit noise, for noise of this sum of squares.

    If the noise is known, it takes the place of ``squares``.
    """
    if rows.dispersion is not None:
        squares = rows.dispersion * rows.n_outputs
    return NOISE_LEVEL * math.sqrt(squares * rows.rank / rows.n_effective)
