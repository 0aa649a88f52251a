"""Which stage of a path to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._path import Stage


def select_stage(
    stages: Sequence[Stage], criterion: str | float | None, n_samples: float
) -> Stage:
    """The last stage, or the one with the least information criterion.

    The criterion is ``n_samples log(loss) + penalty * n_parameters`` (theory eq. 12);
    a neuron has as many parameters as it has inputs and outputs, less one for the
    scale that can move between them.
    """
    if criterion is None:
        return stages[-1]
    penalty = {"aic": 2.0, "bic": math.log(max(n_samples, 1.0))}.get(
        criterion, criterion
    )

    def value(stage: Stage) -> float:
        network = stage.network
        n_parameters = network.n_neurons * (network.parameters.shape[1] - 1)
        fit = math.log(stage.loss) if stage.loss > 0 else -math.inf
        return n_samples * fit + penalty * n_parameters

    return min(stages, key=value)
