"""The JSON schema of dictionaries of `to_dict`, made of the tables they are read by.

It says all that `from_dict` asks for but for the lengths of arrays, which must agree
with their shapes and with one another.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sklearn_twolayer._export.fitted import (
    ODD_NUMBERS,
    Entry,
    entries_of,
    groups_of,
    optional_names,
)
from sklearn_twolayer._export.plain import FORMAT, FORMAT_VERSION, SCHEDULES

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {"float64": "number", "int64": "integer", "bool": "boolean", "str": "string"}
VALUE = {"$ref": "#/$defs/value"}
LARGEST_INTEGER = 2**63 - 1


def json_schema(*kinds: type) -> dict[str, Any]:
    """The schema of dictionaries of fitted estimators of these classes."""
    return {
        "$schema": DRAFT,
        "title": "Fitted estimators of sklearn_twolayer, as to_dict gives them",
        "oneOf": [_estimator(kind) for kind in kinds],
        "$defs": {
            "odd_number": _object({"number": {"enum": sorted(ODD_NUMBERS)}}),
            "array": {
                "anyOf": [_array(Entry(may_be_odd=True, dtype=d)) for d in TYPES]
            },
            "schedule": {"anyOf": [_schedule(kind) for kind in SCHEDULES.values()]},
            "value": {
                "description": "A parameter; lists and mappings are at most ten deep.",
                "anyOf": [
                    {"type": ["null", "boolean", "number", "string"]},
                    {"type": "array", "items": VALUE},
                    _object(
                        {"mapping": {"type": "object", "additionalProperties": VALUE}}
                    ),
                    {"$ref": "#/$defs/odd_number"},
                    {"$ref": "#/$defs/array"},
                    {"$ref": "#/$defs/schedule"},
                ],
            },
        },
    }


def _estimator(kind: type) -> dict[str, Any]:
    table = entries_of(kind)
    fitted = {name: _entry(entry) for name, entry in table.items()}
    groups = {name: _group(name, own) for name, own in groups_of(kind).items()}
    optional = optional_names(table)
    properties = {
        "format": {"const": FORMAT},
        "version": {"const": FORMAT_VERSION},
        "package_version": {"type": "string"},
        "class": {"const": kind.__name__},
        "parameters": _parameters(kind, are_optional=True),
        "fitted": _object({**fitted, **groups}, optional | set(groups) - {"history_"}),
    }
    return _object(properties, {"package_version"})


def _parameters(kind: type, *, are_optional: bool) -> dict[str, Any]:
    """The parameters of the constructor, of any value: `fit` validates them."""
    names = list(inspect.signature(kind).parameters)
    values = {name: VALUE for name in names}
    return _object(values, names if are_optional else ())


def _schedule(kind: type) -> dict[str, Any]:
    parameters = _parameters(kind, are_optional=False)
    return _object({"schedule": {"const": kind.__name__}, "parameters": parameters})


def _group(name: str, table: Mapping[str, Entry]) -> dict[str, Any]:
    """A dictionary of arrays; all but the history may be null."""
    entries = {key: _entry(entry) for key, entry in table.items()}
    arrays = _object(entries, optional_names(table))
    group = _object({"mapping": arrays})
    return group if name == "history_" else {"anyOf": [{"type": "null"}, group]}


def _entry(entry: Entry) -> dict[str, Any]:
    """An array, or a number; what belongs to one target only is without "outputs"."""
    if not entry.shape:
        return _item(entry)
    alone = tuple(name for name in entry.shape if name != "outputs")
    if not alone:
        return {"anyOf": [_item(entry), _array(entry, 1)]}
    lengths = sorted({len(alone), len(entry.shape)})
    return _array(entry, *lengths)


def _array(entry: Entry, *n_dimensions: int) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "type": "array", "items": {"type": "integer", "minimum": 0},
    }  # fmt: skip
    if n_dimensions:
        shape |= {"minItems": min(n_dimensions), "maxItems": max(n_dimensions)}
    if entry.dtype == "any":
        kinds = [replace(entry, dtype=dtype) for dtype in TYPES]
        return {"anyOf": [_array(kind, *n_dimensions) for kind in kinds]}
    items = {"type": "array", "items": _item(entry)}
    return _object({"array": items, "shape": shape, "dtype": {"const": entry.dtype}})


def _item(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"type": TYPES[entry.dtype]}
    if entry.dtype == "int64":
        item |= {"minimum": -LARGEST_INTEGER - 1, "maximum": LARGEST_INTEGER}
    if entry.least is not None:
        item["minimum"] = entry.least
    if entry.may_be_odd and entry.dtype == "float64":
        return {"anyOf": [item, {"$ref": "#/$defs/odd_number"}]}
    return item


def _object(
    properties: Mapping[str, object], optional: Collection[str] = ()
) -> dict[str, Any]:
    """A dictionary of these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
