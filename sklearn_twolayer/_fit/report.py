"""Reports on the stages of a fit: history, fitted attributes and messages.

This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from sklearn_twolayer._runtime.warn import warn_caller

if TYPE_CHECKING:
    from sklearn_twolayer._fit.loss_problem import LossProblem
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._path.stage import Stage

# Largest angle, in radians, between the directions of a neuron at two stages in a row
# (convention).
SAME_LINE = 0.5
# Parameters that can end a stage early.
# Warning about a warm start that was not used.
USELESS_START = (
    "On these data the network of the previous fit is no better than the linear model, "
    "so warm_start=True has begun anew: are X and y in other units than before?"
)
LIMITS = ("max_iter", "max_time")
# Advice for a duality gap above the tolerance, by what ended the descent.
REMEDIES = {
    "tol": "with solver='gd' lower tol, a bound on the gradient there",
    "max_iter": "raise max_iter",
    "max_time": "raise max_time",
    "stall": "the objective no longer falls, use larger decays, or in place of "
    "solver='gd' the default",
}


# Advice for steps of a fixed size that led away.
TOO_LARGE_STEPS = (
    "The steps at lambda_ = {:.3g} diverged, and the network is that from before them: "
    "lower step_size, or leave it out."
)


def history(
    problem: PathProblem | LossProblem, stages: Sequence[Stage]
) -> dict[str, np.ndarray]:
    """Measures of the stages in the units of the data, one entry for each stage."""
    scales = problem.scales
    measures = {
        "lambda_": np.array([stage.lambda_ * scales.decay for stage in stages]),
        "loss": np.array([stage.loss * scales.loss for stage in stages]),
        "objective": np.array([stage.objective * scales.loss for stage in stages]),
        "n_neurons": np.array([stage.network.n_neurons for stage in stages]),
        "certificate": np.array([stage.certificate for stage in stages]),
        "dual_gap": np.array([stage.dual_gap * scales.loss for stage in stages]),
        "n_iter": np.array([stage.n_iter for stage in stages]),
        "seconds": np.array([stage.seconds for stage in stages]),
        "masses": scales.mass * followed_masses([stage.network for stage in stages]),
    }
    if problem.options.solver == "gd":  # which is for squares only
        measures["curvature"] = _curvatures(cast("PathProblem", problem), stages)
    return measures


def _curvatures(problem: PathProblem, stages: Sequence[Stage]) -> np.ndarray:
    """The largest curvature of the objective at the network of each stage."""
    # Imported here, because this module must not import torch.
    from sklearn_twolayer._descent.curvature import largest_curvature

    rows = problem.rows
    return np.array([largest_curvature(rows, s.network, s.lambda_) for s in stages])


def fit_attributes(
    problem: PathProblem | LossProblem, stages: Sequence[Stage], kept: Stage
) -> dict[str, object]:
    """Fitted attributes of the estimator that describe the stages and the kept one."""
    of_stages = history(problem, stages)
    index = stages.index(kept)
    return {
        "lambda_max_": problem.lambda_max,
        "linear_decay_": problem.linear_decay,
        "lambdas_": of_stages["lambda_"],
        "lambda_": float(of_stages["lambda_"][index]),
        "certificate_": float(of_stages["certificate"][index]),
        "dual_gap_": float(of_stages["dual_gap"][index]),
        "n_iter_": int(of_stages["n_iter"].sum()),
        "history_": of_stages,
    }


def progress_line(
    problem: PathProblem | LossProblem, stage: Stage, *, of_variance: bool = True
) -> str:
    """One line about a finished stage, in columns of fixed width.

    The loss is shown as a share of the variance, or as it is.
    """
    loss = f"{stage.loss * problem.scales.loss:8.5g}"
    if of_variance:
        loss = f"{2 * stage.loss:8.2e} of variance"
    fraction = stage.lambda_ / problem.start.lambda_max if stage.lambda_ else 0.0
    return (
        f"lambda/lambda_max {fraction:8.2e}  "
        f"loss {loss}  "
        f"neurons {stage.network.n_neurons:4d}  "
        f"certificate {stage.certificate:7.4f}  "
        f"steps {stage.n_iter:6d}  {stage.seconds:6.2f} s"
    )


def followed_masses(networks: Sequence[Network]) -> np.ndarray:
    """Masses of shape (n_networks, n_lines), in which a neuron keeps its column.

    A line is the sequence of one neuron over the networks. Neurons are assigned to
    lines one to one, so that the sum of the absolute cosines between their directions
    and the last ones of the lines is largest; angles above ``SAME_LINE`` begin a new
    line. The mass is zero if a line has no neuron in a network.
    """
    lines: list[np.ndarray] = []  # the latest direction of each line
    masses = np.zeros((len(networks), 0))
    for k, network in enumerate(networks):
        if network.n_neurons == 0:
            continue
        directions = network.directions.numpy()
        columns = np.full(network.n_neurons, -1)
        if lines:
            cosines = np.abs(directions @ np.stack(lines).T)
            neurons, known = linear_sum_assignment(-cosines)
            is_same = cosines[neurons, known] >= math.cos(SAME_LINE)
            columns[neurons[is_same]] = known[is_same]
        born = np.flatnonzero(columns < 0)
        columns[born] = len(lines) + np.arange(len(born))
        lines += [directions[j] for j in born]
        for j in np.flatnonzero(columns < len(lines) - len(born)):
            lines[columns[j]] = directions[j]
        masses = np.pad(masses, [(0, 0), (0, len(born))])
        masses[k, columns] = network.masses.numpy()
    return masses


def warn_of_convergence(
    stage: Stage, lambda_: float, tol: float | None, debiased_by: str | None = None
) -> None:
    """Warn with the message below, if there is one."""
    message = convergence_message(stage, lambda_, tol, debiased_by)
    if message:
        warn_caller(message, ConvergenceWarning)


def convergence_message(
    stage: Stage, lambda_: float, tol: float | None, debiased_by: str | None = None
) -> str | None:
    """A warning about a stage that ended early or has a gap above ``tol``, or None.

    ``lambda_`` is the decay of the stage in the units of the data. ``debiased_by`` says
    what ended the refit without decay that replaces the network of the stage, if there
    is one. In that case, and also if ``tol`` is None or ``lambda_`` is zero, the gap is
    not compared with ``tol``; only the limits ``max_iter`` and ``max_time`` are
    reported.
    """
    if stage.stopped_by == "diverged" and debiased_by is None:
        return TOO_LARGE_STEPS.format(lambda_)
    gap = f"a relative duality gap of {stage.relative_gap:.1e}"
    searched_by = stage.stopped_by if stage.refitted is not None else debiased_by
    if searched_by in LIMITS:
        return (
            f"The search for the number of neurons was ended by {searched_by}; at "
            f"lambda_ = {lambda_:.3g} there is {gap}: raise {searched_by} for a search "
            "to the end."
        )
    if stage.refitted is not None:
        return None
    if tol is None or lambda_ == 0.0 or debiased_by is not None:
        if stage.stopped_by not in LIMITS:
            return None
        reached = "" if lambda_ == 0.0 else f" at {gap}"
        return (
            f"The stage at lambda_ = {lambda_:.3g} was ended by {stage.stopped_by}"
            f"{reached}: raise {stage.stopped_by} to descend further."
        )
    if stage.relative_gap <= tol:
        return None
    if stage.stopped_by == "steps":  # A rough descent was asked for.
        return None
    return (
        f"The stage at lambda_ = {lambda_:.3g} has {gap}, above tol = {tol:.1e}: "
        f"{REMEDIES[stage.stopped_by]}, or raise tol if the gap will do."
    )
