"""Directions in standardised columns, which is how loadings are read. NumPy only."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.blocks import dense_blocks

# Columns whose standard deviation is a smaller fraction of their mean are constant:
# what varies in them is rounding.
CONSTANT_COLUMN = 1e-10


def column_moments(
    X: np.ndarray | sparse.csr_array, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means and standard deviations of the columns, zero if constant.

    The deviations of a second pass over the rows correct the mean of the first, so that
    an offset costs no more digits than the columns themselves have lost.
    """
    shares = weights / weights.max()
    shares /= shares.sum()
    mean, error, square = np.zeros((3, X.shape[1]))
    for rows, block in dense_blocks(X, X.shape[1]):
        mean += shares[rows] @ block
    for rows, block in dense_blocks(X, X.shape[1]):
        deviations = block - mean
        error += shares[rows] @ deviations
        square += shares[rows] @ deviations**2
    shift, spread = mean + error, np.sqrt(np.maximum(square - error**2, 0.0))
    return shift, np.where(spread > CONSTANT_COLUMN * np.abs(shift), spread, 0.0)


def unit_rows(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unit length and their former lengths; rows of zeros stay, with length 1.

    Dividing by the largest entry first keeps squares of tiny entries from zero.
    """
    largest = np.abs(weights).max(axis=1, keepdims=True, initial=0.0)
    largest[largest == 0] = 1.0
    norms = np.linalg.norm(weights / largest, axis=1)
    norms[norms == 0] = 1.0
    return weights / largest / norms[:, np.newaxis], norms * largest[:, 0]


def standardised_loadings(
    features: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions in columns divided by ``scales``, and what they are multiples of.

    ``features * scales`` is the product of lengths and loadings. A direction and its
    opposite are one: the largest loading of each is positive, and the length is
    negative where that has turned the direction.
    """
    loadings, lengths = unit_rows(features * scales)
    largest = np.abs(loadings).argmax(axis=1) if loadings.size else 0
    sign = np.where(loadings[np.arange(len(loadings)), largest] < 0, -1.0, 1.0)
    return loadings * sign[:, np.newaxis], lengths * sign


def same_lines(loadings: np.ndarray, largest_angle: float) -> np.ndarray:
    """For each direction the first one that spans about the same line, maybe itself.

    That is the first direction which is not itself like an earlier one, and whose angle
    with it is at most ``largest_angle``, in radians.
    """
    near = np.abs(loadings @ loadings.T) >= np.cos(largest_angle)
    first = np.arange(len(loadings))
    for j in range(len(loadings)):
        like = np.flatnonzero(near[j, :j] & (first[:j] == np.arange(j)))
        if len(like):
            first[j] = like[0]
    return first
