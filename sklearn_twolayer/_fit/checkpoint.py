"""Finished stages of a path in a file, so that a fit that was cut off can go on.

A NumPy archive of plain arrays: nothing in it is executed. It is written beside its
place and then moved there, which is atomic: at any moment the file is whole, and of the
last stage finished or the one before.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._path.stage import Stage

CHECKPOINT_FORMAT = "sklearn_twolayer checkpoint 1"
NETWORKS = ("network", "refitted")
NUMBERS = tuple(f.name for f in fields(Stage) if f.name not in NETWORKS)
SAME = 1e-9  # relative, of what is told of the same data with other numbers of threads


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Parameters
    ----------
    settings : dict
        Parameters that the path depends on, the seed among them.
    data : ndarray
        Numbers that tell one data set from another.
    stages : list of Stage
        Those that are finished.
    generator : ndarray
        State of the random generator after them.
    """

    settings: dict[str, object]
    data: np.ndarray
    stages: list[Stage]
    generator: np.ndarray

    def with_stage(self, stage: Stage, generator: torch.Generator) -> Checkpoint:
        """The checkpoint after one more stage."""
        state = generator.get_state().numpy()
        return replace(self, stages=[*self.stages, stage], generator=state)

    def restore(self, generator: torch.Generator) -> None:
        """Set the generator to where it was after the last stage."""
        if self.stages:
            generator.set_state(torch.from_numpy(self.generator))

    def write(self, path: Path) -> None:
        """Replace the file, so that it is whole at any moment."""
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "wb") as file:
            np.savez(file, **self._arrays())
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

    def check(self, settings: dict[str, object], data: np.ndarray, path: Path) -> None:
        """Refuse to go on with other parameters or data than it was written for."""
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise ValueError(
                    f"checkpoint {str(path)!r} was written for {name} = "
                    f"{self.settings.get(name)!r}, got {value!r}. {REMEDY}"
                )
        if self.data.shape != data.shape or not np.allclose(
            self.data, data, rtol=SAME, atol=SAME
        ):
            raise ValueError(
                f"checkpoint {str(path)!r} was written for other data. {REMEDY}"
            )


REMEDY = "Delete the file to begin anew, or give another one."


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
    path: Path | None, settings: dict[str, object], data: Sequence[np.ndarray]
) -> Checkpoint:
    """The checkpoint in the file, if it is of this path; else one without stages."""
    data = np.concatenate([np.ravel(array) for array in data])
    saved = None if path is None else read_checkpoint(path)
    if saved is None:
        return Checkpoint(settings, data, [], np.empty(0, dtype=np.uint8))
    saved.check(settings, data, path)
    return saved
