"""How many threads a fit uses. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, get_ident

from threadpoolctl import ThreadpoolController

# Entries of the inputs up to which one thread is used. Measured on two cores: with
# few neurons a second thread gains nothing below it, and when both cores are busy
# (a search with n_jobs=2) the pools of torch and BLAS wait for each other and a fit
# takes up to ten times as long.
SERIAL_ENTRIES = 2**19
# Seconds that a small fit waits for one in another thread. Measured on two cores, eight
# fits in four threads (benchmarks/concurrency.py): taking turns takes as long as one
# thread does; at the same time they wait for Python's lock at each of many thousand
# short products, and take twice as long.
PATIENCE = 5.0


@cache
def _controller() -> ThreadpoolController:
    """The libraries with pools of threads; finding them takes a millisecond or more.

    All that a fit uses are loaded when it asks first.
    """
    return ThreadpoolController()


class _SerialBlas:
    """One thread for BLAS while any fit asks for it.

    The limit is the whole process's: were each of several fits at once to restore what
    it found, the last could restore the limit of another. The fit that ends the limit
    may run in another thread than the one that began it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_fits = 0
        self._limits: object = None

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
    """Give up the control over BLAS that threadpoolctl 3.8 gives the first to limit it.

    It keeps it until a context of that thread ends, and ignores all others meanwhile.
    """
    with _controller().limit(limits=None):
        pass


_serial_blas = _SerialBlas()


class _Turns:
    """One small fit at a time, out of courtesy: who waited long goes ahead.

    So a fit that waits for another thread's, in a callback, goes on at last.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: set[int] = set()

    @contextmanager
    def turn(self) -> Iterator[None]:
        thread = get_ident()
        if thread in self._threads:  # a fit within a fit
            yield
            return
        acquired = self._lock.acquire(timeout=PATIENCE)
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
    """Limit BLAS and OpenMP, torch's included, to one thread for small inputs.

    In threads of one process small fits take turns. Large inputs keep the threads that
    the caller allows. The limits end with the context; OpenMP's is the calling
    thread's own.
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
