"""Orthonormal bases of the linear part, for inputs of any condition number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.sums import add, added_up, as_arrays

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts

# A column with a standard deviation up to this fraction of its mean counts as constant:
# float64 holds at most six digits of its variation, and neurons of large mass would
# magnify the rounding (convention).
CONSTANT = 1e-10

# Eigenvalues of the Gram matrix, relative to the largest. Below UNRESOLVED the matrix
# tells nothing about a direction, below ROUGH less than nine digits (convention).
# Unresolved directions are removed from the targets once, but not from the outputs of
# the neurons at each evaluation: their coefficients, as large as the inverse root of
# the eigenvalue, would magnify rounding so much that it shows in the dual gap.
UNRESOLVED = {torch.float64: 1e-13, torch.float32: 1e-8}
ROUGH = 1e-6

# A direction counts as collinear if rounding of the prediction exceeds this fraction of
# the direction's effect: the products of its coefficients with the columns, means
# included, then cancel to so few digits (convention).
PREDICTION_ROUNDING = 1e-5


def linear_bases(
    parts: Parts[Part], gram: np.ndarray, offset: np.ndarray, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices ``B`` with ``inputs @ B`` orthonormal.

    The first leaves out the directions that are ``UNRESOLVED``, the second has all that
    are not collinear. Eigenvectors of ``gram``, the Gram matrix of the inputs, are
    accurate for large eigenvalues only; the others are made orthonormal by products
    with the inputs themselves. ``offset`` is the mean of each column before it was
    centred, divided by its scale.
    """
    mean = gram[-1, :-1] / gram[-1, -1]  # Centred inputs have a mean of rounding only.
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

    def not_collinear(columns: np.ndarray) -> np.ndarray:
        """The columns without those of collinear directions."""
        sizes = np.hypot(norms, offset)[:, None] * columns[seen]
        rounding = np.finfo(float).eps * np.linalg.norm(sizes, axis=0)
        return columns[:, rounding < PREDICTION_ROUNDING]

    def beside(basis: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns less their projection on the basis, and their Gram matrix."""
        moments, gram = added_up(parts.gather(_products, columns))
        overlap = basis.T @ moments
        return columns - basis @ overlap, gram - overlap.T @ overlap

    def joined(basis: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Basis and columns, orthogonalised twice by Gram-Schmidt.

        Afterwards the eigenvalues of the columns' Gram matrix are near 1; directions
        with smaller ones are rounding and are dropped.
        """
        for _ in range(2):
            if columns.size:
                columns, gram = beside(basis, columns)
                squares, vectors = np.linalg.eigh(gram)
                kept = squares > 0.5
                columns = columns @ vectors[:, kept] / np.sqrt(squares[kept])
        return np.hstack([basis, columns])

    basis = np.hstack([not_collinear(columns[:, relative >= ROUGH]), constant])
    rough = columns[:, (UNRESOLVED[dtype] <= relative) & (relative < ROUGH)]
    basis = joined(basis, not_collinear(rough))
    small = columns[:, relative < UNRESOLVED[dtype]]
    if small.size:
        small, gram = beside(basis, small)
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > 0.0
        small = small @ vectors[:, kept] / np.sqrt(squares[kept])
    return basis, joined(basis, not_collinear(small))


def _products(part: Part, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``inputs.T @ (inputs @ basis)`` and the Gram matrix of ``inputs @ basis``."""
    moments = gram = None
    weights = part.cast(torch.from_numpy(np.ascontiguousarray(basis.T)))
    for rows in part.blocks(len(weights)):
        block = part.inputs.block(rows)
        columns = block.project(weights)
        moments = add(moments, block.moments(columns.T))
        gram = add(gram, columns @ columns.T)
    assert moments is not None  # There is at least one block.
    assert gram is not None
    moments_array, gram_array = as_arrays(moments, gram)
    return moments_array, gram_array
