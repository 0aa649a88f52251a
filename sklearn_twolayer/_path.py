"""The three stages of the algorithm, on one page."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate import (
    OF_TARGETS,
    QUICK,
    THOROUGH,
    Effort,
    certify,
    early_directions,
    find_peaks,
)
from sklearn_twolayer._descent import DESCENTS, Descent
from sklearn_twolayer._network import Network, balance, merge
from sklearn_twolayer._objective import activation_moments, target_residual
from sklearn_twolayer._pace import next_index
from sklearn_twolayer._time_limit import out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._options import PathOptions
    from sklearn_twolayer._rows import Rows

ROUNDING = 1e-12  # relative, of a decay in going to the units of the data and back
# A least decay without neurons below this is none, for targets of mean square one.
# Masses are up to its inverse, and the rounding of what they cancel would be larger
# than the correlations that are compared with it.
LEAST_DECAY = 1e-7


@dataclass(frozen=True, eq=False)
class Stage:
    """A network at one decay and what is known of it, in the coordinates of the fit.

    There the targets have a mean square of one. ``refitted`` is the network refitted
    without this decay, if it was; ``is_last`` tells that the path ends here.
    """

    lambda_: float
    network: Network
    refitted: Network | None
    loss: float
    objective: float
    certificate: float
    dual_gap: float
    n_iter: int
    stopped_by: str
    seconds: float
    is_last: bool = False

    @property
    def result(self) -> Network:
        """The network that the stage stands for: the refitted one, if there is one."""
        return self.refitted or self.network

    @property
    def relative_gap(self) -> float:
        """Duality gap as a fraction of the objective; zero without a decay."""
        if self.lambda_ == 0.0 or self.objective == 0.0:
            return 0.0
        return self.dual_gap / self.objective


@dataclass(frozen=True, eq=False)
class PathStart:
    """Early-feature directions, and the least decay that leaves no neuron."""

    directions: torch.Tensor
    lambda_max: float


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


def finish_stage(
    rows: Rows,
    descent: Descent,
    lambda_: float,
    began: float,
    generator: torch.Generator,
    effort: Effort = THOROUGH,
    refitted: Network | None = None,
) -> Stage:
    """Record the stage; certify it if the descent has not.

    Steps that run out early can end above the objective without neurons, the linear
    model's: that one is then the better network.
    """
    effort = QUICK if out_of_time() else effort
    known = descent.certificate
    if known is None:
        known = certify(rows, descent.network, lambda_, generator, effort, tol=0.0)
    if refitted is None and known.objective > 0.5:
        descent = replace(descent, network=Network.empty(rows))
        known = certify(rows, descent.network, lambda_, generator, effort, tol=0.0)
    peak = known.peaks.height
    return Stage(
        lambda_=lambda_,
        network=descent.network,
        refitted=refitted,
        loss=known.loss,
        objective=known.objective,
        certificate=peak / lambda_ if lambda_ > 0 else math.inf,
        dual_gap=known.dual_gap,
        n_iter=descent.n_iter,
        stopped_by=descent.stopped_by,
        seconds=time.perf_counter() - began,
    )
