"""Columns of ``X`` that a fit leaves out: constant ones, and copies of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._rows.linear_basis import CONSTANT

if TYPE_CHECKING:
    from sklearn_twolayer._rows.inputs import Standardization

# Two standardised columns are copies if their correlation differs from one by at most
# this much, about the rounding of a sum of products (convention).
COPIED = 1e-13


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
        cls, gram: np.ndarray, standardization: Standardization, *, hidden_bias: bool
    ) -> Columns:
        """Find them by the Gram matrix of the inputs, the constant one included.

        Without hidden biases a constant column is an input of the neurons: a copy must
        have the same mean, too, and only columns of zeros are left out as constant.
        """
        offset = standardization.offset
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
        tells = varies if hidden_bias else varies | (offset != 0)
        is_kept = (first == every) & tells
        kept = np.flatnonzero(is_kept)
        source = np.searchsorted(kept, first).clip(max=max(0, len(kept) - 1))
        sign = np.where(varies, np.sign(correlation[first, every]), 0.0)
        return cls(kept, source, np.where(is_kept, 1.0, sign))

    @classmethod
    def varying(
        cls, squares: np.ndarray, standardization: Standardization, *, hidden_bias: bool
    ) -> Columns:
        """Find constant columns only, by the sums of squares of the inputs.

        Without hidden biases only columns of zeros are left out, as in :meth:`of`.
        """
        offset = standardization.offset
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
