"""Sums over blocks and parts of the rows: in float64, in a fixed order.

They are added where the rows are, if float64 exists there, and otherwise on the CPU.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import torch

from sklearn_twolayer._rows.devices import CPU, home_of, moved, moved_together

R = TypeVar("R")


def add(total: torch.Tensor | None, more: torch.Tensor) -> torch.Tensor:
    """Add the term of one block to a sum over blocks.

    The first term may itself become the sum, so callers must not use it again.
    """
    more = exact_copy(more)
    return more if total is None else total.add_(more)


def exact_copy(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float64, where sums are; the tensor itself if it is that already.

    Without float64 on the device, this copies the whole tensor to the CPU: sums of
    squares in single precision would mislead line searches.
    """
    if tensor.dtype == torch.float64:
        return tensor
    return moved(tensor, home_of(tensor.device), torch.float64)


def sum_products(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The sum of the products of all entries."""
    return (exact_copy(first) * exact_copy(second)).sum()


def fetched(sums: R) -> R:
    """Sums on the CPU; those of a tuple are copied together.

    What is not a tensor is returned as it is.
    """
    if isinstance(sums, torch.Tensor):
        return cast("R", moved(sums, CPU, sums.dtype))
    if isinstance(sums, tuple) and isinstance(sums[0], torch.Tensor):
        return cast("R", tuple(moved_together(sums, CPU, torch.float64)))
    return sums


def as_arrays(*sums: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Sums in float64 as NumPy arrays, copied to the CPU together."""
    return tuple(one.numpy() for one in fetched(sums))


def product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """``first @ second``."""
    if _by_numpy(first):
        return torch.from_numpy(first.numpy() @ second.numpy())
    return first @ second


def gram(values: torch.Tensor) -> torch.Tensor:
    """``values @ values.T``; NumPy uses the symmetry and computes one half only."""
    return product(values, values.T)


def _by_numpy(tensor: torch.Tensor) -> bool:
    """Whether NumPy computes the product: on the CPU, on a single thread.

    For products with few columns NumPy's BLAS takes half the time of torch's. On
    several threads the thread pools of both would wait for each other at every step.
    """
    return bool(tensor.device.type == "cpu" and torch.get_num_threads() == 1)


def added_up(results: list[R]) -> R:
    """Sum of the results of all parts, in the order of the parts.

    Results that are tuples are added entry by entry.
    """
    if len(results) == 1:
        return results[0]
    terms: list[Any] = results
    if isinstance(terms[0], tuple):
        return cast("R", tuple(sum(entries) for entries in zip(*terms, strict=True)))
    return cast("R", sum(terms))
