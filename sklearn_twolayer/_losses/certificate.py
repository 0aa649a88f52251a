"""The certificate and the duality gap of a model, from the loss itself."""

from __future__ import annotations

import torch

from sklearn_twolayer._certificate.certificate import Certificate
from sklearn_twolayer._certificate.peaks import QUICK, Effort, find_peaks
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    conjugate_sum,
    loss_residual,
    mean_loss,
    outputs_of,
    penalty_of,
)


def certify_model(
    data: LossRows,
    model: Model,
    lambda_: float,
    generator: torch.Generator,
    effort: Effort = QUICK,
    tol: float | None = None,
) -> Certificate:
    """Loss, objective, certificate and duality gap of a model (theory eqs. 32, 33).

    The linear part must be the best one for the neurons.
    """
    outputs = outputs_of(data, model)
    loss = mean_loss(data, outputs)
    objective = loss + penalty_of(data, model, lambda_)
    residual = loss_residual(data, outputs)
    goal = None if tol is None else lambda_ * (1.0 + 0.5 * tol)
    starts = model.network.directions
    if data.linear_decay > 0.0:  # Opposite directions differ (theory eq. 24).
        starts = torch.cat([starts, -starts])
    peaks = find_peaks(data.rows, residual, starts, generator, effort, goal)
    peak = peaks.height
    shrink = 1.0 if peak <= lambda_ else lambda_ / peak
    linear = 0.5 * data.linear_decay * float(model.linear[:-1].square().sum())
    dual = -conjugate_sum(data, outputs, shrink) - shrink**2 * linear
    return Certificate(loss, objective, peaks, max(objective - dual, 0.0))
