"""Losses of numbers: half the Poisson deviance of counts, and Huber's loss."""

from __future__ import annotations

from functools import partial

import torch

from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.units import THRESHOLD

# Half the Poisson deviance (theory eq. 36): outputs are logarithms of means, targets
# are not negative. Where a target has an exposure as its weight, it is the count over
# the exposure.


def _poisson_value(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    values = outputs.exp() - targets - targets * outputs
    return (values + torch.xlogy(targets, targets))[:, 0]


def _poisson_gradient(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.exp() - targets


def _poisson_curvature(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.exp()[:, 0]


def _poisson_product(
    outputs: torch.Tensor, targets: torch.Tensor, changes: torch.Tensor
) -> torch.Tensor:
    return outputs.exp() * changes


def _poisson_conjugate(slopes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    # Slopes are at least minus the targets, but for rounding.
    mean = (slopes + targets).clamp_min(0.0)
    values = torch.xlogy(mean, mean) - mean + targets - torch.xlogy(targets, targets)
    return values[:, 0]


POISSON = Loss(
    value=_poisson_value,
    gradient=_poisson_gradient,
    curvature=_poisson_curvature,
    product=_poisson_product,
    conjugate=_poisson_conjugate,
    dispersion=None,
)

# Huber's loss (theory eq. 37): half the square of a residual up to the threshold,
# linear beyond. The least-squares problems have weights of one, which bound the second
# derivative: each residual is then cut off at the threshold, so that outliers do not
# add to the noise that the searches measure.


def _huber_gradient(
    threshold: float, outputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    return (outputs - targets).clamp(-threshold, threshold)


def _huber_value(
    threshold: float, outputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    near = _huber_gradient(threshold, outputs, targets)
    return (near * (outputs - targets - 0.5 * near))[:, 0]


def _huber_curvature(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(outputs[:, 0])


def _huber_product(
    threshold: float,
    outputs: torch.Tensor,
    targets: torch.Tensor,
    changes: torch.Tensor,
) -> torch.Tensor:
    return changes * ((outputs - targets).abs() <= threshold)


def _huber_conjugate(slopes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (slopes * (targets + 0.5 * slopes))[:, 0]


def huber_loss(scale: float) -> Loss:
    """Huber's loss for residuals of this scale."""
    threshold = THRESHOLD * scale
    return Loss(
        value=partial(_huber_value, threshold),
        gradient=partial(_huber_gradient, threshold),
        curvature=_huber_curvature,
        product=partial(_huber_product, threshold),
        conjugate=_huber_conjugate,
        dispersion=None,
        at_scale=huber_loss,
    )


# The losses by the values of the parameter of the regressors; that of residuals is for
# the scale of the targets at first.
NUMBER_LOSSES = {"poisson": POISSON, "huber": huber_loss(1.0)}
