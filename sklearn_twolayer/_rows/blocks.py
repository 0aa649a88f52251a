"""Blocks of rows: how many rows are processed at once. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

# Entries of one block on a CPU. Measured: from 2**18 to 2**20 are equally fast at
# 50,000 rows x 100 neurons, smaller blocks cost overhead, larger ones do not fit into
# the cache.
BLOCK_ENTRIES = 2**18


def row_blocks(
    n_rows: int, row_entries: int, block_entries: int | None = None
) -> list[slice]:
    """Slices of nearly equal lengths with at most ``block_entries`` entries each.

    None stands for ``BLOCK_ENTRIES``. A row with more entries than that is a slice of
    its own. Without rows there is one empty slice.
    """
    most = (block_entries or BLOCK_ENTRIES) // max(1, row_entries)
    if most >= n_rows:
        return [slice(None)]
    n_slices = -(-n_rows // max(1, most))
    edges = np.linspace(0, n_rows, n_slices + 1).astype(int).tolist()
    return [slice(first, end) for first, end in pairwise(edges)]


def dense_blocks(
    X: np.ndarray | sparse.csr_array, row_entries: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows as float64, some at a time."""
    for rows in row_blocks(X.shape[0], row_entries):
        block: Any = X[rows]
        block = block.toarray() if sparse.issparse(block) else block
        yield rows, np.asarray(block, dtype=np.float64)
