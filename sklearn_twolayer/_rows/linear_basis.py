"""Orthonormal bases of what the linear part can fit, for inputs of any condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.sums import add, added_up

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts

# Columns with standard deviations up to this fraction of their mean are constant: of
# their variation float64 keeps six digits at most, which masses would magnify.
CONSTANT = 1e-10

# Squares of the sizes of directions, relative to the largest, below which a Gram matrix
# tells little of them: nothing, and less than nine digits. Those below the former are
# removed from the targets once, but not at each evaluation from what the neurons do:
# rounding times their coefficients, up to the inverse of the size, would show in the
# duality gap.
UNRESOLVED = {torch.float64: 1e-13, torch.float32: 1e-8}
ROUGH = 1e-6

# Rounding of a prediction, relative to the effect of a direction in the linear part,
# above which the direction counts as collinear: its coefficients times the columns,
# means included, cancel to that many digits.
ROUNDING = 1e-5


def linear_bases(
    parts: Parts, gram: np.ndarray, offset: np.ndarray, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """``B`` with ``inputs @ B`` orthonormal: of directions of some size, and of all.

    From the Gram matrix of the inputs, whose columns have means ``offset`` in units of
    their scale. What it tells little of is made orthonormal on the inputs themselves.
    """
    mean = gram[-1, :-1] / gram[-1, -1]  # the rounding of the shift
    centred = gram[:-1, :-1] - np.outer(mean, gram[-1, :-1])
    norms = np.sqrt(np.maximum(centred.diagonal(), 0.0))
    seen = np.flatnonzero(norms > CONSTANT * np.abs(offset))
    norms, offset = norms[seen], offset[seen]
    squares, vectors = np.linalg.eigh(
        centred[np.ix_(seen, seen)] / norms / norms[:, None]
    )
    relative, least = squares / squares.max(initial=1.0), min(UNRESOLVED.values())
    columns = np.zeros((len(gram), len(seen)))
    columns[seen] = vectors / norms[:, None] / np.sqrt(np.maximum(squares, least))
    columns[-1] = -mean @ columns[:-1]
    constant = np.zeros((len(gram), 1))
    constant[-1] = 1.0

    def resolved(columns: np.ndarray) -> np.ndarray:
        sizes = np.hypot(norms, offset)[:, None] * columns[seen]
        rounding = np.finfo(float).eps * np.linalg.norm(sizes, axis=0)
        return columns[:, rounding < ROUNDING]

    def beside(basis: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns less what is in the basis, and their Gram matrix."""
        moments, gram = added_up(parts.gather(_products, columns))
        overlap = basis.T @ moments
        return columns - basis @ overlap, gram - overlap.T @ overlap

    def joined(basis: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Gram-Schmidt orthogonalisation, twice; what is not near one is rounding."""
        for _ in range(2):
            if columns.size:
                columns, gram = beside(basis, columns)
                squares, vectors = np.linalg.eigh(gram)
                kept = squares > 0.5
                columns = columns @ vectors[:, kept] / np.sqrt(squares[kept])
        return np.hstack([basis, columns])

    basis = np.hstack([resolved(columns[:, relative >= ROUGH]), constant])
    rough = columns[:, (UNRESOLVED[dtype] <= relative) & (relative < ROUGH)]
    basis = joined(basis, resolved(rough))
    small = columns[:, relative < UNRESOLVED[dtype]]
    if small.size:
        small, gram = beside(basis, small)
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > 0.0
        small = small @ vectors[:, kept] / np.sqrt(squares[kept])
    return basis, joined(basis, resolved(small))


def _products(part: Part, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``inputs.T @ (inputs @ basis)`` and the Gram matrix of ``inputs @ basis``."""
    moments, gram = None, None
    weights = torch.from_numpy(np.ascontiguousarray(basis.T))
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        columns = block.project(weights)
        moments = add(moments, block.moments(columns.T))
        gram = add(gram, columns @ columns.T)
    return moments.numpy(), gram.numpy()
