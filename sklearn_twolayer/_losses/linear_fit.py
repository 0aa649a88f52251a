"""The best linear part beside given neurons, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._losses.loss import Loss
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    objective_of,
    outputs_of,
    working_rows,
)
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.reweighed import root_weights
from sklearn_twolayer._rows.sums import add

if TYPE_CHECKING:
    from sklearn_twolayer._rows.parts import Kept
    from sklearn_twolayer._rows.reweighed import Reweighed

# Newton steps, conjugate gradient steps in each, and halvings of a step, at most
# (convention). Separable classes take all Newton steps: each lowers the loss by a
# constant factor.
MOST_NEWTON_STEPS = 40
MOST_CONJUGATE_STEPS = 50
MOST_HALVINGS = 30
# The fall that Newton's model promises, relative to the loss, below which a step is the
# last (convention). Convergence is quadratic: the error after it is rounding.
LEAST_PROMISE = 1e-13
# The same for fits that are compared with others or go on from there (convention).
ROUGH_PROMISE = 1e-6
# A step is halved until the loss falls by this share of what the slope promises
# (convention).
LEAST_SHARE_OF_PROMISE = 1e-4
# The loss has no minimum if the last step changed an output by this much, in units of
# the link, or if a loss that vanishes far away is below LEAST_LOSS (convention). On
# separable classes each step changes outputs by about one, and divides the loss by
# about three; near a minimum the last steps hardly change anything.
STILL_MOVES = 0.05
LEAST_LOSS = 1e-6


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A model with its best linear part.

    ``has_minimum`` is false if the loss falls as long as the coefficients grow, as that
    of separable classes does.
    """

    model: Model
    has_minimum: bool


def fit_linear_part(
    data: LossRows, model: Model, least_promise: float = LEAST_PROMISE
) -> LinearFit:
    """The model with the best linear part for its neurons, beginning with its own.

    Newton's method; the steps are found by conjugate gradients, preconditioned by the
    working rows. Where the second derivative of a row is a multiple of the identity,
    as for one output, the first of these is exact. The steps end when one promises to
    lower the loss by ``least_promise`` of it.
    """
    outputs = outputs_of(data, model)
    objective, change = objective_of(data, model, 0.0), 0.0
    for _ in range(MOST_NEWTON_STEPS):
        if data.loss.vanishes_far_away and objective < LEAST_LOSS:
            return LinearFit(model, has_minimum=False)
        working = working_rows(data, outputs)
        gradient = linear_gradient(data, model.linear, outputs)
        step = _newton_step(data, working, outputs, gradient)
        promise = float((step * gradient).sum())
        if promise <= least_promise * objective:
            break
        share = 1.0
        for _ in range(MOST_HALVINGS):
            trial = Model(model.network, model.linear - share * step)
            value = objective_of(data, trial, 0.0)
            if value <= objective - LEAST_SHARE_OF_PROMISE * share * promise:
                break
            share /= 2.0
        else:  # Rounding hides a fall of this size.
            break
        following = outputs_of(data, trial)
        change = max(data.rows.parts.gather(_largest_change, outputs, following))
        model, outputs, objective = trial, following, value
    # A loss of residuals grows in every direction that changes an output.
    is_of_residuals = data.loss.at_scale is not None
    return LinearFit(model, has_minimum=is_of_residuals or change < STILL_MOVES)


def linear_gradient(
    data: LossRows, linear: torch.Tensor, outputs: Kept[torch.Tensor]
) -> torch.Tensor:
    """The derivative of the objective by a linear part, where outputs are these."""
    gradient = data.rows.total(_loss_gradient, outputs, data.targets, data.loss)
    return _with_decay(data, gradient, linear)


def _with_decay(
    data: LossRows, values: torch.Tensor, linear: torch.Tensor
) -> torch.Tensor:
    values = values.clone()
    values[:-1] += data.linear_decay * linear[:-1]
    return values


def _newton_step(
    data: LossRows,
    working: Reweighed,
    outputs: Kept[torch.Tensor],
    gradient: torch.Tensor,
) -> torch.Tensor:
    """The solution of second derivative times step equals gradient."""

    def preconditioned(values: torch.Tensor) -> torch.Tensor:
        return working.rows.linear_part(values) / working.mean_weight

    step, left = torch.zeros_like(gradient), gradient
    direction = near = preconditioned(left)
    size = first = float((left * near).sum())
    # The step is as exact as quadratic convergence asks for.
    enough = min(1e-2, first) ** 2 * first
    for _ in range(MOST_CONJUGATE_STEPS):
        if size <= enough:
            break
        product = data.rows.total(
            _curvature_product, outputs, data.targets, data.loss, direction
        )
        product = _with_decay(data, product, direction)
        curvature = float((direction * product).sum())
        if curvature <= 0.0:  # rounding
            break
        step = step + size / curvature * direction
        left = left - size / curvature * product
        near = preconditioned(left)
        previous, size = size, float((left * near).sum())
        direction = near + size / previous * direction
    return step


def _loss_gradient(
    part: Part, outputs: torch.Tensor, targets: torch.Tensor, loss: Loss
) -> torch.Tensor:
    slopes = loss.gradient(outputs, targets) * root_weights(part)[:, None]
    return _moments(part, slopes)


def _curvature_product(
    part: Part,
    outputs: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    direction: torch.Tensor,
) -> torch.Tensor:
    changes = torch.empty_like(outputs)
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        changes[rows] = block.without(torch.zeros_like(changes[rows]), -direction)
    return _moments(part, loss.product(outputs, targets, changes))


def _moments(part: Part, values: torch.Tensor) -> torch.Tensor:
    total = None
    for rows in part.blocks(1):
        total = add(total, part.inputs.block(rows).moments(values[rows]))
    assert total is not None  # There is at least one block.
    return total


def _largest_change(part: Part, before: torch.Tensor, after: torch.Tensor) -> float:
    return float((after - before).abs().max())
