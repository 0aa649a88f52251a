"""Rows as they are given, in the units of ``X`` and ``y``."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.parts import LocalParts, Parts

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shares:
    """Divisors that normalise sample weights to a sum of one.

    Parameters
    ----------
    largest : float
        The largest weight, by which all are divided first.
    total : float
        Sum of the weights after this division.
    """

    largest: float
    total: float

    def of(self, sample_weight: np.ndarray) -> np.ndarray:
        return sample_weight / self.largest / self.total


@dataclass(frozen=True, eq=False)
class RawPart:
    """Rows of positive weight in one place.

    ``X`` is a real array, a memory map, a sparse CSR array or a tensor on an
    accelerator. ``index`` holds its rows with a positive weight; None means all rows.
    ``y`` of shape (n_rows, n_outputs) and ``sample_weight`` have these rows only.
    """

    X: np.ndarray | sparse.csr_array | torch.Tensor
    index: np.ndarray | None
    y: np.ndarray
    sample_weight: np.ndarray

    @classmethod
    def of(
        cls,
        X: np.ndarray | sparse.sparray | sparse.spmatrix,
        y: np.ndarray,
        sample_weight: np.ndarray,
    ) -> RawPart:
        """Leave out rows of weight zero, so that they do not even change rounding."""
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
    parts : Parts of RawPart
        The rows, in one place or in several.
    n_entries : int
        Entries of ``X`` in this process, which decide how many threads it uses.
    target_shape : tuple
        Shape of ``y``, with one dimension or two. Dask may not know the number of rows,
        which is nan then.
    """

    parts: Parts[RawPart]
    n_entries: int
    target_shape: tuple[int, ...]

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
    owner: object = X
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return isinstance(owner, mmap.mmap)


def sizes(raw: RawPart) -> tuple[int, int, int]:
    """Numbers of rows, of inputs and of targets."""
    return len(raw.y), raw.X.shape[1], raw.y.shape[1]


def dense_entries(raw: RawPart) -> int:
    """Number of entries of ``X``; zero if it is sparse."""
    return 0 if sparse.issparse(raw.X) else len(raw.y) * raw.X.shape[1]


def weight_facts(raw: RawPart) -> tuple[float, int]:
    """The largest weight and the number of rows."""
    return raw.sample_weight.max(initial=0.0), len(raw.sample_weight)


def sampled(raw: RawPart, share: float, seed: int, number: int) -> RawPart:
    """A random share of the rows of the part with this number, in memory.

    Parts of equal length have different rows, and small ones have their share on
    average.
    """
    n_rows = len(raw.y)
    generator = np.random.default_rng([seed, number])
    rounding = np.random.default_rng([seed, number, 1]).random()
    n_sampled = min(n_rows, int(share * n_rows + rounding))
    rows = np.sort(generator.choice(n_rows, n_sampled, replace=False))
    X = raw.X[rows if raw.index is None else raw.index[rows]]
    X = X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    return RawPart(X, None, raw.y[rows], raw.sample_weight[rows])


def stacked(
    parts: list[RawPart],
) -> tuple[np.ndarray | sparse.csr_array, np.ndarray, np.ndarray]:
    """Stack ``X``, ``y`` and ``sample_weight`` of parts that have no ``index``."""
    if sparse.issparse(parts[0].X):
        X = sparse.csr_array(sparse.vstack([part.X for part in parts]))
    else:
        X = np.concatenate([part.X for part in parts])
    y = np.concatenate([part.y for part in parts])
    return X, y, np.concatenate([part.sample_weight for part in parts])
