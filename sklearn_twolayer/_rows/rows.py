"""Where the rows live: the data in the coordinates of the fit, in one place or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._rows.inputs import (
    DenseInputs,
)
from sklearn_twolayer._rows.linear_basis import linear_bases
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.parts import LocalParts, Parts
from sklearn_twolayer._rows.raw import RawPart, Shares
from sklearn_twolayer._rows.standardize import (
    find_standardization,
    mean_square,
    relative_weight_sums,
    standardized_part,
    weight_facts,
)
from sklearn_twolayer._rows.sums import add, added_up
from sklearn_twolayer._rows.units import Units

# A target whose residual from the linear fit is below this fraction of its own size
# is linear up to rounding.
LINEAR_TARGET = 1e-12

# Mean squared residual, relative to the targets', that counts as rounding.
EXACT = {torch.float64: 1e-18, torch.float32: 1e-11}


@dataclass(frozen=True, eq=False)
class Rows:
    """Standardised inputs and targets, with the sample weights worked in.

    ReLU is positively homogeneous, so a row of weight ``s_i`` is the same as the
    plain row multiplied by ``sqrt(s_i / sum(s))``, constant input included: no
    other part of the package sees the weights, and means over rows are sums. Sums and
    parameters are float64 on the CPU, whatever the rows are.

    Parameters
    ----------
    parts : Parts
        Where the rows are. The targets, less their linear fit, are scaled to a sum of
        squares of one (theory eq. 1), or all zero if they are linear.
    n_samples, n_outputs : int
        Numbers of rows and of targets.
    n_inputs : int
        Inputs that the neurons see: without hidden biases, all but the constant one.
    input_varies : torch.Tensor of shape (n_inputs,)
        Whether the input is not zero on all rows, as a constant column is.
    weights_repeat : bool
        Whether sample weights are whole numbers, which count as repetitions.
    n_effective : float
        How many rows the sample weights make of them, for noise levels and criteria
        (theory eq. 16).
    linear_basis : torch.Tensor of shape (n_features + 1, rank)
        Makes ``inputs @ linear_basis`` orthonormal.
    exact : float
        Mean squared residual that counts as rounding.
    units : Units
        The way back to the units of ``X`` and ``y``.
    """

    parts: Parts
    n_samples: int
    n_outputs: int
    n_inputs: int
    input_varies: torch.Tensor
    weights_repeat: bool
    n_effective: float
    linear_basis: torch.Tensor
    exact: float
    units: Units

    @classmethod
    def from_arrays(
        cls,
        X: np.ndarray | sparse.sparray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        **options: object,
    ) -> Rows:
        """Rows of this process; for the options see ``from_parts``."""
        return cls.from_parts(LocalParts(RawPart.of(X, y, sample_weight)), **options)

    @classmethod
    def from_parts(
        cls,
        raw: Parts,
        *,
        standardize: bool,
        hidden_bias: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Rows:
        """Bring raw parts to the coordinates of the fit.

        Without hidden biases the neurons see inputs that are not centred, since they
        have nothing to take up the shift with, and of which the mean square is one.
        """
        largest, whole, sums, counts = zip(*raw.gather(weight_facts), strict=True)
        total, squares = added_up(raw.gather(relative_weight_sums, max(largest)))
        shares = Shares(max(largest), total)
        standardization, target_mean = find_standardization(
            raw, shares, standardize=standardize, hidden_bias=hidden_bias
        )
        parts = raw.made(
            raw.keep(standardized_part, shares, standardization, target_mean)
        )
        gram = added_up(parts.gather(_gram))
        basis, whole_basis = linear_bases(parts, gram, standardization.offset, dtype)
        linear = np.zeros((len(basis), len(target_mean)))
        for _ in range(2):  # one step of iterative refinement
            moments = added_up(parts.gather(_target_moments))
            change = whole_basis @ (whole_basis.T @ moments)
            linear = linear + change
            parts = parts.made(parts.keep(_without_linear, change))
        size = math.sqrt(added_up(parts.gather(_target_squares)))
        magnitude = math.sqrt(added_up(raw.gather(mean_square, shares)))
        if size <= LINEAR_TARGET * magnitude:
            size = 0.0
        varies = gram.diagonal() > 0
        if not hidden_bias:  # a constant column is a constant input
            varies = varies[:-1] | (standardization.shift != 0)
        return cls(
            parts=parts.made(parts.keep(_finished, size, device, dtype)),
            n_samples=sum(counts),
            n_outputs=len(target_mean),
            n_inputs=len(varies),
            input_varies=torch.from_numpy(varies),
            # Others matter by their ratios only; as long as no residual is known, all
            # rows are taken to be equally noisy.
            weights_repeat=all(whole),
            n_effective=float(sum(sums) if all(whole) else total**2 / squares),
            linear_basis=torch.from_numpy(basis),
            exact=EXACT[dtype],
            units=Units(
                shift=standardization.shift,
                scale=standardization.scale,
                linear=linear,
                target_mean=target_mean,
                target_scale=size or 1.0,
                hidden_bias=hidden_bias,
            ),
        )

    def keep(self, function: Callable, *arguments: object) -> object:
        """What the function makes of each part, left where the part is."""
        return self.parts.keep(function, *arguments)

    def total(self, function: Callable, *arguments: object) -> object:
        """What the function makes of each part, or each entry of it, added up."""
        return added_up(self.parts.gather(function, *arguments))

    def projected(self, basis: torch.Tensor) -> Rows:
        """The rows with ``inputs @ basis.T`` for the inputs that the neurons see."""
        return replace(
            self,
            parts=self.parts.made(self.keep(_projected, basis)),
            n_inputs=len(basis),
            input_varies=torch.ones(len(basis), dtype=torch.bool, device="cpu"),
        )

    def in_single(self) -> Rows:
        """The rows in single precision: products take half the time."""
        return replace(self, parts=self.parts.made(self.keep(_in_single)))

    def linear_part(self, moments: torch.Tensor) -> torch.Tensor:
        """Coefficients of the linear fit with ``inputs.T @ values = moments``."""
        return self.linear_basis @ (self.linear_basis.T @ moments)


def _gram(part: Part) -> np.ndarray:
    n_columns = part.inputs.n_columns
    gram = np.zeros((n_columns, n_columns))
    for rows in part.blocks(1):
        gram += part.inputs.block(rows).gram()
    return gram


def _target_moments(part: Part) -> np.ndarray:
    moments = None
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        moments = add(moments, block.moments(part.targets[rows]))
    return moments.numpy()


def _without_linear(part: Part, linear: np.ndarray) -> Part:
    coefficients = torch.from_numpy(linear)
    targets = torch.empty_like(part.targets)
    for rows in part.blocks(1):
        block = part.inputs.block(rows)
        targets[rows] = block.without(part.targets[rows], coefficients)
    return replace(part, targets=targets)


def _target_squares(part: Part) -> float:
    return float(part.targets.square().sum())


def _finished(
    part: Part, size: float, device: torch.device, dtype: torch.dtype
) -> Part:
    """Scale the targets, to zero if there is no size; move to device and precision."""
    targets = part.targets / size if size > 0 else torch.zeros_like(part.targets)
    return Part(part.inputs, targets).to(device, dtype)


def _in_single(part: Part) -> Part:
    return part.to(part.targets.device, torch.float32)


def _projected(part: Part, basis: torch.Tensor) -> Part:
    weights = part.cast(basis)
    values = [
        part.inputs.block(rows).project(weights).T for rows in part.blocks(len(basis))
    ]
    no_offset = part.cast(basis.new_zeros(0))
    return replace(part, inputs=DenseInputs(torch.cat(values), no_offset))
