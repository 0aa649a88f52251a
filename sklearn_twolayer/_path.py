"""The three stages of the algorithm, on one page, and the public path function."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate import duality_gap, early_directions, find_peaks
from sklearn_twolayer._descent import DESCENTS
from sklearn_twolayer._network import Network, balance, merge, prune
from sklearn_twolayer._objective import activation_moments, residual_at

if TYPE_CHECKING:
    from sklearn_twolayer._options import PathOptions
    from sklearn_twolayer._rows import Rows

ROUNDING = 1e-12  # relative, of a decay in going to the units of the data and back


@dataclass(frozen=True, eq=False)
class Stage:
    """A network at one decay and what is known of it, in the coordinates of the fit.

    There the targets have a mean square of one.
    """

    lambda_: float
    network: Network
    loss: float
    objective: float
    certificate: float
    dual_gap: float
    n_iter: int
    seconds: float


@dataclass(frozen=True, eq=False)
class PathStart:
    """Early-feature directions, and the least decay that leaves no neuron."""

    directions: torch.Tensor
    lambda_max: float


def start_path(rows: Rows, n_neurons: int, generator: torch.Generator) -> PathStart:
    """Stage 1, early feature learning: one gradient step from random directions."""
    directions = early_directions(rows, rows.targets, n_neurons, generator)
    peaks = find_peaks(rows, rows.targets, directions, generator)
    return PathStart(directions, peaks.height)


def follow_path(
    rows: Rows,
    start: PathStart,
    lambdas: Sequence[float],
    options: PathOptions,
    generator: torch.Generator,
    network: Network | None = None,
) -> Iterator[Stage]:
    """Stages 2 and 3: the output layer, then a descent at each decay.

    A ``network``, if given, takes the place of early features and output layer.
    """
    descend = DESCENTS[options.solver]
    for lambda_ in lambdas:
        began = time.perf_counter()
        n_iter, stage_network = 0, Network.empty(rows)
        # Not below lambda_max the empty network is optimal (theory eq. 6).
        if lambda_ < start.lambda_max * (1.0 - ROUNDING):
            if network is None:
                network = fit_output_layer(rows, start.directions, lambda_)
                network = merge(network, options.merge_angle)
            descent = descend(
                rows, network, lambda_, max_iter=options.max_iter, tol=options.tol
            )
            network = merge(balance(descent.network), options.merge_angle)
            network = prune(network, options.prune_tol)
            n_iter, stage_network = descent.n_iter, network
        yield measure(rows, stage_network, lambda_, n_iter, began, generator)


def fit_output_layer(rows: Rows, directions: torch.Tensor, lambda_: float) -> Network:
    """Stage 2: minimise over the amplitudes with decay, directions fixed; balance.

    A ridge regression on the activations, solved exactly (theory eq. 10).
    """
    gram, inner = activation_moments(rows, directions)
    # At a decay of zero, rounding's share keeps the system solvable.
    rounding = torch.finfo(gram.dtype).eps * float(gram.diagonal().sum())
    gram.diagonal().add_(lambda_ + rounding)
    amplitudes = torch.linalg.solve(gram, inner)
    return balance(Network.from_parts(directions, amplitudes))


def refit_without_decay(rows: Rows, network: Network, options: PathOptions) -> Network:
    """Debias: descend from ``network`` at a decay of zero, as in the relaxed Lasso."""
    if network.n_neurons == 0:
        return network
    descend = DESCENTS[options.solver]
    descent = descend(rows, network, 0.0, max_iter=options.max_iter, tol=options.tol)
    return balance(descent.network)


def measure(
    rows: Rows,
    network: Network,
    lambda_: float,
    n_iter: int,
    began: float,
    generator: torch.Generator,
) -> Stage:
    """Loss, objective, certificate and duality gap of a balanced network."""
    residual = residual_at(rows, network)
    loss = 0.5 * float(residual.square().sum())
    objective = loss + lambda_ * float(network.masses.sum())
    peak = find_peaks(rows, residual, network.directions, generator).height
    return Stage(
        lambda_=lambda_,
        network=network,
        loss=loss,
        objective=objective,
        certificate=peak / lambda_ if lambda_ > 0 else math.inf,
        dual_gap=duality_gap(rows, residual, objective, lambda_, peak),
        n_iter=n_iter,
        seconds=time.perf_counter() - began,
    )
