"""The objective of theory eq. (2) and its derivatives, as sums over the rows.

The linear part is eliminated: every function works with the residual of the best
linear part for the given neurons. The derivative with respect to this linear part is
zero, so that the derivatives with respect to the neurons are those at a fixed linear
part (envelope theorem).

Each derivative takes two sweeps over the blocks of rows. The first computes the targets
less the neurons' outputs, whose moments give the linear part; the second computes the
sums that depend on the residual. The second sweep runs backwards, so that it starts
with the block whose activations the first has just computed and kept. Of the other
blocks, those with one output need to know in the second sweep only where neurons are
active, which takes an eighth of the memory in double precision: it is kept for up to as
many neurons as take the memory of the inputs. Activations of kept inputs are stored
with one neuron a row, so that products with the residual read the memory in order.

What a function needs between its sweeps stays on the device of the rows: parameters go
there once, and sums come back once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.network import Network, unit_rows
from sklearn_twolayer._rows.sums import add, exact_copy, fetched, sum_products

if TYPE_CHECKING:
    from sklearn_twolayer._rows.inputs import Block
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Kept
    from sklearn_twolayer._rows.rows import Rows

# Neurons for each input up to which it is kept where they are active (counted: a byte
# for each, against eight for an input).
ACTIVE_PER_INPUT = 8


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Value and gradient of the objective at a network.

    Parameters
    ----------
    loss : float
        Half the weighted mean squared residual, the linear part's decay included.
    objective : float
        Loss plus the decay term.
    gradient : torch.Tensor of shape (n_neurons, n_outputs + n_inputs)
        Derivative of the objective in the layout of ``Network.parameters``.
    """

    loss: float
    objective: float
    gradient: torch.Tensor


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual on all rows, and two sums over it.

    Parameters
    ----------
    values : Kept[PartResidual]
        The residual of each part of the rows, stored where the part is.
    squares : float
        Sum of squares of the residual, and ``linear_penalty``.
    inner : float
        Inner product of the residual with the targets.
    linear_penalty : float, default=0.0
        Decay of the linear part, ``rho ||beta||^2`` (theory eq. 24).
    """

    values: Kept[PartResidual]
    squares: float
    inner: float
    linear_penalty: float = 0.0


@dataclass(frozen=True, eq=False)
class PartResidual:
    """The residual on one part of the rows, before or after the linear part.

    Parameters
    ----------
    values : torch.Tensor of shape (n_rows, n_outputs)
        Targets less the neurons' outputs and, once it is known, less the linear part.
    moments : torch.Tensor of shape (n_features + 1, n_outputs) or None
        ``inputs.T @ values``, which gives the linear part; None once it is subtracted.
    activations : torch.Tensor or None
        Activations of the part's last block of rows, if they have been kept.
    active : list of torch.Tensor
        Where neurons are active in the blocks before, if this has been kept.
    """

    values: torch.Tensor
    moments: torch.Tensor | None
    activations: torch.Tensor | None
    active: list[torch.Tensor] = field(default_factory=list)


def evaluate(rows: Rows, network: Network, lambda_: float) -> Evaluation:
    """Objective and gradient at ``network``."""
    weights, amplitudes = rows.sent(network.weights, network.amplitudes)
    residual = rows.keep(_subtract_neurons, weights, amplitudes, True)
    linear = rows.linear_part(rows.sums(linear_moments, residual))
    sums = rows.sums(_pull_back, residual, linear, weights, amplitudes)
    into_amplitudes, into_weights, squares, linear = fetched((*sums, linear))
    pulled = torch.cat([into_amplitudes, into_weights], dim=1)
    loss = 0.5 * (float(squares) + rows.linear_penalty(linear))
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
    sent = rows.sent(network.weights, network.amplitudes)
    before_linear = rows.keep(_subtract_neurons, *sent)
    linear = rows.linear_part(rows.sums(linear_moments, before_linear))
    values = rows.keep(_subtract_linear, before_linear, linear)
    sums = rows.sums(_squares_and_inner, values)
    squares, inner, linear = fetched((*sums, linear))
    penalty = rows.linear_penalty(linear)
    return Residual(values, float(squares) + penalty, float(inner), penalty)


def in_single(rows: Rows, residual: Residual) -> Residual:
    """The residual in single precision, for ``rows.in_single()``."""
    return replace(residual, values=rows.keep(_in_single, residual.values))


def target_residual(rows: Rows) -> Residual:
    """The residual of the network without neurons, which is the targets."""
    return residual_at(rows, Network.empty(rows))


def before_linear_part(
    rows: Rows, network: Network
) -> tuple[torch.Tensor, torch.Tensor]:
    """``X'e`` and, for each output, the squares of ``e``, the targets less neurons."""
    sent = rows.sent(network.weights, network.amplitudes)
    return rows.total(_moments_and_squares, rows.keep(_subtract_neurons, *sent))


def linear_part_at(rows: Rows, network: Network) -> torch.Tensor:
    """Coefficients of the best linear part for the given neurons."""
    sent = rows.sent(network.weights, network.amplitudes)
    residual = rows.keep(_subtract_neurons, *sent)
    return rows.linear_part(rows.total(linear_moments, residual))


def correlations(
    rows: Rows, residual: Residual, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``v(u) = mean r relu(u.x)`` and the gradient of ``||v(u)||``.

    One row for each direction ``u``. ``v / lambda`` is the dual certificate of theory
    eq. (6). Where ``v`` is zero, the gradient is returned as zero.
    """
    (directions,) = rows.sent(directions)
    if rows.n_outputs == 1:
        ones = directions.new_ones(len(directions), 1)
        values, gradient = rows.total(
            _pull_back, residual.values, None, directions, ones
        )
        return values, gradient * values.sign()
    values = rows.sums(_correlations, residual.values, directions)
    _, gradient = rows.sums(
        _pull_back, residual.values, None, directions, unit_rows(values)
    )
    values, gradient = fetched((values, gradient))
    return values, gradient


def pulled_back(rows: Rows, residual: Residual, network: Network) -> torch.Tensor:
    """``mean r f`` of a residual and the network, derived by its parameters."""
    sent = rows.sent(network.weights, network.amplitudes)
    pulled = rows.total(_pull_back, residual.values, None, *sent)
    return torch.cat(pulled, dim=1)


def relu_activations(block: Block, weights: torch.Tensor) -> torch.Tensor:
    """``relu(w_j.x)`` for the block's rows ``x``; one row for each neuron ``j``."""
    return block.project(weights).clamp_min_(0.0)


def _subtract_neurons(
    part: Part,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
    is_followed: bool = False,
) -> PartResidual:
    """Targets less the neurons' outputs, and the moments of the difference.

    If a second sweep follows, what it needs of the activations is kept.
    """
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    values, activations = part.targets.clone(), None
    moments, active = None, []
    is_kept = is_followed and values.shape[1] == 1
    is_kept &= len(weights) <= ACTIVE_PER_INPUT * part.inputs.row_entries
    for rows in part.blocks(len(weights)):
        if is_kept and activations is not None:
            active.append(activations > 0.0)
        block = part.inputs.block(rows)
        activations = relu_activations(block, weights)
        values[rows].addmm_(activations.T, amplitudes, alpha=-1.0)
        moments = add(moments, block.moments(values[rows]))
    return PartResidual(values, moments, activations, active)


def linear_moments(part: Part, residual: PartResidual) -> torch.Tensor:
    """The moments of a residual from which the linear part is not subtracted yet."""
    assert residual.moments is not None
    return residual.moments


def _moments_and_squares(
    part: Part, residual: PartResidual
) -> tuple[torch.Tensor, torch.Tensor]:
    squares = exact_copy(residual.values).square().sum(dim=0)
    return linear_moments(part, residual), squares


def _subtract_linear(
    part: Part, residual: PartResidual, linear: torch.Tensor
) -> PartResidual:
    linear = part.cast(linear)
    values = torch.empty_like(residual.values)
    for rows in part.blocks(1):
        values[rows] = part.inputs.block(rows).without(residual.values[rows], linear)
    return PartResidual(values, None, None)


def _in_single(part: Part, residual: PartResidual) -> PartResidual:
    return PartResidual(residual.values.float(), None, None)


def _squares_and_inner(
    part: Part, residual: PartResidual
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of squares, and inner product with the targets."""
    values = residual.values
    return sum_products(values, values), sum_products(values, part.targets)


def _pull_back(
    part: Part,
    residual: PartResidual,
    linear: torch.Tensor | None,
    weights: torch.Tensor,
    amplitudes: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """``sum relu(w_j.x) r``, ``sum relu'(w_j.x) (r.a_j) x`` and ``sum ||r||^2``.

    If ``linear`` is given, it is first subtracted from the residual. Otherwise ``r`` is
    the residual as it is, and the sum of squares is left out.
    """
    n_neurons, n_inputs = weights.shape
    n_outputs = part.targets.shape[1]
    weights, amplitudes = part.at_home(weights), part.at_home(amplitudes)
    cast_weights, cast_amplitudes = part.cast(weights), part.cast(amplitudes)
    fit = None if linear is None else part.cast(linear)
    into_amplitudes = into_weights = None
    squares, kept, active = None, residual.activations, list(residual.active)
    for rows in reversed(part.blocks(n_neurons)):
        block = part.inputs.block(rows)
        values = residual.values[rows]
        if fit is not None:
            values = block.without(values, fit)
            squares = add(squares, sum_products(values, values))
        if kept is not None:
            activations = kept
        elif n_outputs == 1:
            # Only the sign of the projection is used, so the ReLU is skipped.
            activations = block.project(cast_weights)
        else:
            activations = relu_activations(block, cast_weights)
        if n_outputs == 1:
            # The amplitude is the same for all rows, so it is multiplied in at the end.
            outer = values.T
        else:
            into_amplitudes = add(into_amplitudes, activations @ values)
            outer = cast_amplitudes @ values.T
        if activations.dtype == torch.bool:
            slopes = activations.to(values.dtype)
        else:
            # Kept activations belong to the residual and must not be overwritten.
            slopes = activations if kept is None else torch.empty_like(activations)
            torch.gt(activations, 0.0, out=slopes)
        into_weights = add(into_weights, block.pull_back(slopes.mul_(outer), n_inputs))
        kept = active.pop() if active else None
    assert into_weights is not None  # there is at least one block
    if n_outputs == 1:  # relu(z) = relu'(z) z
        into_amplitudes = (into_weights * weights).sum(dim=1, keepdim=True)
        into_weights = into_weights * amplitudes
    assert into_amplitudes is not None
    if squares is None:
        return into_amplitudes, into_weights
    return into_amplitudes, into_weights, squares


def _correlations(
    part: Part, residual: PartResidual, directions: torch.Tensor
) -> torch.Tensor:
    """``sum relu(u.x) r``."""
    values = None
    directions = part.cast(directions)
    for rows in part.blocks(len(directions)):
        activations = relu_activations(part.inputs.block(rows), directions)
        values = add(values, activations @ residual.values[rows])
    assert values is not None  # there is at least one block
    return values
