"""Damped Gauss-Newton descent: quadratic convergence once few neurons live."""

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

# Damping, relative to the mean curvature. With the most of it a step is hardly one.
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e-15, 1e3
# A refused step is followed by one that promises at most this fraction of its fall.
# Measured on noisy data, where damping below 1e-2 hardly changes a step: half the
# evaluations of ten times the damping after each refusal.
PROMISES = 0.8
ROUNDING = 1e-27  # objective, relative to that of the targets, that is rounding's


def gauss_newton(
    rows: Rows, network: Network, lambda_: float, *, max_iter: int, tol: float
) -> tuple[Network, int]:
    """Levenberg-Marquardt steps with the linear part eliminated.

    Theory eq. (14). It ends when a step lowers the objective by less than ``tol`` of
    it, or when no damping makes a step lower it. Returns the balanced network and the
    number of steps. Monotone.

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
        if current.objective <= ROUNDING or limit_reached():
            return network, n_iter
        curvature = gauss_newton_matrix(rows, network)
        curvature.diagonal().add_(lambda_)
        step, lower = None, False
        while not lower:
            step = next_step(curvature, current.gradient, damping, step)
            if step is None:
                return network, n_iter
            damping = step.damping
            candidate = balance(network.moved_to(network.parameters - step.change))
            following = evaluate(rows, candidate, lambda_)
            lower = following.objective < current.objective
        count_step()
        fall = current.objective - following.objective
        # Nielsen's rule: where half of what was promised came, the damping stays.
        damping *= max(0.1, 1.0 - (2.0 * fall / step.promise - 1.0) ** 3)
        damping = max(damping, LEAST_DAMPING)
        is_small = fall <= tol * current.objective
        network, current = candidate, following
        if is_small:
            return network, n_iter + 1
    return network, max_iter


@dataclass(frozen=True, eq=False)
class Step:
    """What to subtract from the parameters, how it was damped, and the fall promised.

    The ``slope`` is the fall that the gradient alone promises.
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
    """The least damped step that differs from one that was refused.

    None if none does, or if the gradient is zero.
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
    """Ten times as much; the least of it may be less than the curvature's rounding."""
    return max(10.0 * damping, 1e-10)


def gauss_newton_matrix(rows: Rows, network: Network) -> torch.Tensor:
    """``J'J``, J the derivative of the outputs less its linear fit (theory eq. 14)."""
    matrix, *linear = rows.total(_moments, network.weights, network.amplitudes)
    for moments in linear:
        fit = rows.linear_basis.T @ moments
        matrix.addmm_(fit.T, fit, alpha=-1.0)
    return matrix


def _moments(
    part: Part, weights: torch.Tensor, amplitudes: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """``J'J`` and ``X'J``, the latter for each output, J with the linear part."""
    (n_neurons, n_inputs), n_outputs = weights.shape, amplitudes.shape[1]
    n_columns, size = n_outputs + n_inputs, n_neurons * (n_outputs + n_inputs)
    matrix, linear = None, [None] * n_outputs
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    for rows in part.blocks(size):
        # One parameter a row, so that the products run along the memory.
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
    return matrix, *(moments.T for moments in linear)
