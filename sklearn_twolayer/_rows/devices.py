"""What a device of torch can hold, and how tensors get there and back.

No figure here was measured on an accelerator: all of them are conventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from sklearn_twolayer._rows.blocks import BLOCK_ENTRIES

CPU = torch.device("cpu")
# A block takes at most this share of an accelerator's memory in double precision. Some
# ten arrays of its size are alive at the same time.
BLOCK_SHARE = 1.0 / 64.0
# Rows stay on an accelerator if they take at most this share of what is free there.
ROWS_SHARE = 0.5
# Memory of accelerators that do not tell theirs, in bytes.
UNKNOWN_MEMORY = 2**32
# Tensors of fewer bytes go to CUDA without a copy in page-locked memory.
PINNED_BYTES = 2**20


def block_entries(device: torch.device) -> int | None:
    """Entries of one block of rows on an accelerator; None for the CPU's.

    They depend on the whole memory and not on what is free, so that sums have the same
    terms in each fit.
    """
    if device.type == "cpu":
        return None
    memory = UNKNOWN_MEMORY
    if device.type == "cuda":
        memory = torch.cuda.mem_get_info(device)[1]
    return max(BLOCK_ENTRIES, int(BLOCK_SHARE * memory) // 8)


def has_room(device: torch.device, n_bytes: int) -> bool:
    """Whether so many bytes of rows can stay on an accelerator."""
    free = UNKNOWN_MEMORY
    if device.type == "cuda":
        # torch keeps memory that tensors have left, which counts as taken.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + kept
    return n_bytes <= ROWS_SHARE * free


@cache
def home_of(device: torch.device) -> torch.device:
    """Where sums over rows on a device are: there, or on the CPU without float64."""
    if device.type == "cpu":
        return CPU
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):  # Apple's MPS raises the latter.
        return CPU
    return device


def moved(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The tensor on a device, in a precision; every copy between devices is made here.

    The precision changes on the CPU, since Apple's MPS has no float64, not even for a
    moment. Large tensors go to CUDA by way of page-locked memory, which torch keeps
    until the copy is done: meanwhile the CPU goes on with the next rows.
    """
    if device.type == "cpu":
        return tensor.to(device=device).to(dtype=dtype)
    tensor = tensor.to(dtype=dtype)
    is_pinned = device.type == "cuda" and tensor.device.type == "cpu"
    if is_pinned and tensor.nbytes >= PINNED_BYTES:
        return tensor.pin_memory().to(device=device, non_blocking=True)
    return tensor.to(device=device)


def moved_together(
    tensors: Sequence[torch.Tensor], device: torch.device, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Several tensors of one place and precision in one copy between devices."""
    if all(tensor.device == device for tensor in tensors):
        return [
            tensor if tensor.dtype == dtype else moved(tensor, device, dtype)
            for tensor in tensors
        ]
    sizes = [tensor.numel() for tensor in tensors]
    flat = moved(torch.cat([tensor.reshape(-1) for tensor in tensors]), device, dtype)
    return [
        piece.reshape(tensor.shape)
        for piece, tensor in zip(torch.split(flat, sizes), tensors, strict=True)
    ]
