"""Dispersion and scale of the residuals of a model, where the loss knows neither."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.model import LossRows, Model, outputs_of, working_rows
from sklearn_twolayer._losses.units import MEDIAN_OF_GAUSSIAN, weighted_median
from sklearn_twolayer._rows.reweighed import root_weights

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Kept

# Share of the values that parameters take from the noise at most (convention).
MOST_TAKEN = 0.5
# Scale and dispersion of residuals that are rounding, for targets of size one
# (convention).
LEAST_RESIDUAL = 1e-9
# Scale and dispersion count as settled when they change by less than this (convention).
SETTLED = 0.01


def adapted(data: LossRows, model: Model) -> LossRows:
    """The rows with the scale and the dispersion of the residuals of the model."""
    return measured(rescaled(data, model), model)


def has_settled(before: LossRows, after: LossRows) -> bool:
    """Whether scale and dispersion have hardly changed."""
    changes = after.scale / before.scale, after.dispersion / before.dispersion
    return max(abs(math.log(change)) for change in changes) < SETTLED


def rescaled(data: LossRows, model: Model) -> LossRows:
    """The rows with the loss for the scale of the residuals of the model.

    The scale is the median of their absolute values, over that of a standard Gaussian
    number, with the correction for the parameters of the model (theory eq. 39).
    """
    if data.loss.at_scale is None:
        return data
    outputs = outputs_of(data, model)
    sizes, shares = zip(
        *data.rows.parts.gather(_sizes, outputs, data.targets), strict=True
    )
    median = weighted_median(np.concatenate(sizes), np.concatenate(shares))
    scale = median / MEDIAN_OF_GAUSSIAN * math.sqrt(_inflation(data, model, outputs))
    return scaled_to(data, max(scale, LEAST_RESIDUAL))


def scaled_to(data: LossRows, scale: float) -> LossRows:
    """The rows with the loss for this scale of the residuals, if it depends on one."""
    if data.loss.at_scale is None:
        return data
    return replace(data, loss=data.loss.at_scale(scale), scale=scale)


def measured(data: LossRows, model: Model) -> LossRows:
    """The rows with the dispersion of the residuals of the model (theory eq. 38)."""
    if data.loss.dispersion is not None:
        return data
    rows, outputs = data.rows, outputs_of(data, model)
    sums = rows.total(_noise_sums, outputs, data.targets, data.loss)
    of_weights, squares, curvature = sums.tolist()
    noise = rows.n_effective * max(of_weights, squares / rows.n_distinct)
    dispersion = noise / max(curvature, LEAST_RESIDUAL)
    dispersion *= _inflation(data, model, outputs)
    return replace(data, dispersion=max(dispersion, LEAST_RESIDUAL**2))


def pearson_dispersion(data: LossRows, model: Model) -> float:
    """Mean square of residuals over the standard deviations that the loss expects.

    It is what users know as the dispersion of counts. In the search the variance of the
    derivative as a whole decides, in which rows count by what the model makes of them.
    """
    outputs = outputs_of(data, model)
    squares = data.rows.total(_pearson_squares, outputs, data.targets, data.loss)
    return float(squares) * _inflation(data, model, outputs)


def _inflation(data: LossRows, model: Model, outputs: Kept[torch.Tensor]) -> float:
    """What squares of residuals are multiplied by for the parameters of the model."""
    rows, n_neurons = data.rows, model.network.n_neurons
    n_linear = 0.0
    if model.linear[:-1].any():
        own = rows if data.linear_decay == 0.0 else working_rows(data, outputs).rows
        n_linear = own.linear_degrees_of_freedom
    n_parameters = n_linear + 1.0 + n_neurons * rows.rank
    return 1.0 / (1.0 - min(n_parameters / rows.n_distinct, MOST_TAKEN))


def _sizes(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    sizes = (targets - outputs).abs()[:, 0]
    return sizes.numpy(), root_weights(part).square().numpy()


def _noise_sums(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> torch.Tensor:
    shares = root_weights(part).square()
    squares = loss.gradient(outputs, targets)[:, 0].square()
    bends = loss.product(outputs, targets, torch.ones_like(outputs))[:, 0]
    return torch.stack([shares.square() @ squares, shares @ squares, shares @ bends])


def _pearson_squares(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> float:
    squares = loss.gradient(outputs, targets)[:, 0].square()
    bends = loss.curvature(outputs, targets)
    return float(root_weights(part).square() @ (squares / bends))
