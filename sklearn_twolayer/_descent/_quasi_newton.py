"""Limited-memory quasi-Newton descent: cheap steps while the network is wide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from sklearn_twolayer._network import balance
from sklearn_twolayer._objective import evaluate
from sklearn_twolayer._time_limit import out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._network import Network
    from sklearn_twolayer._rows import Rows

MEMORY = 20  # pairs of steps and gradient changes that model the curvature


def quasi_newton(
    rows: Rows,
    network: Network,
    lambda_: float,
    *,
    max_iter: int,
    tol: float,
    enough: float = -math.inf,
) -> tuple[Network, int]:
    """SciPy's L-BFGS-B on all parameters; the balanced network and the evaluations.

    It ends when a step lowers the objective by less than ``tol`` of it, or when the
    objective is at most ``enough``. Monotone: the line search of L-BFGS-B accepts
    decreases only.
    """
    if network.n_neurons == 0:
        return network, 0
    shape = network.parameters.shape

    def unpack(flat: np.ndarray) -> Network:
        return network.moved_to(torch.from_numpy(flat).reshape(shape))

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        # The solver reuses its array; the copy keeps the network apart from it.
        evaluation = evaluate(rows, unpack(flat.copy()), lambda_)
        return evaluation.objective, _flat(evaluation.gradient)

    def stop(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.fun <= enough or out_of_time():
            raise StopIteration

    result = minimize(
        value_and_gradient,
        _flat(network.parameters),
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
    return balance(unpack(result.x.copy())), int(result.nfev)


def _flat(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().ravel()
