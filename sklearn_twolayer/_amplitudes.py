"""Least squares over the amplitudes at fixed directions, without decay.

Cheap, because only the Gram matrix of the activations is needed: what a neuron is worth
can be told before anything is descended on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._network import Network, balance
from sklearn_twolayer._objective import activation_moments

if TYPE_CHECKING:
    from sklearn_twolayer._rows import Rows

RIDGE = 1e-12  # of the Gram matrix's trace: keeps parallel directions solvable
# Share of an activation's square left beside the living neurons below which it is
# theirs up to rounding.
DEPENDENT = 1e-4


@dataclass(frozen=True, eq=False)
class AmplitudeFit:
    """Least squares of the targets on the activations of fixed directions.

    Parameters
    ----------
    directions : torch.Tensor of shape (n_neurons, n_inputs)
        Unit directions.
    gram : ndarray of shape (n_neurons, n_neurons)
        ``H'H``, H the activations less their linear fit.
    inner : ndarray of shape (n_neurons, n_outputs)
        ``H'y``; the targets have a sum of squares of one.
    inverse : ndarray of shape (n_neurons, n_neurons)
        Inverse of ``gram``.
    """

    directions: torch.Tensor
    gram: np.ndarray
    inner: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, rows: Rows, directions: torch.Tensor) -> AmplitudeFit:
        gram, inner = activation_moments(rows, directions)
        gram = gram.numpy()
        gram[np.diag_indices_from(gram)] += RIDGE * gram.trace()
        inner = inner.numpy()
        return cls(directions, gram, inner, np.linalg.pinv(gram, hermitian=True))

    def take(self, index: Sequence[int]) -> AmplitudeFit:
        """The fit with the directions at ``index`` only."""
        index = np.asarray(index, dtype=int)
        gram = self.gram[np.ix_(index, index)]
        return AmplitudeFit(
            self._directions_at(index),
            gram,
            self.inner[index],
            np.linalg.pinv(gram, hermitian=True),
        )

    def without(self, j: int) -> AmplitudeFit:
        """The fit with one direction less; the inverse takes a rank-one update."""
        index = np.delete(np.arange(self.n_neurons), j)
        kept = np.ix_(index, index)
        column = self.inverse[index, j]
        inverse = self.inverse[kept] - np.outer(column, column) / self._pivots[j]
        return AmplitudeFit(
            self._directions_at(index), self.gram[kept], self.inner[index], inverse
        )

    def _directions_at(self, index: np.ndarray) -> torch.Tensor:
        return self.directions[torch.from_numpy(index)]

    @property
    def n_neurons(self) -> int:
        return len(self.gram)

    @cached_property
    def amplitudes(self) -> np.ndarray:
        return self.inverse @ self.inner

    @cached_property
    def squares(self) -> float:
        """Sum of squares of the residual."""
        return max(0.0, 1.0 - float((self.amplitudes * self.inner).sum()))

    def costs(self) -> np.ndarray:
        """By how much ``squares`` rises if one neuron is dropped, for each."""
        return np.square(self.amplitudes).sum(axis=1) / self._pivots

    @cached_property
    def _pivots(self) -> np.ndarray:
        """Diagonal of the inverse: but for rounding at least one over the trace."""
        least = 1.0 / max(self.gram.trace(), np.finfo(float).tiny)
        return np.maximum(self.inverse.diagonal(), least)

    def gains(self, living: AmplitudeFit) -> np.ndarray:
        """By how much ``living.squares`` falls with one more direction.

        ``living`` has the first directions of this fit; one entry for each other one.
        """
        n_living = living.n_neurons
        cross = self.gram[n_living:, :n_living]
        explained = ((cross @ living.inverse) * cross).sum(axis=1)
        own = self.gram.diagonal()[n_living:]
        left = own - explained
        correlation = self.inner[n_living:] - cross @ living.amplitudes
        gains = np.square(correlation).sum(axis=1) / np.where(left > 0, left, 1.0)
        return np.where(left > DEPENDENT * own, gains, 0.0)

    def network(self) -> Network:
        """The neurons with the amplitudes of the fit, balanced."""
        amplitudes = torch.from_numpy(self.amplitudes)
        return balance(Network.from_parts(self.directions, amplitudes))
