"""Columns of ``X`` that a fit leaves out: constant ones, and copies of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.linear_basis import CONSTANT
from sklearn_twolayer._rows.sums import add, added_up, fetched

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts

# Two standardised columns may be copies if their correlation differs from one by at
# most this much, about the rounding of a sum of products (convention).
COPIED = 1e-13
# They are copies if they differ by this fraction of their size, means included, which
# is some rounding errors (convention).
COPY_ROUNDING = 64 * np.finfo(float).eps
# Without hidden biases, neurons see columns whose mean is more than this many standard
# deviations as nearly constant (convention).
FAR_FROM_ZERO = 5.0


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that are kept, and what the others are copies of.

    Parameters
    ----------
    kept : ndarray of shape (n_kept,)
        Indices of the columns that the fit sees.
    source : ndarray of shape (n_features,)
        For each column, the position in ``kept`` of the one that it is a copy of.
    sign : ndarray of shape (n_features,)
        1.0, or -1.0 where the copy has the opposite sign; 0.0 where it is constant.
    """

    kept: np.ndarray
    source: np.ndarray
    sign: np.ndarray

    @classmethod
    def of(
        cls,
        parts: Parts[Part],
        gram: np.ndarray,
        offset: np.ndarray,
        *,
        hidden_bias: bool,
    ) -> Columns:
        """Find them by the Gram matrix of the inputs, the constant one included.

        The matrix is accurate to half the digits only, so that what looks like a copy
        is compared row by row. ``offset`` is the mean of each column before it was
        centred, divided by its scale. Without hidden biases a constant column is an
        input of the neurons: a copy must have the same mean, too, and only columns of
        zeros are left out as constant.
        """
        mean = gram[-1, :-1] / gram[-1, -1]
        centred = gram[:-1, :-1] - np.outer(mean, gram[-1, :-1])
        norms = np.sqrt(np.maximum(centred.diagonal(), 0.0))
        varies = norms > CONSTANT * np.abs(offset)
        divisors = np.where(varies, norms, 1.0)
        correlation = centred / divisors / divisors[:, None]
        correlation[~varies] = correlation[:, ~varies] = 0.0
        alike = np.abs(correlation) >= 1.0 - COPIED
        alike &= np.isclose(norms, norms[:, None], rtol=CONSTANT, atol=0.0)
        if not hidden_bias:
            same = np.sign(correlation) * offset
            alike &= np.isclose(same, offset[:, None], rtol=CONSTANT, atol=CONSTANT)
        np.fill_diagonal(alike, val=True)
        first = alike.argmax(axis=0)  # the first column that is alike, maybe itself
        every = np.arange(len(first))
        copies = np.flatnonzero(first != every)
        if len(copies):
            weights = np.zeros((len(copies), len(gram)))
            weights[np.arange(len(copies)), copies] = 1.0
            signs = np.sign(correlation[first[copies], copies])
            weights[np.arange(len(copies)), first[copies]] = -signs
            squares = added_up(parts.gather(_projected_squares, weights))
            size = 1.0 + np.abs(offset[copies]) + np.abs(offset[first[copies]])
            differs = np.sqrt(squares) > COPY_ROUNDING * size * norms[copies]
            first[copies[differs]] = copies[differs]
        tells = varies if hidden_bias else varies | (offset != 0)
        is_kept = (first == every) & tells
        kept = np.flatnonzero(is_kept)
        source = np.searchsorted(kept, first).clip(max=max(0, len(kept) - 1))
        sign = np.where(varies, np.sign(correlation[first, every]), 0.0)
        return cls(kept, source, np.where(is_kept, 1.0, sign))

    @classmethod
    def varying(
        cls, squares: np.ndarray, offset: np.ndarray, *, hidden_bias: bool
    ) -> Columns:
        """Find constant columns only, by the sums of squares of the inputs.

        Without hidden biases only columns of zeros are left out, as in :meth:`of`.
        """
        tells = np.sqrt(squares) > CONSTANT * np.abs(offset)
        if not hidden_bias:
            tells |= offset != 0
        kept = np.flatnonzero(tells)
        source = np.searchsorted(kept, np.arange(len(tells)))
        return cls(kept, source.clip(max=max(0, len(kept) - 1)), tells.astype(float))

    @property
    def are_all(self) -> bool:
        """Whether all columns are kept."""
        return len(self.kept) == len(self.source)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of the kept columns on the last axis, with zeros for the others."""
        everywhere = np.zeros((*values.shape[:-1], len(self.source)))
        everywhere[..., self.kept] = values
        return everywhere

    def gathered(self, weights: np.ndarray) -> np.ndarray:
        """Weights on the kept columns that do what these do on all columns."""
        gathered = np.zeros((len(self.kept), len(weights)))
        np.add.at(gathered, self.source, (weights * self.sign).T)
        return gathered.T


def _projected_squares(part: Part, weights: np.ndarray) -> np.ndarray:
    """Sum of squares of ``inputs @ weights.T``, column by column."""
    squares, columns = None, part.cast(torch.from_numpy(weights))
    for rows in part.blocks(len(weights)):
        projected = part.inputs.block(rows).project(columns)
        squares = add(squares, projected.square().sum(dim=1))
    assert squares is not None  # There is at least one block.
    return fetched(squares).numpy()


def find_far_columns(
    spread: np.ndarray, mean: np.ndarray, columns: np.ndarray
) -> list[int]:
    """The columns with little spread beside their mean, but not constant ones."""
    ratio = np.divide(spread, np.abs(mean), out=np.ones_like(spread), where=mean != 0)
    return columns[(ratio > CONSTANT) & (ratio < 1.0 / FAR_FROM_ZERO)].tolist()
