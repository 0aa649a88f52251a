"""The network as an array of neurons: balancing, pruning and merging."""

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
        Each row is one neuron: its amplitudes, followed by its hidden weights. The
        last hidden weight multiplies the constant input if there are hidden biases.
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
        """A network of the same layout with other parameter values."""
        return Network(parameters, self.n_outputs)

    def take(self, index: torch.Tensor | list[int]) -> Network:
        """The neurons at ``index`` (integers or a mask), in that order."""
        return self.moved_to(self.parameters[index])

    def joined_by(self, other: Network) -> Network:
        """These neurons, followed by the neurons of ``other``."""
        return self.moved_to(torch.cat([self.parameters, other.parameters]))


def unit_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Rows scaled to norm one; zero rows stay zero."""
    return matrix / _divisors(row_norms(matrix))


def row_norms(matrix: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each row, as a column."""
    norms: torch.Tensor = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
    return norms


def _divisors(norms: torch.Tensor) -> torch.Tensor:
    """Norms with zero replaced by the smallest normal number; 0 divided by it is 0."""
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
    """The network whose output is the weighted mean of the networks' outputs.

    It has the neurons of all networks. The best linear part is linear in the neurons'
    outputs, so that of the mean is the weighted mean of the networks' linear parts.
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


def merge(network: Network, angle: float, *, lines: bool = True) -> Network:
    """Replace neurons that share a line, up to ``angle`` radians, by one.

    In turn, the neuron with the largest mass among those that are not merged yet takes
    in all others within ``angle`` of its line. Their effects ``a_j ||w_j||`` are added.
    Their directions, with signs that agree with its own, are averaged with weights
    ``e_j . e``, where ``e`` is the sum of the effects ``e_j`` (theory eq. 8); a weight
    is negative where an effect opposes the sum. ``u`` and ``-u`` are one line because
    their features differ by a linear function. A shrunk linear part has to pay for this
    function: unless the objective is compared afterwards, ``lines`` must then be False,
    and only neurons of one direction are merged. The result is balanced.
    """
    # NumPy, because its operations on so few numbers take a quarter of the time of
    # torch's.
    directions, masses = network.directions.numpy(), network.masses.numpy()
    effects = (network.amplitudes * row_norms(network.weights)).numpy()
    cosines = directions @ directions.T
    same_line = (np.abs(cosines) if lines else cosines) >= math.cos(angle)
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
        if not share.any():  # the effects cancel, so that any direction will do
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
    """Yield the network with one pair within ``angle`` merged, closest pair first."""
    directions = network.directions.numpy()
    pairs = np.triu_indices(network.n_neurons, 1)
    cosines = np.abs((directions @ directions.T)[pairs])
    for k in np.argsort(-cosines, kind="stable"):
        if cosines[k] < math.cos(angle):
            break
        pair = [int(index[k]) for index in pairs]
        others = [j for j in range(network.n_neurons) if j not in pair]
        # The slack makes exactly these two merge, whatever the cosine's rounding.
        merged = merge(network.take(pair), angle + 1e-6)
        yield network.take(others).joined_by(merged)
