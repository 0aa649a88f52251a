"""Damped Gauss-Newton descent: quadratic convergence once few neurons live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network import balance
from sklearn_twolayer._objective import evaluate, objective_at
from sklearn_twolayer._sums import add, gram
from sklearn_twolayer._time_limit import out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._network import Network
    from sklearn_twolayer._rows import Part, Rows

FIRST_DAMPING = 1e-4  # relative to the mean curvature
LEAST_DAMPING = 1e-15
MOST_REFUSALS = 8
ROUNDING = 1e-27  # objective, relative to that of the targets, that is rounding's


def gauss_newton(
    rows: Rows, network: Network, lambda_: float, *, max_iter: int, tol: float
) -> tuple[Network, int]:
    """Levenberg-Marquardt steps with the linear part eliminated.

    Theory eq. (14). It ends when a step lowers the objective by less than ``tol`` of
    it, or when no damping makes a step lower it. Returns the balanced network and the
    number of steps. Monotone.
    """
    if network.n_neurons == 0:
        return network, 0
    damping = FIRST_DAMPING
    network = balance(network)
    for n_iter in range(max_iter):
        current = evaluate(rows, network, lambda_)
        if current.objective <= ROUNDING or out_of_time():
            return network, n_iter
        curvature = gauss_newton_matrix(rows, network)
        curvature.diagonal().add_(lambda_)
        mean = float(curvature.diagonal().mean())
        for _ in range(MOST_REFUSALS):
            damped = curvature.clone()
            damped.diagonal().add_(damping * mean)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if not failed:
                step = torch.cholesky_solve(current.gradient.reshape(-1, 1), factor)
                parameters = network.parameters - step.reshape(network.parameters.shape)
                candidate = balance(network.moved_to(parameters))
                objective = objective_at(rows, candidate, lambda_)[1]
                if objective < current.objective:
                    break
            damping = max(10.0 * damping, 1e-10)
        else:
            return network, n_iter
        network = candidate
        damping = max(damping / 10.0, LEAST_DAMPING)
        if current.objective - objective <= tol * current.objective:
            return network, n_iter + 1
    return network, max_iter


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
