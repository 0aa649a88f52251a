"""Problems that are solved exactly at fixed directions.

With the directions of the neurons fixed, the outputs are linear in the amplitudes. Let
``H`` be the activations less their linear fit, and ``y`` the targets.

* :func:`fit_output_layer`, theory eq. (10): amplitudes with weight decay, a ridge
  regression.
* :func:`refit_masses`, theory eq. (13): masses at fixed output directions, a
  non-negative Lasso.
* :class:`AmplitudeFit`, theory eq. (15): amplitudes without weight decay, least squares
  that directions can be taken from and added to.

All of them need only :func:`activation_moments`, the sums ``H'H`` and ``H'y``.
"""

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

# Added to the diagonal of the Gram matrix, as a fraction of its trace, so that parallel
# directions can be solved for (convention).
RIDGE = 1e-12
# Rounding of the Gram matrix of activations, as a fraction of its trace (convention).
SUM_ROUNDING = 1e-15
# An activation counts as a linear combination of the living neurons' activations, up to
# rounding, if these explain all but this fraction of its sum of squares (convention).
DEPENDENT = 1e-4


# Theory eq. (10)


def fit_output_layer(rows: Rows, directions: torch.Tensor, lambda_: float) -> Network:
    """Stage 2: minimise over the amplitudes with decay, directions fixed; balance.

    A ridge regression on the activations, solved exactly (theory eq. 10).
    """
    products, inner = activation_moments(rows, directions)
    # At a decay of zero, a diagonal of the size of rounding keeps the system solvable.
    rounding = torch.finfo(products.dtype).eps * float(products.diagonal().sum())
    products.diagonal().add_(lambda_ + rounding)
    amplitudes = torch.linalg.solve(products, inner)
    return balance(Network.from_parts(directions, amplitudes))


# Theory eq. (13)


def refit_masses(rows: Rows, network: Network, lambda_: float) -> Network:
    """Minimise over the masses at fixed directions and output directions.

    A Lasso whose masses must not be negative, solved exactly as a non-negative least
    squares problem on the square root of the Gram matrix (theory eq. 13). Neurons
    whose mass comes out as zero are dropped, among them births that do not help.
    """
    if network.n_neurons == 0:
        return network
    directions, outputs = network.directions, unit_rows(network.amplitudes)
    products, inner = activation_moments(rows, directions)
    matrix = (products * (outputs @ outputs.T)).numpy()
    target = (inner * outputs).sum(dim=1).numpy() - lambda_
    eigenvalues, vectors = np.linalg.eigh(matrix)
    kept = eigenvalues > 1e-14 * eigenvalues[-1]
    root = np.sqrt(eigenvalues[kept])
    solution = _non_negative_fit(
        root[:, None] * vectors[:, kept].T, vectors[:, kept].T @ target / root
    )
    alive = torch.from_numpy(np.flatnonzero(solution))
    masses = torch.from_numpy(solution)[alive, None]
    return balance(Network.from_parts(directions[alive], outputs[alive] * masses))


def _non_negative_fit(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Non-negative least squares, also where columns are nearly equal.

    With nearly equal columns SciPy's ``nnls`` may cycle, which raises. ``lsq_linear``
    is slower, but returns the best solution that it has found.
    """
    solution: np.ndarray
    try:
        solution = nnls(matrix, target)[0]
    except RuntimeError:
        solution = lsq_linear(matrix, target, bounds=(0.0, np.inf), method="bvls").x
    return solution


# Theory eq. (15)


@dataclass(frozen=True, eq=False)
class AmplitudeFit:
    """Least squares of the targets on the activations of fixed directions.

    Theory eq. (15).

    Parameters
    ----------
    directions : torch.Tensor of shape (n_neurons, n_inputs)
        Unit directions.
    gram : ndarray of shape (n_neurons, n_neurons)
        ``H'H``, where H are the activations less their linear fit.
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
        products, inner = activation_moments(rows, directions)
        gram = products.numpy()
        gram[np.diag_indices_from(gram)] += RIDGE * gram.trace()
        inverse = np.linalg.pinv(gram, hermitian=True)
        return cls(directions, gram, inner.numpy(), inverse)

    def take(self, index: Sequence[int]) -> AmplitudeFit:
        """The fit with the directions at ``index`` only."""
        positions = np.asarray(index, dtype=int)
        gram = self.gram[np.ix_(positions, positions)]
        return AmplitudeFit(
            self._directions_at(positions),
            gram,
            self.inner[positions],
            np.linalg.pinv(gram, hermitian=True),
        )

    def without(self, j: int) -> AmplitudeFit:
        """The fit without direction ``j``, by a rank-one update of the inverse."""
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
        amplitudes: np.ndarray = self.inverse @ self.inner
        return amplitudes

    @cached_property
    def squares(self) -> float:
        """Sum of squares of the residual."""
        return max(0.0, 1.0 - float((self.amplitudes * self.inner).sum()))

    def costs(self) -> np.ndarray:
        """For each neuron, by how much ``squares`` rises if it is dropped."""
        costs: np.ndarray = np.square(self.amplitudes).sum(axis=1) / self._pivots
        return costs

    @cached_property
    def _pivots(self) -> np.ndarray:
        """Diagonal of the inverse, at least 1 / trace(gram).

        Only by rounding can an entry of the diagonal be smaller.
        """
        least = 1.0 / max(self.gram.trace(), np.finfo(float).tiny)
        pivots: np.ndarray = np.maximum(self.inverse.diagonal(), least)
        return pivots

    def gains(self, living: AmplitudeFit) -> np.ndarray:
        """By how much ``living.squares`` falls with one more direction.

        ``living`` must be the fit of the first directions of this fit. The result has
        one entry for each of the other directions.
        """
        n_living = living.n_neurons
        cross = self.gram[n_living:, :n_living]
        explained = ((cross @ living.inverse) * cross).sum(axis=1)
        own = self.gram.diagonal()[n_living:]
        unexplained = own - explained
        correlation = self.inner[n_living:] - cross @ living.amplitudes
        divisors = np.where(unexplained > 0, unexplained, 1.0)
        gains = np.square(correlation).sum(axis=1) / divisors
        return np.where(unexplained > DEPENDENT * own, gains, 0.0)

    def network(self) -> Network:
        """The neurons with the amplitudes of the fit, balanced."""
        amplitudes = torch.from_numpy(self.amplitudes)
        return balance(Network.from_parts(self.directions, amplitudes))


# The sums that all three need


def activation_moments(
    rows: Rows, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``H'H`` and ``H'y``, where H are the neurons' activations less their linear fit.

    Unless the linear part is shrunk, the targets have none, so that only ``H'H`` has to
    be corrected for the fit. With a shrunk one they are ``H'SH`` and ``H'Sy`` (theory
    eq. 24).
    """
    products, inner, linear = rows.total(_activation_moments, weights)
    linear = rows.linear_basis.T @ linear
    if rows.linear_decay is None:
        return products - linear.T @ linear, inner
    inner = inner - linear.T @ rows.linear_decay.targets
    # Where a small decay fits nearly all, the difference is near the rounding of its
    # terms. Without an addition of this size it might have negative eigenvalues.
    rounding = SUM_ROUNDING * products.trace() * torch.eye(len(products)).double()
    return products - linear.T @ linear + rounding, inner


def _activation_moments(
    part: Part, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``H'H``, ``H'y`` and ``X'H``, where H are the neurons' activations."""
    n_neurons, n_columns = len(weights), part.inputs.n_columns
    products = inner = linear = None
    weights = part.cast(weights)
    for rows in part.blocks(n_neurons):
        block = part.inputs.block(rows)
        activations = relu_activations(block, weights)
        products = add(products, gram(activations))
        inner = add(inner, activations @ part.targets[rows])
        linear = add(linear, block.pull_back(activations, n_columns))
    # There is at least one block.
    assert products is not None
    assert inner is not None
    assert linear is not None
    return products, inner, linear.T
