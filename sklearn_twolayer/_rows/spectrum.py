"""Eigenvalues of the inputs' Gram matrix, for a linear part that is shrunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.sums import fetched

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts

# Eigenvalues of a Gram matrix below this fraction of the largest are rounding
# (convention).
EIGENVALUE_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors of ``X'X``, computed when they are asked for.

    ``X`` are the inputs without the constant one.

    Parameters
    ----------
    gram : ndarray of shape (n_columns, n_columns) or (n_rows, n_rows)
        Gram matrix of the columns of the inputs, the constant one included, or of the
        rows without the constant one, whichever is smaller.
    values : ndarray of shape (n_rows, n_columns) or None
        The inputs, if the Gram matrix is that of the rows.
    mean : ndarray of shape (n_columns - 1,) or None
        The inner product of each input with the constant one, which has unit length.
        ``X`` are then the inputs less this multiple of the constant one, in the Gram
        matrix and in all that follows. None if the inputs are centred already.
    """

    gram: np.ndarray
    values: np.ndarray | None = None
    mean: np.ndarray | None = None

    @classmethod
    def of_rows(cls, parts: Parts[Part]) -> Spectrum:
        """The spectrum of fewer rows than columns, from their inner products."""
        values = np.concatenate(parts.gather(_dense))
        return cls(values[:, :-1] @ values[:, :-1].T, values)

    def centred(self) -> Spectrum:
        """The spectrum of inputs that have not been centred with their weights."""
        if self.values is None:
            mean = self.gram[-1, :-1]
            gram = self.gram.copy()
            gram[:-1, :-1] -= np.outer(mean, mean)
            return Spectrum(gram, mean=mean)
        root = self.values[:, -1]
        mean = root @ self.values[:, :-1]
        values = self.values.copy()
        values[:, :-1] -= np.outer(root, mean)
        return Spectrum(values[:, :-1] @ values[:, :-1].T, values, mean)

    @property
    def is_of_rows(self) -> bool:
        """Whether the Gram matrix is that of the rows."""
        return self.values is not None

    @cached_property
    def _decomposed(self) -> tuple[np.ndarray, np.ndarray]:
        gram = self.gram if self.values is not None else self.gram[:-1, :-1]
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > EIGENVALUE_ROUNDING * max(squares.max(initial=0.0), 0.0)
        squares, vectors = squares[kept], vectors[:, kept]
        if self.values is not None:
            vectors = self.values[:, :-1].T @ vectors / np.sqrt(squares)
        # Products with moments of the inputs are those with moments of centred ones.
        last = np.zeros(len(squares)) if self.mean is None else -self.mean @ vectors
        return squares, np.vstack([vectors, last])

    @property
    def squares(self) -> np.ndarray:
        """The eigenvalues above rounding, which are squares of singular values."""
        return self._decomposed[0]

    @property
    def vectors(self) -> np.ndarray:
        """The unit eigenvectors as columns, with an entry for the constant input.

        It is zero for inputs that are centred.
        """
        return self._decomposed[1]

    def column_squares(self) -> np.ndarray:
        """Sum of squares of each input, the constant one included."""
        if self.values is None:
            return self.gram.diagonal()
        squares: np.ndarray = np.square(self.values).sum(axis=0)
        return squares

    def basis(self, linear_decay: float) -> np.ndarray:
        """A matrix ``B`` with ``B B' = (X'X + rho I)^-1`` for moments ``X'e``.

        The last column is that of the constant input, which is not shrunk.
        """
        constant = np.zeros((len(self.vectors), 1))
        constant[-1] = 1.0
        return np.hstack(
            [self.vectors / np.sqrt(self.squares + linear_decay), constant]
        )

    def degrees_of_freedom(self, linear_decay: float) -> float:
        """Trace of the hat matrix of the ridge regression (theory eq. 26)."""
        return float((self.squares / (self.squares + linear_decay)).sum())


def _dense(part: Part) -> np.ndarray:
    n_columns = part.inputs.n_columns
    blocks = [part.inputs.block(rows).dense(n_columns) for rows in part.blocks(1)]
    return fetched(torch.cat(blocks)).numpy()
