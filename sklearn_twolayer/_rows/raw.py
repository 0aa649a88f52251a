"""Rows as they are given, and the sums over them that standardisation needs."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.parts import LocalParts, Parts


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
