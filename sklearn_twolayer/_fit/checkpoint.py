"""Finished stages of a path in a file, so that an interrupted fit can continue.

The file is a NumPy archive of plain arrays; reading it executes nothing. It is written
under a temporary name and then renamed, which is atomic: at any moment the file is
complete, with all stages up to the last one finished or the one before it.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._path.stage import Stage

CHECKPOINT_FORMAT = "sklearn_twolayer checkpoint 1"
# Fields of a stage that are networks, and those that are numbers or text.
NETWORKS = ("network", "refitted")
NUMBERS = tuple(f.name for f in fields(Stage) if f.name not in NETWORKS)
# Relative tolerance of the numbers that identify the data: with another number of
# threads they have other rounding errors (convention).
SAME_DATA = 1e-9
REMEDY = "Delete the file to begin anew, or give another one."


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
            generator.set_state(torch.from_numpy(self.generator))

    def write(self, path: Path) -> None:
        """Replace the file atomically, so that it is complete at any moment."""
        temporary = path.with_name(path.name + ".tmp")
        arrays: dict[str, Any] = self._arrays()  # savez has keywords that are no arrays
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def _arrays(self) -> dict[str, np.ndarray]:
        from sklearn_twolayer import __version__

        networks = [stage.network for stage in self.stages]
        return {
            "format": np.array(CHECKPOINT_FORMAT),
            "version": np.array(__version__),
            "settings": np.array(json.dumps(self.settings)),
            "data": self.data,
            "generator": self.generator,
            "n_outputs": np.array(networks[0].n_outputs),
            "n_neurons": np.array([network.n_neurons for network in networks]),
            "refitted": np.array([stage.refitted is not None for stage in self.stages]),
            "parameters": np.concatenate([n.parameters.numpy() for n in networks]),
            **{
                name: np.array([getattr(stage, name) for stage in self.stages])
                for name in NUMBERS
            },
        }

    def check(self, settings: Mapping[str, Any], data: np.ndarray, path: Path) -> None:
        """Raise an error if it was written for other parameters or other data."""
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise ValueError(
                    f"checkpoint {str(path)!r} was written for {name} = "
                    f"{self.settings.get(name)!r}, got {value!r}. {REMEDY}"
                )
        if self.data.shape != data.shape or not np.allclose(
            self.data, data, rtol=SAME_DATA, atol=SAME_DATA
        ):
            raise ValueError(
                f"checkpoint {str(path)!r} was written for other data. {REMEDY}"
            )


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None if there is no file."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return _checkpoint({name: archive[name] for name in archive.files})
    except FileNotFoundError:
        return None
    except (
        AttributeError, EOFError, IndexError, KeyError, OSError, TypeError, ValueError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise ValueError(
            f"checkpoint {str(path)!r} cannot be read: {error}. {REMEDY}"
        ) from error


def _checkpoint(arrays: dict[str, np.ndarray]) -> Checkpoint:
    if str(arrays["format"]) != CHECKPOINT_FORMAT:
        version = arrays.get("version", "of unknown version")
        raise ValueError(
            f"it has the format {str(arrays['format'])!r}, written by sklearn_twolayer "
            f"{version}, not {CHECKPOINT_FORMAT!r}"
        )
    settings = json.loads(str(arrays["settings"]))
    counts, parameters = arrays["n_neurons"], arrays["parameters"]
    n_outputs = int(arrays["n_outputs"])
    lengths = {len(arrays[name]) for name in (*NUMBERS, "refitted")}
    if (
        not isinstance(settings, dict)
        or not isinstance(settings.get("seed"), int)
        or arrays["generator"].dtype != np.uint8
        or lengths != {len(counts)}
        or parameters.dtype != np.float64
        or parameters.ndim != 2
        or counts.sum() != len(parameters)
        or not 0 < n_outputs < parameters.shape[1]
        or not np.isfinite(parameters).all()
    ):
        raise ValueError("its arrays do not fit together")
    networks = [
        Network(torch.from_numpy(part.copy()), n_outputs)
        for part in np.split(parameters, np.cumsum(counts)[:-1])
    ]
    stages = [
        Stage(
            network=network,
            refitted=network if refitted else None,
            **{name: arrays[name][k].item() for name in NUMBERS},
        )
        for k, (network, refitted) in enumerate(
            zip(networks, arrays["refitted"], strict=True)
        )
    ]
    return Checkpoint(settings, arrays["data"], stages, arrays["generator"])


def continued(
    path: Path, settings: Mapping[str, Any], data: Sequence[ArrayLike]
) -> Checkpoint:
    """The checkpoint in the file, or one without stages if there is no file.

    Raises an error if the checkpoint is of another path or of other data.
    """
    numbers = np.concatenate([np.ravel(values) for values in data])
    saved = read_checkpoint(path)
    if saved is None:
        return Checkpoint(settings, numbers, [], np.empty(0, dtype=np.uint8))
    saved.check(settings, numbers, path)
    return saved
