"""Memory that a fit needs beside the data, estimated before it is allocated."""

from __future__ import annotations

import os

# Numbers of square matrices that are held at once (counted in the code): of the size of
# the columns while the linear part is set up, and of the neurons while the output layer
# is fitted.
COLUMN_MATRICES, NEURON_MATRICES = 5, 3
# Copies of the parameters in a quasi-Newton descent (counted in the code): twenty pairs
# of steps and gradient changes, and a few more.
PARAMETER_COPIES = 45


def fit_memory(
    n_features: int, n_outputs: int, n_neurons: int, side: int | None = None
) -> int:
    """Peak memory of a fit in bytes, without the data and the blocks of rows.

    With ``side``, matrices of the columns have only so many rows.
    """
    side = n_features if side is None else side
    parameters = n_neurons * (n_features + 1 + n_outputs)
    return 8 * (
        COLUMN_MATRICES * (n_features + 1) * (side + 1)
        + NEURON_MATRICES * n_neurons**2
        + PARAMETER_COPIES * parameters
    )


def total_memory() -> int | None:
    """Memory of this machine in bytes; None if the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf.
        return None


def check_memory(
    n_features: int, n_outputs: int, n_neurons: int, side: int | None = None
) -> None:
    """Raise if a fit needs more memory than this machine has."""
    needed = fit_memory(n_features, n_outputs, n_neurons, side)
    total = total_memory()
    if total is None or needed <= total:
        return
    columns_alone = fit_memory(n_features, n_outputs, 0, side) > total
    remedy = "select columns of X"
    if not columns_alone:
        remedy = f"lower n_neurons or {remedy}"
    raise MemoryError(
        f"A fit of X with {n_features} columns, n_neurons = {n_neurons} to begin with, "
        f"would take about {needed / 2**30:.3g} GiB beside the data; this machine has "
        f"{total / 2**30:.3g} GiB: {remedy}."
    )
