"""The stages of a fit, each told to the callbacks of the estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from sklearn_twolayer._path.stage import Stage


def followed(
    path: Iterator[Stage],
    context: Any,
    attributes: Callable[[Stage], dict[str, float | np.ndarray]],
    task: dict[str, Any],
) -> Iterator[Stage]:
    """The stages up to the last, or until a callback stops the fit.

    Callbacks get the ``task``, and the fitted ``attributes`` of a stage if they ask for
    them.
    """
    while True:
        stage_context = context.subcontext(task_name="stage")
        stage_context.call_on_fit_task_begin(**task)
        stage = next(path)
        yield stage
        stopped = stage_context.call_on_fit_task_end(
            **task, reconstruction_attributes=partial(attributes, stage)
        )
        if stopped or stage.is_last:
            return
