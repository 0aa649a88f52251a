"""Standardised inputs, block by block, from arrays of several kinds.

Inputs have one row for each sample: ``(X - shift) / scale``, followed by the constant
input 1, all multiplied by ``root``. This is ``sqrt(p_i)`` with ``p_i`` the
``sample_weight`` of the row divided by the sum of all. The methods of a block
(``project``, ``pull_back``, ...) are the products that the fit needs; no other code
depends on how the rows are stored.

Neurons without biases see ``X / scale``, which is ``(X - shift) / scale + offset`` with
``offset = shift / scale``. Their weights have one column less, and ``weights @ offset``
is their weight on the constant input. The inputs stay centred for the linear part,
which is therefore exact also for columns that are far from zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.dense import (
    DenseBlock,
    Standardization,
    raw_rows,
    standardized_block,
)
from sklearn_twolayer._rows.devices import (
    CPU,
    block_entries,
    has_room,
    home_of,
    moved,
)
from sklearn_twolayer._rows.folded import FoldedBlock, may_fold, numbers_of


@dataclass(frozen=True, eq=False)
class DenseInputs:
    """Inputs whose standardised values are kept in memory."""

    values: torch.Tensor
    offset: torch.Tensor

    @property
    def n_columns(self) -> int:
        """Number of inputs, the constant input included."""
        return self.values.shape[1]

    @property
    def row_entries(self) -> int:
        """Entries stored for one row."""
        return self.n_columns

    def block(self, rows: slice) -> DenseBlock:
        return DenseBlock(self.values[rows], self.offset)

    def take(self, columns: np.ndarray) -> DenseInputs:
        """Some of the columns, and the constant input."""
        every = torch.from_numpy(np.append(columns, self.n_columns - 1))
        index = moved(every, self.values.device, every.dtype)
        # Transposed, so that the columns stay contiguous in memory.
        return DenseInputs(self.values.T[index].T, self.offset[index[:-1]])

    def scaled(self, factors: torch.Tensor) -> DenseInputs:
        """The inputs with each row multiplied by its factor."""
        return replace(self, values=self.values * factors[:, None])

    def to(self, device: torch.device, dtype: torch.dtype) -> DenseInputs:
        return DenseInputs(
            moved(self.values, device, dtype),
            moved(self.offset, device, dtype),
        )


@dataclass(frozen=True, eq=False)
class ArrayInputs:
    """Inputs that are read from an array each time they are used.

    They are for memory maps and for arrays whose standardised copy would be large.
    ``index`` holds the rows of ``X`` with a positive weight; None means all rows. ``X``
    may also be a tensor on ``device``, of these rows only. Blocks of rows are
    standardised, or used as they are if the inputs are folded (:mod:`_rows.folded`).
    """

    X: np.ndarray | torch.Tensor
    index: np.ndarray | None
    root: np.ndarray
    standardization: Standardization
    device: torch.device = CPU
    dtype: torch.dtype = torch.float64
    columns: np.ndarray | None = None
    is_folded: bool = False

    @property
    def n_columns(self) -> int:
        return 1 + (self.X.shape[1] if self.columns is None else len(self.columns))

    @property
    def row_entries(self) -> int:
        return self.n_columns

    def block(self, rows: slice) -> DenseBlock | FoldedBlock:
        if not self.is_folded:
            return self._standardised(rows)
        X = np.asarray(self.X)
        block = X[rows] if self.index is None else X[self.index[rows]]
        shift = None if self.standardization.is_near else self.standardization.shift
        return FoldedBlock(
            numbers_of(block, self.dtype, shift),
            self.root[rows] if self._common_root is None else self._common_root,
            *self._columns,
            partial(self._standardised, rows),
        )

    @cached_property
    def _columns(
        self,
    ) -> tuple[np.ndarray | slice, np.ndarray, np.ndarray, np.ndarray]:
        """Index of the columns that are inputs, their offsets, shifts and scales."""
        columns = slice(None) if self.columns is None else self.columns
        own = self.standardization
        offset, none = own.offset[columns], np.zeros(self.n_columns - 1)
        means = (offset, none) if own.is_near else (none, offset)
        return columns, *means, own.scale[columns]

    @cached_property
    def _common_root(self) -> float | None:
        """The root of all rows, if it is the same."""
        least, most = self.root.min(initial=np.inf), self.root.max(initial=0.0)
        return float(most) if least == most else None

    def _standardised(self, rows: slice) -> DenseBlock:
        home = home_of(self.device)
        values = standardized_block(
            raw_rows(self.X, self.index, rows, home),
            self.root[rows],
            self.standardization,
        )
        offset = torch.from_numpy(self.standardization.offset)
        if self.columns is not None:
            values = values[:, np.append(self.columns, values.shape[1] - 1)]
            offset = offset[self.columns]
        return DenseBlock(
            moved(values, self.device, self.dtype),
            moved(offset, self.device, self.dtype),
        )

    def take(self, columns: np.ndarray) -> ArrayInputs:
        """Some of the columns, and the constant input."""
        return replace(self, columns=columns)

    def scaled(self, factors: torch.Tensor) -> ArrayInputs:
        """The inputs with each row multiplied by its factor."""
        return replace(self, root=self.root * factors.numpy())

    def kept(self) -> DenseInputs:
        """The standardised inputs, column by column in the memory of the device."""
        shape = self.n_columns, len(self.root)
        values = torch.empty(shape, dtype=self.dtype, device=self.device).T
        for rows in row_blocks(*shape[::-1], block_entries(self.device)):
            block = self._standardised(rows)
            values[rows] = block.values
        return DenseInputs(values, block.offset)

    def to(self, device: torch.device, dtype: torch.dtype) -> ArrayInputs | DenseInputs:
        """The inputs on a device, for many products.

        On an accelerator they are kept if it has room, on a CPU folded.
        """
        there = replace(self, device=device, dtype=dtype)
        n_bytes = len(self.root) * self.n_columns * dtype.itemsize
        if device.type == "cpu":
            return replace(there, is_folded=may_fold(self.standardization))
        return there.kept() if has_room(device, n_bytes) else there


@dataclass(frozen=True, eq=False)
class SparseInputs:
    """Inputs from sparse ``X``: only the nonzero entries are stored.

    ``values`` holds scaled and weighted entries. Shifting a column with zeros would
    fill it, so its shift is applied in the products instead: the inputs are ``values -
    outer(root, offset)``, and ``offset`` is 0 for columns without a zero, which are
    stored shifted. ``shifted`` holds ``shift / scale`` of these, which neurons without
    biases need; it is 0 for the others. SciPy computes the products, on the CPU.
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
        """All rows, kept because slicing and transposing cost as much as products."""
        return SparseBlock(self.values, self.offset, self.shifted, self.root)

    def take(self, columns: np.ndarray) -> SparseInputs:
        """Some of the columns, and the constant input."""
        return SparseInputs(
            self.values[:, columns],
            self.offset[columns],
            self.shifted[columns],
            self.root,
        )

    def scaled(self, factors: torch.Tensor) -> SparseInputs:
        """The inputs with each row multiplied by its factor."""
        values, by_row = self.values.copy(), factors.numpy()
        values.data *= np.repeat(by_row, np.diff(values.indptr))
        return SparseInputs(values, self.offset, self.shifted, self.root * by_row)

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
    """Some rows of :class:`SparseInputs`, with the methods of :class:`DenseBlock`."""

    values: sparse.csr_array
    offset: np.ndarray
    shifted: np.ndarray
    root: np.ndarray

    @cached_property
    def transposed(self) -> sparse.csc_array:
        return self.values.T

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        vectors = weights.numpy()
        n_features = len(self.offset)
        columns = np.ascontiguousarray(vectors[:, :n_features].T)
        projected = torch.from_numpy((self.values @ columns).T)
        if vectors.shape[1] == n_features:
            constant = self.shifted @ columns
        else:
            constant = vectors[:, n_features] - self.offset @ columns
        return projected.addr_(torch.from_numpy(constant), torch.from_numpy(self.root))

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        columns = np.ascontiguousarray(values.numpy().T)
        pulled = np.empty((n_columns, columns.shape[1]), dtype=columns.dtype)
        constant, n_features = self.root @ columns, len(self.offset)
        pulled[:n_features] = self.transposed @ columns
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

    def gram(self) -> torch.Tensor:
        count, n_features = self.root @ self.root, len(self.offset)
        means = self.transposed @ self.root - count * self.offset
        cross = np.outer(means, self.offset)
        square = count * np.outer(self.offset, self.offset)
        gram = np.empty((n_features + 1, n_features + 1))
        gram[:-1, :-1] = (self.transposed @ self.values).toarray()
        gram[:-1, :-1] -= cross + cross.T + square
        gram[:-1, -1] = gram[-1, :-1] = means
        gram[-1, -1] = count
        return torch.from_numpy(gram)

    @property
    def roots(self) -> torch.Tensor:
        return torch.from_numpy(self.root)


Block = DenseBlock | FoldedBlock | SparseBlock
