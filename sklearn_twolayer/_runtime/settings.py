"""Settings of NumPy and torch that a fit does not follow. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

# Types of devices that torch can compute on in mixed precision.
DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
# What torch says if the system gives it no memory; on a GPU it has an error for it.
NO_MEMORY = ("can't allocate memory", "not enough memory")


@contextmanager
def own_settings() -> Iterator[None]:
    """Compute as if nothing had been set, in this block and thread only.

    NumPy treats floating-point errors in its default way, in which numbers that become
    too small are zero, but is silent about invalid ones: matrix products sometimes
    raise that flag for entries that they do not use. torch does not change the
    precision by `torch.autocast`. If torch gets no memory, this is a `MemoryError`, as
    with NumPy.
    """
    with ExitStack() as stack:
        stack.enter_context(
            np.errstate(divide="warn", over="warn", under="ignore", invalid="ignore")
        )
        torch = sys.modules.get("torch")  # If it is not loaded, nothing is set.
        if torch is not None:
            for kind in DEVICE_TYPES:
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            yield
        except RuntimeError as error:
            lacks_memory = type(error).__name__ == "OutOfMemoryError"
            if lacks_memory or any(words in str(error) for words in NO_MEMORY):
                raise MemoryError(
                    "The fit needs more memory than the process may take: select "
                    "columns or rows of X, lower n_neurons, or set dtype='float32'. "
                    f"torch says: {error}"
                ) from error
            raise
