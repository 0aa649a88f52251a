"""The data in the coordinates of the fit, in one place or in several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Concatenate, TypeVar

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._checks.data import SINGLE
from sklearn_twolayer._rows.columns import find_far_columns
from sklearn_twolayer._rows.devices import CPU, moved, moved_together
from sklearn_twolayer._rows.distinct import distinct_weights
from sklearn_twolayer._rows.inputs import DenseInputs
from sklearn_twolayer._rows.kept_columns import by_their_gram, by_their_sizes
from sklearn_twolayer._rows.linear_basis import linear_bases
from sklearn_twolayer._rows.linear_decay import (
    LinearDecay,
    with_targets,
    with_unit_loss,
)
from sklearn_twolayer._rows.linear_fit import constant_alone, without_linear_fit
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.parts import Kept, LocalParts, Parts
from sklearn_twolayer._rows.raw import RawPart, Shares, weight_facts
from sklearn_twolayer._rows.spectrum import Spectrum
from sklearn_twolayer._rows.standardize import (
    find_standardization,
    on_device,
    relative_weight_sums,
    spread_and_spacing,
    standardized_part,
)
from sklearn_twolayer._rows.sums import added_up, as_arrays, fetched
from sklearn_twolayer._rows.units import Units

R = TypeVar("R")

# A target is linear up to rounding if its residual from the linear fit is at most this
# fraction of its spread, or the spacing of its floats (convention). Its distance from
# zero does not matter: a mean costs no more digits than the floats have lost to it.
LINEAR_TARGET = 1e-12

# A mean squared residual up to this fraction of that of the linear fit is rounding
# (convention).
EXACT = {torch.float64: 1e-18, torch.float32: 1e-11}


@dataclass(frozen=True, eq=False)
class Rows:
    """Standardised inputs and targets, multiplied by the roots of the sample weights.

    ReLU is positively homogeneous, so a row of weight ``s_i`` has the same effect as
    the unweighted row multiplied by ``sqrt(s_i / sum(s))``, constant input included.
    Therefore no other part of the package uses the weights, and weighted means over
    rows become plain sums. Sums and parameters are float64 on the CPU, whatever the
    precision and device of the rows, except that :meth:`sent` and :meth:`sums` leave
    them where the rows are.

    Parameters
    ----------
    parts : Parts of Part
        The rows. The targets, less their linear fit, are scaled to a sum of squares of
        one (theory eq. 1), or set to zero if they are linear.
    n_samples, n_outputs : int
        Numbers of rows and of targets.
    n_inputs : int
        Number of inputs that the neurons see. Without hidden biases the constant input
        is not one of them.
    far_columns : list of int
        Columns of ``X`` that neurons without biases see as nearly constant, because
        they vary little beside their mean. Constant columns are not among them.
    rank : int
        Rank of the inputs that the neurons see, as far as the linear part resolves it,
        or of the eigenvalues above rounding if it is shrunk.
        Prices and noise levels count it, because other weights change nothing.
    n_distinct : int
        Number of different rows, if there are few for the columns and the linear part
        is to be shrunk; otherwise of all rows.
    n_effective : float
        Effective sample size (theory eq. 16), for noise levels and criteria.
    n_effective_outputs : float
        Effective number of targets (theory eq. 23), which is lower than their number
        where they are correlated or of unequal size.
    linear_basis : torch.Tensor of shape (n_features + 1, rank)
        A matrix such that ``inputs @ linear_basis`` is orthonormal, or shrunk by the
        decay of the linear part (theory eq. 24).
    exact : float
        A mean squared residual up to this counts as rounding.
    fits_single : bool
        Whether single precision can hold the squares of what the neurons see.
    units : Units
        Conversion of networks to the units of ``X`` and ``y`` and back.
    spectrum : Spectrum
        Eigenvalues of the inputs' Gram matrix.
    linear_decay : LinearDecay or None, default=None
        The decay of the linear part; None if it is not shrunk. With it, the targets
        keep their linear part, and ``y'Sy`` is one in place of their sum of squares.
    dispersion : float or None, default=None
        The sum of squares that noise has in each target, if it is known: that of the
        working targets of a loss with known dispersion. None if it is estimated.
    """

    parts: Parts[Part]
    n_samples: int
    n_outputs: int
    n_inputs: int
    far_columns: list[int]
    rank: int
    n_distinct: int
    n_effective: float
    n_effective_outputs: float
    linear_basis: torch.Tensor
    exact: float
    fits_single: bool
    units: Units
    spectrum: Spectrum
    linear_decay: LinearDecay | None = None
    dispersion: float | None = None

    @classmethod
    def from_arrays(
        cls,
        X: np.ndarray | sparse.sparray,
        y: np.ndarray,
        sample_weight: np.ndarray,
        *,
        standardize: bool,
        hidden_bias: bool,
        device: torch.device,
        dtype: torch.dtype,
        linear_decay: float = 0.0,
        column_weights: np.ndarray | None = None,
    ) -> Rows:
        """Bring arrays of this process to the coordinates of the fit."""
        rows = cls.from_parts(
            LocalParts(RawPart.of(X, y, sample_weight)),
            standardize=standardize,
            hidden_bias=hidden_bias,
            device=device,
            dtype=dtype,
            shrinks=linear_decay > 0.0,
            column_weights=column_weights,
        )
        return rows if linear_decay == 0.0 else rows.decayed(linear_decay)

    @classmethod
    def from_parts(
        cls,
        raw: Parts[RawPart],
        *,
        standardize: bool,
        hidden_bias: bool,
        device: torch.device,
        dtype: torch.dtype,
        shrinks: bool = False,
        column_weights: np.ndarray | None = None,
    ) -> Rows:
        """Bring raw parts to the coordinates of the fit.

        With ``shrinks``, the linear part is to be shrunk by :meth:`decayed`. If there
        are fewer rows than columns, the linear fit is then left out, only the inner
        products of the rows are formed, and copies of columns are kept.

        ``column_weights`` of shape (n_features,) multiply the standardised columns. A
        weight on a column costs the more decay, the smaller the column is.

        Neurons without hidden biases cannot compensate for a shift. They see inputs
        that are not centred, scaled to a mean square of one.
        """
        largest, counts = zip(*raw.gather(weight_facts), strict=True)
        total, squares = added_up(raw.gather(relative_weight_sums, max(largest)))
        shares = Shares(max(largest), total)
        n_distinct = sum(counts)
        there = raw
        if device.type != "cpu":
            there = raw.made(raw.keep(on_device, device))
        standardization, target_mean = find_standardization(
            there, shares, dtype, standardize=standardize, hidden_bias=hidden_bias
        )
        if column_weights is not None:
            standardization = standardization.weighted(column_weights)
        if shrinks:
            weights = distinct_weights(raw, len(standardization.shift))
            if weights is not None:
                n_distinct, squares = len(weights), np.square(weights).sum()
        parts = there.made(
            there.keep(standardized_part, shares, standardization, target_mean)
        )
        if shrinks and sum(counts) < len(standardization.shift):
            parts, columns, spectrum = by_their_sizes(
                parts, sum(counts), standardization, hidden_bias=hidden_bias
            )
        else:
            parts, columns, spectrum = by_their_gram(
                parts, standardization, hidden_bias=hidden_bias
            )
        offset = standardization.offset[columns.kept]
        if spectrum.is_of_rows:
            basis = whole_basis = constant_alone(len(offset) + 1)
        else:
            basis, whole_basis = linear_bases(parts, spectrum.gram, offset, dtype)
        parts, linear = without_linear_fit(parts, whole_basis, len(target_mean))
        left, products = added_up(parts.gather(target_products))
        left_of_each = products.diagonal()
        spread, spacing = added_up(raw.gather(spread_and_spacing, shares, target_mean))
        is_bent = left_of_each > np.maximum(LINEAR_TARGET**2 * spread, spacing)
        if not is_bent.all():  # Rounding of one target must not hide another target.
            parts = parts.made(parts.keep(_only_bent_targets, is_bent))
            left, products = added_up(parts.gather(target_products))
        size = math.sqrt(left)
        sizes = np.sqrt(np.maximum(spectrum.column_squares(), 0.0))
        far_columns: list[int] = []
        if not hidden_bias:  # Not centred, a nonzero constant column is not zero.
            far_columns = find_far_columns(sizes[:-1], offset, columns.kept)
            sizes = np.hypot(sizes[:-1], offset)
        return cls(
            parts=parts.made(parts.keep(finished, size, device, dtype)),
            n_samples=sum(counts),
            n_outputs=len(target_mean),
            n_inputs=len(sizes),
            far_columns=far_columns,
            # The span of what neurons without biases see may have the constant input.
            rank=min(len(sizes), basis.shape[1]),
            n_distinct=n_distinct,
            # Until a residual is known, all rows are assumed to be equally noisy, and
            # the targets to be as correlated as what they leave (eqs. 16 and 23).
            n_effective=float(total**2 / squares),
            n_effective_outputs=effective_rank(products),
            linear_basis=torch.from_numpy(basis),
            exact=EXACT[dtype],
            fits_single=bool(sizes.max(initial=0.0) <= SINGLE[1]),
            units=Units(
                columns=columns,
                shift=standardization.shift,
                scale=standardization.finite_scale,
                linear=linear,
                target_mean=target_mean,
                target_scale=size or 1.0,
                hidden_bias=hidden_bias,
            ),
            spectrum=spectrum,
        )

    def keep(
        self, function: Callable[Concatenate[Part, ...], R], *arguments: object
    ) -> Kept[R]:
        """Call the function for each part and leave the results where the parts are."""
        return self.parts.keep(function, *arguments)

    def total(
        self, function: Callable[Concatenate[Part, ...], R], *arguments: object
    ) -> R:
        """The same as :meth:`sums`, on the CPU: one copy between devices in all."""
        return fetched(self.sums(function, *arguments))

    def sums(
        self, function: Callable[Concatenate[Part, ...], R], *arguments: object
    ) -> R:
        """Call the function for each part and add up the results, tuples by entry.

        Tensors stay on the device if all rows are there.
        """
        return added_up(self.parts.gather(function, *arguments))

    @cached_property
    def home(self) -> torch.device:
        """The device of all rows, if it has float64; otherwise the CPU."""
        return self.parts.part.home if isinstance(self.parts, LocalParts) else CPU

    def sent(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        """Parameters at home, where the parts need no other copy of them."""
        if self.home is CPU:
            return list(tensors)
        return moved_together(tensors, self.home, torch.float64)

    @cached_property
    def _basis_at_home(self) -> torch.Tensor:
        return moved(self.linear_basis, self.home, torch.float64)

    def projected(self, basis: torch.Tensor) -> Rows:
        """The rows with ``inputs @ basis.T`` as inputs of the neurons."""
        return replace(
            self,
            parts=self.parts.made(self.keep(_projected, basis)),
            n_inputs=len(basis),
            rank=len(basis),
        )

    def in_single(self) -> Rows:
        """The rows in single precision, in which products take half the time.

        Each part is cast once: it keeps its copy for later calls.
        """
        return replace(self, parts=self.parts.made(self.keep(_in_single)))

    def decayed(self, rho: float) -> Rows:
        """The rows with the decay ``rho > 0`` on the linear part.

        The targets get back the linear fit that was subtracted from them.
        """
        units, basis = self.units, torch.from_numpy(self.spectrum.basis(rho))
        parts = with_targets(self.parts, units.target_scale, units.linear)
        parts, decay, size = with_unit_loss(parts, basis, rho)
        linear = np.zeros_like(units.linear)
        return replace(
            self,
            parts=parts,
            rank=min(self.n_inputs, basis.shape[1]),
            linear_basis=basis,
            linear_decay=decay,
            units=replace(units, linear=linear, target_scale=size),
        )

    @property
    def may_be_exact(self) -> bool:
        """Whether a small network may leave no residual but rounding."""
        return self.linear_decay is None and self.dispersion is None

    @property
    def linear_degrees_of_freedom(self) -> float:
        """Effective number of coefficients of the linear part, without the constant."""
        if self.linear_decay is None:
            return float(self.linear_basis.shape[1] - 1)
        return self.spectrum.degrees_of_freedom(self.linear_decay.rho)

    def linear_penalty(self, linear: torch.Tensor) -> float:
        """``rho ||beta||^2`` of a linear part; zero if it is not decayed."""
        return 0.0 if self.linear_decay is None else self.linear_decay.penalty(linear)

    def linear_penalties(self, linear: torch.Tensor) -> torch.Tensor:
        """``rho ||beta||^2`` of each column of linear parts."""
        rho = 0.0 if self.linear_decay is None else self.linear_decay.rho
        return rho * linear[:-1].square().sum(dim=0)

    def linear_part(self, moments: torch.Tensor) -> torch.Tensor:
        """Coefficients of the linear fit to values, from ``inputs.T @ values``."""
        basis = self.linear_basis if moments.device == CPU else self._basis_at_home
        return basis @ (basis.T @ moments)


def target_products(part: Part) -> tuple[float, np.ndarray]:
    """Sum of squares of all targets, and their Gram matrix."""
    squares, products = as_arrays(
        part.targets.square().sum(), part.targets.T @ part.targets
    )
    return float(squares), products


def _only_bent_targets(part: Part, is_bent: np.ndarray) -> Part:
    """The part with zeros for the targets that are linear up to rounding."""
    return replace(part, targets=part.targets * part.cast(torch.from_numpy(is_bent)))


def effective_rank(products: np.ndarray) -> float:
    """Effective number of targets from their Gram matrix (theory eq. 23)."""
    squares = float(np.square(products).sum())
    return float(products.trace()) ** 2 / squares if squares > 0.0 else 1.0


def finished(part: Part, size: float, device: torch.device, dtype: torch.dtype) -> Part:
    """Divide the targets by ``size``, or set them to zero if it is 0; move the part."""
    targets = part.targets / size if size > 0 else torch.zeros_like(part.targets)
    return Part(part.inputs, targets).to(device, dtype)


def _in_single(part: Part) -> Part:
    return part.single


def _projected(part: Part, basis: torch.Tensor) -> Part:
    weights = part.cast(basis)
    values = [
        part.inputs.block(rows).project(weights).T for rows in part.blocks(len(basis))
    ]
    no_offset = part.cast(basis.new_zeros(0))
    return replace(part, inputs=DenseInputs(torch.cat(values), no_offset))
