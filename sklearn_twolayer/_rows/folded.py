"""Rows as they are, with their standardisation folded into weights and sums.

With ``w = weights / scale``, the products of standardised rows with weights are those
of the rows as they are with ``w``, less ``shift . w``. So no standardised copy of the
rows is made, which would take more time than the products. Such a difference has lost
the digits by which the mean of a column exceeds its standard deviation: where that
would be more than one, the shift is subtracted from a copy of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sklearn_twolayer._rows.dense import DenseBlock, Standardization

# Largest divisor and mean, and inverse of the least divisor, with which either
# precision holds the rows, values far out included (convention).
FOLDED_SIZE = 1e15


def may_fold(standardization: Standardization) -> bool:
    """Whether both precisions hold columns of these sizes."""
    scale, mean = standardization.finite_scale, np.abs(standardization.shift)
    return bool(max(scale.max(), 1.0 / scale.min(), mean.max()) <= FOLDED_SIZE)


def numbers_of(
    block: np.ndarray, dtype: torch.dtype, shift: np.ndarray | None
) -> np.ndarray:
    """Rows in a precision, as a view if they have it and nothing is subtracted."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    if shift is None:
        return np.asarray(block, kind)
    # torch takes half of NumPy's time where rows are short.
    shifted = torch.from_numpy(np.array(block, np.float64)).sub_(
        torch.from_numpy(shift)
    )
    return shifted.to(dtype).numpy()


@dataclass(frozen=True, eq=False)
class FoldedBlock:
    """Some rows as they are, with the methods of :class:`DenseBlock`; on the CPU.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows, perhaps less their shift, in the precision of the products.
    root : ndarray of shape (n_rows,) or float
        The roots of the rows' shares of the weight; a number if all are the same.
    columns : ndarray or slice
        The columns that are inputs, beside the constant one.
    offset, shifted, scale : ndarray of shape (n_inputs,)
        The means that these columns still have, in their divisors; those that have been
        subtracted; and the divisors.
    standardised : callable
        Makes the standardised copy, for what is not a product.
    """

    X: np.ndarray
    root: np.ndarray | float
    columns: np.ndarray | slice
    offset: np.ndarray
    shifted: np.ndarray
    scale: np.ndarray
    standardised: Callable[[], DenseBlock]

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        """``weights @ inputs.T``, with one row of the memory for each row."""
        return self._products(weights).T

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        """``values @ inputs``, in double precision."""
        own = values.numpy()
        if isinstance(self.root, np.ndarray):
            own = own * self.root.astype(own.dtype)
        pulled = np.empty((len(own), len(self.offset) + 1))
        pulled[:, :-1] = (own @ self.X)[:, self.columns] / self.scale
        pulled[:, -1] = own @ np.ones(own.shape[1], own.dtype)
        if n_columns == pulled.shape[1]:  # Neurons with biases see centred columns.
            pulled[:, :-1] -= pulled[:, -1:] * self.offset
        else:
            pulled[:, :-1] += pulled[:, -1:] * self.shifted
        if not isinstance(self.root, np.ndarray):
            pulled *= self.root
        return torch.from_numpy(pulled[:, :n_columns])

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        return self.pull_back(values.T, len(self.offset) + 1).T

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        return values - self._products(linear.T)

    def dense(self, n_columns: int) -> torch.Tensor:
        return self.standardised().dense(n_columns)

    def gram(self) -> torch.Tensor:
        return self.standardised().gram()

    @property
    def roots(self) -> torch.Tensor:
        roots = np.broadcast_to(self.root, len(self.X))
        return torch.from_numpy(roots.astype(self.X.dtype))

    def _products(self, weights: torch.Tensor) -> torch.Tensor:
        """``inputs @ weights.T``; without biases ``weights`` has one column less."""
        own, n_features = weights.numpy().astype(np.float64), len(self.offset)
        is_common, kind = not isinstance(self.root, np.ndarray), self.X.dtype
        if is_common:  # Then it costs no pass over the rows.
            own *= self.root
        folded = own[:, :n_features] / self.scale
        if not isinstance(self.columns, slice):
            every = np.zeros((len(own), self.X.shape[1]))
            every[:, self.columns] = folded
            folded = every
        products = torch.from_numpy(self.X @ folded.astype(kind).T)
        if own.shape[1] > n_features:
            constants = own[:, n_features] - own[:, :n_features] @ self.offset
        else:
            constants = own @ self.shifted
        products += torch.from_numpy(constants.astype(kind))
        if not is_common:
            products *= torch.from_numpy(np.asarray(self.root, kind))[:, None]
        return products
