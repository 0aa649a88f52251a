"""Rows as they are given, and the sums over them that standardisation needs."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._blocks import row_blocks
from sklearn_twolayer._inputs import (
    ArrayInputs,
    DenseInputs,
    SparseInputs,
    Standardization,
    raw_block,
    standardized_block,
)
from sklearn_twolayer._parts import LocalParts, Parts

# Entries of the inputs up to which a standardised copy is kept, of arrays in memory and
# of memory maps; above, blocks are standardised each time they are used, which takes
# half as long again.
KEPT_ENTRIES = 2**24
KEPT_MAPPED_ENTRIES = 2**20


@dataclass(frozen=True)
class Shares:
    """What makes sample weights shares of one."""

    largest: float
    total: float

    def of(self, sample_weight: np.ndarray) -> np.ndarray:
        return sample_weight / self.largest / self.total


@dataclass(frozen=True, eq=False)
class RawPart:
    """Rows of positive weight in one place.

    ``X`` is a real array, a memory map or a sparse CSR array; ``index`` picks the rows
    of it that count, all if None. ``y`` (n_rows, n_outputs) and ``sample_weight`` have
    those rows only.
    """

    X: np.ndarray | sparse.csr_array
    index: np.ndarray | None
    y: np.ndarray
    sample_weight: np.ndarray

    @classmethod
    def of(cls, X: object, y: np.ndarray, sample_weight: np.ndarray) -> RawPart:
        """Leave out rows of weight zero, so that they cannot even round differently."""
        if sparse.issparse(X):
            X = sparse.csr_array(X)
            if not X.has_canonical_format:
                X = X.copy()
                X.sum_duplicates()
        kept = np.flatnonzero(sample_weight > 0)
        if len(kept) == len(sample_weight):
            return cls(X, None, y, sample_weight)
        if sparse.issparse(X):
            return cls(X[kept], None, y[kept], sample_weight[kept])
        return cls(X, kept, y[kept], sample_weight[kept])

    def blocks(self) -> list[slice]:
        return row_blocks(len(self.y), self.X.shape[1] + 1)


@dataclass(frozen=True, eq=False)
class RawRows:
    """All rows as they are given.

    Parameters
    ----------
    parts : Parts
        A :class:`RawPart` in each place.
    n_entries : int
        Entries of the inputs in this process, which decide about its threads.
    target_shape : tuple
        Shape of ``y``, of one dimension or two; the number of rows may be unknown.
    """

    parts: Parts
    n_entries: int
    target_shape: tuple

    @classmethod
    def local(
        cls,
        X: np.ndarray | sparse.csr_array,
        y: np.ndarray,
        sample_weight: np.ndarray,
    ) -> RawRows:
        """Rows of this process; ``y`` has one dimension or two."""
        part = RawPart.of(X, y.reshape(len(y), -1), sample_weight)
        return cls(LocalParts(part), X.size, y.shape)


def is_mapped(X: np.ndarray) -> bool:
    """Whether the array is a memory map, or a view of one."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return isinstance(X, mmap.mmap)


def n_columns(raw: RawPart) -> tuple[int, int]:
    """Numbers of inputs and of targets."""
    return raw.X.shape[1], raw.y.shape[1]


def sampled(raw: RawPart, share: float, seed: int) -> RawPart:
    """A random share of the rows, in memory."""
    n_rows = len(raw.y)
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.choice(n_rows, round(share * n_rows), replace=False))
    X = raw.X[rows if raw.index is None else raw.index[rows]]
    X = X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    return RawPart(X, None, raw.y[rows], raw.sample_weight[rows])


def stacked(
    parts: list[RawPart],
) -> tuple[np.ndarray | sparse.csr_array, np.ndarray, np.ndarray]:
    """Inputs, targets and weights of parts whose rows all count, one below another."""
    if sparse.issparse(parts[0].X):
        X = sparse.csr_array(sparse.vstack([part.X for part in parts]))
    else:
        X = np.concatenate([part.X for part in parts])
    y = np.concatenate([part.y for part in parts])
    return X, y, np.concatenate([part.sample_weight for part in parts])


def weight_facts(raw: RawPart) -> tuple[float, bool, float, int]:
    """Largest weight, whether all are whole numbers, their sum, how many there are."""
    weights = raw.sample_weight
    whole = bool((weights == np.rint(weights)).all())
    return weights.max(initial=0.0), whole, weights.sum(), len(weights)


def relative_weight_sums(raw: RawPart, largest: float) -> tuple[float, float]:
    """Sum of the weights relative to the largest, and of their squares."""
    relative = raw.sample_weight / largest
    return relative.sum(), np.square(relative).sum()


def column_sums(
    raw: RawPart, shares: Shares
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shares of the means of columns and targets; the columns' least and largest."""
    share = shares.of(raw.sample_weight)
    target_mean = share @ raw.y
    if sparse.issparse(raw.X):
        least, most = raw.X.min(axis=0), raw.X.max(axis=0)  # of one dimension or two
        low, high = least.toarray().ravel(), most.toarray().ravel()
        return share @ raw.X, target_mean, low.astype(float), high.astype(float)
    n_features = raw.X.shape[1]
    mean, low, high = np.zeros(n_features), np.full(n_features, np.inf), None
    high = -low
    for rows in raw.blocks():
        block = raw_block(raw.X, raw.index, rows)
        mean += share[rows] @ block
        np.minimum(low, block.min(axis=0, initial=np.inf), out=low)
        np.maximum(high, block.max(axis=0, initial=-np.inf), out=high)
    return mean, target_mean, low, high


def centred_sums(
    raw: RawPart, shares: Shares, mean: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of ``(X - mean) / size`` and of its square, by share."""
    share = shares.of(raw.sample_weight)
    if sparse.issparse(raw.X):
        return _sparse_centred_sums(raw.X, share, mean, size)
    first, second = np.zeros((2, raw.X.shape[1]))
    for rows in raw.blocks():
        centred = (raw_block(raw.X, raw.index, rows) - mean) / size
        first += share[rows] @ centred
        second += share[rows] @ np.square(centred, out=centred)
    return first, second


def _sparse_centred_sums(
    X: sparse.csr_array, share: np.ndarray, mean: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    columns, n_features = X.indices, X.shape[1]
    entry_share = np.repeat(share, np.diff(X.indptr))

    def by_column(values: np.ndarray) -> np.ndarray:
        return np.bincount(columns, weights=values, minlength=n_features)

    centred = (X.data - mean[columns]) / size[columns]
    zeros = share.sum() - by_column(entry_share)  # share of the entries not stored
    first = by_column(entry_share * centred) - zeros * mean / size
    second = by_column(entry_share * np.square(centred))
    return first, second + zeros * np.square(mean / size)


def standardized_inputs(
    raw: RawPart, shares: Shares, standardization: Standardization
) -> DenseInputs | ArrayInputs | SparseInputs:
    """The part's inputs in the coordinates of the fit, float64, on the CPU."""
    root = np.sqrt(shares.of(raw.sample_weight))
    if sparse.issparse(raw.X):
        return _sparse_inputs(raw.X, root, standardization)
    n_entries = len(root) * (raw.X.shape[1] + 1)
    if n_entries > (KEPT_MAPPED_ENTRIES if is_mapped(raw.X) else KEPT_ENTRIES):
        cpu = torch.device("cpu")
        return ArrayInputs(raw.X, raw.index, root, standardization, cpu, torch.float64)
    values = torch.from_numpy(np.empty((len(root), raw.X.shape[1] + 1), order="F"))
    for rows in raw.blocks():
        block = raw_block(raw.X, raw.index, rows)
        values[rows] = standardized_block(block, root[rows], standardization)
    return DenseInputs(values, torch.from_numpy(standardization.offset))


def _sparse_inputs(
    X: sparse.csr_array, root: np.ndarray, standardization: Standardization
) -> SparseInputs:
    """Columns without a zero, which alone can be far from it, are shifted as they are.

    What is left to the offset would otherwise cancel to no digits.
    """
    n_rows, n_features = X.shape
    full = np.bincount(X.indices, minlength=n_features) == n_rows
    shift = np.where(full, standardization.shift, 0.0)
    values = (X.data - shift[X.indices]) / standardization.scale[X.indices]
    values *= np.repeat(root, np.diff(X.indptr))
    offset = standardization.offset
    return SparseInputs(
        sparse.csr_array((values, X.indices, X.indptr), shape=X.shape),
        np.where(full, 0.0, offset),
        np.where(full, offset, 0.0),
        root,
    )
