"""Limited-memory quasi-Newton descent (L-BFGS), whose steps are cheap."""

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

# Pairs of steps and gradient changes from which L-BFGS models the curvature
# (convention).
MEMORY = 20
# Damping of the Gauss-Newton matrix, relative to its mean curvature. Measured on
# tables: from 1e-2 to 1e-1 all values are as good; 1 is hardly better than no matrix.
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

    The descent ends when a step lowers the objective by at most ``tol`` (times the
    objective, if that is above one), when the objective is at most ``enough``, after
    ``max_iter`` steps, or when a limit of the stage or of the fit is reached. It is
    monotone, because the line search of L-BFGS-B accepts decreases only. If ``scaled``,
    it works in the coordinates of theory eq. (19), which costs one Gauss-Newton matrix
    and saves half of the evaluations.
    """
    if network.n_neurons == 0 or limit_reached():
        return network
    start = _flat(network.parameters)
    scaling = _scaling(rows, network, lambda_) if scaled else None

    def network_at(point: np.ndarray) -> Network:
        # The solver overwrites its array, so the network needs a copy of it.
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
    """Inverse Cholesky factor of the damped Gauss-Newton matrix (theory eq. 19).

    None if the matrix is not positive definite.
    """
    matrix = gauss_newton_matrix(rows, network)
    matrix.diagonal().add_(lambda_ + DAMPING * float(matrix.diagonal().mean()))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return None
    identity = torch.eye(len(factor), dtype=factor.dtype, device="cpu")
    inverse: torch.Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.numpy()


def _flat(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().ravel()
