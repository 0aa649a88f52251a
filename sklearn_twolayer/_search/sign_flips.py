"""What noise of the kind at hand lets one neuron gain: searches on flipped residuals.

The price of a neuron in the information criterion (theory eq. 12) is right for noise
that is independent, equally large on all rows, Gaussian, and in one target. What other
noise lets the best of all directions gain is measured (theory eq. 22): the residual of
a network is given random signs, one sign for all targets of a row, and the same kind of
search is run on it. Random signs leave the sizes of the errors on their rows and the
correlation between targets, but remove whatever a neuron could have found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.ascent import BfgsAscent
from sklearn_twolayer._network.network import unit_rows
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._rows.sums import add, exact_copy

if TYPE_CHECKING:
    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._network.objective import PartResidual, Residual
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Kept
    from sklearn_twolayer._rows.rows import Rows

# Leverages are bounded by this, since the residual of a row that the linear part
# interpolates tells nothing of its error (convention).
MOST_LEVERAGE = 0.9
# Share of an activation's square beside the linear part below which the activation
# counts as linear (convention).
LINEAR_SHARE = 1e-4
# Divisor of gradients whose height is zero.
TINY = float(np.finfo(np.float32).tiny)
# Largest gain as a share of the squares, so that its logarithm is finite.
MOST_GAIN = 0.999999


@dataclass(frozen=True)
class Flips:
    """How much is measured on flipped residuals.

    Parameters
    ----------
    n_flips : int
        Residuals with random signs.
    n_starts : int
        Ascents on each of them that begin at random.
    n_steps : int
        Steps of each ascent.
    """

    n_flips: int
    n_starts: int
    n_steps: int


# Measured for independent Gaussian noise, in units of the parameters: the careful mean
# is 2.0 on 2000 x 10 and 300 x 10, with 40 steps 2.1 and 2.6.
CAREFUL_FLIPS = Flips(n_flips=10, n_starts=2, n_steps=25)
QUICK_FLIPS = Flips(n_flips=4, n_starts=1, n_steps=3)


def gains_on_noise(
    rows: Rows,
    network: Network,
    starts: torch.Tensor,
    generator: torch.Generator,
    flips: Flips = CAREFUL_FLIPS,
) -> np.ndarray:
    """By how much one neuron lowers the log of the loss, on each flipped residual.

    Each row of the network's residual is divided by one less its leverage, the share of
    an error there that the linear part leaves. ``starts`` are directions that gain much
    on the residual as it is. Where they separate noisy rows from others, they do so for
    all signs, and random starts in many dimensions miss them.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator, device="cpu"))
    residual = residual_at(rows, network)
    # With a shrunk linear part all of this is that of the ridge regression (theory eq.
    # 24): the residual is S e, where e are the targets less the neurons, and over one
    # less the leverages it is what each row leaves if the others predict it. The
    # flipped errors e stand for targets without a linear signal. They become S e, whose
    # inner products with activations are h'Se, and their loss is e'Se.
    numbers, basis = rows.parts.numbers(), rows.linear_basis.T
    flipped = rows.keep(_flipped, residual.values, basis, seed, flips.n_flips, numbers)
    linear = rows.linear_part(rows.total(_moments, flipped))
    flipped = rows.keep(_without_linear, flipped, linear)
    sums = rows.total(_squares, flipped) + rows.linear_penalties(linear)
    squares = sums.numpy().reshape(flips.n_flips, -1).sum(axis=1)
    squares = np.maximum(squares, np.finfo(float).tiny)
    scales = np.repeat(squares**-0.5, rows.n_outputs)
    flipped = rows.keep(_in_single, flipped, scales, flips.n_flips)
    search = _GainAscent(rows.in_single(), flipped, starts, flips, generator, residual)
    search.take_steps(flips.n_steps, None)
    tops = search.unit * search.end_heights.reshape(flips.n_flips, -1).max(axis=1)
    return -np.log1p(-np.minimum(np.square(tops, dtype=float), MOST_GAIN))


class _GainAscent(BfgsAscent):
    """Ascents of the root of what a neuron gains, each on one flipped residual.

    With the best amplitude ``a``, a vector with one entry for each target, the gain is
    ``||h'r||**2 / ||h||**2``, where ``h`` are the activations less their linear fit.
    Its derivative is that of ``-||r - a h||**2`` at a fixed amplitude. With a shrunk
    linear part ``||h||**2`` stands for ``h'Sh``.
    """

    def __init__(
        self,
        rows: Rows,
        flipped: Kept[torch.Tensor],
        given: torch.Tensor,
        flips: Flips,
        generator: torch.Generator,
        residual: Residual,
    ) -> None:
        self.flipped = flipped
        shape = (flips.n_flips * flips.n_starts, rows.n_inputs)
        normal = torch.randn(
            shape, generator=generator, dtype=torch.float64, device="cpu"
        )
        starts = unit_rows(normal)
        # One step of the certificate's ascent leads to early features (theory eq. 9).
        values, _, _ = rows.total(_moments_of, flipped, starts)
        early = rows.total(_pulled, flipped, starts, None, unit_rows(values))
        early = unit_rows(early).reshape(flips.n_flips, flips.n_starts, -1)
        given = given.expand(flips.n_flips, *given.shape)
        starts = torch.cat([given, early], dim=1).flatten(end_dim=1)
        super().__init__(rows, residual, starts.float().numpy())

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The root of the gain and its gradient, in the unit."""
        norms = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), TINY)
        directions = torch.from_numpy(points / norms)
        rows, basis = self.rows, self.rows.linear_basis
        values, squares, moments = rows.total(_moments_of, self.flipped, directions)
        overlap = basis.T @ moments
        left = squares - overlap.square().sum(dim=0)
        left = left.where(left > LINEAR_SHARE * squares, torch.inf)[:, None]
        amplitudes = values / left
        pulled = rows.total(
            _pulled, self.flipped, directions, basis @ overlap, amplitudes
        )
        heights = (values.square().sum(dim=1, keepdim=True) / left).sqrt()
        gradients = pulled / heights.clamp_min(TINY)
        gradients -= (gradients * directions).sum(dim=1, keepdim=True) * directions
        unit, kind = self.unit, points.dtype
        gradients = gradients.numpy() / (unit * norms)
        return (heights.numpy() / unit).astype(kind), gradients.astype(kind)


def _flipped(
    part: Part,
    residual: PartResidual,
    basis: torch.Tensor,
    seed: int,
    n_flips: int,
    number: int,
) -> torch.Tensor:
    """The residual over one less the leverage, with random signs, flip by flip."""
    values = residual.values
    n_rows, basis = len(values), part.cast(basis.contiguous())
    errors = torch.empty_like(values)
    for rows in part.blocks(len(basis)):
        leverage = part.inputs.block(rows).project(basis).square().sum(dim=0)
        errors[rows] = values[rows] / (1.0 - leverage.clamp_max(MOST_LEVERAGE))[:, None]
    # All parts get the same seed; their numbers make their signs differ. Numbers of the
    # residual would not do: signs must not depend on rounding.
    generator = np.random.default_rng([seed, number])
    signs = generator.integers(2, size=(n_rows, n_flips, 1), dtype=np.int8) * 2 - 1
    flipped = part.cast(torch.from_numpy(signs)) * errors[:, None, :]
    return flipped.reshape(n_rows, n_flips * values.shape[1])


def _moments(part: Part, flipped: torch.Tensor) -> torch.Tensor:
    total = None
    for rows in part.blocks(flipped.shape[1]):
        total = add(total, part.inputs.block(rows).moments(flipped[rows]))
    assert total is not None  # There is at least one block.
    return total


def _without_linear(
    part: Part, flipped: torch.Tensor, linear: torch.Tensor
) -> torch.Tensor:
    linear = part.cast(linear)
    values = torch.empty_like(flipped)
    for rows in part.blocks(flipped.shape[1]):
        values[rows] = part.inputs.block(rows).without(flipped[rows], linear)
    return values


def _squares(part: Part, flipped: torch.Tensor) -> torch.Tensor:
    return exact_copy(flipped).square().sum(dim=0)


def _in_single(
    part: Part, flipped: torch.Tensor, scales: np.ndarray, n_flips: int
) -> torch.Tensor:
    """The scaled columns as (n_flips, n_outputs, n_rows)."""
    scaled = (flipped * part.cast(torch.from_numpy(scales))).T.float()
    n_outputs = flipped.shape[1] // n_flips
    return scaled.reshape(n_flips, n_outputs, len(flipped)).contiguous()


def _moments_of(
    part: Part, flipped: torch.Tensor, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of activations ``h``: ``h'r`` on the own residual, ``h'h`` and ``X'h``."""
    values = squares = moments = None
    directions, n_columns = part.cast(directions), part.inputs.n_columns
    for rows in part.blocks(len(directions)):
        block = part.inputs.block(rows)
        activations = block.project(directions).clamp_min_(0.0)
        n_starts = len(directions) // len(flipped)
        of_flips = activations.reshape(len(flipped), n_starts, activations.shape[1])
        inner = of_flips @ flipped[:, :, rows].transpose(1, 2)
        values = add(values, inner.reshape(len(directions), flipped.shape[1]))
        squares = add(squares, torch.linalg.vecdot(activations, activations))
        moments = add(moments, block.pull_back(activations, n_columns))
    assert values is not None
    assert squares is not None
    assert moments is not None  # There is at least one block.
    return values, squares, moments.T


def _pulled(
    part: Part,
    flipped: torch.Tensor,
    directions: torch.Tensor,
    linear: torch.Tensor | None,
    amplitudes: torch.Tensor,
) -> torch.Tensor:
    """``sum relu'(u.x) (a.r - a.a h) x``, for each direction on its own residual.

    ``h`` is the activation less its ``linear`` fit; without that it is left out.
    """
    pulled, n_inputs = None, directions.shape[1]
    directions, amplitudes = part.cast(directions), part.cast(amplitudes)
    of_flips = amplitudes.reshape(len(flipped), -1, amplitudes.shape[1])
    if linear is not None:
        linear = part.cast(linear.T.contiguous())
    for rows in part.blocks(len(directions)):
        block = part.inputs.block(rows)
        projected = block.project(directions)
        outer = (of_flips @ flipped[:, :, rows]).reshape(projected.shape)
        if linear is not None:
            left = projected - block.project(linear)  # used where the slope is one
            outer -= amplitudes.square().sum(dim=1, keepdim=True) * left
        outer.mul_(projected > 0.0)
        pulled = add(pulled, block.pull_back(outer, n_inputs))
    assert pulled is not None  # There is at least one block.
    return pulled
