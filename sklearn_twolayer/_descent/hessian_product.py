"""Products with the Hessian of the objective, for the step size of gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import (
    PartResidual,
    linear_moments,
    relu_activations,
    residual_at,
)
from sklearn_twolayer._rows.sums import add

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows


def curvature_product(
    rows: Rows, network: Network, lambda_: float, direction: torch.Tensor
) -> torch.Tensor:
    """Hessian of the objective times ``direction``, for networks with no row on a kink.

    Theory eq. (11). ``direction`` and the result have the layout of
    ``Network.parameters``.
    """
    move = network.moved_to(direction)
    sent = rows.sent(network.weights, network.amplitudes, move.weights, move.amplitudes)
    residual = residual_at(rows, network)
    change = rows.keep(_change, *sent)
    linear = rows.linear_part(rows.sums(linear_moments, change))
    into = rows.total(_curvature, residual.values, change, linear, *sent)
    return direction * lambda_ + torch.cat(into, dim=1)


def _change(
    part: Part,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
    moved_weights: torch.Tensor,
    moved_amplitudes: torch.Tensor,
) -> PartResidual:
    """Derivative of the outputs along the direction, and its moments.

    The direction is given by ``moved_weights`` and ``moved_amplitudes``.
    """
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    moved_weights = part.cast(moved_weights)
    moved_amplitudes = part.cast(moved_amplitudes)
    values = torch.empty_like(part.targets)
    moments = None
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        activations = relu_activations(block, weights)
        values[rows] = activations.T @ moved_amplitudes
        tangent = activations.sign_().mul_(block.project(moved_weights))
        values[rows] += tangent.T @ amplitudes
        moments = add(moments, block.moments(values[rows]))
    return PartResidual(values, moments, None)


def _curvature(
    part: Part,
    residual: PartResidual,
    change: PartResidual,
    linear: torch.Tensor,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
    moved_weights: torch.Tensor,
    moved_amplitudes: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The Hessian product of the loss alone, for amplitudes and weights."""
    into_amplitudes = into_weights = None
    n_inputs = weights.shape[1]
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    moved_weights = part.cast(moved_weights)
    moved_amplitudes = part.cast(moved_amplitudes)
    fit = part.cast(linear)
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        values = residual.values[rows]
        changed = block.without(change.values[rows], fit)
        activations = relu_activations(block, weights)
        into_amplitudes = add(into_amplitudes, activations @ changed)
        slopes = activations.sign_()
        tangent = slopes * block.project(moved_weights)
        into_amplitudes = add(into_amplitudes, -(tangent @ values))
        slopes.mul_(amplitudes @ changed.T - moved_amplitudes @ values.T)
        into_weights = add(into_weights, block.pull_back(slopes, n_inputs))
    # There is at least one block.
    assert into_amplitudes is not None
    assert into_weights is not None
    return into_amplitudes, into_weights
