"""How many threads a fit uses. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, get_ident
from typing import Any

from threadpoolctl import ThreadpoolController

# Entries of the inputs up to which one thread is used. Measured on two cores: up to
# here a second thread gains nothing with few neurons, and when both cores are busy (a
# search with n_jobs=2) the thread pools of torch and BLAS wait for each other, so that
# a fit takes up to ten times as long.
SERIAL_ENTRIES = 2**19
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


class _SerialBlas:
    """Limit BLAS to one thread while at least one small fit is running.

    The limit holds for the whole process. If each of several simultaneous fits restored
    the limit that it found, the last could restore the limit that another had set. So
    the first fit sets the limit and the last removes it, perhaps in another thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_fits = 0
        self._limits: Any = None  # of threadpoolctl, which has no annotations

    def __enter__(self) -> None:
        with self._lock:
            if self._n_fits == 0:
                self._limits = _controller().limit(limits=1, user_api="blas")
                _let_any_thread_limit()
            self._n_fits += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_fits -= 1
            if self._n_fits == 0:
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


class _Turns:
    """Run one small fit at a time, but let a fit start that has waited long enough.

    Otherwise a fit whose callback waits for a fit in another thread would never end.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: set[int] = set()

    @contextmanager
    def turn(self) -> Iterator[None]:
        thread = get_ident()
        if thread in self._threads:  # A fit within a fit has the turn already.
            yield
            return
        acquired = self._lock.acquire(timeout=TURN_SECONDS)
        self._threads.add(thread)
        try:
            yield
        finally:
            self._threads.discard(thread)
            if acquired:
                self._lock.release()


_turns = _Turns()


@contextmanager
def fit_threads(n_entries: int) -> Iterator[None]:
    """Limit BLAS and OpenMP, which torch uses, to one thread for small inputs.

    Small fits in several threads of one process take turns. For large inputs nothing is
    limited. The limits end with the context; the limit of OpenMP holds for the calling
    thread only.
    """
    if n_entries > SERIAL_ENTRIES:
        yield
        return
    with (
        _turns.turn(),
        _serial_blas,
        _controller().limit(limits=1, user_api="openmp"),
    ):
        yield
