"""The objective of theory eq. (2) and its derivatives, as sums over the rows.

The linear part is eliminated: every function works with the residual left by the
best linear part beside the given neurons, so derivatives with respect to the linear
part vanish and those with respect to the neurons are the plain ones.

Each derivative takes two sweeps: one for what the neurons leave of the targets, whose
moments give the linear part, one for the sums that depend on the residual. The second
runs backwards over the blocks, so that it starts with the activations still at hand:
data of one block are swept once, and no more than one block's activations are ever
held. Activations have one neuron a row, so that products with the residual run along
the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.network import Network, unit_rows
from sklearn_twolayer._rows.sums import add, exact_copy

if TYPE_CHECKING:
    from sklearn_twolayer._rows.inputs import DenseBlock, SparseBlock
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows


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


@dataclass(frozen=True, eq=False)
class Residual:
    """Values on all rows, left where the rows are, and what is known of them.

    Parameters
    ----------
    values : object
        One :class:`Left` for each part of the rows.
    squares : float
        Sum of squares.
    inner : float
        Inner product with the targets.
    """

    values: object
    squares: float
    inner: float


@dataclass(frozen=True, eq=False)
class Left:
    """What is left of one part's targets.

    Parameters
    ----------
    values : torch.Tensor of shape (n_rows, n_outputs)
        Targets less the neurons' outputs, and less the linear part if it is known.
    moments : torch.Tensor of shape (n_features + 1, n_outputs) or None
        ``inputs.T @ values``, if the linear part is not known yet.
    activations : torch.Tensor or None
        Those of the last block, if they are at hand.
    """

    values: torch.Tensor
    moments: torch.Tensor | None
    activations: torch.Tensor | None


def evaluate(rows: Rows, network: Network, lambda_: float) -> Evaluation:
    """Objective and gradient at ``network``."""
    weights, amplitudes = network.weights, network.amplitudes
    left = rows.keep(without_neurons, weights, amplitudes)
    linear = rows.linear_part(rows.total(linear_moments, left))
    into_amplitudes, into_weights, squares = rows.total(
        _pull_back, left, linear, weights, amplitudes
    )
    pulled = torch.cat([into_amplitudes, into_weights], dim=1)
    loss = 0.5 * squares
    return Evaluation(
        loss=loss,
        objective=loss + 0.5 * lambda_ * network.squared_norm(),
        gradient=network.parameters * lambda_ - pulled,
    )


def objective_at(rows: Rows, network: Network, lambda_: float) -> tuple[float, float]:
    """Loss and objective at ``network``, without the gradient."""
    loss = 0.5 * residual_at(rows, network).squares
    return loss, loss + 0.5 * lambda_ * network.squared_norm()


def residual_at(rows: Rows, network: Network) -> Residual:
    """Targets less the network's outputs, best linear part included."""
    left = rows.keep(without_neurons, network.weights, network.amplitudes)
    linear = rows.linear_part(rows.total(linear_moments, left))
    values = rows.keep(_without_linear, left, linear)
    return Residual(values, *rows.total(_sizes, values))


def in_single(rows: Rows, residual: Residual) -> Residual:
    """The residual in single precision, for ``rows.in_single()``."""
    return replace(residual, values=rows.keep(_in_single, residual.values))


def target_residual(rows: Rows) -> Residual:
    """What the network without neurons leaves: the targets."""
    return residual_at(rows, Network.empty(rows))


def linear_part_at(rows: Rows, network: Network) -> torch.Tensor:
    """Coefficients of the best linear part beside the given neurons."""
    left = rows.keep(without_neurons, network.weights, network.amplitudes)
    return rows.linear_part(rows.total(linear_moments, left))


def correlations(
    rows: Rows, residual: Residual, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``v(u) = mean r relu(u.x)`` and the gradient of ``||v(u)||``, for each row u.

    ``v / lambda`` is the dual certificate of theory eq. (6). Where ``v`` vanishes
    the gradient is given as zero.
    """
    if rows.n_outputs == 1:
        ones = directions.new_ones(len(directions), 1)
        values, gradient, _ = rows.total(
            _pull_back, residual.values, None, directions, ones
        )
        return values, gradient * values.sign()
    values = rows.total(_correlations, residual.values, directions)
    _, gradient, _ = rows.total(
        _pull_back, residual.values, None, directions, unit_rows(values)
    )
    return values, gradient


def relu_activations(
    block: DenseBlock | SparseBlock, weights: torch.Tensor
) -> torch.Tensor:
    """``relu(w_j.x)`` of the block's rows, one neuron a row."""
    return block.project(weights).clamp_min_(0.0)


def without_neurons(
    part: Part, weights: torch.Tensor, amplitudes: torch.Tensor
) -> Left:
    """Targets less the neurons' outputs, and their moments."""
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    values, activations = part.targets.clone(), None
    moments = None
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        activations = relu_activations(block, weights)
        values[rows].addmm_(activations.T, amplitudes, alpha=-1.0)
        moments = add(moments, block.moments(values[rows]))
    return Left(values, moments, activations)


def linear_moments(part: Part, left: Left) -> torch.Tensor:
    return left.moments


def _without_linear(part: Part, left: Left, linear: torch.Tensor) -> Left:
    linear = part.cast(linear)
    values = torch.empty_like(left.values)
    for rows in part.blocks(1):
        values[rows] = part.inputs.block(rows).without(left.values[rows], linear)
    return Left(values, None, None)


def _in_single(part: Part, left: Left) -> Left:
    return Left(left.values.float(), None, None)


def _sizes(part: Part, left: Left) -> tuple[float, float]:
    """Sum of squares, and inner product with the targets."""
    values = exact_copy(left.values)
    return (
        float(values.square().sum()),
        float((values * exact_copy(part.targets)).sum()),
    )


def _pull_back(
    part: Part,
    left: Left,
    linear: torch.Tensor | None,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """``sum relu(w_j.x) r``, ``sum relu'(w_j.x) (r.a_j) x`` and ``sum ||r||^2``.

    The residual ``r`` is what is left, less the ``linear`` part if that is given.
    """
    n_neurons, n_inputs = weights.shape
    n_outputs = part.targets.shape[1]
    cast_weights, cast_amplitudes = part.cast(weights), part.cast(amplitudes)
    fit = None if linear is None else part.cast(linear)
    into_amplitudes = into_weights = None
    squares, activations = 0.0, left.activations
    for rows in reversed(part.blocks(n_neurons)):
        block = part.inputs.block(rows)
        residual = left.values[rows]
        if fit is not None:
            residual = block.without(residual, fit)
            squares += float(exact_copy(residual).square().sum())
        is_ours = activations is None  # else it belongs to what is left
        if n_outputs == 1:  # the amplitude is a factor of the sum
            if is_ours:
                activations = block.project(cast_weights)  # of which signs are enough
            outer = residual.T
        else:
            if is_ours:
                activations = relu_activations(block, cast_weights)
            into_amplitudes = add(into_amplitudes, activations @ residual)
            outer = cast_amplitudes @ residual.T
        slopes = activations if is_ours else torch.empty_like(activations)
        torch.gt(activations, 0.0, out=slopes).mul_(outer)
        into_weights = add(into_weights, block.pull_back(slopes, n_inputs))
        activations = None
    if n_outputs == 1:  # relu(z) = relu'(z) z
        into_amplitudes = (into_weights * weights).sum(dim=1, keepdim=True)
        into_weights = into_weights * amplitudes
    return into_amplitudes, into_weights, squares


def _correlations(part: Part, left: Left, directions: torch.Tensor) -> torch.Tensor:
    """``sum relu(u.x) r``."""
    values = None
    directions = part.cast(directions)
    for rows in part.blocks(len(directions)):
        activations = relu_activations(part.inputs.block(rows), directions)
        values = add(values, activations @ left.values[rows])
    return values
