"""How many neurons, and which: dropped, merged and added while the criterion falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.peaks import FOR_BIRTHS, Effort, find_peaks
from sklearn_twolayer._descent import ended
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.fixed_directions import AmplitudeFit
from sklearn_twolayer._network.network import Network, merge, merged_pairs, prune
from sklearn_twolayer._network.objective import objective_at, residual_at

if TYPE_CHECKING:
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.criterion import Criterion

FIRST_MERGE = 0.25  # radians
LEAST_MASS = 1e-2  # relative to the largest, after the first descent
# Neurons that are worth less than this share of their price before anything else has
# adapted are dropped at once; measured, the true ones are worth more after the merge.
CHEAP = 0.5
# Rise of the residual, in prices, above which no descent was ever seen to make up for
# a removal; and the gain below which none made a birth worth its price.
HOPELESS_REMOVAL = 4.0
HOPELESS_BIRTH = 0.55
HOPELESS_BIRTH_IN_SPAN = 0.1
CLOSE = 0.8  # radians between neurons that are tried as one
APART = 0.3  # radians between births
MOST_BIRTHS = 6
MOST_ROUNDS = 30
# Parameters above which scaling costs more than the evaluations that it saves. Measured
# on tables: trials of 20 scaled steps take two thirds of the time of 40 plain ones, and
# the criterion ends lower; with Gauss-Newton steps, 6 or 30, it ends higher.
MOST_SCALED = 500
# Share of a neuron's price that one step of a scaled trial must gain to go on. Of many
# rows the price is a small part of the loss: at 125,000, trials that ended at a fall of
# 1e-5 kept a neuron too many.
LEAST_GAIN = 1e-3
# Where no neuron lives. Measured on waves along one direction, whose peaks few ascents
# end at: found on 10 data sets of 10, with FOR_BIRTHS on 9.
FROM_NOTHING = Effort(n_random=200, n_nearby=0, n_refined=8, n_steps=8)
IN_SPAN = Effort(n_random=12, n_nearby=0, n_refined=6, n_steps=8)


@dataclass(frozen=True)
class Steps:
    """How far to descend: most steps, and the relative fall that ends them.

    Gauss-Newton is taken up to ``few_entries = n_samples * n_parameters**2``, then
    quasi-Newton, scaled up to ``MOST_SCALED`` parameters.
    """

    few_entries: float
    gauss_newton: tuple[int, float]
    scaled: tuple[int, float]
    quasi_newton: tuple[int, float]


TRIAL = Steps(2e6, gauss_newton=(6, 1e-3), scaled=(20, 1e-5), quasi_newton=(40, 1e-7))
FINAL = Steps(1e8, gauss_newton=(10, 1e-6), scaled=(60, 1e-8), quasi_newton=(150, 1e-9))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network refitted without decay, its criterion and the steps it took."""

    network: Network
    value: float
    n_iter: int
    has_grown: bool = False  # by neurons that were added


def thinned(rows: Rows, criterion: Criterion, network: Network) -> Network:
    """Merge and drop neurons roughly, before anything is refitted.

    The optimum with decay has clusters of neurons around a true direction, and more on
    noise.
    """
    network = prune(merge(network, FIRST_MERGE), LEAST_MASS)
    return drop_cheap(rows, network, criterion)


def choose_neurons(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    n_iter: int,
    max_iter: int,
    generator: torch.Generator,
    *,
    removals: bool = True,
    births: bool = True,
) -> Candidate:
    """Refit a network roughly without decay, with the neurons worth their price.

    Neurons are merged and dropped at first if ``removals``, and then added if
    ``births``, as long as the criterion falls. The network without neurons is kept
    where rounding makes all others worse.
    """
    best = refit(rows, criterion, network, n_iter)
    if residual_at(rows, best.network).squares < rows.exact:
        return best
    if removals:
        best = eliminate(rows, criterion, best, max_iter)
    if births:
        best = grow(rows, criterion, best, max_iter, generator)
    linear = Candidate(Network.empty(rows), criterion.value(0.5, 0), best.n_iter)
    return best if best.value < linear.value else linear


def refit(rows: Rows, criterion: Criterion, network: Network, n_iter: int) -> Candidate:
    """Descend roughly without decay; the criterion there."""
    max_iter, tol = TRIAL.scaled
    tol = min(tol, LEAST_GAIN * criterion.price / criterion.n_values)
    steps = replace(TRIAL, scaled=(max_iter, tol))
    network, used = descended(rows, network, 0.0, steps)
    loss = objective_at(rows, network, 0.0)[0]
    return Candidate(network, criterion.value(loss, network.n_neurons), n_iter + used)


def descended(
    rows: Rows, network: Network, lambda_: float, steps: Steps
) -> tuple[Network, int]:
    """Descend by what is faster; the steps used."""
    n_parameters = network.parameters.numel()
    if rows.n_samples * n_parameters**2 <= steps.few_entries:
        max_iter, tol = steps.gauss_newton
        return gauss_newton(rows, network, lambda_, max_iter=max_iter, tol=tol)
    scaled = n_parameters <= MOST_SCALED
    max_iter, tol = steps.scaled if scaled else steps.quasi_newton
    return quasi_newton(
        rows, network, lambda_, max_iter=max_iter, tol=tol, scaled=scaled
    )


def drop_cheap(rows: Rows, network: Network, criterion: Criterion) -> Network:
    """Drop neurons that are hardly worth their price as they are, cheapest first."""
    fit = AmplitudeFit.of(rows, network.directions)
    while fit.n_neurons:
        costs = fit.costs()
        cheapest = int(costs.argmin())
        if criterion.prices(fit.squares, costs[cheapest]) >= CHEAP:
            break
        fit = fit.without(cheapest)
    return fit.network()


def first_better(
    rows: Rows, criterion: Criterion, best: Candidate, networks: Iterator[Network]
) -> tuple[Candidate, bool]:
    """The first of the networks that is better when refitted, and whether one is.

    Without one it is ``best``, with the steps that the trials took.
    """
    for network in networks:
        trial = refit(rows, criterion, network, best.n_iter)
        if trial.value < best.value:
            return trial, True
        best = replace(best, n_iter=trial.n_iter)
    return best, False


def eliminate(
    rows: Rows, criterion: Criterion, best: Candidate, max_iter: int
) -> Candidate:
    """Drop or merge neurons as long as the refitted criterion falls."""
    improved = True
    while improved and not ended(best.n_iter, max_iter):
        smaller = smaller_networks(rows, criterion, best.network)
        best, improved = first_better(rows, criterion, best, smaller)
    return best


def smaller_networks(
    rows: Rows, criterion: Criterion, network: Network
) -> Iterator[Network]:
    """Networks with one neuron less that may be worth a refit, the likeliest first.

    Without either of the two neurons that are worth least, or with the closest two
    made one, all with the best amplitudes.
    """
    if network.n_neurons == 0:
        return iter(())
    fit = AmplitudeFit.of(rows, network.directions)
    cheapest = np.argsort(fit.costs(), kind="stable")[:2]
    fits = [fit.without(j) for j in cheapest]
    merged = next(merged_pairs(network, CLOSE), None)
    if merged is not None:
        fits.append(AmplitudeFit.of(rows, merged.directions))
    rises = [criterion.prices(fit.squares, less.squares - fit.squares) for less in fits]
    order = np.argsort(rises, kind="stable")
    return (fits[j].network() for j in order if rises[j] <= HOPELESS_REMOVAL)


def grow(
    rows: Rows,
    criterion: Criterion,
    best: Candidate,
    max_iter: int,
    generator: torch.Generator,
) -> Candidate:
    """Add neurons as long as the refitted criterion falls."""
    for _ in range(MOST_ROUNDS):
        if ended(best.n_iter, max_iter):
            break
        larger = larger_networks(rows, criterion, best.network, generator)
        best, improved = first_better(rows, criterion, best, larger)
        if not improved:
            break
        best = eliminate(rows, criterion, best, max_iter)
        best = replace(best, has_grown=True)
    return best


def larger_networks(
    rows: Rows, criterion: Criterion, network: Network, generator: torch.Generator
) -> Iterator[Network]:
    """Networks with more neurons that may be worth a refit, the likeliest first.

    The residual's peaks over all directions, then over those in the span of the living
    ones. There a peak of noise is lower, by the root of the ratio of the dimensions,
    and a true direction between others, of which a neuron in the middle has taken
    the larger part, stands out.
    """
    residual = residual_at(rows, network)
    effort = FOR_BIRTHS if network.n_neurons else FROM_NOTHING
    peaks = find_peaks(rows, residual, network.directions, generator, effort)
    yield from joined(rows, criterion, network, peaks.directions, HOPELESS_BIRTH)
    if network.n_neurons > 1:
        directions = peaks_in_span(rows, residual, network, generator)
        yield from joined(rows, criterion, network, directions, HOPELESS_BIRTH_IN_SPAN)


def peaks_in_span(
    rows: Rows, residual: Residual, network: Network, generator: torch.Generator
) -> torch.Tensor:
    """Directions of the residual's peaks within the span of the living directions."""
    directions = network.directions
    _, sizes, span = torch.linalg.svd(directions, full_matrices=False)
    span = span[sizes > 1e-3 * sizes[0]]
    seen = rows.projected(span)
    peaks = find_peaks(seen, residual, directions @ span.T, generator, IN_SPAN)
    return peaks.directions @ span


def joined(
    rows: Rows,
    criterion: Criterion,
    network: Network,
    directions: torch.Tensor,
    hopeless: float,
) -> Iterator[Network]:
    """The network with those of the directions that gain most; with the best alone."""
    n_living = network.n_neurons
    fit = AmplitudeFit.of(rows, torch.cat([network.directions, directions]))
    present = fit.take(range(n_living))
    squares, gains = present.squares, fit.gains(present)
    worth = [criterion.prices(max(squares - gain, 0.0), gain) for gain in gains]
    cosines = (directions @ directions.T).abs().numpy()
    chosen: list[int] = []
    for j in np.argsort(worth)[::-1].tolist():
        if worth[j] < hopeless or len(chosen) == MOST_BIRTHS:
            break
        if not (cosines[j, chosen] > math.cos(APART)).any():
            chosen.append(j)
    living = list(range(n_living))
    several = [n_living + j for j in chosen if worth[j] >= 1.0]
    if len(several) > 1:
        yield drop_cheap(rows, fit.take(living + several).network(), criterion)
    if chosen:
        yield fit.take([*living, n_living + chosen[0]]).network()
