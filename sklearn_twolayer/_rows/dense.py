"""Standardised rows as dense tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from sklearn_twolayer._rows.devices import moved
from sklearn_twolayer._rows.sums import gram, product


@dataclass(frozen=True, eq=False)
class Standardization:
    """Shift and scale of the columns of ``X``: the fit sees ``(X - shift) / scale``.

    Parameters
    ----------
    shift, scale : ndarray of shape (n_features,)
        The weighted means of the columns, and the divisors.
    is_near : bool, default=False
        Whether no mean is so many standard deviations that columns should be shifted
        before they are multiplied.
    """

    shift: np.ndarray
    scale: np.ndarray
    is_near: bool = False

    @property
    def offset(self) -> np.ndarray:
        return self.shift / self.scale

    def weighted(self, weights: np.ndarray) -> Standardization:
        """The same for columns times ``weights``; a column of weight 0 is zero."""
        scale = np.full(len(self.scale), np.inf)
        np.divide(self.scale, weights, out=scale, where=weights > 0.0)
        return replace(self, scale=scale)

    @property
    def finite_scale(self) -> np.ndarray:
        """The divisors, with one for columns of weight 0, which the fit leaves out."""
        return np.where(np.isinf(self.scale), 1.0, self.scale)


@dataclass(frozen=True, eq=False)
class DenseBlock:
    """Some rows of the inputs, as a tensor of shape (n_rows, n_features + 1)."""

    values: torch.Tensor
    offset: torch.Tensor

    def project(self, weights: torch.Tensor) -> torch.Tensor:
        """``weights @ inputs.T``; without biases ``weights`` has one column less."""
        if weights.shape[1] < self.values.shape[1]:
            constant = weights @ self.offset
            weights = torch.cat([weights, constant[:, None]], dim=1)
        return product(weights, self.values.T)

    def pull_back(self, values: torch.Tensor, n_columns: int) -> torch.Tensor:
        """``values @ inputs``; ``values`` has one row for each neuron.

        ``n_columns`` tells whether the neurons have biases, as in :meth:`dense`.
        """
        pulled = product(values, self.values)
        if n_columns < pulled.shape[1]:
            return pulled[:, :-1].addr(pulled[:, -1], self.offset)
        return pulled

    def moments(self, values: torch.Tensor) -> torch.Tensor:
        """``inputs.T @ values``; ``values`` has one row for each sample."""
        return self.values.T @ values

    def without(self, values: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        """``values - inputs @ linear``."""
        return torch.addmm(values, self.values, linear, alpha=-1.0)

    def dense(self, n_columns: int) -> torch.Tensor:
        """The inputs; with one column less, those of neurons without biases."""
        if n_columns < self.values.shape[1]:
            return self.values[:, :-1].addr(self.values[:, -1], self.offset)
        return self.values

    def gram(self) -> torch.Tensor:
        """Gram matrix of the inputs, the constant input included."""
        return gram(self.values.T)

    @property
    def roots(self) -> torch.Tensor:
        """The constant input of each row, the root of its share of the weight."""
        return self.values[:, -1]


def raw_rows(
    X: np.ndarray | torch.Tensor,
    index: np.ndarray | None,
    rows: slice,
    device: torch.device,
) -> torch.Tensor:
    """Rows of ``X[index]`` as float64 on a device, which may be theirs already.

    They may be the memory of ``X``, which must not be written to.
    """
    if isinstance(X, torch.Tensor):
        return X[rows].double()
    block = X[rows] if index is None else X[index[rows]]
    is_single = block.dtype == np.float32 and device.type != "cpu"
    # torch takes arrays that may be written to, with strides above zero; of others
    # there is a copy.
    kind = np.float32 if is_single else np.float64
    tensor = torch.from_numpy(np.require(block, kind, ["C", "W"]))
    return moved(tensor, device, tensor.dtype).double()


def standardized_block(
    block: torch.Tensor, root: np.ndarray, standardization: Standardization
) -> torch.Tensor:
    """Standardised rows with the constant input, multiplied by their ``root``.

    This uses torch because NumPy takes twice as long where rows are short.
    """

    def there(values: np.ndarray) -> torch.Tensor:
        return moved(torch.from_numpy(values), block.device, torch.float64)

    values = block.new_empty(block.shape[0], block.shape[1] + 1)
    torch.sub(block, there(standardization.shift), out=values[:, :-1])
    values[:, :-1].div_(there(standardization.scale))
    values[:, -1] = 1.0
    return values.mul_(there(root)[:, None])
