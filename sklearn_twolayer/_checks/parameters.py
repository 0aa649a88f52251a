"""Validation of parameters that are single values."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state, check_scalar

from sklearn_twolayer._checks.data import (
    LARGEST,
    check_magnitude,
    check_numbers,
    named_errors,
)


def check_option(name: str, value: object, options: Sequence[str]) -> str:
    """One of a few strings; values of other types that compare equal are refused."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {list(options)}, got {value!r}.")
    return value


def check_flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_integer(name: str, value: object, *, min_val: int) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{name} must be an integer of at least {min_val}, got {value}."
        )
    return int(check_scalar(value, name, Integral, min_val=min_val))


def check_real(name: str, value: object, **bounds: object) -> float:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value}.")
    try:
        checked = float(check_scalar(value, name, Real, **bounds))
    except OverflowError:  # an integer of hundreds of digits
        checked = math.inf
    if not math.isfinite(checked):
        raise ValueError(f"{name} must be a finite number, got {checked}.")
    return checked


def check_decay(name: str, value: object, **bounds: object) -> float:
    """A number of at least 0 with which decays can be computed."""
    checked = check_real(name, value, **{"min_val": 0.0, **bounds})
    check_magnitude(name, checked)
    return checked


def check_max_features(max_features: object) -> int | None:
    """None or a number of features of at least one."""
    if max_features is None:
        return None
    return check_integer("max_features", max_features, min_val=1)


def check_max_time(max_time: object) -> float | None:
    """None or a positive number of seconds."""
    if max_time is None:
        return None
    return check_real("max_time", max_time, min_val=0.0, include_boundaries="neither")


def check_step_size(step_size: object) -> float | None:
    """A positive step of gradient descent; None for "curvature"."""
    if isinstance(step_size, str):
        check_option("step_size", step_size, ["curvature"])
        return None
    return check_real("step_size", step_size, min_val=0.0, include_boundaries="neither")


def check_checkpoint(checkpoint: object) -> Path | None:
    """None or the path of a file in a folder that exists."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(
            f"checkpoint must be None or the path of a file, got {checkpoint!r}."
        )
    path = Path(os.fsdecode(checkpoint))
    try:
        is_other = path.exists() and not path.is_file()  # a folder, a pipe or a device
        is_path = path.parent.is_dir() and not is_other and "\0" not in str(path)
    except OSError:  # a name that is too long
        is_path = False
    if not is_path:
        raise ValueError(
            "checkpoint must be the path of a file in a folder that exists, got "
            f"{str(path)!r}."
        )
    return path


def check_criterion(criterion: object) -> str | float | None:
    """None, "aic", "bic" or a penalty per parameter of at least zero."""
    if criterion is None:
        return None
    if isinstance(criterion, str):
        return check_option("criterion", criterion, ["aic", "bic"])
    return check_real("criterion", criterion, min_val=0.0)


def check_debias(debias: object) -> bool:
    """Whether cross-validation compares debiased networks: "auto", or False."""
    if debias == "auto" or debias is False:
        return debias == "auto"
    raise ValueError(
        f"debias must be 'auto' or False, got {debias!r}; without cross-validation, "
        "RegularizedTwoLayerRegressor() has the debiased network."
    )


def check_column_transform(column_transform: object, X: object) -> str | None:
    """What columns of ``X`` are transformed by; sparse columns stay as they are."""
    if column_transform is None:
        return None
    options = ["auto", "power", "clip"]
    if not isinstance(column_transform, str) or column_transform not in options:
        raise ValueError(
            f"column_transform must be one of {options} or None, got "
            f"{column_transform!r}."
        )
    if column_transform != "auto" and sparse.issparse(X):
        raise ValueError(
            f"column_transform={column_transform!r} is for dense X, because "
            f"transformed zeros are not zero, got {type(X).__name__}: pass "
            "X.toarray(), or set column_transform=None."
        )
    return column_transform


def check_linear_decay(linear_decay: object) -> float | None:
    """A decay of the linear part; None for "auto"."""
    if isinstance(linear_decay, str):
        check_option("linear_decay", linear_decay, ["auto"])
        return None
    return check_real("linear_decay", linear_decay, min_val=0.0)


def check_fractions(lambdas: object, eps: object) -> np.ndarray:
    """Decreasing fractions of ``lambda_max``: given, or a geometric grid to ``eps``."""
    if isinstance(lambdas, Integral) and not isinstance(lambdas, bool):
        eps = check_real(
            "eps", eps, min_val=0.0, max_val=1.0, include_boundaries="neither"
        )
        return np.geomspace(1.0, eps, check_integer("lambdas", lambdas, min_val=1))
    fractions = check_numbers("lambdas", lambdas, ensure_2d=False)
    if fractions.ndim != 1 or (fractions <= 0).any() or (np.diff(fractions) >= 0).any():
        raise ValueError(
            "lambdas must be a number of decays or a decreasing sequence of positive "
            f"fractions of lambda_max, got {lambdas!r}."
        )
    return fractions


def check_generator(random_state: object) -> np.random.RandomState:
    """The generator of scikit-learn's ``check_random_state``, except for None.

    None stands for a new seed from the operating system, so that NumPy's global
    generator is neither used nor changed.
    """
    if random_state is None:
        return np.random.RandomState()
    with named_errors("random_state", None):
        return check_random_state(random_state)


def check_decays(decays: object) -> np.ndarray:
    """Decays that the ``stages`` of a schedule returned: finite and not increasing."""
    try:
        checked = np.asarray(decays, dtype=np.float64)
    except (TypeError, ValueError):
        checked = np.empty(0)
    if (
        checked.ndim != 1
        or len(checked) == 0
        or not (np.isfinite(checked) & (checked >= 0.0)).all()
        or (np.diff(checked) > 0.0).any()
    ):
        raise ValueError(
            "schedule must have a method stages(lambda_max) that returns finite decays "
            f"of at least 0, none above the one before it; it returned {decays!r}."
        )
    return checked


def check_sizes(decays: np.ndarray, scale: float) -> np.ndarray:
    """Decays for targets divided by ``scale``, if float64 can compute with these."""
    with np.errstate(over="ignore", under="ignore"):
        scaled = decays / scale
    wrong = decays[(scaled > LARGEST) | ((decays > 0.0) & (scaled < 1.0 / LARGEST))]
    if len(wrong):
        raise ValueError(
            f"schedule has a decay of {wrong[0]:.3g} in the units of y, beside which "
            f"the residuals of the linear model, of size {scale:.3g}, vanish or "
            "overflow: give decays as fractions of lambda_max (relative=True)."
        )
    return scaled
