"""The objective of theory eq. (2) and its derivatives, summed over row blocks.

The linear part is eliminated: every function works with the residual left by the
best linear part beside the given neurons, so derivatives with respect to the linear
part vanish and those with respect to the neurons are the plain ones.

Each derivative takes two sweeps over the blocks, one for the residual (or for the
correlations) on all rows, one for the sum that depends on it. The second sweep runs
backwards, so that it starts with the activations still at hand: data of one block
are swept once, and no more than one block's activations are ever held. Activations
have one neuron a row, so that products with the residual run along the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network import Network, unit_rows

if TYPE_CHECKING:
    from sklearn_twolayer._rows import Rows


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Value and gradient of the objective at a network.

    Parameters
    ----------
    loss : float
        Half the weighted mean squared residual.
    objective : float
        Loss plus decay.
    gradient : torch.Tensor of shape (n_neurons, n_outputs + n_inputs)
        Derivative of the objective in the layout of ``Network.parameters``.
    """

    loss: float
    objective: float
    gradient: torch.Tensor


def evaluate(rows: Rows, network: Network, lambda_: float) -> Evaluation:
    """Objective and gradient at ``network``."""
    blocks = rows.blocks(network.n_neurons)
    residual, activations = _residual(rows, network, blocks)
    gradient = network.parameters * lambda_
    _subtract_pull_back(
        rows,
        residual,
        network.weights,
        network.amplitudes,
        activations,
        blocks,
        into=gradient,
    )
    loss = 0.5 * float(residual.square().sum())
    return Evaluation(
        loss=loss,
        objective=loss + 0.5 * lambda_ * network.squared_norm(),
        gradient=gradient,
    )


def curvature_product(
    rows: Rows, network: Network, lambda_: float, direction: torch.Tensor
) -> torch.Tensor:
    """Hessian of the objective times ``direction``, where no row is on a kink.

    Theory eq. (11); ``direction`` and the result have the layout of
    ``Network.parameters``.
    """
    weights, amplitudes = network.weights, network.amplitudes
    moved = network.moved_to(direction)
    blocks = rows.blocks(network.n_neurons)
    residual, _ = _residual(rows, network, blocks)
    change = torch.empty_like(residual)
    for block in blocks:
        activations = _activations(rows, weights, block)
        change[block] = activations.T @ moved.amplitudes
        tangent = activations.sign_().mul_(moved.weights @ rows.neuron_inputs[block].T)
        change[block] += tangent.T @ amplitudes
    change -= rows.inputs @ rows.linear_part(rows.inputs.T @ change)
    product = direction * lambda_
    for block in blocks:
        activations = _activations(rows, weights, block)
        product[:, : rows.n_outputs] += activations @ change[block]
        slopes = activations.sign_()
        tangent = slopes * (moved.weights @ rows.neuron_inputs[block].T)
        product[:, : rows.n_outputs] -= tangent @ residual[block]
        pulled = amplitudes @ change[block].T - moved.amplitudes @ residual[block].T
        product[:, rows.n_outputs :] += slopes.mul_(pulled) @ rows.neuron_inputs[block]
    return product


def objective_at(rows: Rows, network: Network, lambda_: float) -> tuple[float, float]:
    """Loss and objective at ``network``, without the gradient."""
    loss = 0.5 * float(residual_at(rows, network).square().sum())
    return loss, loss + 0.5 * lambda_ * network.squared_norm()


def residual_at(rows: Rows, network: Network) -> torch.Tensor:
    """Targets less the network's outputs, best linear part included."""
    return _residual(rows, network, rows.blocks(network.n_neurons))[0]


def linear_part_at(rows: Rows, network: Network) -> torch.Tensor:
    """Coefficients of the best linear part beside the given neurons."""
    left, _ = _without_neurons(rows, network, rows.blocks(network.n_neurons))
    return rows.linear_part(rows.inputs.T @ left)


def correlations(
    rows: Rows, residual: torch.Tensor, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``v(u) = mean r relu(u.x)`` and the gradient of ``||v(u)||``, for each row u.

    ``v / lambda`` is the dual certificate of theory eq. (6). Where ``v`` vanishes
    the gradient is given as zero.
    """
    blocks = rows.blocks(directions.shape[0])
    values = residual.new_zeros(directions.shape[0], residual.shape[1])
    for block in blocks:
        activations = _activations(rows, directions, block)
        values += activations @ residual[block]
    gradient = directions.new_zeros(
        len(directions), rows.n_outputs + directions.shape[1]
    )
    amplitudes = unit_rows(values)
    _subtract_pull_back(
        rows, residual, directions, amplitudes, activations, blocks, into=gradient
    )
    return values, gradient[:, rows.n_outputs :].neg()


def activation_moments(
    rows: Rows, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``H'H`` and ``H'y``, H the neurons' activations less their linear fit."""
    gram = weights.new_zeros(len(weights), len(weights))
    inner = weights.new_zeros(len(weights), rows.n_outputs)
    linear = weights.new_zeros(rows.inputs.shape[1], len(weights))
    for block in rows.blocks(len(weights)):
        activations = _activations(rows, weights, block)
        gram += activations @ activations.T
        inner += activations @ rows.targets[block]
        linear += (activations @ rows.inputs[block]).T
    linear = rows.linear_basis.T @ linear
    # The targets have no linear part, so only the Gram matrix needs the projection.
    return gram - linear.T @ linear, inner


def _activations(rows: Rows, weights: torch.Tensor, block: slice) -> torch.Tensor:
    """``relu(w_j.x)`` of the block's rows, one neuron a row."""
    return (weights @ rows.neuron_inputs[block].T).clamp_min_(0.0)


def _without_neurons(
    rows: Rows, network: Network, blocks: list[slice]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets less the neurons' outputs, and the last block's activations."""
    left = rows.targets.clone()
    for block in blocks:
        activations = _activations(rows, network.weights, block)
        left[block].addmm_(activations.T, network.amplitudes, alpha=-1.0)
    return left, activations


def _residual(
    rows: Rows, network: Network, blocks: list[slice]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual on all rows, and the last block's activations."""
    residual, activations = _without_neurons(rows, network, blocks)
    linear = rows.linear_part(rows.inputs.T @ residual)
    residual.addmm_(rows.inputs, linear, alpha=-1.0)
    return residual, activations


def _subtract_pull_back(
    rows: Rows,
    residual: torch.Tensor,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
    activations: torch.Tensor | None,
    blocks: list[slice],
    into: torch.Tensor,
) -> None:
    """Subtract ``sum relu(w_j.x) r`` and ``sum relu'(w_j.x) (r.a_j) x`` from ``into``.

    ``into`` has the layout of ``Network.parameters``. ``activations`` are the last
    block's; they are overwritten.
    """
    n_outputs = rows.n_outputs
    into_amplitudes, into_weights = into[:, :n_outputs], into[:, n_outputs:]
    for block in reversed(blocks):
        block_residual = residual[block]
        if activations is None:
            activations = _activations(rows, weights, block)
        into_amplitudes.addmm_(activations, block_residual, alpha=-1.0)
        slopes = activations.sign_()
        if n_outputs == 1:  # the amplitude is a factor of the sum
            pulled = slopes.mul_(block_residual.T) @ rows.neuron_inputs[block]
            into_weights.addcmul_(pulled, amplitudes, value=-1.0)
        else:
            slopes.mul_(amplitudes @ block_residual.T)
            into_weights.addmm_(slopes, rows.neuron_inputs[block], alpha=-1.0)
        activations = None
