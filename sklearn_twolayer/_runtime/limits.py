"""Limits on the time of a fit and on the steps of a stage.

Descents check them between their steps and return their current network when a limit is
reached.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Progress:
    """How many steps a stage may take, how many it has taken, and when it began.

    If the stage is part of another, its steps also count for ``outer``, the progress of
    that one.
    """

    max_iter: float = math.inf
    outer: Progress | None = None
    n_iter: int = 0
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Time since the stage began."""
        return time.perf_counter() - self.began


_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Make ``out_of_time`` true in this context after ``seconds``; None: never."""
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    token = _deadline.set(min(deadline, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def step_limit(max_iter: float = math.inf) -> Iterator[Progress]:
    """Count the steps of all descents in this context; allow ``max_iter`` in total."""
    progress = Progress(max_iter, outer=_progress.get())
    token = _progress.set(progress)
    try:
        yield progress
    finally:
        _progress.reset(token)


def count_step() -> None:
    """Count one step of a descent; a quasi-Newton descent counts its evaluations."""
    progress = _progress.get()
    while progress is not None:
        progress.n_iter += 1
        progress = progress.outer


def out_of_time() -> bool:
    """Whether the time limit of the fit is reached."""
    return time.monotonic() >= _deadline.get()


def time_left() -> float | None:
    """Seconds until the time limit of the fit; None if there is none."""
    deadline = _deadline.get()
    return None if deadline == math.inf else max(0.0, deadline - time.monotonic())


def limit_reached() -> str | None:
    """The parameter whose limit is reached, "max_time" or "max_iter", or None."""
    if out_of_time():
        return "max_time"
    progress = _progress.get()
    while progress is not None:
        if progress.n_iter >= progress.max_iter:
            return "max_iter"
        progress = progress.outer
    return None
