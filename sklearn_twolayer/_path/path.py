"""The algorithm on one page (theory, "Algorithm").

1. Early feature learning, :func:`start_path`: one gradient step from random directions.
2. Output layer, :func:`first_network`: the amplitudes by ridge regression, directions
   fixed; then neurons that share a line are merged.
3. Decreasing decay, :func:`follow_path`: at each decay of the schedule a descent on
   amplitudes and directions, from the network of the decay before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate.peaks import (
    OF_TARGETS,
    QUICK,
    THOROUGH,
    early_directions,
    find_peaks,
)
from sklearn_twolayer._descent import DESCENTS, Descent
from sklearn_twolayer._network.fixed_directions import fit_output_layer
from sklearn_twolayer._network.network import Network, merge
from sklearn_twolayer._network.objective import target_residual
from sklearn_twolayer._path.pace import next_index
from sklearn_twolayer._path.stage import PathStart, Stage, finish_stage
from sklearn_twolayer._runtime.limits import step_limit

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

# Relative rounding error of a decay that is converted to the units of the data and back
# (convention).
DECAY_ROUNDING = 1e-12
# A lambda_max below this counts as zero, for targets with a mean square of one. The
# masses of neurons can be as large as its inverse, and the rounding errors of outputs
# that cancel would then exceed the correlations that are compared with it (convention).
LEAST_LAMBDA_MAX = 1e-7


def start_path(rows: Rows, n_neurons: int, generator: torch.Generator) -> PathStart:
    """Stage 1: early features and ``lambda_max``, the height of the targets' peak."""
    targets = target_residual(rows)
    directions = early_directions(rows, targets, n_neurons, generator)
    peaks = find_peaks(rows, targets, directions, generator, OF_TARGETS)
    lambda_max = peaks.height if peaks.height > LEAST_LAMBDA_MAX else 0.0
    return PathStart(directions, lambda_max)


def first_network(
    rows: Rows, start: PathStart, lambda_: float, options: PathOptions
) -> Network:
    """Stage 2: the best amplitudes for the early features, then a merge."""
    network = fit_output_layer(rows, start.directions, lambda_)
    return merge(network, options.merge_angle, lines=rows.linear_decay is None)


def follow_path(
    rows: Rows,
    start: PathStart,
    lambdas: Sequence[float],
    options: PathOptions,
    generator: torch.Generator,
    initial: Network | None = None,
    finished: Sequence[Stage] = (),
) -> Iterator[Stage]:
    """Stage 3: a descent at each decay, from the network of the decay before.

    Where there is no such network, or one without neurons, the descent starts from
    ``initial``, or from stage 2 if that is None. After ``finished`` stages the path
    continues from the last of them.
    """
    descend = DESCENTS[options.solver]
    effort = QUICK if options.solver == "fast" else THOROUGH
    stages = list(finished)
    index = next_index(rows, lambdas, stages, options) if stages else 0
    while index is not None:
        lambda_ = lambdas[index]
        network = stages[-1].network if stages else None
        if network is None or network.n_neurons == 0:
            network = initial
        with step_limit(options.max_iter) as progress:
            if lambda_ >= start.lambda_max * (1.0 - DECAY_ROUNDING):
                # At lambda_max and above the empty network is optimal (theory eq. 6).
                descent = Descent(Network.empty(rows), "tol")
            else:
                if network is None:
                    network = first_network(rows, start, lambda_, options)
                descent = descend(rows, network, lambda_, options, generator)
            stage = finish_stage(rows, descent, lambda_, progress, generator, effort)
        stages.append(stage)
        index = next_index(rows, lambdas, stages, options)
        yield replace(stage, is_last=index is None)
