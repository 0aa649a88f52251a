"""Sums over blocks and parts of the rows: float64, on the CPU, in a fixed order."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch

R = TypeVar("R")


def add(total: torch.Tensor | None, more: torch.Tensor) -> torch.Tensor:
    """Add the term of one block to a sum over blocks: float64, on the CPU.

    The first term may itself become the sum, so callers must not use it again.
    """
    more = exact_copy(more)
    return more if total is None else total.add_(more)


def exact_copy(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float64 on the CPU; the tensor itself if it is that already."""
    if tensor.dtype == torch.float64 and tensor.device.type == "cpu":
        return tensor
    return moved(tensor, torch.device("cpu"), torch.float64)


def moved(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The tensor on a device, in a precision; every copy between devices is made here.

    The precision changes on the CPU, since Apple's MPS has no float64, not even for a
    moment.
    """
    if device.type == "cpu":
        return tensor.to(device=device).to(dtype=dtype)
    return tensor.to(dtype=dtype).to(device=device)


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
