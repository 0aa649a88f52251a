"""Rows with other targets, and weights, in the same coordinates (theory eq. 30)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._rows.kept_columns import inputs_gram
from sklearn_twolayer._rows.linear_basis import linear_bases
from sklearn_twolayer._rows.linear_decay import with_targets, with_unit_loss
from sklearn_twolayer._rows.linear_fit import (
    constant_alone,
    target_moments,
    without_linear_fit,
)
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.rows import (
    EXACT,
    Rows,
    effective_rank,
    finished,
    target_products,
)
from sklearn_twolayer._rows.spectrum import Spectrum
from sklearn_twolayer._rows.sums import added_up

if TYPE_CHECKING:
    from sklearn_twolayer._rows.parts import Kept, Parts


@dataclass(frozen=True, eq=False)
class Reweighed:
    """Rows with other weights, and the units of their objective.

    Parameters
    ----------
    rows : Rows
        The rows. Their standardisation is that of the rows they were made of, so that a
        neuron has the same mass, and so are the kept columns.
    mean_weight : float
        The mean of the new weights. The sum of the new squares is the squared error
        divided by this and by the square of the targets' scale.
    """

    rows: Rows
    mean_weight: float

    def decay_of(self, lambda_: float) -> float:
        """The decay of neurons in the coordinates of the rows."""
        return lambda_ / (self.mean_weight * self.rows.units.target_scale)

    def dispersion_of(self, dispersion: float) -> float:
        """The variance of the noise in the coordinates of the rows."""
        return dispersion / (self.mean_weight * self.rows.units.target_scale**2)


def with_other_targets(rows: Rows, parts: Parts[Part]) -> tuple[Rows, float]:
    """The rows with the targets of these parts, and what they were divided by.

    Unless the linear part is shrunk, their linear fit is subtracted.
    """
    if rows.linear_decay is not None:
        rho = rows.linear_decay.rho
        parts, decay, size = with_unit_loss(parts, rows.linear_basis, rho)
        return replace(rows, parts=parts, linear_decay=decay), size
    moments = torch.from_numpy(added_up(parts.gather(target_moments)))
    parts = with_targets(parts, 1.0, -rows.linear_part(moments).numpy())
    parts, _, size = with_unit_loss(parts, rows.linear_basis, 0.0)
    return replace(rows, parts=parts), size


def reweighed(
    rows: Rows,
    weights: Kept[torch.Tensor],
    targets: Kept[torch.Tensor],
    *,
    linear_decay: float,
    dispersion: float | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Reweighed:
    """The rows with their weights multiplied by ``weights``, and with other targets.

    ``rows`` are in double precision on the CPU. ``linear_decay`` is the decay of the
    linear part beside the mean of the weighted losses. ``dispersion`` is the variance
    of the targets' noise times the weight; None if it is not known.
    """
    mean_weight = float(rows.total(_weight, weights))
    parts = rows.parts.made(rows.keep(_reweighed, weights, targets, mean_weight))
    if rows.spectrum.is_of_rows:
        spectrum = Spectrum.of_rows(parts)
    else:
        spectrum = Spectrum(added_up(parts.gather(inputs_gram)))
    if linear_decay > 0.0:
        basis = whole_basis = constant_alone(len(rows.linear_basis))
    else:
        bases = linear_bases(parts, spectrum.gram, _offset(rows), dtype)
        basis, whole_basis = bases
    parts, linear = without_linear_fit(parts, whole_basis, rows.n_outputs)
    squares, products = added_up(parts.gather(target_products))
    size = math.sqrt(squares)
    made = replace(
        rows,
        parts=parts.made(parts.keep(finished, size, device, dtype)),
        rank=min(rows.n_inputs, basis.shape[1]),
        n_effective_outputs=effective_rank(products),
        linear_basis=torch.from_numpy(basis),
        exact=EXACT[dtype],
        units=replace(
            rows.units,
            linear=linear,
            target_mean=np.zeros(rows.n_outputs),
            target_scale=size or 1.0,
        ),
        spectrum=spectrum.centred(),
        linear_decay=None,
    )
    if linear_decay > 0.0:
        made = made.decayed(linear_decay / mean_weight)
    working = Reweighed(made, mean_weight)
    if dispersion is None:
        return working
    noise = working.dispersion_of(dispersion)
    return replace(working, rows=replace(made, dispersion=noise))


def _offset(rows: Rows) -> np.ndarray:
    """The mean of each kept column before it was centred, over its scale."""
    kept = rows.units.columns.kept
    offset: np.ndarray = (rows.units.shift / rows.units.scale)[kept]
    return offset


def root_weights(part: Part) -> torch.Tensor:
    """The root of the share of the weight of each row."""
    roots = [part.roots(part.inputs.block(rows))[0] for rows in part.blocks(1)]
    return torch.cat(roots)


def _weight(part: Part, weights: torch.Tensor) -> float:
    return float(root_weights(part).square() @ weights)


def _reweighed(
    part: Part, weights: torch.Tensor, targets: torch.Tensor, mean_weight: float
) -> Part:
    factors = (weights / mean_weight).sqrt()
    roots = root_weights(part) * factors
    return Part(part.inputs.scaled(factors), targets * roots[:, None])
