"""Where a search without a schedule begins: one decay near the noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.fixed_directions import AmplitudeFit, fit_output_layer
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import counted, noise_level
from sklearn_twolayer._network.objective import objective_at
from sklearn_twolayer._search.exact import coarsely_merged, find_exact, recover_exactly

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows

FIRST_DECAY = 0.1  # of lambda_max, where the noise level is lower
FIRST_STEPS = 12  # then a shot at an exact network
NEXT_STEPS = 13
# Share of the targets' variance left after the first descent above which the data are
# noisy. Measured without noise: at most 0.08.
NOISY = 0.1


@dataclass(frozen=True, eq=False)
class BoldStart:
    """A network, its decay, the steps it took, and whether it is exact."""

    network: Network
    lambda_: float
    n_iter: int
    is_exact: bool = False


def bold_start(rows: Rows, start: PathStart, generator: torch.Generator) -> BoldStart:
    """A network at the noise level, or an exact one if the data allow it."""
    if start.lambda_max == 0.0:
        return BoldStart(Network.empty(rows), 0.0, 0, is_exact=True)
    network, lambda_ = at_noise_level(rows, start)
    network, n_iter = quasi_newton(
        rows, network, lambda_, max_iter=FIRST_STEPS, tol=1e-7
    )
    if not _is_noisy(rows, network):
        few = coarsely_merged(network)
        exact, used = find_exact(rows, start, few, generator)
        n_iter += used
        if exact is not None:
            return BoldStart(exact, lambda_, n_iter, is_exact=True)
    network, used = quasi_newton(rows, network, lambda_, max_iter=NEXT_STEPS, tol=1e-7)
    n_iter += used
    if not _is_noisy(rows, network):
        exact, used = recover_exactly(rows, start, network, generator)
        n_iter += used
        if exact is not None:
            return BoldStart(exact, lambda_, n_iter, is_exact=True)
    return BoldStart(network, lambda_, n_iter)


def _is_noisy(rows: Rows, network: Network) -> bool:
    """Whether so much is left that no small network fits exactly."""
    return AmplitudeFit.of(rows, network.directions).squares > NOISY


def at_noise_level(rows: Rows, start: PathStart) -> tuple[Network, float]:
    """Early features and output layer at the decay that the noise asks for.

    The noise is estimated from what the early features leave, which is too much, but
    any decay within a factor of two will do.
    """
    lambda_ = FIRST_DECAY * start.lambda_max
    network = fit_output_layer(rows, start.directions, lambda_)
    rows = counted(rows, network)
    level = noise_level(rows, 2.0 * objective_at(rows, network, 0.0)[0])
    if level > lambda_:
        lambda_ = level
        network = fit_output_layer(rows, start.directions, lambda_)
    return network, lambda_
