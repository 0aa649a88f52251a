"""How much memory a fit takes beside the data, estimated before it is taken."""

from __future__ import annotations

import os

# Square matrices of the columns that are held at once in setting up the linear part,
# and of the neurons in fitting the output layer.
COLUMN_MATRICES, NEURON_MATRICES = 5, 3
# Copies of the parameters in a quasi-Newton descent: twenty pairs of changes and more.
PARAMETER_COPIES = 45


def fit_memory(n_features: int, n_outputs: int, n_neurons: int) -> int:
    """Bytes that a fit takes at its largest, beside the data and blocks of rows."""
    parameters = n_neurons * (n_features + 1 + n_outputs)
    return 8 * (
        COLUMN_MATRICES * (n_features + 1) ** 2
        + NEURON_MATRICES * n_neurons**2
        + PARAMETER_COPIES * parameters
    )


def total_memory() -> int | None:
    """Bytes of memory of this machine; None where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def check_memory(n_features: int, n_outputs: int, n_neurons: int) -> None:
    """Refuse what this machine could not hold, before anything is allocated."""
    needed, total = fit_memory(n_features, n_outputs, n_neurons), total_memory()
    if total is None or needed <= total:
        return
    columns_alone = fit_memory(n_features, n_outputs, 0) > total
    remedy = "select columns of X" if columns_alone else "lower n_neurons"
    raise MemoryError(
        f"A fit of X with {n_features} columns, n_neurons = {n_neurons} to begin with, "
        f"would take about {needed / 2**30:.3g} GiB beside the data; this machine has "
        f"{total / 2**30:.3g} GiB: {remedy}."
    )
