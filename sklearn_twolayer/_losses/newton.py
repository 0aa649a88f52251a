"""Proximal Newton steps: least-squares problems that model the loss, solved in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from sklearn_twolayer._certificate.certificate import Certificate
from sklearn_twolayer._certificate.peaks import QUICK, THOROUGH, Effort, Peaks
from sklearn_twolayer._descent.newton import MOST_PARAMETERS, give_birth
from sklearn_twolayer._descent.result import Descent
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_fit import (
    LEAST_PROMISE,
    ROUGH_PROMISE,
    fit_linear_part,
)
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    from_working_units,
    in_working_units,
    mean_loss,
    mixed,
    objective_of,
    outputs_of,
    penalty_of,
    working_rows,
)
from sklearn_twolayer._losses.polish import LEAST_SHARE_OF_MASS, descend_on_loss
from sklearn_twolayer._network.network import Network, prune
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._runtime.limits import count_step, limit_reached, out_of_time

# Steps of a stage at most (convention). With two classes three or four reach the
# tolerance; with more each divides the gap by two or three.
MOST_STEPS = 20
# Halvings of a step that does not lower the objective, at most (convention).
HALVINGS = 12
# The least-squares problem of a step is solved to this share of the gap that is left,
# or to FIRST_TOL at the first step (convention).
SHARE_OF_GAP = 0.2
FIRST_TOL = 0.1
# Where a step does not lower the objective, the next is solved to this share of the
# tolerance, down to MOST_CARE of it (convention).
MORE_CARE = 0.1
MOST_CARE = 0.005
# A descent on a loss that the least-squares problem does not model exactly ends when a
# step lowers the objective by this, in tolerances (convention).
LEAST_FALL_OF_LOSS = 1e-4
# A descent on the least-squares problem of one step.
Method = Callable[[Rows, Network, float, PathOptions, torch.Generator], Descent]


@dataclass(frozen=True, eq=False)
class Minimum:
    """A model at one decay, its certificate, and what ended the steps."""

    model: Model
    certificate: Certificate
    stopped_by: str


def minimize_at(
    data: LossRows,
    model: Model,
    lambda_: float,
    method: Method,
    options: PathOptions,
    generator: torch.Generator,
    most_steps: int = MOST_STEPS,
    effort: Effort = THOROUGH,
) -> Minimum:
    """Minimise the objective over networks of any width (theory eqs. 29, 30).

    Each step solves the least-squares problem around the outputs of the one before.
    The new outputs are mixed with the old ones where that does not lower the objective:
    in the measure over directions the objective is convex. Ends when the gap of the
    loss itself is at most ``options.tol``, also by a search for peaks with ``effort``,
    after ``most_steps``, or at a limit. With a quick effort all steps are taken, and
    the gap is that of the last.
    """
    tol, gap, care = options.tol, FIRST_TOL / SHARE_OF_GAP, 1.0
    peaks: Peaks | None = None
    least_promise = ROUGH_PROMISE if effort is QUICK else LEAST_PROMISE
    is_exact = data.rows.n_outputs == 1 and data.loss.at_scale is None
    for number in range(most_steps):
        working = working_rows(data, outputs_of(data, model))
        descent = method(
            working.rows,
            in_working_units(working, model.network),
            working.decay_of(lambda_),
            replace(options, tol=care * max(SHARE_OF_GAP * gap, 0.5 * tol)),
            generator,
        )
        new = from_working_units(working, descent.network)
        better = _mixed_until_lower(data, model, new, lambda_)
        count_step()
        has_fallen, is_last = better is not None, number == most_steps - 1
        model = better or model
        if effort is QUICK and has_fallen and not is_last:
            continue
        if effort is not QUICK and not is_exact:
            model, has_descended = _descended(data, model, lambda_, tol, peaks)
            has_fallen = has_fallen or has_descended
        if not has_fallen:
            care *= MORE_CARE
            is_last = is_last or effort is QUICK or care < MOST_CARE
        model = fit_linear_part(data, model, least_promise).model
        state = certify_model(data, model, lambda_, generator, QUICK)
        if state.relative_gap <= tol and effort is not QUICK and not out_of_time():
            again = certify_model(data, model, lambda_, generator, effort, tol)
            state = state.joined_by(again)
        gap, peaks = state.relative_gap, state.peaks
        if gap <= tol:
            return Minimum(model, state, "tol")
        if is_last or limit_reached():
            break
    return Minimum(model, state, limit_reached() or "stall")


def _descended(
    data: LossRows, model: Model, lambda_: float, tol: float, peaks: Peaks | None
) -> tuple[Model, bool]:
    """The model after descent on the loss itself, and whether the objective fell.

    The least-squares problem has one weight for all outputs of a row, so that its steps
    are too long for some outputs and too short for others, or a bound of the weight.
    Neurons at the ``peaks`` of the certificate of the loss are added first.
    """
    before = objective_of(data, model, lambda_)
    enough = LEAST_FALL_OF_LOSS * tol * before
    begin = model
    if peaks is not None:
        born = give_birth(model.network, peaks, lambda_)
        begin = replace(model, network=born)
    if not 0 < begin.network.parameters.numel() <= MOST_PARAMETERS:
        return model, False
    lower = descend_on_loss(data, begin, lambda_, enough)
    lower = replace(lower, network=prune(lower.network, LEAST_SHARE_OF_MASS))
    has_fallen = objective_of(data, lower, lambda_) < before - enough
    return (lower, True) if has_fallen else (model, False)


def _mixed_until_lower(
    data: LossRows, old: Model, new: Model, lambda_: float
) -> Model | None:
    """The new model, mixed with the old one until the objective is lower, or None."""
    before, after = outputs_of(data, old), outputs_of(data, new)
    masses = penalty_of(data, old, lambda_), penalty_of(data, new, lambda_)
    objective = mean_loss(data, before) + masses[0]
    share = 1.0
    for _ in range(HALVINGS):
        loss = mean_loss(data, mixed(data, before, after, share))
        # The penalty is convex: that of the mixture is at most this.
        if loss + (1.0 - share) * masses[0] + share * masses[1] < objective:
            if share == 1.0:
                return new
            return old.scaled(1.0 - share).plus(new.scaled(share))
        share /= 2.0
    return None
