"""Damped Gauss-Newton descent, which converges quadratically with few neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.network import balance
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._rows.sums import add, gram
from sklearn_twolayer._runtime.limits import count_step, limit_reached

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows

# Damping at the start and its limits, relative to the mean curvature (convention). With
# the largest damping a step hardly changes the parameters.
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e-15, 1e3
# After a refused step, the damping is raised until the slope promises at most this
# fraction of the fall that it promised for the refused one. Measured on noisy data,
# where a damping below 1e-2 hardly changes a step: this takes half the evaluations of
# ten times the damping after each refusal.
PROMISES = 0.8
# An objective below this consists of rounding errors, for targets with a mean square of
# one (convention).
OBJECTIVE_ROUNDING = 1e-27


def gauss_newton(
    rows: Rows, network: Network, lambda_: float, *, max_iter: int, tol: float
) -> tuple[Network, int]:
    """Levenberg-Marquardt steps with the linear part eliminated.

    Theory eq. (14). The descent is monotone. It ends when a step lowers the objective
    by at most the fraction ``tol``, or when no damping gives a step that lowers it.
    Returns the balanced network and the number of steps.

    References
    ----------
    H. B. Nielsen, Damping parameter in Marquardt's method, report IMM-REP-1999-05,
    Technical University of Denmark, 1999.
    """
    if network.n_neurons == 0:
        return network, 0
    damping = FIRST_DAMPING
    network = balance(network)
    current = evaluate(rows, network, lambda_)
    for n_iter in range(max_iter):
        if current.objective <= OBJECTIVE_ROUNDING or limit_reached():
            return network, n_iter
        curvature = gauss_newton_matrix(rows, network)
        curvature.diagonal().add_(lambda_)
        step: Step | None = None
        while True:
            step = next_step(curvature, current.gradient, damping, step)
            if step is None:
                return network, n_iter
            damping = step.damping
            candidate = balance(network.moved_to(network.parameters - step.change))
            following = evaluate(rows, candidate, lambda_)
            if following.objective < current.objective:
                break
        count_step()
        fall = current.objective - following.objective
        # Nielsen's rule: the damping stays the same if the objective fell by half of
        # the promise, and is reduced if it fell by more.
        damping *= max(0.1, 1.0 - (2.0 * fall / step.promise - 1.0) ** 3)
        damping = max(damping, LEAST_DAMPING)
        is_small = fall <= tol * current.objective
        network, current = candidate, following
        if is_small:
            return network, n_iter + 1
    return network, max_iter


@dataclass(frozen=True, eq=False)
class Step:
    """A step of Gauss-Newton descent.

    Parameters
    ----------
    change : torch.Tensor
        What to subtract from the parameters.
    damping : float
        The damping relative to the mean curvature.
    slope : float
        Fall of the objective to first order: the gradient's inner product with
        ``change``.
    promise : float
        Fall of the objective in the quadratic model.
    """

    change: torch.Tensor
    damping: float
    slope: float
    promise: float


def next_step(
    curvature: torch.Tensor,
    gradient: torch.Tensor,
    damping: float,
    refused: Step | None,
) -> Step | None:
    """The least damped step that differs enough from the one that was refused.

    ``refused`` is None for a first try. The result is None if no damping gives such a
    step, or if the gradient is zero.
    """
    mean, largest_slope = float(curvature.diagonal().mean()), math.inf
    if refused is not None:
        largest_slope = PROMISES * refused.slope
        damping = _more(damping)
    while damping <= MOST_DAMPING:
        damped = curvature.clone()
        damped.diagonal().add_(damping * mean)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            change = torch.cholesky_solve(gradient.reshape(-1, 1), factor)
            change = change.reshape(gradient.shape)
            slope = float((gradient * change).sum())
            if 0.0 < slope <= largest_slope:
                square = damping * mean * float(change.square().sum())
                return Step(change, damping, slope, 0.5 * (slope + square))
        damping = _more(damping)
    return None


def _more(damping: float) -> float:
    """Ten times the damping, and at least 1e-10: less could be lost in rounding."""
    return max(10.0 * damping, 1e-10)


def gauss_newton_matrix(rows: Rows, network: Network) -> torch.Tensor:
    """``J'J``, where J is the outputs' derivative less its linear fit.

    This is the Gauss-Newton matrix of theory eq. (14).
    """
    return gauss_newton_parts(rows, network)[0]


def gauss_newton_parts(
    rows: Rows, network: Network
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The Gauss-Newton matrix, and for each output what its linear fit subtracts.

    The latter, times a change of the parameters, are the coefficients of the linear fit
    to the change of the output.
    """
    sent = rows.sent(network.weights, network.amplitudes)
    matrix, *linear = rows.total(_moments, *sent)
    fits = []
    for moments in linear:
        fit = rows.linear_basis.T @ moments
        matrix.addmm_(fit.T, fit, alpha=-1.0)
        fits.append(rows.linear_basis @ fit)
    return matrix, fits


def _moments(
    part: Part, weights: torch.Tensor, amplitudes: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """``J'J`` and, for each output, ``X'J``, where J still has its linear fit."""
    (n_neurons, n_inputs), n_outputs = weights.shape, amplitudes.shape[1]
    n_columns, size = n_outputs + n_inputs, n_neurons * (n_outputs + n_inputs)
    matrix = None
    linear: list[torch.Tensor | None] = [None] * n_outputs
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    for rows in part.blocks(size):
        # The Jacobian has one row for each parameter, so that the products read the
        # memory in order.
        block = part.inputs.block(rows)
        inputs = block.dense(n_inputs).T
        activations = block.project(weights).clamp_min_(0.0)
        slopes = activations.sign()
        jacobian = inputs.new_zeros(n_neurons, n_columns, inputs.shape[1])
        flat = jacobian.view(size, -1)
        for k in range(n_outputs):
            jacobian[:, :n_outputs] = 0.0
            jacobian[:, k] = activations
            scaled = slopes * amplitudes[:, k, None]
            torch.mul(scaled[:, None], inputs, out=jacobian[:, n_outputs:])
            matrix = add(matrix, gram(flat))
            moments = block.pull_back(flat, part.inputs.n_columns)
            linear[k] = add(linear[k], moments)
    assert matrix is not None  # there is at least one block
    return matrix, *(moments.T for moments in linear if moments is not None)
