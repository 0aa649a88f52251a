"""Fitted estimators as plain dictionaries that JSON can hold.

Reading a dictionary executes nothing in it.
"""

from __future__ import annotations

import math
import os
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

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

    fitted = {
        name: _plain(name, value)
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
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
    if plain.get("version") not in (1, FORMAT_VERSION):
        raise ValueError(
            f"data has the format version {plain.get('version')!r} and was written by "
            f"sklearn_twolayer {plain.get('package_version', 'of unknown version')}; "
            f"this release reads the format versions 1 and {FORMAT_VERSION}: fit anew, "
            "or use that release."
        )
    if plain.get("class") != kind.__name__:
        raise ValueError(
            f"data describes a {plain.get('class')!r}, not a {kind.__name__}: use "
            "from_dict of that class."
        )
    parameters, fitted = plain.get("parameters"), plain.get("fitted")
    if not isinstance(parameters, dict) or not isinstance(fitted, dict):
        raise ValueError("data must have dictionaries 'parameters' and 'fitted'.")
    fitted = present_names(fitted)
    known = kind().get_params(deep=False)
    unknown = [name for name in parameters if name not in known]
    wrong = [n for n in fitted if not n.isidentifier() or n[0] == "_" or n[-1] != "_"]
    if unknown or wrong:
        raise ValueError(f"data has entries that are not known: {unknown + wrong}.")
    estimator: ModelT = kind(
        **{name: _restored(name, value) for name, value in parameters.items()}
    )
    vars(estimator).update({name: _restored(name, v) for name, v in fitted.items()})
    _check_shapes(estimator)
    return estimator


def _check_shapes(estimator: BaseEstimator) -> None:
    """Raise an error if the network could not predict."""
    try:
        n_out, n_in = estimator.features_.shape
        outputs = estimator.linear_coef_.shape[:-1]
        agree = (
            estimator.feature_intercepts_.shape == (n_out,)
            and estimator.amplitudes_.shape == (n_out, *outputs)
            and estimator.linear_coef_.shape == (*outputs, n_in)
            and np.shape(estimator.linear_intercept_) == outputs
            and estimator.n_features_in_ == n_in
        )
    except (AttributeError, ValueError) as error:
        raise ValueError(f"data lacks a part of the network: {error}.") from error
    if not agree:
        raise ValueError("data has network parts whose shapes do not fit together.")


def _plain(name: str, value: object) -> object:
    """A value as JSON can hold it.

    Arrays, schedules and numbers that are not finite become dictionaries, which
    `_restored` recognises by their keys. ``name`` is for the error message.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return _plain(name, value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": repr(value)}
    if isinstance(value, np.ndarray):
        kind = KINDS.get(value.dtype.kind)
        if kind is not None:
            value = value.astype(object if kind == "str" else kind)
            data = [_plain(name, item) for item in value.ravel().tolist()]
            return {"array": data, "shape": list(value.shape), "dtype": kind}
    if isinstance(value, dict):
        return {"mapping": {k: _plain(f"{name}[{k!r}]", v) for k, v in value.items()}}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if isinstance(value, BaseEstimator) and type(value).__name__ in SCHEDULES:
        own = value.get_params(deep=False)
        own = {key: _plain(f"{name}__{key}", v) for key, v in own.items()}
        return {"schedule": type(value).__name__, "parameters": own}
    if type(value).__module__.partition(".")[0] == "torch":
        return str(value)  # a device
    raise TypeError(
        f"{name} has no JSON form, got {value!r}: numbers, text, arrays and this "
        "package's schedules have one. Set it to None or a number before to_dict."
    )


def _restored(name: str, plain: Any) -> Any:
    """The value that `_plain` stored.

    The data may come from anywhere and are not checked before they are read: if they
    have another form, one of the errors below is raised and reported.
    """
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    if isinstance(plain, list):
        return [_restored(name, item) for item in plain]
    try:
        if "number" in plain:
            return float(plain["number"])
        if "mapping" in plain:
            items = plain["mapping"].items()
            return {key: _restored(f"{name}[{key!r}]", v) for key, v in items}
        if "schedule" in plain:
            own = plain["parameters"].items()
            kind = SCHEDULES[plain["schedule"]]
            return kind(**{key: _restored(key, v) for key, v in own})
        if plain["dtype"] not in KINDS.values():
            raise ValueError(f"dtype {plain['dtype']!r}")
        dtype = object if plain["dtype"] == "str" else plain["dtype"]
        data = [_restored(name, item) for item in plain["array"]]
        return np.array(data, dtype=dtype).reshape(plain["shape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"data has an entry {name} that cannot be read: {error}."
        ) from error
