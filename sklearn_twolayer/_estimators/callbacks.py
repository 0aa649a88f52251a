"""The stages of a fit, or its folds, each told to the callbacks of the estimator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn.utils import check_scalar

from sklearn_twolayer._runtime.watch import Watcher, watched_by

if TYPE_CHECKING:
    from sklearn_twolayer._path.stage import Stage


def followed(
    path: Iterator[Stage],
    context: Any,
    attributes: Callable[[Stage], dict[str, Any]],
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


class TaskTeller(Watcher):
    """Tells callbacks of the folds and stages of a fit, and prints a line for each.

    Parameters
    ----------
    context : CallbackContext
        That of the whole fit.
    task : dict
        What callbacks are given.
    verbose : bool
        Whether to print.
    """

    def __init__(self, context: Any, task: dict[str, Any], *, verbose: bool) -> None:
        self.context, self.task, self.verbose = context, task, verbose

    def begin_group(self, name: str, n_tasks: int) -> None:
        self.name, self.n_tasks, self.n_done = name, n_tasks, 0
        self.group = self.context.subcontext(task_name=name, max_subtasks=n_tasks)
        self.group.call_on_fit_task_begin(**self.task)

    def begin_task(self) -> None:
        self.began = time.perf_counter()
        kind = "stage" if self.name == "stages" else "fold"
        self.one = self.group.subcontext(task_name=kind)
        self.one.call_on_fit_task_begin(**self.task)

    def end_task(self) -> None:
        self.one.call_on_fit_task_end(**self.task)
        self.n_done += 1
        if self.verbose and self.name != "stages":  # What these find is printed.
            seconds = time.perf_counter() - self.began
            print(f"{self.name}: {self.n_done} of {self.n_tasks}  {seconds:.2f} s")

    def end_group(self) -> None:
        self.group.call_on_fit_task_end(**self.task)


@contextmanager
def tasks_told(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Iterator[None]:
    """Tell the callbacks of a fit by folds, whose results they cannot end early."""
    verbose = check_scalar(estimator.verbose, "verbose", Integral, min_val=0)
    metadata = {"sample_weight": sample_weight}
    task = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
    context = estimator._init_callback_context(max_subtasks=None)
    context.call_on_fit_task_begin(**task)
    with watched_by(TaskTeller(context, task, verbose=verbose > 0)):
        yield
    if verbose:
        print(f"kept: {estimator.kept_}")
    context.call_on_fit_task_end(
        **task,
        reconstruction_attributes=lambda: {
            name: value
            for name, value in vars(estimator).items()
            if name.endswith("_") and not name.startswith("_")
        },
    )
