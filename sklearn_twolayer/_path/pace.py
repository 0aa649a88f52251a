"""Which decay a path takes next, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._network.noise import noise_level, with_effective_size

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.rows import Rows

# A loss that fell, in the last stage, by more than this times what its neurons can take
# from noise is still finding signal, which the straight line took for noise.
STILL_FALLS = 4.0
LONGEST_STRIDE = 4  # decays in one step


def next_index(
    rows: Rows, lambdas: Sequence[float], stages: Sequence[Stage], options: PathOptions
) -> int | None:
    """Index of the next stage's decay after these; None where the path ends.

    If the schedule leaves it to the data, they may end the path early, and decays are
    left out while the certificate holds: where the last stage reached its gap without
    more neurons than the one before, the next step is twice as long.
    """
    if stages[-1].stopped_by == "max_time":
        return None
    if not getattr(options.schedule, "is_adaptive", False):
        return len(stages) if len(stages) < len(lambdas) else None
    last, previous = stages[-1], stages[-2] if len(stages) > 1 else None
    if last.lambda_ == 0.0:  # there was nothing to find
        return None
    # A geometric sequence, of which every decay occurs once.
    index, stride = _index(lambdas, last), 1
    if previous is not None and _holds(last, previous, options.tol):
        stride = min(2 * (index - _index(lambdas, previous)), LONGEST_STRIDE)
    rows = with_effective_size(rows, last.network)
    for candidate in range(min(index + stride, len(lambdas) - 1), index, -1):
        if not data_end_path(rows, previous, last, lambdas[candidate]):
            return candidate
    return None


def _holds(last: Stage, previous: Stage, tol: float) -> bool:
    """Whether the last stage is certified, with no more neurons than the one before."""
    n_neurons = last.network.n_neurons
    return last.relative_gap <= tol and 0 < n_neurons <= previous.network.n_neurons


def _index(lambdas: Sequence[float], stage: Stage) -> int:
    return int(np.argmin(np.abs(np.subtract(lambdas, stage.lambda_))))


def data_end_path(
    rows: Rows, previous: Stage | None, stage: Stage, next_lambda: float
) -> bool:
    """Whether a next stage at ``next_lambda`` would fit noise, or nothing at all.

    The loss falls with the decay to that of the noise, at first faster than in
    proportion and, where it is all bias, as the square (theory, "Laws"). The straight
    line through two stages, taken to a decay of zero, estimates the noise's part; it
    is too high while directions are still being found, which a falling loss shows.
    """
    if 2.0 * stage.loss < rows.exact:
        return True
    if previous is None:
        return False
    ratio = stage.lambda_ / previous.lambda_
    noise = max(0.0, (stage.loss - ratio * previous.loss) / (1.0 - ratio))
    level = noise_level(rows, 2.0 * noise)
    n_parameters = stage.network.n_neurons * rows.n_inputs
    fitted_noise = noise * n_parameters / rows.n_effective
    still_falls = previous.loss - stage.loss > STILL_FALLS * fitted_noise
    return next_lambda < level and not still_falls
