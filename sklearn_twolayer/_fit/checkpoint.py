"""Finished stages of a path in a file, so that an interrupted fit can continue.

The file is a NumPy archive of plain arrays; reading it executes nothing. It is written
under a temporary name and then renamed, which is atomic: at any moment the file is
complete, with all stages up to the last one finished or the one before it. If several
fits write to one file, the one that writes last wins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sklearn_twolayer._descent.result import ENDINGS
from sklearn_twolayer._fit.archive import read_arrays
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._path.stage import Stage
from sklearn_twolayer._runtime.files import check_writable, not_written, replacement

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions

CHECKPOINT_FORMAT = "sklearn_twolayer checkpoint 2"
# Fields of a stage that are networks or matrices; the others are numbers or text.
MATRICES = ("network", "refitted", "linear")
# Kind of dtype and number of dimensions of each array in the file.
FORMS = {
    "format": ("U", 0), "version": ("U", 0), "settings": ("U", 0), "data": ("f", 1),
    "generator": ("u", 1), "n_outputs": ("i", 0), "n_neurons": ("i", 1),
    "refitted": ("b", 1), "parameters": ("f", 2), "linear": ("f", 2),
    "scale": ("f", 1), "lambda_": ("f", 1),
    "loss": ("f", 1), "objective": ("f", 1), "certificate": ("f", 1),
    "dual_gap": ("f", 1), "n_iter": ("i", 1), "stopped_by": ("U", 1),
    "seconds": ("f", 1), "is_last": ("b", 1),
}  # fmt: skip
NUMBERS = tuple(
    f.name for f in fields(Stage) if f.name in FORMS and f.name not in MATRICES
)
# Relative tolerance of the numbers that identify the data: with another number of
# threads they have other rounding errors (convention).
SAME_DATA = 1e-9
# Largest parameter of a network, in the coordinates of the fit: outputs and their
# squares then stay finite in the units of any data (convention).
LARGEST_PARAMETER = 1e50
MOST_SHOWN = 200  # characters of what a file holds that an error shows (convention)
REMEDY = "Delete the file to begin anew, or give another one."
# Numbers of targets, of the parameters of a neuron, and of the rows of a linear part
# that is stored.
Layout = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint.

    Parameters
    ----------
    settings : mapping
        Parameters that the path depends on, including the seed, as JSON holds them.
    data : ndarray
        Numbers that identify the data.
    stages : list of Stage
        The finished stages.
    generator : ndarray
        State of the random generator after these stages.
    """

    settings: Mapping[str, Any]
    data: np.ndarray
    stages: list[Stage]
    generator: np.ndarray

    def with_stage(self, stage: Stage, generator: torch.Generator) -> Checkpoint:
        """The checkpoint after one more stage."""
        state = generator.get_state().numpy()
        return replace(self, stages=[*self.stages, stage], generator=state)

    def restore(self, generator: torch.Generator) -> None:
        """Set the generator to its state after the last stage."""
        if self.stages:
            generator.set_state(_state(self.generator))

    def write(self, path: Path) -> None:
        """Replace the file atomically, so that it is complete at any moment."""
        arrays: dict[str, Any] = self._arrays()  # savez has keywords that are no arrays
        try:
            with replacement(path) as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise not_written("checkpoint", path, error) from error

    def _arrays(self) -> dict[str, np.ndarray]:
        from sklearn_twolayer import __version__

        networks = [stage.network for stage in self.stages]
        n_outputs = networks[0].n_outputs
        linear = [s.linear.numpy() for s in self.stages if s.linear is not None]
        return {
            "format": np.array(CHECKPOINT_FORMAT),
            "version": np.array(__version__),
            "settings": np.array(json.dumps(self.settings)),
            "data": self.data,
            "generator": self.generator,
            "n_outputs": np.array(n_outputs),
            "n_neurons": np.array([network.n_neurons for network in networks]),
            "refitted": np.array([stage.refitted is not None for stage in self.stages]),
            "parameters": np.ascontiguousarray(
                np.concatenate([n.parameters.numpy() for n in networks])
            ),
            # None of least squares: these linear parts follow from the networks.
            "linear": np.concatenate([np.empty((0, n_outputs)), *linear]),
            **{
                name: np.array([getattr(stage, name) for stage in self.stages])
                for name in NUMBERS
            },
        }

    def check(
        self,
        settings: Mapping[str, Any],
        data: np.ndarray,
        layout: Layout,
        decays: Sequence[float] | None,
        path: Path,
    ) -> None:
        """Raise an error if it was written for other parameters or other data."""
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise ValueError(
                    f"checkpoint {str(path)!r} was written for {name} = "
                    f"{repr(self.settings.get(name))[:MOST_SHOWN]}, got {value!r}. "
                    f"{REMEDY}"
                )
        same_data = self.data.shape == data.shape and np.allclose(
            self.data, data, rtol=SAME_DATA, atol=SAME_DATA
        )
        if (
            not same_data
            or any(_layout(stage) != layout for stage in self.stages)
            or not _are_stages_of(self.stages, decays)
        ):
            raise ValueError(
                f"checkpoint {str(path)!r} was written for other data. {REMEDY}"
            )


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None if there is no file."""
    try:
        return _checkpoint(read_arrays(path, FORMS))
    except FileNotFoundError:
        return None
    # JSON can be nested more deeply than Python reads.
    except (RecursionError, ValueError) as error:
        raise ValueError(
            f"checkpoint {str(path)!r} cannot be read: {error}. {REMEDY}"
        ) from error


def _checkpoint(arrays: dict[str, np.ndarray]) -> Checkpoint:
    if str(arrays["format"]) != CHECKPOINT_FORMAT:
        raise ValueError(
            f"it has the format {str(arrays['format'])[:MOST_SHOWN]!r}, written by "
            f"sklearn_twolayer {str(arrays['version'])[:MOST_SHOWN]!r}, not "
            f"{CHECKPOINT_FORMAT!r}"
        )
    settings = json.loads(str(arrays["settings"]))
    if not all(_conditions(arrays, settings)):
        raise ValueError("its arrays do not fit together")
    counts, n_outputs = arrays["n_neurons"], int(arrays["n_outputs"])
    _state(arrays["generator"])
    networks = [
        Network(torch.from_numpy(part.copy()), n_outputs)
        for part in np.split(arrays["parameters"], np.cumsum(counts)[:-1])
    ]
    parts = np.split(arrays["linear"], len(counts))
    stages = [
        Stage(
            network=network,
            refitted=network if refitted else None,
            linear=torch.from_numpy(linear.copy()) if len(linear) else None,
            **{name: arrays[name][k].item() for name in NUMBERS},
        )
        for k, (network, refitted, linear) in enumerate(
            zip(networks, arrays["refitted"], parts, strict=True)
        )
    ]
    return Checkpoint(settings, arrays["data"], stages, arrays["generator"])


def _conditions(arrays: dict[str, np.ndarray], settings: Any) -> Iterator[bool]:
    """What must hold of the arrays, in an order in which each can be asked."""
    counts, parameters = arrays["n_neurons"], arrays["parameters"]
    linear = arrays["linear"]
    yield isinstance(settings, dict)
    yield all(isinstance(v, (str, int, float, type(None))) for v in settings.values())
    yield type(settings.get("seed")) is int and 0 <= settings["seed"] < 2**31
    yield len(counts) > 0
    yield {len(arrays[name]) for name in (*NUMBERS, "refitted")} == {len(counts)}
    of_doubles = ("data", "parameters", "linear")
    yield all(arrays[name].dtype.itemsize == 8 for name in of_doubles)
    yield bool((counts >= 0).all() and (counts <= len(parameters)).all())
    # Sums of Python's integers do not overflow.
    yield sum(counts.tolist()) == len(parameters)
    yield 0 < int(arrays["n_outputs"]) < parameters.shape[1]
    yield linear.shape[1] == int(arrays["n_outputs"])
    yield len(linear) % len(counts) == 0
    yield not np.isnan(arrays["certificate"]).any()
    yield set(arrays["stopped_by"].tolist()) <= set(ENDINGS)
    yield not arrays["is_last"][:-1].any()
    finite = (
        "data",
        "parameters",
        "linear",
        "scale",
        "lambda_",
        "loss",
        "objective",
        "dual_gap",
        "seconds",
    )
    for name in finite:
        yield bool(np.isfinite(arrays[name]).all())
    for values in (parameters, linear, arrays["scale"]):
        yield bool((np.abs(values) <= LARGEST_PARAMETER).all())
    yield bool((arrays["scale"] > 0).all())
    for name in ("lambda_", "certificate", "n_iter", "seconds"):
        yield bool((arrays[name] >= 0).all())


def _state(generator: np.ndarray) -> torch.Tensor:
    """The state of a torch generator, which torch accepts."""
    state = torch.from_numpy(generator.copy())
    try:
        torch.Generator().set_state(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"its state of the random generator is none: {error}"
        ) from error
    return state


def _layout(stage: Stage) -> Layout:
    linear = 0 if stage.linear is None else len(stage.linear)
    return stage.network.n_outputs, stage.network.parameters.shape[1], linear


def _are_stages_of(stages: Sequence[Stage], decays: Sequence[float] | None) -> bool:
    """Whether the stages have some of the decays, in their order, and can be followed.

    Without decays, there is one stage, which is the last.
    """
    if decays is None:
        return len(stages) == 1 and stages[0].is_last
    left = iter(decays)
    found = all(
        any(math.isclose(stage.lambda_, decay, rel_tol=SAME_DATA) for decay in left)
        for stage in stages
    )
    return found and (stages[-1].is_last or next(left, None) is not None)


def with_seed_of_checkpoint(options: PathOptions) -> PathOptions:
    """The options, with the seed of the checkpoint if any seed will do.

    What is wrong with the file is told before the fit.
    """
    if options.checkpoint is None:
        return options
    check_writable("checkpoint", options.checkpoint)
    saved = read_checkpoint(options.checkpoint)
    if saved is None or not options.any_seed:
        return options
    return replace(options, seed=int(saved.settings["seed"]))


@dataclass(frozen=True, eq=False)
class Continuation:
    """What a checkpoint is compared with, and continued by.

    Parameters
    ----------
    settings : mapping
        Parameters that the path depends on, including the seed.
    data : list of array-like
        Numbers that identify the data.
    layout : tuple of int
        Of the networks and linear parts of the stages.
    decays : sequence of float or None
        Those of the path; None for a search.
    generator : torch.Generator
        Source of all random numbers of the stages.
    """

    settings: Mapping[str, Any]
    data: Sequence[ArrayLike]
    layout: Layout
    decays: Sequence[float] | None
    generator: torch.Generator

    def stages(
        self, path: Path, run: Callable[[Sequence[Stage]], Iterator[Stage]]
    ) -> Iterator[Stage]:
        """The stages in the file, then new ones, each written to the file.

        Raises an error if the file is of another path or of other data.
        """
        numbers = np.concatenate([np.ravel(values) for values in self.data])
        checkpoint = read_checkpoint(path)
        if checkpoint is None:
            none = np.empty(0, dtype=np.uint8)
            checkpoint = Checkpoint(self.settings, numbers, [], none)
        else:
            checkpoint.check(self.settings, numbers, self.layout, self.decays, path)
        yield from checkpoint.stages
        if checkpoint.stages and checkpoint.stages[-1].is_last:
            return
        checkpoint.restore(self.generator)
        for stage in run(checkpoint.stages):
            # A stage that ran out of time is not written: a later fit repeats it.
            if stage.stopped_by != "max_time":
                checkpoint = checkpoint.with_stage(stage, self.generator)
                checkpoint.write(path)
            yield stage
