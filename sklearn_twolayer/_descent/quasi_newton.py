"""Limited-memory quasi-Newton descent: cheap steps while the network is wide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from sklearn_twolayer._descent.gauss_newton import gauss_newton_matrix
from sklearn_twolayer._network.network import balance
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._runtime.limits import count_step, limit_reached

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.rows import Rows

MEMORY = 20  # pairs of steps and gradient changes that model the curvature
# Of the Gauss-Newton matrix, relative to its mean curvature. Measured on tables: from
# 1e-2 to 1e-1 as good, with 1 hardly better than without the matrix.
DAMPING = 3e-2


def quasi_newton(
    rows: Rows,
    network: Network,
    lambda_: float,
    *,
    max_iter: int,
    tol: float,
    enough: float = -math.inf,
    scaled: bool = False,
) -> Network:
    """Descend by SciPy's L-BFGS-B on all parameters; return the balanced network.

    The descent ends when a step lowers the objective by less than the fraction ``tol``,
    when the objective is at most ``enough``, or when the stage has no steps left. It is
    monotone, because the line search of L-BFGS-B accepts decreases only. If ``scaled``,
    it works in the coordinates of theory eq. (19), which costs one Gauss-Newton matrix
    and saves half of the evaluations.
    """
    if network.n_neurons == 0 or limit_reached():
        return network
    start = _flat(network.parameters)
    scaling = _scaling(rows, network, lambda_) if scaled else None

    def network_at(point: np.ndarray) -> Network:
        # The solver reuses its array; a copy keeps the network apart from it.
        flat = point.copy() if scaling is None else start + point @ scaling
        parameters = torch.from_numpy(flat).reshape(network.parameters.shape)
        return network.moved_to(parameters)

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        count_step()
        evaluation = evaluate(rows, network_at(point), lambda_)
        gradient = _flat(evaluation.gradient)
        if scaling is not None:
            gradient = scaling @ gradient
        return evaluation.objective, gradient

    def stop(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.fun <= enough or limit_reached():
            raise StopIteration

    result = minimize(
        value_and_gradient,
        start if scaling is None else np.zeros_like(start),
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={
            "maxiter": max_iter,
            "maxcor": MEMORY,
            "ftol": tol,
            "gtol": 0.0,
        },
    )
    return balance(network_at(result.x))


def _scaling(rows: Rows, network: Network, lambda_: float) -> np.ndarray | None:
    """Inverse of the Gauss-Newton matrix's Cholesky factor; None if it has none."""
    matrix = gauss_newton_matrix(rows, network)
    matrix.diagonal().add_(lambda_ + DAMPING * float(matrix.diagonal().mean()))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return None
    identity = torch.eye(len(factor), dtype=factor.dtype, device="cpu")
    return torch.linalg.solve_triangular(factor, identity, upper=False).numpy()


def _flat(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().ravel()
