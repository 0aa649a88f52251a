"""Exact recovery of a noiseless teacher, instead of the way down from ``lambda_max``.

A network is exact when its residual is rounding. Damped Gauss-Newton refits of a small
network are tried first, with neurons added where the certificate peaks; then descents
from many neurons in the span of those found; then descents at small decays.
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

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.peaks import Peaks
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.tuning import SearchTuning


@dataclass(frozen=True, eq=False)
class ExactRefit:
    """Where Gauss-Newton refits led, and whether the residual there is rounding."""

    network: Network
    is_exact: bool = False


@dataclass(frozen=True, eq=False)
class RefitOutcome:
    """A network refitted without decay, and what is known of its residual.

    ``peaks`` are the peaks of the correlation with the residual, None if the residual
    is rounding.
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

    Returns None if there is none, or if it would not be cheap to look for it.
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

    If a residual is left that does not look like noise, neurons are added where the
    certificate peaks and the network is refitted again.
    """
    refit = ExactRefit(network)
    for _ in range(tuning.most_refits):
        cheap = gauss_newton_cost(rows, network) <= most_cost
        if not (cheap and is_overdetermined(rows, network, tuning)):
            break
        tested = refit_and_test(rows, network, generator, tuning)
        refit = ExactRefit(tested.network, is_exact=tested.peaks is None)
        if refit.is_exact or tested.is_noise or limit_reached():
            break
        network = add_neurons_at_peaks(rows, tested.network, tested.peaks, tuning)
    return refit


def gauss_newton_cost(rows: Rows, network: Network) -> int:
    """Multiplications of one Gauss-Newton step, but for a factor."""
    return rows.n_samples * network.parameters.numel() ** 2


def is_overdetermined(rows: Rows, network: Network, tuning: SearchTuning) -> bool:
    """Whether an exact network of this size would be more than an interpolation."""
    n_values = rows.n_effective * rows.n_outputs
    return network.parameters.numel() <= tuning.parameters_per_value * n_values


def descend_from_combinations(
    rows: Rows,
    start: PathStart,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network | None:
    """Restart the descent from random combinations of a network's directions; merge.

    Where true directions are close to one another in a span of few dimensions, fewer
    neurons or misplaced ones fit nearly as well, and what they leave has no high peak.
    But random neurons in the span explain more of it than they would of noise. Returns
    None if they do not.
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
    """Few neurons of a wide network, to begin Gauss-Newton refits with."""
    return prune(merge(network, tuning.coarse_angle), tuning.light_mass)


def recover_at_small_decays(
    rows: Rows,
    start: PathStart,
    network: Network,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Network | None:
    """Look for a small network whose residual is rounding; None if there is none.

    From a wide ``network``: few quasi-Newton steps at a small decay, merges as the
    objective allows, then Gauss-Newton without decay. If a residual is left, neurons
    are added where the certificate peaks and all is repeated, unless the residual looks
    like noise or the neurons stay many: then only the way down from ``lambda_max`` can
    tell how many there are.
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
            if not is_small or not is_overdetermined(rows, network, tuning):
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
    """Refit a small network without decay and look at its residual."""
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

    Few rows leave room for two neurons where one would do.
    """
    for merged in merged_pairs(network, tuning.births_apart):
        merged, _ = gauss_newton(
            rows, merged, 0.0, max_iter=tuning.refit_steps, tol=tuning.refit_fall
        )
        if residual_at(rows, merged).squares < rows.exact:
            return merge_while_exact(rows, merged, tuning)
    return network


def refit_without_decay(rows: Rows, network: Network, tuning: SearchTuning) -> Network:
    """Refit by Gauss-Newton, with as few neurons as are as good.

    A neuron too many makes the minimum degenerate: a Gauss-Newton step then only halves
    its mass, and the objective falls by a factor of 16 instead of quadratically. The
    lightest neurons are therefore tried without after the first steps, and not only at
    the end.
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
    """Refit a network without its lightest neurons, unless that is worse."""
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
    """Drop neurons whose outputs are linear on the data, as far as can be seen."""
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

    For independent noise of size ``sigma`` the peak of ``||v(u)||`` is between 0.3 and
    0.5 times ``sigma sqrt(n_inputs / n_samples)``; a missing neuron gives about 0.3
    times its own size. ``network`` is the one that left the residual, without decay.
    """
    n_effective = with_effective_size(rows, network).n_effective
    noise = math.sqrt(residual.squares * rows.n_inputs / n_effective)
    return peaks.height < tuning.noise_peak * noise


def add_neurons_at_peaks(
    rows: Rows, network: Network, peaks: Peaks, tuning: SearchTuning
) -> Network:
    """Add neurons at the peaks that are away from living neurons and each other.

    All get the best amplitudes: from small ones, Gauss-Newton takes more steps.
    """
    cosines = (peaks.directions @ network.directions.T).abs()
    is_away = (cosines <= math.cos(tuning.births_from_living)).all(dim=1)
    born = peaks.take(is_away).distinct(tuning.births_apart).directions
    return AmplitudeFit.of(rows, torch.cat([network.directions, born])).network()
