"""Exact recovery of a noiseless teacher, without a schedule of decays.

A network is exact if its residual is only rounding error. Three methods are tried in
turn: damped Gauss-Newton refits of a small network, with neurons added at the peaks of
the correlation with the residual; descents from many neurons in the span of those
found; descents at small decays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate.peaks import FOR_BIRTHS, combinations, find_peaks
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._descent.simplify import simplify
from sklearn_twolayer._network.fixed_directions import (
    AmplitudeFit,
    activation_moments,
    fit_output_layer,
)
from sklearn_twolayer._network.network import merge, merged_pairs, prune
from sklearn_twolayer._network.noise import noise_level, with_effective_size
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.peaks import Peaks
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.tuning import SearchTuning


@dataclass(frozen=True, eq=False)
class ExactRefit:
    """The network after Gauss-Newton refits, and whether it is exact."""

    network: Network
    is_exact: bool = False


@dataclass(frozen=True, eq=False)
class RefitOutcome:
    """A network refitted without decay, and the properties of its residual.

    ``peaks`` are the peaks of the correlation with the residual, None if the network is
    exact. ``is_noise`` tells whether the residual looks like noise.
    """

    network: Network
    peaks: Peaks | None
    is_noise: bool


def find_exact_network(
    rows: Rows,
    start: PathStart,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network | None:
    """Find an exact network near a small one, or in the span of its neurons.

    Returns None if no exact network was found, or if the search would be too expensive.
    """
    cost = tuning.cheap_cost
    refit = refit_with_births(rows, network, generator, tuning, cost)
    if not refit.is_exact and gauss_newton_cost(rows, network) <= cost:
        combined = descend_from_combinations(
            rows, start, refit.network, generator, tuning
        )
        if combined is not None:
            refit = refit_with_births(rows, combined, generator, tuning, cost)
    return refit.network if refit.is_exact else None


def refit_with_births(
    rows: Rows,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
    most_cost: float,
) -> ExactRefit:
    """Refit a network by damped Gauss-Newton steps, as long as these are cheap.

    If the network is not exact and its residual does not look like noise, neurons are
    added at the peaks of the correlation, and the network is refitted again.
    """
    refit = ExactRefit(network)
    for _ in range(tuning.most_refits):
        cheap = gauss_newton_cost(rows, network) <= most_cost
        if not (cheap and is_overdetermined(rows, network)):
            break
        tested = refit_and_test(rows, network, generator, tuning)
        if tested.peaks is None:
            return ExactRefit(tested.network, is_exact=True)
        refit = ExactRefit(tested.network)
        if tested.is_noise or limit_reached():
            break
        network = add_neurons_at_peaks(rows, tested.network, tested.peaks, tuning)
    return refit


def gauss_newton_cost(rows: Rows, network: Network) -> int:
    """Multiplications of one Gauss-Newton step, up to a constant factor."""
    return rows.n_samples * network.parameters.numel() ** 2


def is_overdetermined(rows: Rows, network: Network) -> bool:
    """Whether an exact network of this size would be more than an interpolation."""
    return network.n_neurons <= Criterion.of(rows, DEFAULT_PENALTY).most_neurons


def descend_from_combinations(
    rows: Rows,
    start: PathStart,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network | None:
    """Descend from random combinations of a network's directions, and merge.

    If true directions are close to each other in a span of few dimensions, a network
    with too few or misplaced neurons fits nearly as well, and its residual has no high
    peak. But random neurons in the span explain more of this residual than they would
    of noise. Returns None if they do not.
    """
    n_combined = tuning.n_combined
    combined = combinations(network.directions, n_combined, generator)
    directions = torch.cat([network.directions, combined])
    rows = with_effective_size(rows, network)
    left = AmplitudeFit.of(rows, directions).squares
    explained = 1.0 - left / residual_at(rows, network).squares
    if explained < tuning.more_than_noise * n_combined / rows.n_effective:
        return None
    lambda_ = max(
        tuning.combined_decay * start.lambda_max,
        tuning.combined_noise * noise_level(rows, left),
    )
    network = fit_output_layer(rows, directions, lambda_)
    network = quasi_newton(
        rows, network, lambda_, max_iter=tuning.small_decay_steps, tol=1e-8
    )
    return prune(merge(network, tuning.fine_angle), tuning.light_mass)


def merge_coarsely(network: Network, tuning: SearchTuning) -> Network:
    """Merge and prune a wide network to the few neurons that Gauss-Newton begins at."""
    return prune(merge(network, tuning.coarse_angle), tuning.light_mass)


def recover_at_small_decays(
    rows: Rows,
    start: PathStart,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network | None:
    """Look for a small exact network; return None if none was found.

    From a wide ``network``, take a few quasi-Newton steps at a small decay, merge
    neurons as far as the objective allows, then refit by Gauss-Newton without decay. If
    the network is not exact, add neurons at the peaks of the correlation and repeat.
    Give up if the residual looks like noise or too many neurons remain.
    """
    network = prune(merge(network, tuning.fine_angle), tuning.least_mass)
    for _ in range(tuning.small_decay_rounds):
        few_neurons = False
        for decay, most_parameters in tuning.small_decays:
            lambda_ = decay * start.lambda_max
            network = quasi_newton(
                rows, network, lambda_, max_iter=tuning.small_decay_steps, tol=1e-8
            )
            network = simplify(
                rows, network, lambda_, slack=tuning.merge_slack, to_the_end=False
            )
            is_small = network.parameters.numel() <= most_parameters
            if not is_small or not is_overdetermined(rows, network):
                continue
            few_neurons = True
            tested = refit_and_test(rows, network, generator, tuning)
            if tested.peaks is None:
                return tested.network
            if tested.is_noise:
                return None
        if not few_neurons or limit_reached():
            return None
        residual = residual_at(rows, network)
        peaks = find_peaks(rows, residual, network.directions, generator, FOR_BIRTHS)
        network = add_neurons_at_peaks(rows, network, peaks, tuning)
    return None


def refit_and_test(
    rows: Rows, network: Network, generator: torch.Generator, tuning: SearchTuning
) -> RefitOutcome:
    """Refit a small network without decay and test its residual."""
    network = refit_without_decay(rows, network, tuning)
    residual = residual_at(rows, network)
    if residual.squares < rows.exact:
        network = merge_while_exact(rows, network, tuning)
        return RefitOutcome(network, peaks=None, is_noise=False)
    peaks = find_peaks(rows, residual, network.directions, generator, FOR_BIRTHS)
    is_noise = looks_like_noise(rows, residual, network, peaks, tuning)
    return RefitOutcome(network, peaks, is_noise)


def merge_while_exact(rows: Rows, network: Network, tuning: SearchTuning) -> Network:
    """Merge pairs of neurons of an exact network as long as it stays exact.

    With few rows, an exact network can have two neurons in place of one true neuron.
    """
    for merged in merged_pairs(network, tuning.births_apart):
        merged, _ = gauss_newton(
            rows, merged, 0.0, max_iter=tuning.refit_steps, tol=tuning.refit_fall
        )
        if residual_at(rows, merged).squares < rows.exact:
            return merge_while_exact(rows, merged, tuning)
    return network


def refit_without_decay(rows: Rows, network: Network, tuning: SearchTuning) -> Network:
    """Refit by Gauss-Newton, and drop neurons if the fit does not get worse.

    With one neuron more than needed the minimum is degenerate: each Gauss-Newton step
    only halves the mass of this neuron, and the objective falls by a factor of 16
    instead of quadratically. Therefore the network is refitted without its lightest
    neurons after the first few steps already, and again at the end.
    """
    network, n_steps = gauss_newton(
        rows, network, 0.0, max_iter=tuning.probe_steps, tol=tuning.refit_fall
    )
    still_falls = n_steps == tuning.probe_steps
    lighter = refit_without_lightest(rows, network, tuning)
    if not still_falls and lighter is network:
        return network
    network, _ = gauss_newton(
        rows, lighter, 0.0, max_iter=tuning.refit_steps, tol=tuning.refit_fall
    )
    return refit_without_lightest(rows, network, tuning)


def refit_without_lightest(
    rows: Rows, network: Network, tuning: SearchTuning
) -> Network:
    """Refit without the lightest neurons; keep the network if that is worse."""
    fewer = drop_linear_neurons(rows, network, tuning)
    fewer = prune(merge(fewer, tuning.fine_angle), tuning.light_mass)
    if fewer.n_neurons == network.n_neurons:
        return network
    fewer, _ = gauss_newton(
        rows, fewer, 0.0, max_iter=tuning.refit_steps, tol=tuning.refit_fall
    )
    limit = max(objective_at(rows, network, 0.0)[0], 0.5 * rows.exact)
    return fewer if objective_at(rows, fewer, 0.0)[0] <= limit else network


def drop_linear_neurons(rows: Rows, network: Network, tuning: SearchTuning) -> Network:
    """Drop neurons whose outputs are linear in the data up to rounding."""
    if network.n_neurons == 0:
        return network
    gram, _ = activation_moments(rows, network.weights)
    effects = network.amplitudes.norm(dim=1) * gram.diagonal().clamp_min(0.0).sqrt()
    return network.take(effects > tuning.linear_outputs * math.sqrt(rows.exact))


def looks_like_noise(
    rows: Rows,
    residual: Residual,
    network: Network,
    peaks: Peaks,
    tuning: SearchTuning,
) -> bool:
    """Whether no direction explains more of the residual than noise would allow.

    For independent noise of standard deviation ``sigma`` the peak of ``||v(u)||`` is
    at most about ``0.45 sigma sqrt(n_inputs / n_samples)``; for a missing neuron it is
    about 0.3 times the size of its outputs. ``network`` is the one that the residual
    belongs to, fitted without decay.
    """
    n_effective = with_effective_size(rows, network).n_effective
    noise = math.sqrt(residual.squares * rows.rank / n_effective)
    return peaks.height < tuning.noise_peak * noise


def add_neurons_at_peaks(
    rows: Rows, network: Network, peaks: Peaks, tuning: SearchTuning
) -> Network:
    """Add neurons at those peaks that are away from living neurons and each other.

    All amplitudes are then the least squares solution: if those of the new neurons were
    small, Gauss-Newton would take more steps.
    """
    cosines = (peaks.directions @ network.directions.T).abs()
    is_away = (cosines <= math.cos(tuning.births_from_living)).all(dim=1)
    born = peaks.take(is_away).distinct(tuning.births_apart).directions
    return AmplitudeFit.of(rows, torch.cat([network.directions, born])).network()
