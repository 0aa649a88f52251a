"""Networks on the scale of the link, and their loss as sums over the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.units import LossUnits
from sklearn_twolayer._network.network import Network, balance
from sklearn_twolayer._network.objective import (
    PartResidual,
    Residual,
    linear_part_at,
    relu_activations,
)
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.reweighed import Reweighed, reweighed, root_weights
from sklearn_twolayer._rows.rows import Rows

if TYPE_CHECKING:
    from sklearn_twolayer._rows.parts import Kept


@dataclass(frozen=True, eq=False)
class LossRows:
    """Rows, what is known of their targets, and the loss.

    Parameters
    ----------
    rows : Rows
        Standardised inputs, in double precision on the CPU. Their own targets are not
        used.
    targets : Kept[torch.Tensor]
        The targets of the loss, of shape (n_rows, n_outputs) in each part.
    loss : Loss
        The loss.
    linear_decay : float
        The decay of the linear part; zero for none.
    device, dtype : torch.device, torch.dtype
        Where, and in which precision, the least-squares problems are solved.
    dispersion : float, default=1.0
        That of the loss, or what has been estimated in its place.
    scale : float, default=1.0
        The scale of the residuals that the loss is for, if it depends on one.
    """

    rows: Rows
    targets: Kept[torch.Tensor]
    loss: Loss
    linear_decay: float
    device: torch.device
    dtype: torch.dtype
    dispersion: float = 1.0
    scale: float = 1.0

    def decayed(self, linear_decay: float) -> LossRows:
        """The same with another decay of the linear part."""
        return replace(self, linear_decay=linear_decay)


@dataclass(frozen=True, eq=False)
class Model:
    """A network and its linear part, on the scale of the link.

    Parameters
    ----------
    network : Network
        The neurons, in the coordinates of the standardised inputs.
    linear : torch.Tensor of shape (n_columns, n_outputs)
        Coefficients of the linear part on the kept inputs and on the constant one.
    """

    network: Network
    linear: torch.Tensor

    @classmethod
    def zero(cls, rows: Rows) -> Model:
        """The model whose outputs are zero."""
        linear = rows.linear_basis.new_zeros(len(rows.linear_basis), rows.n_outputs)
        return cls(Network.empty(rows), linear)

    def scaled(self, share: float) -> Model:
        """The model with outputs multiplied by a positive share."""
        return Model(_times(self.network, share), share * self.linear)

    def plus(self, other: Model) -> Model:
        """The model whose outputs are the sums of those of both."""
        network = self.network.joined_by(other.network)
        return Model(network, self.linear + other.linear)


def on_scale_of_link(rows: Rows, units: LossUnits) -> Rows:
    """The rows with units whose targets are outputs on the scale of the link."""
    own = rows.units
    shift, linear = (
        np.full_like(own.target_mean, units.shift),
        np.zeros_like(own.linear),
    )
    own = replace(own, linear=linear, target_mean=shift, target_scale=units.size)
    return replace(rows, units=own)


def outputs_of(data: LossRows, model: Model) -> Kept[torch.Tensor]:
    """The outputs of the model on each row."""
    network = model.network
    return data.rows.keep(_outputs, network.weights, network.amplitudes, model.linear)


def mixed(
    data: LossRows,
    before: Kept[torch.Tensor],
    after: Kept[torch.Tensor],
    share: float,
) -> Kept[torch.Tensor]:
    """Outputs a share of the way from some to others."""
    return data.rows.keep(_mixed, before, after, share)


def mean_loss(data: LossRows, outputs: Kept[torch.Tensor]) -> float:
    """The weighted mean of the losses of the rows."""
    return float(data.rows.total(_loss, outputs, data.targets, data.loss))


def penalty_of(data: LossRows, model: Model, lambda_: float) -> float:
    """The decay of neurons and linear part of a balanced model."""
    squares = float(model.linear[:-1].square().sum())
    masses = float(model.network.masses.sum())
    return lambda_ * masses + 0.5 * data.linear_decay * squares


def objective_of(data: LossRows, model: Model, lambda_: float) -> float:
    """Mean loss, decay of the neurons and decay of the linear part (theory eq. 29)."""
    return mean_loss(data, outputs_of(data, model)) + penalty_of(data, model, lambda_)


def working_rows(data: LossRows, outputs: Kept[torch.Tensor]) -> Reweighed:
    """The least-squares problem that models the loss around the outputs."""
    weights = data.rows.keep(_working_weights, outputs, data.targets, data.loss)
    targets = data.rows.keep(_working_targets, outputs, data.targets, data.loss)
    return reweighed(
        data.rows,
        weights,
        targets,
        linear_decay=data.linear_decay,
        dispersion=data.loss.dispersion,
        device=data.device,
        dtype=data.dtype,
    )


def loss_residual(data: LossRows, outputs: Kept[torch.Tensor]) -> Residual:
    """Minus the derivative of the loss by the outputs, in the place of a residual."""
    values = data.rows.keep(_residual, outputs, data.targets, data.loss)
    return Residual(values, squares=0.0, inner=0.0)


def conjugate_sum(data: LossRows, outputs: Kept[torch.Tensor], shrink: float) -> float:
    """The mean of the conjugate at the derivative of the loss times a share."""
    return float(data.rows.total(_conjugate, outputs, data.targets, data.loss, shrink))


def in_working_units(working: Reweighed, network: Network) -> Network:
    """A network on the scale of the link in the coordinates of working rows."""
    return _times(network, 1.0 / working.rows.units.target_scale)


def from_working_units(working: Reweighed, network: Network) -> Model:
    """A network of working rows, with its linear part, on the scale of the link."""
    scale = working.rows.units.target_scale
    linear = torch.from_numpy(working.rows.units.linear)
    return Model(
        _times(network, scale), linear + scale * linear_part_at(working.rows, network)
    )


def _times(network: Network, factor: float) -> Network:
    """The balanced network with outputs times a factor."""
    if network.n_neurons == 0:
        return network
    return balance(Network.from_parts(network.weights, factor * network.amplitudes))


def _outputs(
    part: Part, weights: torch.Tensor, amplitudes: torch.Tensor, linear: torch.Tensor
) -> torch.Tensor:
    outputs = torch.empty(len(part.targets), linear.shape[1], dtype=torch.float64)
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        values = block.without(torch.zeros_like(outputs[rows]), -linear)
        values = values + relu_activations(block, weights).T @ amplitudes
        outputs[rows] = values / part.roots(block)[0, :, None]
    return outputs


def _loss(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> float:
    return float(root_weights(part).square() @ loss.value(outputs, targets))


def _residual(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> PartResidual:
    slopes = loss.gradient(outputs, targets)
    return PartResidual(-slopes * root_weights(part)[:, None], None, None)


def _conjugate(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss, shrink: float
) -> float:
    values = loss.conjugate(shrink * loss.gradient(outputs, targets), targets)
    return float(root_weights(part).square() @ values)


def _working_weights(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> torch.Tensor:
    return loss.working(outputs, targets)[0]


def _working_targets(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> torch.Tensor:
    return outputs + loss.working(outputs, targets)[1]


def _mixed(
    part: Part, before: torch.Tensor, after: torch.Tensor, share: float
) -> torch.Tensor:
    return torch.lerp(before, after, share)
