"""The three stages of the algorithm, on one page."""

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
from sklearn_twolayer._network.fixed_directions import (
    fit_output_layer,
)
from sklearn_twolayer._network.network import Network, merge
from sklearn_twolayer._network.objective import target_residual
from sklearn_twolayer._path.pace import next_index
from sklearn_twolayer._path.stage import PathStart, Stage, finish_stage
from sklearn_twolayer._runtime.limits import step_limit

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

# Relative rounding of a decay that is converted to the units of the data and back.
DECAY_ROUNDING = 1e-12
# A lambda_max below this counts as zero, for targets with a mean square of one. The
# masses of neurons can be as large as its inverse, and the rounding errors of outputs
# that cancel would then exceed the correlations that are compared with it.
LEAST_LAMBDA_MAX = 1e-7


def start_path(rows: Rows, n_neurons: int, generator: torch.Generator) -> PathStart:
    """Stage 1, early feature learning: one gradient step from random directions."""
    targets = target_residual(rows)
    directions = early_directions(rows, targets, n_neurons, generator)
    peaks = find_peaks(rows, targets, directions, generator, OF_TARGETS)
    lambda_max = peaks.height if peaks.height > LEAST_LAMBDA_MAX else 0.0
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
    effort = QUICK if options.solver == "fast" else THOROUGH
    stages = list(finished)
    index = next_index(rows, lambdas, stages, options) if stages else 0
    while index is not None:
        lambda_ = lambdas[index]
        # An empty network has nothing to go on from.
        goes_on = len(stages) > 0 and stages[-1].network.n_neurons > 0
        network = stages[-1].network if goes_on else initial
        with step_limit(options.max_iter) as progress:
            # At lambda_max and above the empty network is optimal (theory eq. 6).
            if lambda_ >= start.lambda_max * (1.0 - DECAY_ROUNDING):
                descent = Descent(Network.empty(rows), "tol")
            else:
                if network is None:
                    network = fit_output_layer(rows, start.directions, lambda_)
                    network = merge(network, options.merge_angle)
                descent = descend(rows, network, lambda_, options, generator)
            stages.append(
                finish_stage(rows, descent, lambda_, progress, generator, effort)
            )
        index = next_index(rows, lambdas, stages, options)
        yield replace(stages[-1], is_last=index is None)
