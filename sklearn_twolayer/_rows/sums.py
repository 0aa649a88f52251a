"""Sums over blocks and parts of the rows: float64, on the CPU, in a fixed order."""

from __future__ import annotations

import torch


def add(total: torch.Tensor | None, more: torch.Tensor) -> torch.Tensor:
    """Add one block's share to a sum over blocks: float64, on the CPU."""
    more = exact_copy(more)
    return more if total is None else total.add_(more)


def exact_copy(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as sums need it: float64, on the CPU; itself if it is that."""
    if tensor.dtype == torch.float64 and tensor.device.type == "cpu":
        return tensor
    return tensor.to(device="cpu", dtype=torch.float64)


def product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """``first @ second``."""
    if _by_numpy(first):
        return torch.from_numpy(first.numpy() @ second.numpy())
    return first @ second


def gram(values: torch.Tensor) -> torch.Tensor:
    """``values @ values.T``, of which NumPy computes one half."""
    return product(values, values.T)


def _by_numpy(tensor: torch.Tensor) -> bool:
    """Whether NumPy multiplies.

    Its BLAS takes half the time of torch's for products of few columns; on several
    threads it would wait for torch's pool of them at every step.
    """
    return tensor.device.type == "cpu" and torch.get_num_threads() == 1


def added_up(results: list) -> object:
    """Results of the parts added up, entry by entry, in the order of the parts."""
    if len(results) == 1:
        return results[0]
    if isinstance(results[0], tuple):
        return tuple(sum(entries) for entries in zip(*results, strict=True))
    return sum(results)
