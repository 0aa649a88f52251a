"""Standardised inputs, block by block, from arrays of several kinds.

Inputs have one row a sample: ``(X - shift) / scale``, then the constant input one, all
times the root of the sample weight's share. A block of them can be projected on weights
and pulled back from values; nothing else needs to know how the rows are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Standardization:
    """How raw inputs become those of the fit; NumPy.

    Parameters
    ----------
    shift, scale : ndarray of shape (n_features,)
        Subtracted from, and divisors of, the columns.
    mean : ndarray of shape (n_features,)
        Weighted means of the columns, which are the shift with hidden biases.
    """

    shift: np.ndarray
    scale: np.ndarray
    mean: np.ndarray

    @property
    def standardized_mean(self) -> np.ndarray:
        return (self.mean - self.shift) / self.scale


@dataclass(frozen=True, eq=False)
class DenseBlock:
    """Some rows of standardised inputs, as a tensor of (n_rows, n_features + 1)."""

    values: torch.Tensor

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        """``weights @ inputs.T`` on the first columns, as many as the weights have."""
        return weights @ self.values[:, : weights.shape[1]].T

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        """``values @ inputs`` on the first columns; ``values`` has one row a neuron."""
        return values @ self.values[:, :n_columns]

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        """``inputs.T @ values``; ``values`` has one row a sample."""
        return self.values.T @ values

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        """``values - inputs @ linear``."""
        return torch.addmm(values, self.values, linear, alpha=-1.0)

    def dense(self, n_columns: int) -> torch.Tensor:
        """The first columns themselves."""
        return self.values[:, :n_columns]

    def centred_gram(self, mean: np.ndarray) -> np.ndarray:
        """Gram matrix of the columns less ``mean`` times the constant input."""
        values = self.values.cpu().numpy()
        centred = values[:, :-1] - values[:, -1:] * mean
        return centred.T @ centred


@dataclass(frozen=True, eq=False)
class DenseInputs:
    """Inputs that are standardised once and kept."""

    values: torch.Tensor

    @property
    def n_columns(self) -> int:
        """Number of inputs, the constant one included."""
        return self.values.shape[1]

    @property
    def row_entries(self) -> int:
        """Numbers that one row takes."""
        return self.n_columns

    def block(self, rows: slice) -> DenseBlock:
        return DenseBlock(self.values[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> DenseInputs:
        return DenseInputs(self.values.to(device=device, dtype=dtype))


@dataclass(frozen=True, eq=False)
class ArrayInputs:
    """Inputs that are read from an array and standardised each time they are used.

    For memory maps and for arrays whose standardised copy would be large. ``index``
    picks the rows of ``X`` that count, all if None.
    """

    X: np.ndarray
    index: np.ndarray | None
    root: np.ndarray
    standardization: Standardization
    device: torch.device
    dtype: torch.dtype

    @property
    def n_columns(self) -> int:
        return self.X.shape[1] + 1

    @property
    def row_entries(self) -> int:
        return self.n_columns

    def block(self, rows: slice) -> DenseBlock:
        values = standardized_block(
            raw_block(self.X, self.index, rows), self.root[rows], self.standardization
        )
        return DenseBlock(values.to(device=self.device, dtype=self.dtype))

    def to(self, device: torch.device, dtype: torch.dtype) -> ArrayInputs:
        return replace(self, device=device, dtype=dtype)


@dataclass(frozen=True, eq=False)
class SparseInputs:
    """Inputs of which only the entries that are not zero are stored.

    ``values`` are scaled and weighted but not shifted: a row of the inputs is the row
    of ``values`` less its root times ``offset``. Products are SciPy's, on the CPU.
    """

    values: sparse.csr_array
    offset: np.ndarray
    root: np.ndarray

    @property
    def n_columns(self) -> int:
        return self.values.shape[1] + 1

    @property
    def row_entries(self) -> int:
        return 1 + self.values.nnz // max(1, self.values.shape[0])

    def block(self, rows: slice) -> SparseBlock:
        return SparseBlock(self.values[rows], self.offset, self.root[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> SparseInputs:
        if device.type != "cpu":
            raise ValueError(
                f"device must be None or 'cpu' for sparse X, got {str(device)!r}."
            )
        numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
        return SparseInputs(
            self.values.astype(numpy_dtype, copy=False),
            self.offset.astype(numpy_dtype, copy=False),
            self.root.astype(numpy_dtype, copy=False),
        )


@dataclass(frozen=True, eq=False)
class SparseBlock:
    """Some rows of :class:`SparseInputs`, with the methods of a dense block."""

    values: sparse.csr_array
    offset: np.ndarray
    root: np.ndarray

    @cached_property
    def transposed(self) -> sparse.csc_array:
        return self.values.T

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        weights = weights.numpy()
        n_features = len(self.offset)
        columns = np.ascontiguousarray(weights[:, :n_features].T)
        constant = weights[:, n_features:].sum(axis=1) - self.offset @ columns
        projected = torch.from_numpy((self.values @ columns).T)
        return projected.addr_(torch.from_numpy(constant), torch.from_numpy(self.root))

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        values = np.ascontiguousarray(values.numpy().T)
        constant = self.root @ values
        pulled = np.empty((n_columns, values.shape[1]), dtype=values.dtype)
        pulled[: len(self.offset)] = self.transposed @ values
        pulled[: len(self.offset)] -= np.outer(self.offset, constant)
        pulled[len(self.offset) :] = constant
        return torch.from_numpy(pulled.T)

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        return self.pull_back(values.T, len(self.offset) + 1).T

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        return values - self.project(linear.T).T

    def dense(self, n_columns: int) -> torch.Tensor:
        values = self.values.toarray() - np.outer(self.root, self.offset)
        columns = np.column_stack([values, self.root])
        return torch.from_numpy(columns[:, :n_columns])

    def centred_gram(self, mean: np.ndarray) -> np.ndarray:
        mean = mean + self.offset
        cross = np.outer(self.transposed @ self.root, mean)
        gram = (self.transposed @ self.values).toarray()
        return gram - cross - cross.T + (self.root @ self.root) * np.outer(mean, mean)


def raw_block(X: np.ndarray, index: np.ndarray | None, rows: slice) -> np.ndarray:
    """Rows of ``X`` as float64, of those that count."""
    block = X[rows] if index is None else X[index[rows]]
    return np.asarray(block, dtype=np.float64)


def standardized_block(
    block: np.ndarray, root: np.ndarray, standardization: Standardization
) -> torch.Tensor:
    """Standardised and weighted rows with the constant input.

    In torch: NumPy is twice as slow where rows are short.
    """
    values = np.empty((block.shape[0], block.shape[1] + 1))
    values[:, :-1] = block
    values[:, -1] = 1.0
    tensor = torch.from_numpy(values)
    tensor[:, :-1].sub_(torch.from_numpy(standardization.shift))
    tensor[:, :-1].div_(torch.from_numpy(standardization.scale))
    return tensor.mul_(torch.from_numpy(root)[:, None])
