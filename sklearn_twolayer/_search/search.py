"""The search for the number of neurons by an information criterion.

Without a schedule, the search begins with a bold start: early features and output layer
at one decay near the noise level. Then, without decay, neurons are dropped, merged and
added as long as the criterion falls. The last step refits the network with a small
decay in proportion to the variance of the noise. If the data are noiseless, an exact
network is looked for first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import QUICK
from sklearn_twolayer._descent import Descent
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import noise_level, with_effective_size
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._path.stage import Stage, finish_stage
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.bold_start import BoldStart
from sklearn_twolayer._search.choose_neurons import (
    Candidate,
    choose_neurons,
    descend,
    drop_below_price,
    merge_and_drop,
)
from sklearn_twolayer._search.confirm import confirm_neurons
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.exact import descend_from_combinations, refit_with_births

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._runtime.limits import Progress
    from sklearn_twolayer._search.tuning import SearchTuning


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A network that a search found, the decay it began at, and how it ended.

    ``lambda_`` is zero if the network is exact. ``has_births`` tells whether neurons
    were added to those that the search began with.
    """

    network: Network
    lambda_: float
    stopped_by: str = "tol"
    is_exact: bool = False
    has_births: bool = False


def search(
    rows: Rows,
    start: PathStart,
    penalty: float | str,
    generator: torch.Generator,
    begin: Network | BoldStart,
    tuning: SearchTuning,
    *,
    fraction: float = 1.0,
    removals: bool = True,
    births: bool = True,
    most_neurons: float = math.inf,
) -> SearchResult:
    """Find the network that the criterion chooses, from a network or a bold start.

    The criterion uses ``fraction * penalty`` per parameter. ``removals`` and ``births``
    are passed to ``choose_neurons``. A network has at most ``most_neurons``.
    """
    if start.lambda_max == 0.0:
        return SearchResult(Network.empty(rows), 0.0, is_exact=True)
    if isinstance(begin, BoldStart) and begin.is_exact:
        if begin.network.n_neurons <= most_neurons:
            return SearchResult(begin.network, 0.0, is_exact=True)
        begin = begin.network
    network = begin.network if isinstance(begin, BoldStart) else begin
    rows = with_effective_size(rows, network)
    criterion = replace(Criterion.of(rows, penalty, fraction), bound=most_neurons)
    if isinstance(begin, BoldStart):
        lambda_ = begin.lambda_
        network = merge_and_drop(rows, criterion, network, tuning)
    else:
        level = noise_level(rows, 2.0 * objective_at(rows, network, 0.0)[0])
        lambda_ = max(tuning.first_decay * start.lambda_max, level)
    best = choose_neurons(
        rows, criterion, network, generator, tuning, removals=removals, births=births
    )
    exact = exact_near(rows, best.network, generator, tuning)
    if exact is None and births:
        again = restart_from_combinations(
            rows, start, criterion, best, generator, tuning
        )
        if again.network is not best.network:
            exact = exact_near(rows, again.network, generator, tuning)
        best = again
    if exact is not None and exact.n_neurons <= most_neurons:
        return SearchResult(exact, 0.0, is_exact=True, has_births=best.has_births)
    if rows.dispersion is None:  # Otherwise the noise is known, and so is its price.
        best = confirm_neurons(rows, criterion, best, generator, tuning)
    stopped_by = limit_reached() or "tol"
    network = best.network
    if stopped_by == "tol":
        network = shrink(rows, network, tuning)
    return SearchResult(network, lambda_, stopped_by, has_births=best.has_births)


def certify_result(
    rows: Rows,
    result: SearchResult,
    progress: Progress,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Stage:
    """The result as a stage, with its certificate at the first decay of the search."""
    effort = tuning.of_rounding if result.is_exact else QUICK
    known = certify(rows, result.network, result.lambda_, generator, effort)
    descent = Descent(result.network, result.stopped_by, known)
    return finish_stage(
        rows, descent, result.lambda_, progress, generator, refitted=result.network
    )


def exact_near(
    rows: Rows, network: Network, generator: torch.Generator, tuning: SearchTuning
) -> Network | None:
    """An exact network near one with a small residual, or None."""
    if limit_reached() or not rows.may_be_exact:
        return None
    if residual_at(rows, network).squares > tuning.nearly_exact:
        return None
    refit = refit_with_births(rows, network, generator, tuning, tuning.last_cost)
    return refit.network if refit.is_exact else None


def restart_from_combinations(
    rows: Rows,
    start: PathStart,
    criterion: Criterion,
    best: Candidate,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Candidate:
    """Choose neurons again, from many in the span of the directions of the best."""
    if best.network.n_neurons < 2 or limit_reached():
        return best
    network = descend_from_combinations(rows, start, best.network, generator, tuning)
    if network is None:
        return best
    network = drop_below_price(rows, criterion, network, tuning)
    again = choose_neurons(rows, criterion, network, generator, tuning)
    if again.value < best.value:
        return Candidate(again.network, again.value, has_births=True)
    return best


def shrink(rows: Rows, network: Network, tuning: SearchTuning) -> Network:
    """Refit with a small decay in proportion to the variance of the noise.

    Theory eq. (17). The decay lowers the error of noisy fits with many parameters, and
    is zero without noise.
    """
    if network.n_neurons == 0:
        return network
    n_parameters = network.n_neurons * (rows.rank + rows.n_outputs - 1)
    noise = residual_at(rows, network).squares / (rows.n_effective * rows.n_outputs)
    if rows.dispersion is not None:
        noise = rows.dispersion / rows.n_effective
    lambda_ = noise * n_parameters / float(network.masses.sum())
    return descend(rows, network, lambda_, tuning.final)
