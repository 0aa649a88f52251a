"""Exact recovery of a noiseless teacher: a bold start instead of the way down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._amplitudes import AmplitudeFit
from sklearn_twolayer._certificate import FOR_BIRTHS, find_peaks
from sklearn_twolayer._descent._gauss_newton import gauss_newton
from sklearn_twolayer._descent._quasi_newton import quasi_newton
from sklearn_twolayer._descent._simplify import simplify
from sklearn_twolayer._network import merge, prune
from sklearn_twolayer._objective import (
    activation_moments,
    counted,
    objective_at,
    residual_at,
)
from sklearn_twolayer._time_limit import out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._certificate import Peaks
    from sklearn_twolayer._network import Network
    from sklearn_twolayer._objective import Residual
    from sklearn_twolayer._path import PathStart
    from sklearn_twolayer._rows import Rows

# Two decays, as fractions of lambda_max, small enough that no direction is lost, and
# the most parameters at which Gauss-Newton is tried after each: its cost grows with
# their square, and after the first decay many neurons may still be waiting to merge.
DECAYS = ((1e-2, 600), (1e-4, 2000))
STEPS = 60  # measured: 40 needs more rounds, 120 takes longer
SHOT_ENTRIES = 1e8  # n_samples * n_parameters**2 up to which a shot is cheap
SHOT_MERGE = 0.25  # radians
MOST_SHOTS = 4  # measured: of 80 data sets 66 need one, 13 another, 1 more
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
BIRTHS_APART = 0.3  # radians
BIRTHS_FROM_LIVING = 0.1


def shoot(
    rows: Rows, network: Network, generator: torch.Generator
) -> tuple[Network | None, int]:
    """Gauss-Newton at once, where that is cheap; None if it misses; the steps used.

    From what coarse merges leave it hits more often than not. If it does not, neurons
    are added where the certificate peaks.
    """
    n_iter = 0
    for _ in range(MOST_SHOTS):
        if rows.n_samples * network.parameters.numel() ** 2 > SHOT_ENTRIES:
            break
        attempt = attempted(rows, network, generator)
        n_iter += attempt.n_iter
        if attempt.peaks is None:
            return attempt.network, n_iter
        if attempt.is_noise or out_of_time():
            break
        network = with_peaks(rows, attempt.network, attempt.peaks)
    return None, n_iter


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
            if network.parameters.numel() > most_parameters:
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
        return Attempt(network, n_iter, peaks=None, is_noise=False)
    peaks = find_peaks(rows, residual, network.directions, generator, FOR_BIRTHS)
    is_noise = looks_like_noise(rows, residual, network, peaks)
    return Attempt(network, n_iter, peaks, is_noise)


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
