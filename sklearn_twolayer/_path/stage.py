"""The record of one stage of a path."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import QUICK, THOROUGH, Effort
from sklearn_twolayer._descent import Descent
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._runtime.limits import Progress, out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._rows.rows import Rows


@dataclass(frozen=True, eq=False)
class Stage:
    """The network of one decay and its measures, in the coordinates of the fit.

    In these the targets have a mean square of one. ``refitted`` is the network refitted
    without this decay, or None; ``is_last`` tells that the path ends with this stage.
    ``linear`` is the linear part, or None where it is that of least squares; ``scale``
    that of the residuals, for a loss that depends on one.
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
    linear: torch.Tensor | None = None
    scale: float = 1.0

    @property
    def result(self) -> Network:
        """The refitted network if there is one, otherwise the network with decay."""
        return self.refitted or self.network

    @property
    def relative_gap(self) -> float:
        """Duality gap as a fraction of the objective; zero without a decay."""
        if self.lambda_ == 0.0 or self.objective == 0.0:
            return 0.0
        return self.dual_gap / self.objective


@dataclass(frozen=True, eq=False)
class PathStart:
    """Early-feature directions, and the least decay whose optimum has no neuron."""

    directions: torch.Tensor
    lambda_max: float


def finish_stage(
    rows: Rows,
    descent: Descent,
    lambda_: float,
    progress: Progress,
    generator: torch.Generator,
    effort: Effort = THOROUGH,
    refitted: Network | None = None,
) -> Stage:
    """Record the stage; certify it if the descent has not.

    If a limit ends a descent early, its objective can be above that of the linear
    model, 0.5 (half the targets' mean square). The stage then has the network without
    neurons.
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
        n_iter=progress.n_iter,
        stopped_by=descent.stopped_by,
        seconds=progress.seconds,
    )
