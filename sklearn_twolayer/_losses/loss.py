"""Losses, each as one record of functions of the outputs and targets of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import softplus

# A function of outputs and targets, both of shape (n_rows, n_outputs).
OfRows = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Working targets are at most this far from the outputs, in units of the link
# (convention). Rows that are predicted to be improbable would have targets further away
# and little weight; they get more weight, which makes the model of the loss steeper.
LONGEST_STEP = 10.0
LEAST_CURVATURE = 1e-12  # so that rows that are all but certain have a weight


@dataclass(frozen=True)
class Loss:
    """A convex loss of each row, in outputs on the scale of the link.

    Parameters
    ----------
    value : callable
        The loss of each row, of shape (n_rows,).
    gradient : callable
        Its derivative by the outputs, of shape (n_rows, n_outputs).
    curvature : callable
        The mean eigenvalue of its second derivative, of shape (n_rows,), or a bound of
        it from above where that may be zero.
    product : callable
        The second derivative, of ``(outputs, targets)``, times changes of the outputs,
        the third argument.
    conjugate : callable
        Of ``(slopes, targets)``, the supremum over outputs of ``slopes . outputs`` less
        the loss, of shape (n_rows,). Slopes are derivatives of the loss, or between
        zero and these.
    dispersion : float or None
        The variance of the derivative over the expected second derivative, which is one
        if the loss is minus a logarithm of a likelihood. None if it is estimated, for
        one output only.
    vanishes_far_away : bool, default=False
        Whether the loss of a row falls to zero only as its outputs grow beyond bounds.
    at_scale : callable, default=None
        For a scale of the residuals, the loss that belongs to it; None if the loss
        depends on none.
    basis : callable, default=None
        For a number of outputs, the matrix whose products with them are what users see;
        None if that is the outputs themselves.
    """

    value: OfRows
    gradient: OfRows
    curvature: OfRows
    product: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    conjugate: OfRows
    dispersion: float | None
    vanishes_far_away: bool = False
    at_scale: Callable[[float], Loss] | None = None
    basis: Callable[[int], torch.Tensor] | None = None

    def working(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and steps to the working targets (theory eq. 30).

        The squares of outputs less working targets, times the weights, are a model of
        twice the loss.
        """
        slopes = self.gradient(outputs, targets)
        weights = self.curvature(outputs, targets).clamp_min(LEAST_CURVATURE)
        sizes = torch.linalg.vector_norm(slopes, dim=1)
        weights = torch.maximum(weights, sizes / LONGEST_STEP)
        return weights, -slopes / weights[:, None]


# The logistic loss of two classes: outputs are the logarithm of the odds, targets are
# zero or one.


def _logistic_value(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (softplus(outputs) - targets * outputs)[:, 0]


def _logistic_gradient(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    # The difference of numbers near one would lose the digits of small probabilities.
    signs = 1.0 - 2.0 * targets
    return signs * torch.sigmoid(signs * outputs)


def _logistic_curvature(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (torch.sigmoid(outputs) * torch.sigmoid(-outputs))[:, 0]


def _logistic_product(
    outputs: torch.Tensor, targets: torch.Tensor, changes: torch.Tensor
) -> torch.Tensor:
    return torch.sigmoid(outputs) * torch.sigmoid(-outputs) * changes


def _logistic_conjugate(slopes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    share = (slopes + targets).clamp(0.0, 1.0)
    return (torch.xlogy(share, share) + torch.xlogy(1.0 - share, 1.0 - share))[:, 0]


LOGISTIC = Loss(
    value=_logistic_value,
    gradient=_logistic_gradient,
    curvature=_logistic_curvature,
    product=_logistic_product,
    conjugate=_logistic_conjugate,
    dispersion=1.0,
    vanishes_far_away=True,
)

# The logistic loss of K classes (softmax). A constant that is added to the scores of
# all classes changes nothing, so the outputs are K - 1 coordinates of scores whose sum
# is zero. In an orthonormal basis of these, no class is another's reference, and the
# weight decay is that of the scores themselves.


@lru_cache
def scores_basis(n_outputs: int) -> torch.Tensor:
    """K - 1 orthonormal columns that span the vectors of K numbers whose sum is zero.

    The k-th column has the class k + 1 against those before it (Helmert contrasts).
    """
    shape = (n_outputs + 1, n_outputs)
    basis = torch.zeros(shape, dtype=torch.float64, device="cpu")
    for k in range(n_outputs):
        basis[: k + 1, k] = -1.0
        basis[k + 1, k] = k + 1.0
        basis[:, k] /= math.sqrt((k + 1.0) * (k + 2.0))
    return basis


def _scores(outputs: torch.Tensor) -> torch.Tensor:
    return outputs @ scores_basis(outputs.shape[1]).T


def _softmax_value(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(_scores(outputs), dim=1) - (outputs * targets).sum(dim=1)


def _softmax_gradient(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    share = torch.softmax(_scores(outputs), dim=1)
    return share @ scores_basis(outputs.shape[1]) - targets


def _softmax_curvature(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    share = torch.softmax(_scores(outputs), dim=1)
    return (share * (1.0 - share)).sum(dim=1) / outputs.shape[1]


def _softmax_product(
    outputs: torch.Tensor, targets: torch.Tensor, changes: torch.Tensor
) -> torch.Tensor:
    share, moved = torch.softmax(_scores(outputs), dim=1), _scores(changes)
    centred = moved - (share * moved).sum(dim=1, keepdim=True)
    return (share * centred) @ scores_basis(outputs.shape[1])


def _softmax_conjugate(slopes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    share = (_scores(slopes + targets) + 1.0 / (slopes.shape[1] + 1)).clamp(0.0, 1.0)
    return torch.xlogy(share, share).sum(dim=1)


SOFTMAX = Loss(
    value=_softmax_value,
    gradient=_softmax_gradient,
    curvature=_softmax_curvature,
    product=_softmax_product,
    conjugate=_softmax_conjugate,
    dispersion=1.0,
    vanishes_far_away=True,
    basis=scores_basis,
)


def class_loss(n_classes: int) -> Loss:
    """The logistic loss of so many classes."""
    return LOGISTIC if n_classes == 2 else SOFTMAX


def class_targets(index: np.ndarray, n_classes: int) -> np.ndarray:
    """The targets of the logistic loss from the number of each row's class."""
    if n_classes == 2:
        return (index == 1).astype(np.float64)[:, np.newaxis]
    return scores_basis(n_classes - 1).numpy()[index]
