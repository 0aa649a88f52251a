"""Standardised inputs, block by block, from arrays of several kinds.

Inputs have one row a sample: ``(X - shift) / scale``, then the constant input one, all
times the root of the sample weight's share. A block of them can be projected on weights
and pulled back from values; nothing else needs to know how the rows are stored.

Neurons without biases see ``X / scale``, which is the inputs plus ``offset = shift /
scale`` times the constant one: their weights have one column less, and ``weights @
offset`` is what they give to the constant input. So the linear part stays exact for
columns that are far from zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._rows.sums import product


@dataclass(frozen=True, eq=False)
class Standardization:
    """How raw inputs become those of the fit; NumPy.

    Parameters
    ----------
    shift, scale : ndarray of shape (n_features,)
        Subtracted from, and divisors of, the columns; the shift is their mean.
    """

    shift: np.ndarray
    scale: np.ndarray

    @property
    def offset(self) -> np.ndarray:
        return self.shift / self.scale


@dataclass(frozen=True, eq=False)
class DenseBlock:
    """Some rows of standardised inputs, as a tensor of (n_rows, n_features + 1)."""

    values: torch.Tensor
    offset: torch.Tensor

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        """``weights @ inputs.T``; weights without biases have one column less."""
        if weights.shape[1] < self.values.shape[1]:
            constant = weights @ self.offset
            weights = torch.cat([weights, constant[:, None]], dim=1)
        return product(weights, self.values.T)

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        """``values @ inputs`` as so many columns; ``values`` has one row a neuron."""
        pulled = product(values, self.values)
        if n_columns < pulled.shape[1]:
            return pulled[:, :-1].addr(pulled[:, -1], self.offset)
        return pulled

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        """``inputs.T @ values``; ``values`` has one row a sample."""
        return self.values.T @ values

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        """``values - inputs @ linear``."""
        return torch.addmm(values, self.values, linear, alpha=-1.0)

    def dense(self, n_columns: int) -> torch.Tensor:
        """The inputs themselves, with or without the constant one."""
        if n_columns < self.values.shape[1]:
            return self.values[:, :-1].addr(self.values[:, -1], self.offset)
        return self.values

    def gram(self) -> np.ndarray:
        """Gram matrix of the inputs, the constant one included."""
        values = self.values.numpy()
        return values.T @ values


@dataclass(frozen=True, eq=False)
class DenseInputs:
    """Inputs that are standardised once and kept."""

    values: torch.Tensor
    offset: torch.Tensor

    @property
    def n_columns(self) -> int:
        """Number of inputs, the constant one included."""
        return self.values.shape[1]

    @property
    def row_entries(self) -> int:
        """Numbers that one row takes."""
        return self.n_columns

    def block(self, rows: slice) -> DenseBlock:
        return DenseBlock(self.values[rows], self.offset)

    def to(self, device: torch.device, dtype: torch.dtype) -> DenseInputs:
        return DenseInputs(
            self.values.to(device=device, dtype=dtype),
            self.offset.to(device=device, dtype=dtype),
        )


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
        offset = torch.from_numpy(self.standardization.offset)
        return DenseBlock(
            values.to(device=self.device, dtype=self.dtype),
            offset.to(device=self.device, dtype=self.dtype),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> ArrayInputs:
        return replace(self, device=device, dtype=dtype)


@dataclass(frozen=True, eq=False)
class SparseInputs:
    """Inputs of which only the entries that are not zero are stored.

    ``values`` are scaled and weighted. Columns that have no zero are shifted, too, by
    ``shifted``; of the others the shift is left to ``offset``: a row of the inputs is
    the row of ``values`` less its root times ``offset``. Products are SciPy's, on the
    CPU.
    """

    values: sparse.csr_array
    offset: np.ndarray
    shifted: np.ndarray
    root: np.ndarray

    @property
    def n_columns(self) -> int:
        return self.values.shape[1] + 1

    @property
    def row_entries(self) -> int:
        return 1 + self.values.nnz // max(1, self.values.shape[0])

    def block(self, rows: slice) -> SparseBlock:
        if rows == slice(None):
            return self._whole
        values, root = self.values[rows], self.root[rows]
        return SparseBlock(values, self.offset, self.shifted, root)

    @cached_property
    def _whole(self) -> SparseBlock:
        """All rows; SciPy takes as long to cut and transpose as for small products."""
        return SparseBlock(self.values, self.offset, self.shifted, self.root)

    def to(self, device: torch.device, dtype: torch.dtype) -> SparseInputs:
        if device.type != "cpu":
            raise ValueError(
                f"device must be None or 'cpu' for sparse X, got {str(device)!r}."
            )
        numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
        return SparseInputs(
            self.values.astype(numpy_dtype, copy=False),
            self.offset.astype(numpy_dtype, copy=False),
            self.shifted.astype(numpy_dtype, copy=False),
            self.root.astype(numpy_dtype, copy=False),
        )


@dataclass(frozen=True, eq=False)
class SparseBlock:
    """Some rows of :class:`SparseInputs`, with the methods of a dense block."""

    values: sparse.csr_array
    offset: np.ndarray
    shifted: np.ndarray
    root: np.ndarray

    @cached_property
    def transposed(self) -> sparse.csc_array:
        return self.values.T

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        weights = weights.numpy()
        n_features = len(self.offset)
        columns = np.ascontiguousarray(weights[:, :n_features].T)
        projected = torch.from_numpy((self.values @ columns).T)
        if weights.shape[1] == n_features:
            constant = self.shifted @ columns
        else:
            constant = weights[:, n_features] - self.offset @ columns
        return projected.addr_(torch.from_numpy(constant), torch.from_numpy(self.root))

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        values = np.ascontiguousarray(values.numpy().T)
        pulled = np.empty((n_columns, values.shape[1]), dtype=values.dtype)
        constant, n_features = self.root @ values, len(self.offset)
        pulled[:n_features] = self.transposed @ values
        if n_columns == n_features:
            pulled += np.outer(self.shifted, constant)
        else:
            pulled[:-1] -= np.outer(self.offset, constant)
            pulled[-1] = constant
        return torch.from_numpy(pulled.T)

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        return self.pull_back(values.T, len(self.offset) + 1).T

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        return values - self.project(linear.T).T

    def dense(self, n_columns: int) -> torch.Tensor:
        values = self.values.toarray()
        if n_columns == len(self.offset):
            return torch.from_numpy(values + np.outer(self.root, self.shifted))
        values -= np.outer(self.root, self.offset)
        return torch.from_numpy(np.column_stack([values, self.root]))

    def gram(self) -> np.ndarray:
        count, n_features = self.root @ self.root, len(self.offset)
        means = self.transposed @ self.root - count * self.offset
        cross = np.outer(means, self.offset)
        square = count * np.outer(self.offset, self.offset)
        gram = np.empty((n_features + 1, n_features + 1))
        gram[:-1, :-1] = (self.transposed @ self.values).toarray()
        gram[:-1, :-1] -= cross + cross.T + square
        gram[:-1, -1] = gram[-1, :-1] = means
        gram[-1, -1] = count
        return gram


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
