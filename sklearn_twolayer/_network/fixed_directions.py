"""What is solved exactly at fixed directions (theory eqs. 10, 13 and 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import lsq_linear, nnls

from sklearn_twolayer._network.network import Network, balance, unit_rows
from sklearn_twolayer._network.objective import relu_activations
from sklearn_twolayer._rows.sums import add, gram

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows


def activation_moments(
    rows: Rows, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``H'H`` and ``H'y``, H the neurons' activations less their linear fit."""
    products, inner, linear = rows.total(_activation_moments, weights)
    linear = rows.linear_basis.T @ linear
    # The targets have no linear part, so only the Gram matrix needs the projection.
    return products - linear.T @ linear, inner


def _activation_moments(
    part: Part, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``H'H``, ``H'y`` and ``X'H``, H the neurons' activations."""
    n_neurons, n_columns = len(weights), part.inputs.n_columns
    products = inner = linear = None
    weights = part.cast(weights)
    for rows in part.blocks(n_neurons):
        block = part.inputs.block(rows)
        activations = relu_activations(block, weights)
        products = add(products, gram(activations))
        inner = add(inner, activations @ part.targets[rows])
        linear = add(linear, block.pull_back(activations, n_columns))
    return products, inner, linear.T


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


def refit_masses(rows: Rows, network: Network, lambda_: float) -> Network:
    """Minimise over the masses at fixed directions and output directions.

    A Lasso with masses that are not negative, solved exactly as a non-negative least
    squares problem on the square root of the Gram matrix (theory eq. 13). Neurons
    whose mass comes out as zero, births that do not help among them, are dropped.
    """
    if network.n_neurons == 0:
        return network
    directions, outputs = network.directions, unit_rows(network.amplitudes)
    gram, inner = activation_moments(rows, directions)
    gram = (gram * (outputs @ outputs.T)).numpy()
    target = (inner * outputs).sum(dim=1).numpy() - lambda_
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > 1e-14 * eigenvalues[-1]
    root = np.sqrt(eigenvalues[kept])
    masses = _non_negative_fit(
        root[:, None] * vectors[:, kept].T, vectors[:, kept].T @ target / root
    )
    alive = torch.from_numpy(np.flatnonzero(masses))
    masses = torch.from_numpy(masses)[alive, None]
    return balance(Network.from_parts(directions[alive], outputs[alive] * masses))


def _non_negative_fit(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Non-negative least squares, in spite of columns that are nearly the same.

    There SciPy's solver for it may go round in circles, which raises. The one for
    bounds is slower and gives the best it has found.
    """
    try:
        return nnls(matrix, target)[0]
    except RuntimeError:
        return lsq_linear(matrix, target, bounds=(0.0, np.inf), method="bvls").x


def fit_output_layer(rows: Rows, directions: torch.Tensor, lambda_: float) -> Network:
    """Stage 2: minimise over the amplitudes with decay, directions fixed; balance.

    A ridge regression on the activations, solved exactly (theory eq. 10).
    """
    gram, inner = activation_moments(rows, directions)
    # At a decay of zero, rounding's share keeps the system solvable.
    rounding = torch.finfo(gram.dtype).eps * float(gram.diagonal().sum())
    gram.diagonal().add_(lambda_ + rounding)
    amplitudes = torch.linalg.solve(gram, inner)
    return balance(Network.from_parts(directions, amplitudes))
