"""Exact recovery of a noiseless teacher: a bold start instead of the way down."""

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
from sklearn_twolayer._network.noise import counted, noise_level
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._runtime.limits import out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.peaks import Peaks
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._network.objective import Residual
    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows

# Two decays, as fractions of lambda_max, small enough that no direction is lost, and
# the most parameters at which Gauss-Newton is tried after each: its cost grows with
# their square, and after the first decay many neurons may still be waiting to merge.
DECAYS = ((1e-2, 600), (1e-4, 2000))
STEPS = 60  # measured: 40 needs more rounds, 120 takes longer
SHOT_ENTRIES = 1e8  # n_samples * n_parameters**2 up to which a shot is cheap
LAST_ENTRIES = 2e9  # and up to which it is tried from where a search has ended
SHOT_MERGE = 0.25  # radians
MOST_SHOTS = 4  # measured: of 67 data sets where it is cheap 58 need one, 9 another
SLACK = 0.02  # of the objective, for merges at these decays
# Norm of a neuron's outputs less their linear fit, relative to that of a residual that
# is rounding, below which it has no effect.
IDLE = 100.0
FIRST_MERGE = 0.1  # radians
LEAST_MASS = 1e-2  # relative to the largest
MOST_ROUNDS = 6
PROBE_STEPS = 3  # of Gauss-Newton before the lightest neurons are tried without
MOST_STEPS = 10  # after them
LIGHT = 5e-2  # of the largest mass: neurons that are tried without
CLOSE = 0.1  # radians between neurons that are tried as one
PAIR = 0.3  # radians between two neurons of an exact network that are tried as one
MOST_OF_VALUES = 0.5  # parameters of an exact network for each value that it fits
BIRTHS_APART = 0.3  # radians
BIRTHS_FROM_LIVING = 0.1
N_COMBINED = 40  # random neurons in the span
NOT_NOISE = 3.0  # times what they explain of noise
# Their decay, as a fraction of lambda_max, or of the noise level: in a span of few
# dimensions peaks of noise are lower. Measured: with ten times the first or all of the
# second, true directions that are 0.2 radians apart are lost more often.
SPAN_DECAY, SPAN_NOISE = 1e-3, 0.3


def find_exact(
    rows: Rows, start: PathStart, network: Network, generator: torch.Generator
) -> tuple[Network | None, int]:
    """An exact network near a small one, or else in the span of its neurons.

    None if there is none, or if it is not cheap to look; the steps used.
    """
    shot = shoot(rows, network, generator, SHOT_ENTRIES)
    n_iter = shot.n_iter
    if not shot.is_exact and is_cheap(rows, network, SHOT_ENTRIES):
        spread, used = spread_in_span(rows, start, shot.network, generator)
        n_iter += used
        if spread is not None:
            shot = shoot(rows, spread, generator, SHOT_ENTRIES)
            n_iter += shot.n_iter
    return shot.network if shot.is_exact else None, n_iter


@dataclass(frozen=True, eq=False)
class Shot:
    """Where Gauss-Newton steps led, and whether the residual there is rounding."""

    network: Network
    n_iter: int
    is_exact: bool = False


def shoot(
    rows: Rows, network: Network, generator: torch.Generator, most_entries: float
) -> Shot:
    """Gauss-Newton at once, where that is cheap.

    From what coarse merges leave it hits more often than not. If it does not, neurons
    are added where the certificate peaks.
    """
    shot = Shot(network, 0)
    for _ in range(MOST_SHOTS):
        cheap = is_cheap(rows, network, most_entries)
        if not (cheap and overdetermined(rows, network)):
            break
        attempt = attempted(rows, network, generator)
        n_iter = shot.n_iter + attempt.n_iter
        shot = Shot(attempt.network, n_iter, is_exact=attempt.peaks is None)
        if shot.is_exact or attempt.is_noise or out_of_time():
            break
        network = with_peaks(rows, attempt.network, attempt.peaks)
    return shot


def is_cheap(rows: Rows, network: Network, most_entries: float) -> bool:
    """Whether a Gauss-Newton step costs little: entries that its products go over."""
    return rows.n_samples * network.parameters.numel() ** 2 <= most_entries


def overdetermined(rows: Rows, network: Network) -> bool:
    """Whether an exact network of this size is more than an interpolation."""
    n_values = rows.n_effective * rows.n_outputs
    return network.parameters.numel() <= MOST_OF_VALUES * n_values


def spread_in_span(
    rows: Rows, start: PathStart, network: Network, generator: torch.Generator
) -> tuple[Network | None, int]:
    """Descend again from many neurons in the span of those of a ``network``; merge.

    None if that is no use; the steps used. Where true directions are close to one
    another in a span of few dimensions, fewer neurons or misplaced ones fit nearly as
    well, and what they leave has no high peak. But random neurons in the span explain
    more of it than they would of noise.
    """
    directions = torch.cat(
        [network.directions, combinations(network.directions, N_COMBINED, generator)]
    )
    rows = counted(rows, network)
    left = AmplitudeFit.of(rows, directions).squares
    explained = 1.0 - left / residual_at(rows, network).squares
    if explained < NOT_NOISE * N_COMBINED / rows.n_effective:
        return None, 0
    lambda_ = max(SPAN_DECAY * start.lambda_max, SPAN_NOISE * noise_level(rows, left))
    network = fit_output_layer(rows, directions, lambda_)
    network, n_iter = quasi_newton(rows, network, lambda_, max_iter=STEPS, tol=1e-8)
    return prune(merge(network, FIRST_MERGE), LIGHT), n_iter


def coarsely_merged(network: Network) -> Network:
    """Few neurons of a wide network, to begin a shot with."""
    return prune(merge(network, SHOT_MERGE), LIGHT)


def recover_exactly(
    rows: Rows, start: PathStart, network: Network, generator: torch.Generator
) -> tuple[Network | None, int]:
    """Look for a small network whose residual is rounding; None if there is none.

    From a wide ``network``: few quasi-Newton steps at a small decay, merges as the
    objective allows, then Gauss-Newton without decay. If a residual is left, neurons
    are added where the certificate peaks and all is repeated, unless the residual looks
    like noise or the neurons stay many: then only the way down from ``lambda_max`` can
    tell how many there are. Returns the steps used, too.
    """
    n_iter = 0
    network = prune(merge(network, FIRST_MERGE), LEAST_MASS)
    for _ in range(MOST_ROUNDS):
        few_neurons = False
        for decay, most_parameters in DECAYS:
            lambda_ = decay * start.lambda_max
            network, used = quasi_newton(
                rows, network, lambda_, max_iter=STEPS, tol=1e-8
            )
            n_iter += used
            network, used = simplify(
                rows, network, lambda_, slack=SLACK, to_the_end=False
            )
            n_iter += used
            is_small = network.parameters.numel() <= most_parameters
            if not is_small or not overdetermined(rows, network):
                continue
            few_neurons = True
            attempt = attempted(rows, network, generator)
            n_iter += attempt.n_iter
            if attempt.peaks is None:
                return attempt.network, n_iter
            if attempt.is_noise:
                return None, n_iter
        if not few_neurons or out_of_time():
            return None, n_iter
        residual = residual_at(rows, network)
        peaks = find_peaks(rows, residual, network.directions, generator, FOR_BIRTHS)
        network = with_peaks(rows, network, peaks)
    return None, n_iter


@dataclass(frozen=True, eq=False)
class Attempt:
    """A polished network, and what it leaves.

    ``peaks`` are those of the residual, None where it is rounding.
    """

    network: Network
    n_iter: int
    peaks: Peaks | None
    is_noise: bool


def attempted(rows: Rows, network: Network, generator: torch.Generator) -> Attempt:
    """Polish a network and look at its residual."""
    network, n_iter = polish(rows, network)
    residual = residual_at(rows, network)
    if residual.squares < rows.exact:
        network, used = fewest(rows, network)
        return Attempt(network, n_iter + used, peaks=None, is_noise=False)
    peaks = find_peaks(rows, residual, network.directions, generator, FOR_BIRTHS)
    is_noise = looks_like_noise(rows, residual, network, peaks)
    return Attempt(network, n_iter, peaks, is_noise)


def fewest(rows: Rows, network: Network) -> tuple[Network, int]:
    """An exact network with pairs of neurons made one as long as it stays exact.

    Few rows leave room for two neurons where one would do.
    """
    n_iter = 0
    for lean in merged_pairs(network, PAIR):
        lean, used = gauss_newton(rows, lean, 0.0, max_iter=MOST_STEPS, tol=0.3)
        n_iter += used
        if residual_at(rows, lean).squares < rows.exact:
            lean, used = fewest(rows, lean)
            return lean, n_iter + used
    return network, n_iter


def polish(rows: Rows, network: Network) -> tuple[Network, int]:
    """Refit a small network without decay, with as few neurons as are as good.

    A neuron too many makes the minimum degenerate: a Gauss-Newton step only halves its
    mass, and the objective falls by a factor of 16 instead of quadratically. Neurons
    are therefore tried without after the first steps, and not only at the end.
    """
    network, n_iter = gauss_newton(rows, network, 0.0, max_iter=PROBE_STEPS, tol=0.3)
    still_falls = n_iter == PROBE_STEPS
    lean, used = lightened(rows, network)
    n_iter += used
    if not still_falls and lean is network:
        return network, n_iter
    network, used = gauss_newton(rows, lean, 0.0, max_iter=MOST_STEPS, tol=0.3)
    n_iter += used
    network, used = lightened(rows, network)
    return network, n_iter + used


def lightened(rows: Rows, network: Network) -> tuple[Network, int]:
    """The network refitted without its lightest neurons, unless that is worse."""
    lean = prune(merge(drop_idle(rows, network), CLOSE), LIGHT)
    if lean.n_neurons == network.n_neurons:
        return network, 0
    lean, used = gauss_newton(rows, lean, 0.0, max_iter=MOST_STEPS, tol=0.3)
    limit = max(objective_at(rows, network, 0.0)[0], 0.5 * rows.exact)
    return (lean if objective_at(rows, lean, 0.0)[0] <= limit else network), used


def drop_idle(rows: Rows, network: Network) -> Network:
    """Drop neurons whose outputs are linear on the data, as far as can be seen."""
    if network.n_neurons == 0:
        return network
    gram, _ = activation_moments(rows, network.weights)
    effects = network.amplitudes.norm(dim=1) * gram.diagonal().clamp_min(0.0).sqrt()
    return network.take(effects > IDLE * math.sqrt(rows.exact))


def looks_like_noise(
    rows: Rows, residual: Residual, network: Network, peaks: Peaks
) -> bool:
    """Whether no direction explains more of the residual than noise would allow.

    For independent noise of size ``sigma`` the peak of ``||v(u)||`` is about ``0.7
    sigma sqrt(n_inputs / n_samples)``; one missing neuron gives ``0.3 sigma``.
    ``network`` is the one that left the residual, without decay.
    """
    n_effective = counted(rows, network).n_effective
    noise = math.sqrt(residual.squares * rows.n_inputs / n_effective)
    return peaks.height < noise


def with_peaks(rows: Rows, network: Network, peaks: Peaks) -> Network:
    """Add neurons at the peaks that are away from the living and each other.

    All with the best amplitudes: from small ones, Gauss-Newton takes more steps.
    """
    cosines = (peaks.directions @ network.directions.T).abs()
    away = peaks.take((cosines <= math.cos(BIRTHS_FROM_LIVING)).all(dim=1))
    directions = torch.cat([network.directions, away.distinct(BIRTHS_APART).directions])
    return AmplitudeFit.of(rows, directions).network()
