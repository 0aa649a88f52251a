"""Whoever watches the tasks of a long fit, such as its folds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

R = TypeVar("R")


class Watcher:
    """Is told when tasks begin and end; this one does not care."""

    def begin_group(self, name: str, n_tasks: int) -> None:
        """Some tasks of one kind are going to be done."""

    def begin_task(self) -> None:
        """A task of the group begins."""

    def end_task(self) -> None:
        """It has ended."""

    def end_group(self) -> None:
        """So has the group; the last of its tasks may not have been needed."""


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell the watcher of the tasks in this context."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watched(name: str, n_tasks: int, results: Iterable[R]) -> Iterator[R]:
    """The results of the tasks, as they come; each task ends with its result."""
    watcher, following = _watcher.get() or Watcher(), iter(results)
    watcher.begin_group(name, n_tasks)
    try:
        for _ in range(n_tasks):
            watcher.begin_task()
            result = next(following, None)
            if result is None:
                return
            watcher.end_task()
            yield result
    finally:
        watcher.end_group()
