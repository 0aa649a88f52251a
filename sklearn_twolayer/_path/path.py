"""The three stages of the algorithm, on one page."""

from __future__ import annotations

import time
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
from sklearn_twolayer._network.fixed_directions import (
    fit_output_layer,
)
from sklearn_twolayer._network.network import Network, merge
from sklearn_twolayer._network.objective import target_residual
from sklearn_twolayer._path.pace import next_index
from sklearn_twolayer._path.stage import PathStart, Stage, finish_stage

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

ROUNDING = 1e-12  # relative, of a decay in going to the units of the data and back
# A least decay without neurons below this is none, for targets of mean square one.
# Masses are up to its inverse, and the rounding of what they cancel would be larger
# than the correlations that are compared with it.
LEAST_DECAY = 1e-7


def start_path(rows: Rows, n_neurons: int, generator: torch.Generator) -> PathStart:
    """Stage 1, early feature learning: one gradient step from random directions."""
    targets = target_residual(rows)
    directions = early_directions(rows, targets, n_neurons, generator)
    peaks = find_peaks(rows, targets, directions, generator, OF_TARGETS)
    lambda_max = peaks.height if peaks.height > LEAST_DECAY else 0.0
    return PathStart(directions, lambda_max)


def follow_path(
    rows: Rows,
    start: PathStart,
    lambdas: Sequence[float],
    options: PathOptions,
    generator: torch.Generator,
    initial: Network | None = None,
    finished: Sequence[Stage] = (),
) -> Iterator[Stage]:
    """Stages 2 and 3: the output layer, then a descent at each decay.

    An ``initial`` network takes the place of early features and output layer; after
    ``finished`` stages the path goes on from the last of them.
    """
    descend = DESCENTS[options.solver]
    stages = list(finished)
    index = next_index(rows, lambdas, stages, options) if stages else 0
    while index is not None:
        began, lambda_ = time.perf_counter(), lambdas[index]
        # An empty network has nothing to go on from.
        goes_on = len(stages) > 0 and stages[-1].network.n_neurons > 0
        network = stages[-1].network if goes_on else initial
        # Not below lambda_max the empty network is optimal (theory eq. 6).
        if lambda_ >= start.lambda_max * (1.0 - ROUNDING):
            descent = Descent(Network.empty(rows), 0, "tol")
        else:
            if network is None:
                network = fit_output_layer(rows, start.directions, lambda_)
                network = merge(network, options.merge_angle)
            descent = descend(rows, network, lambda_, options, generator)
        effort = QUICK if options.solver == "fast" else THOROUGH
        stages.append(finish_stage(rows, descent, lambda_, began, generator, effort))
        index = next_index(rows, lambdas, stages, options)
        yield replace(stages[-1], is_last=index is None)
