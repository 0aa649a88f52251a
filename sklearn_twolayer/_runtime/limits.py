"""How long a fit may go on. Descents ask, so that each can end with what it has."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Let ``out_of_time`` be true in this context after so many seconds."""
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    token = _deadline.set(min(deadline, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


def out_of_time() -> bool:
    """Whether the time that the fit may take is over."""
    return time.monotonic() >= _deadline.get()
