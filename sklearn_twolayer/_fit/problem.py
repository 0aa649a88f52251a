"""Data, start and decays of one fit, and conversion to and from the units of ``X``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklearn_twolayer._checks.parameters import check_decays, check_sizes
from sklearn_twolayer._fit.checkpoint import with_seed_of_checkpoint
from sklearn_twolayer._fit.scales import Scales
from sklearn_twolayer._network.importances import input_importances
from sklearn_twolayer._network.linear_decay import likely_linear_decay
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import linear_part_at
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._path.path import start_path
from sklearn_twolayer._path.stage import PathStart
from sklearn_twolayer._rows.distinct import ROWS_PER_INPUT
from sklearn_twolayer._rows.parts import LocalParts
from sklearn_twolayer._rows.ranges import Ranges
from sklearn_twolayer._rows.raw import RawRows, dense_entries, sizes
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.memory import check_memory
from sklearn_twolayer._search.tuning import DEFAULT_TUNING, SearchTuning

# Number of neurons at the start of solvers that can add neurons. Measured: 24 to 48
# neurons give results as good.
FEW_NEURONS = 32
# Entries of X from which on device="auto" takes an accelerator (convention; where it
# begins to pay has not been measured).
ACCELERATED_ENTRIES = 2_000_000


@dataclass(frozen=True, eq=False)
class PathProblem:
    """The data, the parameters and the start of a fit, in the coordinates of the fit.

    Parameters
    ----------
    raw : RawRows
        The rows in the units of the data.
    rows : Rows
        The rows in the coordinates of the fit.
    start : PathStart
        Early-feature directions and ``lambda_max``.
    lambdas : ndarray
        Decays of the schedule.
    options : PathOptions
        Validated parameters.
    generator : torch.Generator
        Source of all random numbers of the fit.
    tuning : SearchTuning
        Constants of the search without a schedule.
    """

    raw: RawRows
    rows: Rows
    start: PathStart
    lambdas: np.ndarray
    options: PathOptions
    generator: torch.Generator
    tuning: SearchTuning = DEFAULT_TUNING

    @classmethod
    def of(
        cls, raw: RawRows, options: PathOptions, tuning: SearchTuning = DEFAULT_TUNING
    ) -> PathProblem:
        """Set up the fit on raw rows, in this process or in a Dask cluster."""
        options = with_seed_of_checkpoint(options)
        counts, columns, targets = zip(*raw.parts.gather(sizes), strict=True)
        n_features, n_outputs = columns[0], targets[0]
        shrinks = options.linear_decay != 0.0
        n_rows = sum(counts) if shrinks else math.inf
        n_inputs = n_features + options.hidden_bias
        most_neurons = first_neurons(n_inputs, n_rows, options)
        side = int(min(n_rows, n_features))
        check_memory(n_features, n_outputs, most_neurons, side)
        rows = Rows.from_parts(
            raw.parts,
            standardize=options.standardize,
            hidden_bias=options.hidden_bias,
            device=resolve_device(options.device, getattr(torch, options.dtype), raw),
            dtype=getattr(torch, options.dtype),
            shrinks=shrinks,
            column_weights=options.column_weights,
        )
        rows = _with_linear_decay(rows, options)
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        start = start_path(rows, first_neurons(rows.rank, n_rows, options), generator)
        scale = rows.units.target_scale
        decays = check_decays(options.schedule.stages(start.lambda_max * scale))
        lambdas = check_sizes(decays, scale)
        return cls(raw, rows, start, lambdas, options, generator, tuning)

    @property
    def scales(self) -> Scales:
        """What decays, losses and masses are multiplied by for the user."""
        scale = self.rows.units.target_scale
        return Scales(decay=scale, loss=scale**2, mass=scale)

    @property
    def lambda_max(self) -> float:
        """``lambda_max`` in the units of the targets."""
        return self.start.lambda_max * self.rows.units.target_scale

    @property
    def linear_decay(self) -> float:
        """The decay of the linear part, for scaled columns; zero if there is none."""
        decay = self.rows.linear_decay
        return 0.0 if decay is None else decay.rho

    def network_of(self, fitted: FittedNetwork | None) -> Network | None:
        """A fitted network in the coordinates of the fit; None without neurons."""
        if fitted is None or fitted.n_features == 0:
            return None
        weights, amplitudes = self.rows.units.from_user(fitted)
        return Network.from_parts(
            torch.from_numpy(weights), torch.from_numpy(amplitudes)
        )

    def linear_part_of(self, fitted: FittedNetwork) -> torch.Tensor:
        """The linear part of a fitted network, in the coordinates of the fit."""
        return torch.from_numpy(self.rows.units.linear_from_user(fitted))

    def attributes(
        self, network: Network, linear_part: torch.Tensor | None = None
    ) -> dict[str, float | np.ndarray]:
        """Fitted attributes of the estimator that describe its network.

        ``linear_part`` are the coefficients of the linear part; None for the best ones.
        """
        importances = input_importances(self.rows, network, linear_part)
        squares = self.rows.spectrum.column_squares()[
            : len(self.rows.units.columns.kept)
        ]
        fitted = self.fitted(network, linear_part)
        ranges = Ranges.of(fitted, self.raw.parts, self.rows.units.shift)
        return {
            **fitted.attributes(),
            **ranges.attributes(),
            "feature_importances_": importances,
            "feature_scales_": self.rows.units.deviations(squares),
        }

    def warn(self, linear_decay: float) -> None:
        """Warn of nothing: squares always have a best linear part."""

    def fitted(
        self, network: Network, linear_part: torch.Tensor | None = None
    ) -> FittedNetwork:
        """The network with its linear part, in the units of the data."""
        if linear_part is None:
            linear_part = linear_part_at(self.rows, network)
        return self.rows.units.to_user(
            network.weights.numpy(),
            network.amplitudes.numpy(),
            linear_part.numpy(),
            single_output=len(self.raw.target_shape) == 1,
        )


def first_neurons(n_inputs: int, n_rows: float, options: PathOptions) -> int:
    """Number of neurons that a path begins with.

    Solvers other than "gd" add neurons where some are missing, and begin with few.
    """
    if options.solver == "gd":
        return options.n_neurons
    most = int(min(n_inputs, n_rows // ROWS_PER_INPUT))
    return min(options.n_neurons, max(FEW_NEURONS, most))


def _with_linear_decay(rows: Rows, options: PathOptions) -> Rows:
    """The rows with the decay of the options, or the one that the data choose."""
    rho = options.linear_decay
    if rho is None:
        are_few = rows.n_effective < ROWS_PER_INPUT * len(rows.linear_basis)
        # Columns that were chosen by the same rows fit them too well.
        if not are_few and options.column_weights is None:
            return rows
        rows = rows.decayed(1.0)
        rho = likely_linear_decay(rows, Network.empty(rows))
        rho *= options.linear_decay_factor
    return rows.decayed(rho) if rho > 0.0 else rows


def resolve_device(device: Any, dtype: torch.dtype, raw: RawRows) -> torch.device:
    """The parameter ``device`` as a torch device; the CPU for None."""
    if isinstance(device, str) and device == "auto":
        return _fitting_device(dtype, raw)
    try:
        resolved: torch.device = torch.device("cpu" if device is None else device)
        tried = torch.zeros(1, dtype=dtype, device=resolved)
        tried.cpu()
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        raise ValueError(
            "device must be None, 'cpu', 'auto' or a device that torch can use here, "
            "such as 'cuda', 'cuda:1' or, with dtype='float32', 'mps', got "
            f"{device!r} with {str(dtype).removeprefix('torch.')}: "
            f"{str(error).partition('. ')[0]}."
        ) from error
    return tried.device  # with its number


def _fitting_device(dtype: torch.dtype, raw: RawRows) -> torch.device:
    """An accelerator if torch finds one and the rows are dense, here and many."""
    cpu, found = torch.device("cpu"), torch.accelerator.current_accelerator()
    if found is None or not isinstance(raw.parts, LocalParts):
        return cpu
    if sum(raw.parts.gather(dense_entries)) < ACCELERATED_ENTRIES:
        return cpu
    try:
        return resolve_device(found, dtype, raw)
    except ValueError:  # It has no such precision.
        return cpu
