"""What a fit tells of its stages: history, attributes, messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from sklearn_twolayer._network.network import Network

if TYPE_CHECKING:
    from sklearn_twolayer._path.stage import Stage

SAME_LINE = 0.5  # radians that a direction may turn from one stage to the next


def followed_masses(networks: Sequence[Network]) -> np.ndarray:
    """Masses of (n_networks, n_lines): a neuron stays in its column while it lives.

    A neuron continues the line of the one before whose direction is closest, up to
    sign; one to one, and within ``SAME_LINE``. Zero where a line has no neuron.
    """
    lines: list[torch.Tensor] = []  # last direction of each
    masses = np.zeros((len(networks), 0))
    for k, network in enumerate(networks):
        if network.n_neurons == 0:
            continue
        columns = np.full(network.n_neurons, -1)
        if lines:
            cosines = (network.directions @ torch.stack(lines).T).abs().numpy()
            neurons, known = linear_sum_assignment(-cosines)
            close = cosines[neurons, known] >= math.cos(SAME_LINE)
            columns[neurons[close]] = known[close]
        born = np.flatnonzero(columns < 0)
        columns[born] = len(lines) + np.arange(len(born))
        lines += [network.directions[j] for j in born]
        for j in np.flatnonzero(columns < len(lines) - len(born)):
            lines[columns[j]] = network.directions[j]
        masses = np.pad(masses, [(0, 0), (0, len(born))])
        masses[k, columns] = network.masses.numpy()
    return masses


# What to do about a gap above the tolerance, by what ended the descent.
REMEDIES = {
    "tol": "with solver='gd' lower tol, a bound on the gradient there",
    "max_iter": "raise max_iter",
    "max_time": "raise max_time",
    "stall": "the objective no longer falls, use solver='newton' or larger decays",
}


def gap_message(stage: Stage, lambda_: float, tol: float) -> str | None:
    """What to tell of a stage that was ended early, or whose gap is above ``tol``.

    ``lambda_`` is the stage's decay in the units of the data.
    """
    limited = stage.stopped_by in ("max_iter", "max_time")
    if stage.refitted is not None:
        if not limited:
            return None
        return (
            f"The search for the number of neurons was ended by {stage.stopped_by}; at "
            f"lambda_ = {lambda_:.3g} the relative duality gap of the network reached "
            f"is {stage.relative_gap:.1e}: {REMEDIES[stage.stopped_by]} for a search "
            "to the end."
        )
    if stage.relative_gap <= tol:
        return None
    if stage.stopped_by == "steps":  # a rough descent, asked for as such
        return None
    return (
        f"The stage at lambda_ = {lambda_:.3g} has a relative duality gap of "
        f"{stage.relative_gap:.1e}, above tol = {tol:.1e}: "
        f"{REMEDIES[stage.stopped_by]}, or raise tol if the gap will do."
    )
