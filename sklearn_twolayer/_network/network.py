"""Neurons as arrays: balance, pruning, merging."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from sklearn_twolayer._rows.rows import Rows


@dataclass(frozen=True, eq=False)
class Network:
    """Hidden neurons of a two-layer network, in the coordinates of the fit.

    Parameters
    ----------
    parameters : torch.Tensor of shape (n_neurons, n_outputs + n_inputs)
        One neuron a row: its amplitudes, then its hidden weights. The last hidden
        weight multiplies the constant input when the network has hidden biases.
    n_outputs : int
        Number of leading columns that are amplitudes.
    """

    parameters: torch.Tensor
    n_outputs: int

    @classmethod
    def from_parts(cls, weights: torch.Tensor, amplitudes: torch.Tensor) -> Network:
        return cls(torch.cat([amplitudes, weights], dim=1), amplitudes.shape[1])

    @classmethod
    def empty(cls, rows: Rows) -> Network:
        """The network without neurons for the given rows."""
        n_columns = rows.n_outputs + rows.n_inputs
        parameters = torch.empty(0, n_columns, dtype=torch.float64, device="cpu")
        return cls(parameters, rows.n_outputs)

    @property
    def n_neurons(self) -> int:
        return self.parameters.shape[0]

    @property
    def amplitudes(self) -> torch.Tensor:
        return self.parameters[:, : self.n_outputs]

    @property
    def weights(self) -> torch.Tensor:
        return self.parameters[:, self.n_outputs :]

    @property
    def masses(self) -> torch.Tensor:
        """Mass of each neuron, ``||a_j|| ||(w_j, b_j)||`` (theory eq. 4)."""
        return (row_norms(self.amplitudes) * row_norms(self.weights))[:, 0]

    @property
    def directions(self) -> torch.Tensor:
        """Unit hidden weights; a neuron without weights has a zero direction."""
        return unit_rows(self.weights)

    def squared_norm(self) -> float:
        """Sum of squares of all parameters, the decay term of theory eq. (2)."""
        return float(self.parameters.square().sum())

    def moved_to(self, parameters: torch.Tensor) -> Network:
        """The same layout with other values."""
        return Network(parameters, self.n_outputs)

    def take(self, index: torch.Tensor) -> Network:
        """The neurons at ``index`` (integers or a mask), in that order."""
        return self.moved_to(self.parameters[index])

    def joined_by(self, other: Network) -> Network:
        """These neurons, then those of ``other``."""
        return self.moved_to(torch.cat([self.parameters, other.parameters]))


def unit_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Rows scaled to norm one; zero rows stay zero."""
    return matrix / _divisors(row_norms(matrix))


def row_norms(matrix: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each row, as a column."""
    return torch.linalg.vector_norm(matrix, dim=1, keepdim=True)


def _divisors(norms: torch.Tensor) -> torch.Tensor:
    """Norms that can be divided by: zero becomes tiny, and zero over it is zero."""
    return norms.clamp_min(torch.finfo(norms.dtype).tiny)


def balance(network: Network) -> Network:
    """Rescale every neuron to ``||a_j|| = ||(w_j, b_j)||`` (theory eq. 3)."""
    amplitude_norms, weight_norms = (
        row_norms(network.amplitudes),
        row_norms(network.weights),
    )
    size = (amplitude_norms * weight_norms).sqrt_()
    return Network.from_parts(
        network.weights * (size / _divisors(weight_norms)),
        network.amplitudes * (size / _divisors(amplitude_norms)),
    )


def weighted_mean(networks: Sequence[Network], shares: Sequence[float]) -> Network:
    """The weighted mean of networks, with the neurons of all.

    The best linear part beside them is the weighted mean of theirs, since it is linear
    in the neurons' outputs.
    """
    amplitudes = [
        share * network.amplitudes
        for network, share in zip(networks, shares, strict=True)
    ]
    weights = torch.cat([network.weights for network in networks])
    return balance(Network.from_parts(weights, torch.cat(amplitudes)))


def prune(network: Network, prune_tol: float) -> Network:
    """Drop neurons whose mass is at most ``prune_tol`` times the largest."""
    if network.n_neurons == 0:
        return network
    masses = network.masses
    return network.take(masses > prune_tol * masses.max())


def merge(network: Network, angle: float) -> Network:
    """Replace neurons that share a line, up to ``angle`` radians, by one.

    The heaviest neuron left takes in all that lie within ``angle`` of its line: their
    effects ``a_j ||w_j||`` are added, and their directions, signed to agree with it,
    are averaged by the share of the effect (theory eq. 8), which is negative where one
    takes back what others do. ``u`` and ``-u`` are one line because their features
    differ by a linear function. The result is balanced.
    """
    # In NumPy, whose operations on so few numbers take a quarter of torch's.
    directions, masses = network.directions.numpy(), network.masses.numpy()
    effects = (network.amplitudes * row_norms(network.weights)).numpy()
    cosines = directions @ directions.T
    same_line = np.abs(cosines) >= math.cos(angle)
    free = np.ones(len(masses), dtype=bool)
    merged_directions, merged_effects = [], []
    for j in np.argsort(-masses, kind="stable"):
        if not free[j]:
            continue
        group = free & same_line[j]
        group[j] = True
        free &= ~group
        effect = effects[group].sum(axis=0)
        share = effects[group] @ effect
        if not share.any():  # they cancel, and the direction is of no effect
            share = masses[group]
        signed = share * np.sign(cosines[j, group])
        merged_directions.append(signed @ directions[group])
        merged_effects.append(effect)
    if not merged_directions:
        return network
    weights, amplitudes = map(np.stack, (merged_directions, merged_effects))
    return balance(
        Network.from_parts(
            unit_rows(torch.from_numpy(weights)), torch.from_numpy(amplitudes)
        )
    )


def merged_pairs(network: Network, angle: float) -> Iterator[Network]:
    """Networks with two neurons within ``angle`` made one, the closest two first."""
    directions = network.directions.numpy()
    pairs = np.triu_indices(network.n_neurons, 1)
    cosines = np.abs((directions @ directions.T)[pairs])
    for k in np.argsort(-cosines, kind="stable"):
        if cosines[k] < math.cos(angle):
            break
        pair = [int(index[k]) for index in pairs]
        others = [j for j in range(network.n_neurons) if j not in pair]
        # The angle may be rounded, and all pairs but this one are out of reach.
        one = merge(network.take(pair), angle + 1e-6)
        yield network.take(others).joined_by(one)
