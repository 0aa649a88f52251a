"""The largest curvature of the objective, by which steps of a fixed size are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from sklearn_twolayer._descent.hessian_product import curvature_product

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._rows.rows import Rows

# Relative error of the eigenvalue (convention).
CURVATURE_ERROR = 1e-4


def largest_curvature(rows: Rows, network: Network, lambda_: float) -> float:
    """Largest eigenvalue of the Hessian (theory eq. 11), by the Lanczos method.

    It is zero without neurons.
    """
    shape, size = network.parameters.shape, network.parameters.numel()
    if size == 0:
        return 0.0

    def product(flat: np.ndarray) -> np.ndarray:
        direction = torch.from_numpy(flat.reshape(shape))
        return curvature_product(rows, network, lambda_, direction).numpy().ravel()

    hessian = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    if not product(start).any():  # No neuron is active, and there is no decay.
        return 0.0
    largest = eigsh(
        hessian, k=1, which="LA", v0=start, tol=CURVATURE_ERROR,
        return_eigenvectors=False,
    )  # fmt: skip
    return float(largest[0])
