"""Plain gradient descent on all neurons: the reference, Algorithm 1 as reconstructed.

The step size comes from the curvature met on the way: with ``L_k = ||g_k - g_{k-1}||
/ ||x_k - x_{k-1}||``, the next step is at most ``1 / L_k`` up to a constant and grows
slowly otherwise (Malitsky and Mishchenko, arXiv:2308.02261, Algorithm 2, proximal
part left out). No constant has to be set, and rescaled data take the same steps. The
rule is for convex functions; here a step that would raise the objective is refused
and halved. Measured against a step of 1.1 over the largest eigenvalue of the Hessian
(power iteration every 50 steps): as good per step, without the extra evaluations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sklearn_twolayer._descent._result import Descent
from sklearn_twolayer._objective import evaluate

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._network import Network
    from sklearn_twolayer._rows import Rows

PROBE = 1e-4  # relative length of the step that meets the first curvature
MOST_REFUSALS = 30  # halvings in a row after which rounding, not the step, is to blame


def gradient_descent(
    rows: Rows, network: Network, lambda_: float, *, max_iter: int, tol: float
) -> Descent:
    """Descend until ``||gradient|| <= tol * lambda * ||parameters||``.

    Without decay only ``max_iter`` or a gradient of zero ends it.
    """
    current = evaluate(rows, network, lambda_)
    step, growth = _first_step(rows, network, lambda_, current.gradient), math.inf
    refusals = 0
    for n_iter in range(max_iter):
        size = lambda_ * math.sqrt(network.squared_norm())
        gradient_norm = float(current.gradient.norm())
        if gradient_norm <= tol * size:
            return Descent(network, n_iter, converged=True)
        candidate = network.moved_to(
            network.parameters.sub(current.gradient, alpha=step)
        )
        trial = evaluate(rows, candidate, lambda_)
        if trial.objective > current.objective:
            refusals += 1
            if refusals > MOST_REFUSALS:
                break
            step, growth = step / 2, 0.0
            continue
        refusals = 0
        change = float((trial.gradient - current.gradient).norm())
        curvature = change / (step * gradient_norm)
        next_step = _next_step(step, growth, curvature)
        step, growth = next_step, next_step / step
        network, current = candidate, trial
    else:
        n_iter = max_iter
    return Descent(network, n_iter, converged=False)


def _first_step(
    rows: Rows, network: Network, lambda_: float, gradient: torch.Tensor
) -> float:
    """One over the curvature along the gradient."""
    norm = float(gradient.norm())
    if norm == 0.0:
        return 1.0
    probe = PROBE * float(network.parameters.norm()) / norm
    moved = network.moved_to(network.parameters.sub(gradient, alpha=probe))
    change = evaluate(rows, moved, lambda_).gradient - gradient
    return probe * norm / max(float(change.norm()), math.ulp(norm))


def _next_step(step: float, growth: float, curvature: float) -> float:
    """Growth-limited step from the local curvature (theory eq. 11)."""
    grown = step * math.sqrt(2.0 / 3.0 + min(growth, 4.0))
    excess = 2.0 * (step * curvature) ** 2 - 1.0
    return min(grown, step / math.sqrt(excess)) if excess > 0.0 else grown
