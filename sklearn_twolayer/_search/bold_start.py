"""The first network of a search without a schedule, at one decay near the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.fixed_directions import AmplitudeFit, fit_output_layer
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import noise_level, with_effective_size
from sklearn_twolayer._network.objective import objective_at
from sklearn_twolayer._search.exact import (
    find_exact_network,
    merge_coarsely,
    recover_at_small_decays,
)

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.tuning import SearchTuning


@dataclass(frozen=True, eq=False)
class BoldStart:
    """A network, the decay it was found at, and whether it is exact.

    A network is exact if its residual is only rounding error.
    """

    network: Network
    lambda_: float
    is_exact: bool = False


def bold_start(
    rows: Rows, start: PathStart, generator: torch.Generator, tuning: SearchTuning
) -> BoldStart:
    """Find a network at the noise level, or an exact one if the data allow it."""
    if start.lambda_max == 0.0:
        return BoldStart(Network.empty(rows), 0.0, is_exact=True)
    network, lambda_ = start_at_noise_level(rows, start, tuning)
    network = quasi_newton(
        rows, network, lambda_, max_iter=tuning.first_steps, tol=1e-7
    )
    if not _is_noisy(rows, network, tuning):
        few = merge_coarsely(network, tuning)
        exact = find_exact_network(rows, start, few, generator, tuning)
        if exact is not None:
            return BoldStart(exact, 0.0, is_exact=True)
    network = quasi_newton(rows, network, lambda_, max_iter=tuning.next_steps, tol=1e-7)
    if not _is_noisy(rows, network, tuning):
        exact = recover_at_small_decays(rows, start, network, generator, tuning)
        if exact is not None:
            return BoldStart(exact, 0.0, is_exact=True)
    return BoldStart(network, lambda_)


def _is_noisy(rows: Rows, network: Network, tuning: SearchTuning) -> bool:
    """Whether no small network fits exactly, because the residual is too large.

    With a decay on its linear part, or with known noise, no network does.
    """
    if not rows.may_be_exact:
        return True
    return AmplitudeFit.of(rows, network.directions).squares > tuning.noisy_share


def start_at_noise_level(
    rows: Rows, start: PathStart, tuning: SearchTuning
) -> tuple[Network, float]:
    """Early features and output layer, with the noise level as decay.

    The noise level is estimated from the residual of the early features, which is
    larger than the noise. This is good enough, because any decay within a factor of two
    of the noise level leads to the same networks.
    """
    lambda_ = tuning.first_decay * start.lambda_max
    network = fit_output_layer(rows, start.directions, lambda_)
    rows = with_effective_size(rows, network)
    level = noise_level(rows, 2.0 * objective_at(rows, network, 0.0)[0])
    if level > lambda_:
        lambda_ = level
        network = fit_output_layer(rows, start.directions, lambda_)
    return network, lambda_
