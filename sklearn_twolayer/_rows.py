"""Where the rows live: the data in the coordinates of the fit, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from sklearn_twolayer._units import Units

# Entries of one block of activations. Measured: from 2**18 to 2**20 are equally fast at
# 50,000 rows x 100 neurons, smaller blocks cost overhead, larger leave the cache.
BLOCK_ENTRIES = 2**18

# Eigenvalues of the inputs' correlation below this fraction of the largest count as
# collinear: below it, rounding in the moments is as large as the eigenvalue itself.
COLLINEAR = 1e-13

# A target whose residual from the linear fit is below this fraction of its own size
# is linear up to rounding.
LINEAR_TARGET = 1e-12


@dataclass(frozen=True, eq=False)
class Rows:
    """Standardised inputs and targets, with the sample weights worked in.

    ReLU is positively homogeneous, so a row of weight ``s_i`` is the same as the
    plain row multiplied by ``sqrt(s_i / sum(s))``, constant input included: no
    other part of the package sees the weights, and means over rows are sums.

    Parameters
    ----------
    inputs : torch.Tensor of shape (n_samples, n_features + 1)
        Inputs, then the constant input.
    targets : torch.Tensor of shape (n_samples, n_outputs)
        Targets less their linear fit, scaled to a sum of squares of one (theory
        eq. 1); all zero if the targets are linear.
    n_inputs : int
        Leading columns of ``inputs`` that the neurons see: all of them with hidden
        biases, all but the constant one without.
    input_varies : torch.Tensor of shape (n_inputs,)
        Whether the input is not zero on all rows, as a constant column is.
    n_effective : float
        How many rows the sample weights make of them, for noise levels and criteria.
    linear_basis : torch.Tensor of shape (n_features + 1, rank)
        Makes ``inputs @ linear_basis`` orthonormal.
    units : Units
        The way back to the units of ``X`` and ``y``.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    n_inputs: int
    input_varies: torch.Tensor
    n_effective: float
    linear_basis: torch.Tensor
    units: Units

    @classmethod
    def from_arrays(
        cls,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        *,
        standardize: bool,
        hidden_bias: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Rows:
        """Bring ``X`` and ``y`` (n_samples, n_outputs) to the coordinates of the fit.

        Without hidden biases the inputs are scaled but not centred: the network has
        nothing to take up the shift with.
        """
        # Rows of weight zero are left out, so that they cannot even round differently.
        kept = sample_weight > 0
        if not kept.all():
            X, y, sample_weight = X[kept], y[kept], sample_weight[kept]
        n_effective = effective_samples(sample_weight)
        share = sample_weight / sample_weight.max()
        share = share / share.sum()
        mean, scale = _mean_and_scale(X, share)
        if not standardize:
            scale = np.ones_like(scale)
        shift = mean if hidden_bias else np.zeros_like(mean)
        root = np.sqrt(share)[:, None]
        inputs = np.empty((X.shape[0], X.shape[1] + 1), order="F")
        inputs[:, :-1] = (X - shift) / scale * root
        inputs[:, -1:] = root
        basis = _orthonormal_basis(inputs, (mean - shift) / scale)
        target_mean = share @ y
        centred = (y - target_mean) * root
        linear, residual = _linear_fit(inputs, basis, centred)
        size = float(np.linalg.norm(residual))
        magnitude = float(np.linalg.norm(y * root))
        if size <= LINEAR_TARGET * magnitude:
            residual, size = np.zeros_like(residual), 1.0
        units = Units(
            shift=shift,
            scale=scale,
            linear=linear,
            target_mean=target_mean,
            target_scale=size,
            hidden_bias=hidden_bias,
        )

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(device=device, dtype=dtype)

        n_inputs = inputs.shape[1] if hidden_bias else inputs.shape[1] - 1
        varies = np.abs(inputs[:, :n_inputs]).max(axis=0) > 0
        return cls(
            inputs=tensor(inputs),
            targets=tensor(residual / size),
            n_inputs=n_inputs,
            input_varies=torch.from_numpy(varies).to(device),
            n_effective=n_effective,
            linear_basis=tensor(basis),
            units=units,
        )

    @property
    def n_samples(self) -> int:
        return self.inputs.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.targets.shape[1]

    @property
    def neuron_inputs(self) -> torch.Tensor:
        """The inputs that the neurons see, a view."""
        return self.inputs[:, : self.n_inputs]

    def blocks(self, n_neurons: int) -> list[slice]:
        """Slices of rows whose activations stay within ``BLOCK_ENTRIES``."""
        size = max(1, BLOCK_ENTRIES // max(1, n_neurons, self.inputs.shape[1]))
        if size >= self.n_samples:
            return [slice(None)]
        n_blocks = -(-self.n_samples // size)
        edges = np.linspace(0, self.n_samples, n_blocks + 1).astype(int).tolist()
        return [slice(first, end) for first, end in pairwise(edges)]

    def linear_part(self, moments: torch.Tensor) -> torch.Tensor:
        """Coefficients of the linear fit with ``inputs.T @ values = moments``."""
        return self.linear_basis @ (self.linear_basis.T @ moments)


def effective_samples(sample_weight: np.ndarray) -> float:
    """How many rows of weight one the weighted rows stand for.

    Whole numbers count as repetitions. Others matter by their ratios only and count
    as Kish's effective sample size, (sum s)^2 / sum s^2.
    """
    if (sample_weight == np.rint(sample_weight)).all():
        return float(sample_weight.sum())
    share = sample_weight / sample_weight.max()
    return float(share.sum() ** 2 / np.square(share).sum())


def _mean_and_scale(X: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation; a constant column gets scale one."""
    mean = share @ X
    mean = mean + share @ (X - mean)  # second pass: exact for large offsets
    centred = X - mean
    largest = np.abs(centred).max(axis=0)
    safe = np.where(largest > 0, largest, 1.0)
    scale = safe * np.sqrt(share @ np.square(centred / safe))
    rounding = 10 * np.finfo(float).eps * np.abs(mean)
    return mean, np.where(scale > rounding, scale, 1.0)


def _orthonormal_basis(inputs: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """``B`` with ``inputs @ B`` orthonormal, without the collinear directions."""
    n_features = inputs.shape[1] - 1
    centred = inputs[:, :-1] - inputs[:, -1:] * mean
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred)
    kept = eigenvalues > COLLINEAR * max(eigenvalues.max(initial=0.0), 0.0)
    basis = np.zeros((n_features + 1, int(kept.sum()) + 1))
    basis[:-1, :-1] = vectors[:, kept] / np.sqrt(eigenvalues[kept])
    basis[-1, :-1] = -mean @ basis[:-1, :-1]
    basis[-1, -1] = 1.0
    return basis


def _linear_fit(
    inputs: np.ndarray, basis: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear coefficients and residual, with one step of iterative refinement."""
    linear = np.zeros((inputs.shape[1], values.shape[1]))
    residual = values
    for _ in range(2):
        linear = linear + basis @ (basis.T @ (inputs.T @ residual))
        residual = values - inputs @ linear
    return linear, residual
