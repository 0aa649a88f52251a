"""The choice of neurons: dropped, merged and added while the criterion falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.peaks import FOR_BIRTHS, find_peaks
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.fixed_directions import AmplitudeFit
from sklearn_twolayer._network.network import Network, merge, merged_pairs, prune
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._runtime.limits import limit_reached

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.peaks import Effort
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.criterion import Criterion
    from sklearn_twolayer._search.tuning import DescentSteps, SearchTuning


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network refitted without decay, and its criterion.

    ``has_births`` tells whether neurons were added to it.
    """

    network: Network
    value: float
    has_births: bool = False


def merge_and_drop(
    rows: Rows, criterion: Criterion, network: Network, tuning: SearchTuning
) -> Network:
    """Merge and drop neurons roughly, before the first refit.

    The optimum with decay has a cluster of neurons around each true direction, and
    further neurons that fit noise.
    """
    network = prune(merge(network, tuning.coarse_angle), tuning.least_mass)
    return drop_below_price(rows, criterion, network, tuning)


def choose_neurons(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
    *,
    removals: bool = True,
    births: bool = True,
) -> Candidate:
    """Refit a network roughly without decay, and choose its neurons by the criterion.

    With ``removals``, neurons are first merged and dropped; with ``births``, neurons
    are then added; both as long as the criterion falls. The linear model is returned if
    its criterion is not higher, which happens if there is nothing to fit but rounding
    errors.
    """
    network = drop_interpolating(rows, criterion, network)
    best = refit(rows, criterion, network, tuning)
    if residual_at(rows, best.network).squares < rows.exact:
        return best
    if removals:
        best = backward_elimination(rows, criterion, best, tuning)
    if births:
        best = forward_selection(rows, criterion, best, generator, tuning)
    linear = Candidate(Network.empty(rows), criterion.value(0.5, 0))
    return best if best.value < linear.value else linear


def refit(
    rows: Rows, criterion: Criterion, network: Network, tuning: SearchTuning
) -> Candidate:
    """Descend roughly without decay, and evaluate the criterion there."""
    max_iter, tol = tuning.trial.scaled
    tol = min(tol, tuning.least_gain * criterion.price / criterion.n_values)
    steps = replace(tuning.trial, scaled=(max_iter, tol))
    network = descend(rows, network, 0.0, steps)
    loss = objective_at(rows, network, 0.0)[0]
    return Candidate(network, criterion.value(loss, network.n_neurons))


def descend(
    rows: Rows, network: Network, lambda_: float, steps: DescentSteps
) -> Network:
    """Descend by Gauss-Newton or quasi-Newton, whichever is faster."""
    n_parameters = network.parameters.numel()
    if rows.n_samples * n_parameters**2 <= steps.gauss_newton_cost:
        max_iter, tol = steps.gauss_newton
        return gauss_newton(rows, network, lambda_, max_iter=max_iter, tol=tol)[0]
    scaled = n_parameters <= steps.scaled_parameters
    max_iter, tol = steps.scaled if scaled else steps.quasi_newton
    return quasi_newton(
        rows, network, lambda_, max_iter=max_iter, tol=tol, scaled=scaled
    )


def drop_below_price(
    rows: Rows, criterion: Criterion, network: Network, tuning: SearchTuning
) -> Network:
    """Drop neurons that are hardly worth their price as they are, cheapest first.

    Neurons that are more than the values allow are dropped, too.
    """
    return _drop_cheapest(rows, criterion, network, tuning.cheap)


def drop_interpolating(rows: Rows, criterion: Criterion, network: Network) -> Network:
    """Drop neurons that are more than the values allow, cheapest first."""
    if network.n_neurons <= criterion.most_neurons:
        return network
    return _drop_cheapest(rows, criterion, network, 0.0)


def _drop_cheapest(
    rows: Rows, criterion: Criterion, network: Network, least_prices: float
) -> Network:
    if criterion.most_neurons == 0:
        return Network.empty(rows)
    fit = AmplitudeFit.of(rows, network.directions)
    while fit.n_neurons:
        costs = fit.costs()
        cheapest = int(costs.argmin())
        is_worth = criterion.prices(fit.squares, costs[cheapest]) >= least_prices
        if is_worth and fit.n_neurons <= criterion.most_neurons:
            break
        fit = fit.without(cheapest)
    return fit.network()


def first_improvement(
    rows: Rows,
    criterion: Criterion,
    best: Candidate,
    networks: Iterator[Network],
    tuning: SearchTuning,
) -> Candidate | None:
    """Refit the networks in turn; return the first better than ``best``, or None."""
    for network in networks:
        trial = refit(rows, criterion, network, tuning)
        if trial.value < best.value:
            return trial
    return None


def backward_elimination(
    rows: Rows, criterion: Criterion, best: Candidate, tuning: SearchTuning
) -> Candidate:
    """Drop or merge neurons as long as the refitted criterion falls."""
    while not limit_reached():
        smaller = smaller_networks(
            rows, criterion, best.network, tuning, tuning.hopeless_removal
        )
        better = first_improvement(rows, criterion, best, smaller, tuning)
        if better is None:
            break
        best = better
    return best


def smaller_networks(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    tuning: SearchTuning,
    most_prices: float,
) -> Iterator[Network]:
    """Networks with one neuron less that may be worth a refit, most promising first.

    Each of the two neurons that cost least is left out, and the closest pair is merged.
    The amplitudes of each network are the least squares solution.
    """
    if network.n_neurons == 0:
        return iter(())
    fit = AmplitudeFit.of(rows, network.directions)
    cheapest = np.argsort(fit.costs(), kind="stable")[:2]
    fits = [fit.without(j) for j in cheapest]
    merged = next(merged_pairs(network, tuning.pair_angle), None)
    if merged is not None:
        fits.append(AmplitudeFit.of(rows, merged.directions))
    rises = [criterion.prices(fit.squares, less.squares - fit.squares) for less in fits]
    order = np.argsort(rises, kind="stable")
    return (fits[j].network() for j in order if rises[j] <= most_prices)


def forward_selection(
    rows: Rows,
    criterion: Criterion,
    best: Candidate,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Candidate:
    """Add neurons as long as the refitted criterion falls."""
    for _ in range(tuning.most_rounds):
        is_full = best.network.n_neurons >= criterion.most_neurons
        if is_full or limit_reached():
            break
        larger = larger_networks(rows, criterion, best.network, generator, tuning)
        better = first_improvement(rows, criterion, best, larger, tuning)
        if better is None:
            break
        best = backward_elimination(rows, criterion, better, tuning)
        best = replace(best, has_births=True)
    return best


def larger_networks(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Iterator[Network]:
    """Networks with more neurons that may be worth a refit, most promising first.

    Neurons are added at the peaks of the residual over all directions, then at those
    over directions in the span of the living ones. In the span, of dimension ``s``, the
    peaks of noise are lower by ``sqrt(s / n_inputs)``. A true direction may be visible
    only there: a neuron between two true directions fits most of both, so that the peak
    left by them is lower than those of noise over all directions.
    """
    residual = residual_at(rows, network)
    effort = FOR_BIRTHS if network.n_neurons else tuning.births_from_nothing
    peaks = find_peaks(rows, residual, network.directions, generator, effort)
    yield from networks_with_births(
        rows, criterion, network, peaks.directions, tuning.hopeless_birth, tuning
    )
    if network.n_neurons > 1:
        effort = tuning.births_in_span
        directions = peaks_in_span(rows, residual, network, generator, effort)
        yield from networks_with_births(
            rows, criterion, network, directions, tuning.hopeless_birth_in_span, tuning
        )


def peaks_in_span(
    rows: Rows,
    residual: Residual,
    network: Network,
    generator: torch.Generator,
    effort: Effort,
) -> torch.Tensor:
    """Directions of the residual's peaks within the span of the living directions."""
    directions = network.directions
    _, sizes, vectors = torch.linalg.svd(directions, full_matrices=False)
    span: torch.Tensor = vectors[sizes > 1e-3 * sizes[0]]
    seen = rows.projected(span)
    peaks = find_peaks(seen, residual, directions @ span.T, generator, effort)
    return peaks.directions @ span


def networks_with_births(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    directions: torch.Tensor,
    hopeless: float,
    tuning: SearchTuning,
) -> Iterator[Network]:
    """The network with the best few of the directions added, then with the best one.

    The gains of the directions are estimated by least squares over the amplitudes.
    """
    n_living = network.n_neurons
    fit = AmplitudeFit.of(rows, torch.cat([network.directions, directions]))
    present = fit.take(range(n_living))
    squares, gains = present.squares, fit.gains(present)
    worth = [criterion.prices(max(squares - gain, 0.0), gain) for gain in gains]
    cosines = (directions @ directions.T).abs().numpy()
    chosen: list[int] = []
    for j in np.argsort(worth)[::-1].tolist():
        if worth[j] < hopeless or len(chosen) == tuning.most_births:
            break
        if not (cosines[j, chosen] > math.cos(tuning.births_apart)).any():
            chosen.append(j)
    living = list(range(n_living))
    several = [n_living + j for j in chosen if worth[j] >= 1.0]
    if len(several) > 1:
        larger = fit.take(living + several).network()
        yield drop_below_price(rows, criterion, larger, tuning)
    if chosen:
        yield fit.take([*living, n_living + chosen[0]]).network()
