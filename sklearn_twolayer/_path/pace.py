"""The choice of the next decay of a path, and of its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._network.noise import noise_level, with_effective_size
from sklearn_twolayer._path.stage import Stage

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

# If the loss fell in the last stage by more than this times what its neurons can gain
# by fitting noise, the path is still finding signal, and the estimate of the noise by a
# straight line is too high (convention).
STILL_FALLS = 4.0
LONGEST_STRIDE = 4  # the path goes at most this many decays on at once (convention)


# Whether the path ends after the last two stages, before a decay.
Ends = Callable[[Stage | None, Stage, float], bool]


def next_index(
    rows: Rows,
    lambdas: Sequence[float],
    stages: Sequence[Stage],
    options: PathOptions,
    ends: Ends | None = None,
) -> int | None:
    """Index of the decay after these stages; None if the path ends.

    An adaptive schedule depends on the data in two ways. They may end the path early.
    And decays are skipped: if the last stage reached its gap with no more neurons than
    the stage before, the next step is twice as long. ``ends`` tells whether the data
    end the path, in place of :func:`data_end_path`.
    """
    if stages[-1].stopped_by == "max_time":
        return None
    if not getattr(options.schedule, "is_adaptive", False):
        return len(stages) if len(stages) < len(lambdas) else None
    last, previous = stages[-1], stages[-2] if len(stages) > 1 else None
    if last.lambda_ == 0.0:  # lambda_max is zero: there is nothing to find
        return None
    # The decays are a geometric sequence, so that each has one index.
    index, stride = _index(lambdas, last), 1
    if previous is not None and _holds(last, previous, options.tol):
        stride = min(2 * (index - _index(lambdas, previous)), LONGEST_STRIDE)
    if ends is None:
        ends = partial(data_end_path, with_effective_size(rows, last.network))
    for candidate in range(min(index + stride, len(lambdas) - 1), index, -1):
        if not ends(previous, last, lambdas[candidate]):
            return candidate
    return None


def _holds(last: Stage, previous: Stage, tol: float) -> bool:
    """Whether the last stage is certified, with no more neurons than the one before."""
    n_neurons = last.network.n_neurons
    return last.relative_gap <= tol and 0 < n_neurons <= previous.network.n_neurons


def _index(lambdas: Sequence[float], stage: Stage) -> int:
    """Index of the stage's decay, which may differ from it by rounding."""
    return int(np.argmin(np.abs(np.subtract(lambdas, stage.lambda_))))


def data_end_path(
    rows: Rows, previous: Stage | None, stage: Stage, next_lambda: float
) -> bool:
    """Whether a stage at ``next_lambda`` would fit noise, or rounding errors.

    As the decay goes to zero, the loss falls to that of the noise: at first faster than
    in proportion to the decay, and as its square where the rest of the loss is bias
    only (theory, "Laws"). The straight line through the last two stages, extrapolated
    to a decay of zero, estimates the loss of the noise. The estimate is too high while
    directions are still being found, which shows in a loss that is still falling.
    """
    if 2.0 * stage.loss < rows.exact:
        return True
    if previous is None:
        return False
    ratio = stage.lambda_ / previous.lambda_
    noise = max(0.0, (stage.loss - ratio * previous.loss) / (1.0 - ratio))
    level = noise_level(rows, 2.0 * noise)
    n_parameters = stage.network.n_neurons * rows.rank
    fitted_noise = noise * n_parameters / rows.n_effective
    still_falls = previous.loss - stage.loss > STILL_FALLS * fitted_noise
    return next_lambda < level and not still_falls
