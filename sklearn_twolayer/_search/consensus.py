"""One network for several that fit about equally well.

Where the data do not determine the directions, searches from different random starts
end at different networks. Their mean has less of what only one of them found by chance,
and a small network that is fitted to it predicts better than one of them. Measured with
four searches on three tables (``benchmarks/directions.py --part tables``): R2 rises by
0.010, 0.008 and 0.002, and the numbers of features differ less from one random state to
another. On Friedman's first problem their directions recur, too. Eight searches are no
better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sklearn_twolayer._network.network import Network, merge, weighted_mean
from sklearn_twolayer._network.objective import objective_at
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.choose_neurons import Candidate, refit
from sklearn_twolayer._search.confirm import confirm_neurons
from sklearn_twolayer._search.fewer_neurons import smaller_and_smaller

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.criterion import Criterion
    from sklearn_twolayer._search.tuning import SearchTuning

# The first network that is fitted to the mean has this many times the neurons of the
# largest network, and the last has a criterion that is so many prices above the least
# (conventions).
TIMES_LARGEST = 2
PRICES_ABOVE = 3.0


def agree(first: Network, second: Network, tuning: SearchTuning) -> bool:
    """Whether two networks have the same directions, up to the angle of fine merges."""
    both = merge(weighted_mean([first, second], [0.5, 0.5]), tuning.fine_angle)
    return both.n_neurons == first.n_neurons == second.n_neurons


def consensus(
    rows: Rows,
    networks: Sequence[Network],
    criterion: Criterion,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network:
    """The network of the least criterion among those that are near to the mean.

    Networks of fewer and fewer neurons are fitted to the outputs of the mean. The one
    that the criterion chooses is refitted to the targets.
    """
    mean = weighted_mean(networks, [1.0 / len(networks)] * len(networks))
    most = min(
        TIMES_LARGEST * max(network.n_neurons for network in networks),
        criterion.most_neurons,
    )
    best = Candidate(networks[0], float("inf"))
    for network in smaller_and_smaller(rows, mean, most, tuning):
        loss = objective_at(rows, network, 0.0)[0]
        own = Candidate(network, criterion.value(loss, network.n_neurons))
        best = min(own, best, key=lambda one: one.value)
        if limit_reached() or own.value > best.value + PRICES_ABOVE * criterion.price:
            break
    best = refit(rows, criterion, best.network, tuning)
    return confirm_neurons(rows, criterion, best, generator, tuning).network
