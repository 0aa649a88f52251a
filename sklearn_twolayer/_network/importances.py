"""How much the network's outputs change with each input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._network.objective import linear_part_at
from sklearn_twolayer._rows.sums import add, exact_copy, gram

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows

# Effects on a target of at most this many spacings of floats at its mean are rounding
# (convention).
SPACINGS = 8.0


def input_importances(
    rows: Rows, network: Network, linear_part: torch.Tensor | None = None
) -> np.ndarray:
    """Importance of each column of ``X``; they are not negative and add up to one.

    That of column ``j`` is proportional to the root of ``sum_t mean (df_t/dx_j)^2``,
    times the standard deviation of the column. All are zero if ``f`` is constant.
    ``linear_part`` are the coefficients of the linear part; None for the best ones.

    The gradient at a row is ``sum_k s_k v_k``, where ``s_k`` tells whether neuron ``k``
    is active there and is one for the linear part, and ``v_k`` is the constant gradient
    of ``a_k w_k.x`` or of the linear part. So the sums over the rows are ``mean s_k
    s_l``, and their number does not depend on that of the columns.
    """
    units, n_columns = rows.units, len(rows.units.columns.kept)
    amplitudes, weights = network.amplitudes.numpy(), network.weights.numpy()
    if linear_part is None:
        linear_part = linear_part_at(rows, network)
    linear = units.linear / units.target_scale + linear_part.numpy()
    gradients = np.concatenate(
        [
            weights[:, :n_columns, np.newaxis] * amplitudes[:, np.newaxis],
            linear[np.newaxis, :n_columns],
        ]
    ).reshape(network.n_neurons + 1, -1)
    together = rows.total(active_together, network.weights).numpy()
    squares = np.einsum("kj,kj->j", gradients, together @ gradients)
    squares = squares.reshape(n_columns, rows.n_outputs).clip(min=0.0)
    squares *= rows.spectrum.column_squares()[:n_columns, np.newaxis]
    rounding = SPACINGS * np.spacing(np.abs(units.target_mean)) / units.target_scale
    squares[:, squares.sum(axis=0) <= rounding**2] = 0.0
    effects = np.sqrt(squares.sum(axis=1))
    return units.columns.spread(effects / (effects.sum() or 1.0))


def active_together(part: Part, weights: torch.Tensor) -> torch.Tensor:
    """Share of the weight on which both of two neurons are active, for each pair.

    The last row and column are those of the linear part, which is always active.
    """
    together = None
    weights = part.cast(weights)
    for rows in part.blocks(len(weights) + 1):
        block = part.inputs.block(rows)
        active = exact_copy(block.project(weights) > 0.0)
        root = exact_copy(part.roots(block))
        together = add(together, gram(torch.cat([active * root, root])))
    assert together is not None  # There is at least one block.
    return together
