"""Fitted estimators as plain dictionaries that JSON can hold.

Reading a dictionary executes nothing in it.
"""

from __future__ import annotations

import inspect
import math
import os
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_twolayer._export.fitted import (
    LONGEST,
    check_keys,
    entries_of,
    groups_of,
    keyed,
    refusal,
    restored_array,
    restored_fitted,
    restored_item,
    shown,
)
from sklearn_twolayer._options.schedule import (
    ConstantSchedule,
    GeometricSchedule,
    StagedSchedule,
)
from sklearn_twolayer._rows.units import present_names

ModelT = TypeVar("ModelT", bound=BaseEstimator)

# Name and version of the format, which stand in each dictionary. Version 1 called the
# linear part `coef_` and `intercept_`, and is read.
FORMAT = "sklearn_twolayer"
FORMAT_VERSION = 2
KEYS = {"format", "version", "package_version", "class", "parameters", "fitted"}
# How deep lists and dictionaries in parameters may be nested (convention).
DEEPEST = 10
# Classes of schedules that can be stored, by their names.
SCHEDULES: dict[str, type[BaseEstimator]] = {
    kind.__name__: kind
    for kind in (ConstantSchedule, GeometricSchedule, StagedSchedule)
}
# Names of the dtypes that arrays are stored with, by NumPy's kind of dtype.
KINDS = {
    "f": "float64", "i": "int64", "u": "int64", "b": "bool",
    "O": "str", "U": "str", "T": "str",
}  # fmt: skip


def to_plain(estimator: BaseEstimator) -> dict[str, object]:
    """Class, parameters and fitted attributes as a dictionary of plain values."""
    from sklearn_twolayer import __version__

    attributes = vars(estimator)
    fitted = {
        name: _plain(name, attributes[name])
        for name in (*entries_of(type(estimator)), *groups_of(type(estimator)))
        if name in attributes
    }
    parameters = estimator.get_params(deep=False)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "package_version": __version__,
        "class": type(estimator).__name__,
        "parameters": {name: _plain(name, v) for name, v in parameters.items()},
        "fitted": fitted,
    }


def from_plain(kind: type[ModelT], plain: object) -> ModelT:
    """The estimator that `to_plain` described, of the class ``kind``."""
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise ValueError(
            f"data must be a dictionary made by to_dict, with 'format': {FORMAT!r}."
        )
    writer = plain.get("package_version", "of unknown version")
    if not isinstance(writer, str):
        raise refusal("package_version", "expected text", writer)
    version = plain.get("version")
    if type(version) is not int or version not in (1, FORMAT_VERSION):
        raise ValueError(
            f"data has the format version {shown(version)} and was written by "
            f"sklearn_twolayer {writer[:LONGEST]}; "
            f"this release reads the format versions 1 and {FORMAT_VERSION}: fit anew, "
            "or use that release."
        )
    if plain.get("class") != kind.__name__:
        raise ValueError(
            f"data describes a {shown(plain.get('class'))}, not a {kind.__name__}: use "
            "from_dict of that class."
        )
    check_keys("data", plain, KEYS, {"package_version"})
    parameters, fitted = plain["parameters"], plain["fitted"]
    if not isinstance(parameters, dict) or not isinstance(fitted, dict):
        raise ValueError("data must have dictionaries 'parameters' and 'fitted'.")
    known = set(kind().get_params(deep=False))
    check_keys("parameters", parameters, known, known)
    estimator: ModelT = kind(
        **{name: _restored(name, value) for name, value in parameters.items()}
    )
    vars(estimator).update(restored_fitted(kind, present_names(fitted)))
    return estimator


def _plain(name: str, value: object, depth: int = 0) -> object:
    """A value as JSON can hold it.

    Arrays, schedules and numbers that are not finite become dictionaries, which
    `_restored` recognises by their keys. ``name`` is for the error message.
    """
    if depth > DEEPEST:
        raise TypeError(f"{name} is nested more than {DEEPEST} deep: set it to None.")
    deeper = depth + 1
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return _plain(name, value.item(), deeper)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": repr(value)}
    if isinstance(value, np.ndarray):
        kind = KINDS.get(value.dtype.kind)
        if kind is not None:
            value = value.astype(object if kind == "str" else kind)
            data = [_plain(name, item, deeper) for item in value.ravel().tolist()]
            return {"array": data, "shape": list(value.shape), "dtype": kind}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = value.items()
        return {"mapping": {k: _plain(f"{name}[{k!r}]", v, deeper) for k, v in items}}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(name, item, deeper) for item in value]
    if isinstance(value, BaseEstimator) and type(value).__name__ in SCHEDULES:
        own = value.get_params(deep=False)
        own = {key: _plain(f"{name}__{key}", v, deeper) for key, v in own.items()}
        return {"schedule": type(value).__name__, "parameters": own}
    if type(value).__module__.partition(".")[0] == "torch":
        return str(value)  # a device
    raise TypeError(
        f"{name} has no JSON form, got {value!r}: numbers, text, arrays and this "
        "package's schedules have one. Set it to None or a number before to_dict."
    )


def _restored(name: str, plain: object, depth: int = 0) -> Any:
    """The value of a parameter that `_plain` stored."""
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    if depth > DEEPEST:
        raise ValueError(f"data has an entry {name} nested more than {DEEPEST} deep.")
    deeper = depth + 1
    if isinstance(plain, list):
        return [_restored(name, item, deeper) for item in plain]
    if not isinstance(plain, dict):
        raise refusal(name, "expected what JSON can hold", plain)
    if "number" in plain:
        return restored_item(name, plain, "float64")
    if "mapping" in plain:
        mapping = keyed(name, plain, "mapping")["mapping"]
        check_keys(name, mapping, {key for key in mapping if isinstance(key, str)})
        return {k: _restored(f"{name}[{k!r}]", v, deeper) for k, v in mapping.items()}
    if "schedule" in plain:
        return _restored_schedule(
            name, keyed(name, plain, "schedule", "parameters"), depth
        )
    return restored_array(name, plain)


def _restored_schedule(name: str, plain: dict[str, Any], depth: int) -> BaseEstimator:
    kind = plain["schedule"]
    if not isinstance(kind, str) or kind not in SCHEDULES:
        raise refusal(name, f"expected a schedule of {sorted(SCHEDULES)}", kind)
    known = set(inspect.signature(SCHEDULES[kind]).parameters)
    check_keys(name, plain["parameters"], known)
    own = plain["parameters"].items()
    return SCHEDULES[kind](
        **{key: _restored(f"{name}__{key}", v, depth + 1) for key, v in own}
    )
