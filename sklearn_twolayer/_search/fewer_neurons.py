"""A small network with nearly the outputs of a large one.

A large network is the mean of many, whose noise has cancelled. A small one that is
fitted to its outputs is therefore better than one that is fitted to the targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._network.fixed_directions import AmplitudeFit
from sklearn_twolayer._network.network import Network, balance, merged_pairs
from sklearn_twolayer._network.objective import objective_at, relu_activations
from sklearn_twolayer._rows.reweighed import with_other_targets
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.choose_neurons import descend
from sklearn_twolayer._search.exact import is_overdetermined

if TYPE_CHECKING:
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.tuning import SearchTuning

# Neurons are dropped without refits until there are only so many times too many.
# Measured on means of 100 to 500 neurons that become 12: errors with 3, 5 and 10 are
# alike, those with 1 and 2 larger on some tables; 5 takes twice the time of 3.
BEGIN_AT = 3
# Neurons whose removal is tried with a refit, those that cost least (convention).
MOST_REMOVALS = 2


def fewer_neurons(
    rows: Rows, network: Network, most: int, tuning: SearchTuning
) -> Network:
    """A network of at most ``most`` neurons whose outputs are near to those given.

    The neurons that cost least are dropped, or the closest two merged, one at a time.
    Each time the network is refitted to the outputs of the one given, on all rows and
    up to a linear part, unless it has so many parameters that it would interpolate
    them.
    """
    if network.n_neurons <= most:
        return network
    for smaller in smaller_and_smaller(rows, network, BEGIN_AT * most, tuning):
        network = smaller
        if network.n_neurons <= most or limit_reached():
            break
    return _cheapest_dropped(rows, network, most)


def smaller_and_smaller(
    rows: Rows, network: Network, most: int, tuning: SearchTuning
) -> Iterator[Network]:
    """Networks with nearly the outputs of one, each with a neuron less than the last.

    The first has ``most`` neurons, or all if these are fewer; the last has none.
    """
    target, size = _with_outputs(rows, network)
    network = _cheapest_dropped(target, network, most)
    while True:
        yield balance(Network.from_parts(network.weights, network.amplitudes * size))
        if network.n_neurons == 0:
            return
        trials = [
            descend(target, trial, 0.0, tuning.trial)
            if is_overdetermined(rows, trial)
            else trial
            for trial in _smaller(target, network, tuning)
        ]
        network = min(trials, key=lambda trial: objective_at(target, trial, 0.0)[0])


def _cheapest_dropped(rows: Rows, network: Network, most: int) -> Network:
    """The network without the neurons that cost least, as it is but for amplitudes."""
    if network.n_neurons <= most:
        return network
    fit = AmplitudeFit.of(rows, network.directions)
    while fit.n_neurons > most:
        fit = fit.without(int(fit.costs().argmin()))
    return fit.network()


def _smaller(rows: Rows, network: Network, tuning: SearchTuning) -> list[Network]:
    """Networks with one neuron less, of amplitudes that are the least squares."""
    fit = AmplitudeFit.of(rows, network.directions)
    cheapest = fit.costs().argsort(kind="stable")[:MOST_REMOVALS]
    smaller = [fit.without(int(j)) for j in cheapest]
    merged = next(merged_pairs(network, tuning.pair_angle), None)
    if merged is not None:
        smaller.append(AmplitudeFit.of(rows, merged.directions))
    return [one.network() for one in smaller]


def _with_outputs(rows: Rows, network: Network) -> tuple[Rows, float]:
    """The rows with a network's outputs as targets, and what they were divided by."""
    sent = rows.sent(network.weights, network.amplitudes)
    outputs = rows.keep(_outputs, *sent)
    return with_other_targets(rows, rows.parts.made(outputs))


def _outputs(part: Part, weights: torch.Tensor, amplitudes: torch.Tensor) -> Part:
    weights, amplitudes = part.cast(weights), part.cast(amplitudes)
    outputs = torch.empty_like(part.targets)
    for rows in part.blocks(len(weights)):
        activations = relu_activations(part.inputs.block(rows), weights)
        outputs[rows] = activations.T @ amplitudes
    return replace(part, targets=outputs)
