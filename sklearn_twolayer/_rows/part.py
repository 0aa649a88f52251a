"""Standardised rows in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.devices import block_entries, home_of, moved
from sklearn_twolayer._rows.inputs import (
    ArrayInputs,
    Block,
    DenseInputs,
    SparseInputs,
)


@dataclass(frozen=True, eq=False)
class Part:
    """Standardised rows in one place, on one device.

    Parameters
    ----------
    inputs : DenseInputs, ArrayInputs or SparseInputs
        Standardised inputs, followed by the constant input.
    targets : torch.Tensor of shape (n_rows, n_outputs)
        Targets less their linear fit.
    """

    inputs: DenseInputs | ArrayInputs | SparseInputs
    targets: torch.Tensor

    @cached_property
    def home(self) -> torch.device:
        """Where the sums over the rows are."""
        return home_of(self.targets.device)

    def blocks(self, n_neurons: int) -> list[slice]:
        """Blocks of rows whose inputs and activations the device works on at once."""
        row_entries = max(n_neurons, self.inputs.row_entries)
        return row_blocks(len(self.targets), row_entries, self._block_entries)

    @cached_property
    def _block_entries(self) -> int | None:
        return block_entries(self.targets.device)

    def cast(self, tensor: torch.Tensor) -> torch.Tensor:
        """Parameters on the device and in the precision of the rows."""
        if tensor.dtype == self.targets.dtype and tensor.device == self.targets.device:
            return tensor
        return moved(tensor, self.targets.device, self.targets.dtype)

    def at_home(self, tensor: torch.Tensor) -> torch.Tensor:
        """Parameters where the sums over the rows are."""
        if tensor.device == self.home:
            return tensor
        return moved(tensor, self.home, torch.float64)

    def roots(self, block: Block) -> torch.Tensor:
        """The constant input of the block's rows, the root of their share of weight."""
        return block.roots[None]

    def to(self, device: torch.device, dtype: torch.dtype) -> Part:
        """The part on a device and in a precision."""
        return Part(
            self.inputs.to(device=device, dtype=dtype),
            moved(self.targets, device, dtype),
        )

    @cached_property
    def single(self) -> Part:
        """The part in single precision, cast once."""
        return self.to(self.targets.device, torch.float32)
