"""The decay of the linear part under which the targets are most likely."""

from __future__ import annotations

import numpy as np

from sklearn_twolayer._losses.linear_fit import ROUGH_PROMISE, fit_linear_part
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    objective_of,
    outputs_of,
    working_rows,
)

# Decays that are compared, as powers of ten times the mean eigenvalue of the second
# derivative, from the largest on (convention). Those after MOST_RISES that are not
# better than the best are left out.
DECAY_POWERS = np.arange(1.5, -8.1, -0.5)
MOST_RISES = 2
# A decay beside which no coefficient is left (convention).
HUGE_DECAY = 1e12


def with_likely_decay(data: LossRows) -> LossRows:
    """The rows with the decay under which their targets are most likely.

    Theory eq. (34): Laplace's approximation of the marginal likelihood, evaluated at
    decays in steps of half a power of ten, and a parabola through the least three.
    """
    constant = _constant_model(data)
    working = working_rows(data.decayed(1.0), outputs_of(data, constant))
    squares = working.rows.spectrum.squares
    if not squares.size:
        return data.decayed(1.0)
    unit = float(squares.mean()) * working.mean_weight
    model, surprises = constant, []
    for power in DECAY_POWERS:
        data = data.decayed(unit * 10.0**power)
        model = fit_linear_part(data, model, ROUGH_PROMISE).model
        surprises.append(_surprise(data, model))
        best = int(np.argmin(surprises))
        if len(surprises) - 1 - best >= MOST_RISES:
            break
    power = DECAY_POWERS[best]
    if 0 < best < len(surprises) - 1:
        before, at, after = surprises[best - 1 : best + 2]
        bend = before - 2.0 * at + after
        step = DECAY_POWERS[1] - DECAY_POWERS[0]
        power += 0.5 * step * (before - after) / bend if bend > 0.0 else 0.0
    return data.decayed(unit * 10.0**power)


def _constant_model(data: LossRows) -> Model:
    """The model of a constant only: beside a huge decay, nothing else is left."""
    return fit_linear_part(data.decayed(HUGE_DECAY), Model.zero(data.rows)).model


def _surprise(data: LossRows, model: Model) -> float:
    """Minus twice the logarithm of the marginal likelihood, up to a constant."""
    rows = data.rows
    working = working_rows(data, outputs_of(data, model))
    ratios = working.rows.spectrum.squares * working.mean_weight / data.linear_decay
    fit = 2.0 * rows.n_effective * objective_of(data, model, 0.0) / data.dispersion
    return fit + rows.n_outputs * float(np.log1p(ratios).sum())
