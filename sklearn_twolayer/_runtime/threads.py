"""How many threads a fit uses, also in forked processes. No torch here.

A fork copies the thread that forks and no other. Limits and locks of fits in the other
threads would stay in the child for good, so they are removed there.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from threading import Lock, get_ident
from typing import Any

from threadpoolctl import ThreadpoolController

# Entries of the inputs up to which fits in several threads take turns (convention).
# Products of larger ones last so long that threads seldom wait for Python's lock.
SMALL_ENTRIES = 2**19
# Seconds that a small fit waits for its turn while a fit in another thread is running.
# Measured on two cores, eight fits in four threads (benchmarks/concurrency.py): fits
# that take turns need as long as the same fits in one thread; fits that run at the same
# time wait for Python's lock at each of many thousand short products and need twice as
# long. The length of the wait is a convention.
TURN_SECONDS = 5.0


@cache
def _controller() -> ThreadpoolController:
    """The loaded libraries that have thread pools; finding them takes a millisecond.

    The result is kept: at the first call all libraries that a fit uses are loaded.
    """
    return ThreadpoolController()


# The process that imported this module; forked ones have other numbers.
ORIGINAL_PROCESS = os.getpid()


class _SerialBlas:
    """Limit BLAS to one thread while at least one small fit is running.

    The limit holds for the whole process. If each of several simultaneous fits restored
    the limit that it found, the last could restore the limit that another had set. So
    the first fit sets the limit and the last removes it, perhaps in another thread.

    ``lock`` is held whenever threadpoolctl is used, so that no fork happens meanwhile.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._fits: Counter[int] = Counter()  # by thread
        self._limits: Any = None  # of threadpoolctl, which has no annotations

    def __enter__(self) -> None:
        with self.lock:
            if not self._fits:
                self._limits = _controller().limit(limits=1, user_api="blas")
                _let_any_thread_limit()
            self._fits[get_ident()] += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self._fits -= Counter([get_ident()])  # Threads without fits are dropped.
            if not self._fits:
                self._restore()

    def after_fork(self) -> None:
        """Keep the fits of the thread that forked, in the child."""
        self.lock = Lock()
        others = bool(self._fits)
        own = self._fits[get_ident()]
        self._fits = Counter({get_ident(): own} if own else {})
        if others and not own:
            self._restore()

    def _restore(self) -> None:
        self._limits.restore_original_limits()
        _let_any_thread_limit()


def _let_any_thread_limit() -> None:
    """Let threads other than this one set and remove limits of BLAS.

    threadpoolctl 3.8 lets only the thread that first set a limit change it, and ignores
    all other threads until a context of that thread ends. So an empty one ends here.
    """
    with _controller().limit(limits=None):
        pass


_serial_blas = _SerialBlas()


@contextmanager
def _serial_openmp() -> Iterator[None]:
    """Limit OpenMP, which torch uses, to one thread in this thread.

    The first operation of torch in a thread sets the number of its threads, which would
    undo the limit, so torch is asked for this number first.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()
    limits = ExitStack()
    with _serial_blas.lock:
        limits.enter_context(_controller().limit(limits=1, user_api="openmp"))
    try:
        yield
    finally:
        with _serial_blas.lock:
            limits.close()


@contextmanager
def _serial_torch() -> Iterator[None]:
    """Limit torch to one thread in a forked process.

    The products of torch follow `torch.set_num_threads` where that was called, and not
    the limit of OpenMP.
    """
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class _Turns:
    """Run one small fit at a time, but let a fit start that has waited long enough.

    Otherwise a fit whose callback waits for a fit in another thread would never end.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holder: int | None = None  # the thread that has the lock
        self._threads: set[int] = set()  # all that are in a fit

    @contextmanager
    def turn(self) -> Iterator[None]:
        thread = get_ident()
        if thread in self._threads:  # A fit within a fit has the turn already.
            yield
            return
        acquired = self._lock.acquire(timeout=TURN_SECONDS)
        if acquired:
            self._holder = thread
        self._threads.add(thread)
        try:
            yield
        finally:
            self._threads.discard(thread)
            if acquired:
                self._holder = None
                self._lock.release()

    def after_fork(self) -> None:
        """Keep the turn of the thread that forked, in the child."""
        self._lock = Lock()
        self._threads &= {get_ident()}
        if self._holder == get_ident():
            self._lock.acquire()
        else:
            self._holder = None


_turns = _Turns()


def _before_fork() -> None:
    _serial_blas.lock.acquire()


def _after_fork_in_parent() -> None:
    _serial_blas.lock.release()


def _after_fork_in_child() -> None:
    _turns.after_fork()
    _serial_blas.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


@contextmanager
def fit_threads(n_entries: int) -> Iterator[None]:
    """Limit BLAS and OpenMP, which torch uses, to one thread.

    Pools of threads wait for the slowest at each of many thousand products. Measured on
    two cores, fits of 60,000 and 600,000 rows and 20 inputs took 2.7 and 1.3 times as
    long with two threads, and up to ten times beside other work. Small fits in several
    threads of one process take turns. The limits end with the context; the limit of
    OpenMP holds for the calling thread only.
    """
    is_small = n_entries <= SMALL_ENTRIES
    is_forked = os.getpid() != ORIGINAL_PROCESS
    with (
        _turns.turn() if is_small else nullcontext(),
        _serial_blas,
        _serial_torch() if is_forked else nullcontext(),
        _serial_openmp(),
    ):
        yield
