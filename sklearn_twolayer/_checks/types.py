"""Arrays of NumPy from tensors, and refusal of what is not numbers. No torch here.

scikit-learn and NumPy turn some of it into numbers: times become counts in whatever
unit they are stored in, and "not a time" the largest negative one. Other columns pass
through validation and fail later. So types are looked at first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Names of dtypes that are numbers, truth values or empty. Those of NumPy, pandas,
# polars and PyArrow are alike. Objects are judged by their values, as scikit-learn
# does, and it has messages of its own for complex numbers and missing ones.
NUMERIC_TYPES = re.compile(
    r"(sparse\[)?(u?int\d|float|double|halffloat|longdouble|bool|decimal|complex|null"
    r"|object)",
    re.IGNORECASE,
)
ENCODE = (
    "Encode categories and text as numbers, for example with OrdinalEncoder or "
    "OneHotEncoder of scikit-learn, and times as counts of a unit, for example days "
    "since a date; convert text that spells numbers with astype(float)."
)
# Columns that a message names (convention).
MOST_NAMED = 10


def as_data(name: str, data: Any) -> Any:
    """The data, as a NumPy array if they are a tensor.

    Raises an error that names the argument, its columns and their types if they are
    not numbers.
    """
    if _is_tensor(data):
        return _from_tensor(name, data)
    if hasattr(data, "__array_namespace__") and not isinstance(data, np.ndarray):
        return _from_other(name, data)
    refused = [f"{column!r} ({t})" for column, t in _columns(data) if not _may_be(t)]
    if refused:
        raise ValueError(
            f"{name} has columns that are not numbers: {_some(refused)}. {ENCODE}"
        )
    dtype = getattr(data, "dtype", getattr(data, "type", None))
    if dtype is not None and not callable(dtype) and not _may_be(dtype):
        raise ValueError(f"{name} is of type {dtype}, not numbers. {ENCODE}")
    _check_objects(name, data)
    return data


def columns_of(data: Any) -> list[Any]:
    """Names of a dataframe's or a table's columns; none for other data."""
    return [column for column, _ in _columns(data)]


def named_columns(columns: Sequence[object]) -> str:
    """The names of columns, the first of them if there are many."""
    return _some([str(column) for column in columns])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _may_be(dtype: object) -> bool:
    """Whether data of this type may be numbers; tuples of a structured type are not."""
    return NUMERIC_TYPES.match(str(dtype)) is not None


def _columns(data: Any) -> Iterator[tuple[Any, object]]:
    """Names and types of the columns of a dataframe (pandas, polars) or a table."""
    schema: Any = getattr(data, "schema", None)
    if hasattr(schema, "types"):
        yield from zip(schema.names, schema.types, strict=True)
    elif hasattr(data, "columns") and hasattr(data, "dtypes"):
        yield from zip(data.columns, data.dtypes, strict=True)


def _check_objects(name: str, data: Any) -> None:
    """Refuse times among objects, which NumPy would count without a word."""
    parts = [data] if isinstance(data, np.ndarray) else []
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        parts = [
            np.asarray(data[column])
            for column, dtype in _columns(data)
            if str(dtype) == "object"
        ]
    for part in parts:
        if part.dtype.kind == "O" and any(
            isinstance(value, (np.datetime64, np.timedelta64)) for value in part.flat
        ):
            raise ValueError(f"{name} has times among its objects. {ENCODE}")


def _is_tensor(data: object) -> bool:
    """Whether the data are a tensor of torch, which is then loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.Tensor)


def _from_tensor(name: str, tensor: Any) -> np.ndarray:
    """The values of a tensor, from any device, without its graph."""
    try:
        plain = tensor.detach().cpu().resolve_conj().resolve_neg()
        if "bfloat16" in str(plain.dtype):  # NumPy does not have it.
            plain = plain.float()
        return np.asarray(plain.numpy())
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name} must be a dense tensor with values, got one of layout "
            f"{tensor.layout} on the device {str(tensor.device)!r}: convert it to a "
            f"NumPy array or a SciPy sparse array ({error})"
        ) from error


def _from_other(name: str, array: Any) -> np.ndarray:
    """The values of an array of another library."""
    try:
        return np.asarray(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be an array that NumPy can read, got {type(array).__name__}: "
            f"bring it to the memory of this machine as a NumPy array ({error})"
        ) from error
