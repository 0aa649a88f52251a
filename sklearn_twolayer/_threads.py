"""How many threads a fit uses. No torch here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import threadpool_limits

# Entries of the inputs up to which one thread is used. Measured on two cores: with
# few neurons a second thread gains nothing below it, and when both cores are busy
# (a search with n_jobs=2) the pools of torch and BLAS wait for each other and a fit
# takes up to ten times as long.
SERIAL_ENTRIES = 2**19


def fit_threads(n_entries: int) -> AbstractContextManager:
    """Limit BLAS and OpenMP, torch's included, to one thread for small inputs.

    Large inputs keep the threads that the caller allows. The limits end with the
    context.
    """
    if n_entries > SERIAL_ENTRIES:
        return nullcontext()
    return threadpool_limits(limits=1)
