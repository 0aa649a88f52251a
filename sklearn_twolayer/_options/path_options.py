"""Validation of the parameters of a path. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_twolayer._checks.parameters import (
    check_checkpoint,
    check_flag,
    check_generator,
    check_integer,
    check_linear_decay,
    check_max_time,
    check_option,
    check_real,
    check_step_size,
)
from sklearn_twolayer._options.schedule import GeometricSchedule, Schedule

# Name of the solver by the value of the parameter (convention).
SOLVERS = {"auto": "newton", "newton": "newton", "fast": "fast", "gd": "gd"}

# Gradient descent adds no neurons, so its schedule starts at a decay that removes none
# yet (convention).
DEFAULT_SCHEDULES: dict[str, Schedule] = {
    "newton": GeometricSchedule(),
    "fast": GeometricSchedule(),
    "gd": GeometricSchedule(start=0.03, stop=2e-4),
}


@dataclass(frozen=True)
class PathOptions:
    """Validated parameters of a path; the regressor documents their meaning.

    ``any_seed`` tells that ``random_state`` was None, so that a checkpoint may bring
    its own seed. ``linear_decay`` is None if the data choose it; what they choose is
    multiplied by ``linear_decay_factor``. ``column_weights`` of shape (n_features,)
    multiply the standardised columns, None for none; columns of weight 0 are left out.
    ``step_size`` is None if the curvature sets the steps of gradient descent.
    """

    schedule: Schedule
    solver: str
    n_neurons: int
    hidden_bias: bool
    standardize: bool
    max_iter: int
    max_time: float | None
    tol: float
    prune_tol: float
    merge_angle: float
    device: object
    dtype: str
    seed: int
    any_seed: bool
    checkpoint: Path | None
    linear_decay: float | None = 0.0
    linear_decay_factor: float = 1.0
    column_weights: np.ndarray | None = field(default=None, compare=False)
    step_size: float | None = None

    def settings(
        self, loss: str, schedule: Schedule | None, penalty: str | float | None
    ) -> dict[str, Any]:
        """Everything that a path depends on besides the data, as plain values.

        A checkpoint holds it, to be compared with the settings of a later fit.
        """
        kind = type(schedule)
        package = kind.__module__.partition(".")[0]
        own = schedule is None or package == "sklearn_twolayer"
        names = (
            "solver", "n_neurons", "hidden_bias", "standardize", "max_iter", "tol",
            "prune_tol", "merge_angle", "step_size", "dtype", "linear_decay",
        )  # fmt: skip
        return {
            "loss": loss,
            "schedule": repr(schedule) if own else kind.__qualname__,
            "criterion": penalty,
            **{name: getattr(self, name) for name in names},
            "seed": self.seed,
        }


def check_path_options(
    *,
    schedule: Any,
    solver: str,
    n_neurons: int,
    hidden_bias: bool,
    standardize: bool,
    max_iter: int,
    max_time: float | None,
    tol: float,
    prune_tol: float,
    merge_angle: float,
    device: object,
    dtype: str,
    random_state: object,
    checkpoint: object,
    linear_decay: object = 0.0,
    step_size: object = "curvature",
) -> PathOptions:
    """Validate the parameters that the regressor and ``two_layer_path`` share."""
    solver = SOLVERS[check_option("solver", solver, list(SOLVERS))]
    if schedule is None:
        schedule = DEFAULT_SCHEDULES[solver]
    elif isinstance(schedule, type) or not callable(getattr(schedule, "stages", None)):
        raise TypeError(
            "schedule must be None or a schedule such as GeometricSchedule(), "
            f"StagedSchedule([0.1, 0.01]) or ConstantSchedule(0.01), got {schedule!r}."
        )
    return PathOptions(
        schedule=schedule,
        solver=solver,
        n_neurons=check_integer("n_neurons", n_neurons, min_val=1),
        hidden_bias=check_flag("hidden_bias", hidden_bias),
        standardize=check_flag("standardize", standardize),
        max_iter=check_integer("max_iter", max_iter, min_val=1),
        max_time=check_max_time(max_time),
        tol=check_real("tol", tol, min_val=0.0),
        prune_tol=check_real(
            "prune_tol", prune_tol, min_val=0.0, max_val=1.0, include_boundaries="left"
        ),
        merge_angle=check_real(
            "merge_angle", merge_angle, min_val=0.0, max_val=math.pi / 4
        ),
        device=device,
        dtype=check_option("dtype", dtype, ["float64", "float32"]),
        seed=int(check_generator(random_state).randint(np.iinfo(np.int32).max)),
        any_seed=random_state is None,
        checkpoint=check_checkpoint(checkpoint),
        linear_decay=check_linear_decay(linear_decay),
        step_size=check_step_size(step_size),
    )
