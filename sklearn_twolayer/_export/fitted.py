"""The fitted attributes in a dictionary of `to_dict`: which there are, and what holds.

Dictionaries may come from anywhere. What is read here can predict, or is refused by the
name of the entry.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_twolayer._rows.column_transform import LEAST_SCALE

# Numbers that JSON does not have, by the text that stands for them.
ODD_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
LONGEST = 80  # characters of what was given that an error shows (convention)
# What an array is made of, by the name of its dtype. Floats may be written as integers.
ITEMS: dict[str, tuple[type, ...]] = {
    "float64": (float, int), "int64": (int,), "bool": (bool,), "str": (str,),
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A fitted attribute: a number, if it has no dimensions, or an array.

    Parameters
    ----------
    *shape : str
        Names of the dimensions; those of one name have one length. The dimension
        "outputs" is left out if there is one target only.
    dtype : str, default="float64"
        Name of the dtype; "any" for labels, which may be of any.
    least : float or None, default=None
        Least value.
    may_be_odd : bool, default=False
        Whether values may be infinite or none.
    is_optional : bool, default=False
        Whether the attribute may be missing.
    """

    shape: tuple[str, ...] = ()
    dtype: str = "float64"
    least: float | None = None
    may_be_odd: bool = False
    is_optional: bool = False


NETWORK = {
    "linear_coef_": Entry(("outputs", "inputs")),
    "linear_intercept_": Entry(("outputs",)),
    "features_": Entry(("features", "inputs")),
    "feature_intercepts_": Entry(("features",)),
    "amplitudes_": Entry(("features", "outputs")),
    "n_features_in_": Entry(dtype="int64", least=1),
    "feature_names_in_": Entry(("inputs",), dtype="str", is_optional=True),
    # What early releases did not have is optional.
    "feature_importances_": Entry(("inputs",), least=0.0, is_optional=True),
    "feature_scales_": Entry(("inputs",), least=0.0, is_optional=True),
    "feature_ranges_": Entry(("range", "features"), is_optional=True),
    "linear_ranges_": Entry(("range", "outputs"), is_optional=True),
}
HISTORY = {
    "lambda_": Entry(("stages",), least=0.0),
    "loss": Entry(("stages",)),
    "objective": Entry(("stages",)),
    "n_neurons": Entry(("stages",), dtype="int64", least=0),
    "certificate": Entry(("stages",), least=0.0, may_be_odd=True),
    "dual_gap": Entry(("stages",)),
    "n_iter": Entry(("stages",), dtype="int64", least=0),
    "seconds": Entry(("stages",), least=0.0),
    "masses": Entry(("stages", "lines"), least=0.0),
    "curvature": Entry(("stages",), is_optional=True),  # of solver="gd"
}
FIT = {
    "lambda_max_": Entry(least=0.0),
    "lambda_": Entry(least=0.0),
    "linear_decay_": Entry(least=0.0, is_optional=True),
    "certificate_": Entry(least=0.0, may_be_odd=True),
    "dual_gap_": Entry(),
    "n_iter_": Entry(dtype="int64", least=0),
}
# What the residuals of some losses have.
NOISE = {
    "scale_": Entry(least=0.0, is_optional=True),
    "dispersion_": Entry(least=0.0, is_optional=True),
}
CLASSES = {"classes_": Entry(("classes",), dtype="any")}
CLASS_FOLDS = {
    "lambdas_": Entry(("lambdas",), least=0.0),
    "log_loss_path_": Entry(("lambdas", "folds"), may_be_odd=True),
    "n_features_path_": Entry(("lambdas", "folds"), may_be_odd=True),
    "blended_log_loss_path_": Entry(("lambdas", "folds", "shares"), may_be_odd=True),
    "debiased_log_loss_": Entry(("folds",), may_be_odd=True),
    "debiased_n_features_": Entry(("folds",), may_be_odd=True),
    "debiased_share_": Entry(least=0.0),
    "column_weights_": Entry(("inputs",), least=0.0, is_optional=True),
    "n_averaged_": Entry(dtype="int64", least=0, is_optional=True),
}
# Stages that were not run, and networks that were not asked for, have no error. Which
# errors there are depends on the loss, and so they are optional.
ERRORS = {
    "mse_path_": ("lambdas", "folds"),
    "blended_mse_path_": ("lambdas", "folds", "shares"),
    "debiased_mse_": ("folds",),
    "averaged_mse_": ("folds",),
    "loss_path_": ("lambdas", "folds"),
    "blended_loss_path_": ("lambdas", "folds", "shares"),
    "debiased_loss_": ("folds",),
}
FOLDS = {
    "lambdas_": Entry(("lambdas",), least=0.0),
    "n_features_path_": Entry(("lambdas", "folds"), may_be_odd=True),
    "debiased_n_features_": Entry(("folds",), may_be_odd=True),
    "averaged_n_features_": Entry(("folds",), may_be_odd=True, is_optional=True),
    "ambiguity_": Entry(is_optional=True),
    "column_weights_": Entry(("inputs",), least=0.0, is_optional=True),
    "debiased_share_": Entry(least=0.0),
    "n_averaged_": Entry(dtype="int64", least=0, is_optional=True),
    **{
        name: Entry(shape, may_be_odd=True, is_optional=True)
        for name, shape in ERRORS.items()
    },
}
# Arrays that make a transform of the columns. A column's scale is divided by. Only
# clipped columns have a range.
COLUMN_TRANSFORM = {
    "centre": Entry(("inputs",)),
    "scale": Entry(("inputs",), least=LEAST_SCALE),
    "exponent": Entry(("inputs",)),
    "inverse_limit": Entry(("inputs",), least=0.0),
    "lowest": Entry(("inputs",), is_optional=True),
    "highest": Entry(("inputs",), is_optional=True),
}
# The attributes of each class; that of a class derived from one of these is its own.
ENTRIES: dict[str, dict[str, Entry]] = {
    "RegularizedTwoLayerRegressor": {
        **NETWORK, **FIT, **NOISE, "lambdas_": Entry(("stages",), least=0.0),
    },
    "RegularizedTwoLayerRegressorCV": {**NETWORK, **FIT, **NOISE, **FOLDS},
    "RegularizedTwoLayerClassifier": {
        **NETWORK, **FIT, **CLASSES, "lambdas_": Entry(("stages",), least=0.0),
    },
    "RegularizedTwoLayerClassifierCV": {**NETWORK, **FIT, **CLASSES, **CLASS_FOLDS},
}  # fmt: skip
# Attributes that are dictionaries of arrays, likewise. All but the history may be None.
GROUPS: dict[str, dict[str, dict[str, Entry]]] = {
    "RegularizedTwoLayerRegressor": {"history_": HISTORY},
    "RegularizedTwoLayerRegressorCV": {
        "history_": HISTORY, "column_transform_": COLUMN_TRANSFORM,
    },
    "RegularizedTwoLayerClassifier": {"history_": HISTORY},
    "RegularizedTwoLayerClassifierCV": {
        "history_": HISTORY, "column_transform_": COLUMN_TRANSFORM,
    },
}  # fmt: skip


def restored_fitted(kind: type, plain: Mapping[str, Any]) -> dict[str, object]:
    """The fitted attributes of the class ``kind``, each as a fit makes them."""
    table, groups = entries_of(kind), groups_of(kind)
    may_lack = optional_names(table) | set(groups) - {"history_"}
    check_keys("fitted", plain, {*table, *groups}, may_lack)
    reader = _Reader(is_single=_n_dimensions(plain["linear_coef_"]) == 1)
    values = {n: reader.read(n, table[n], plain[n]) for n in table if n in plain}
    restored: dict[str, object] = {}
    for name in [name for name in groups if name in plain]:
        if name != "history_" and plain[name] is None:
            restored[name] = None
            continue
        arrays = keyed(name, plain[name], "mapping")["mapping"]
        check_keys(name, arrays, set(groups[name]), optional_names(groups[name]))
        restored[name] = {
            key: reader.read(f"{name}[{key!r}]", entry, arrays[key])
            for key, entry in groups[name].items()
            if key in arrays
        }
    if values["n_features_in_"] != reader.lengths["inputs"]:
        raise ValueError(
            f"data has n_features_in_ = {values['n_features_in_']}, but linear_coef_ "
            f"has {reader.lengths['inputs']} columns: they do not fit together."
        )
    if "classes_" in values:
        _check_classes(reader.lengths)
    return {**values, **restored}


def _check_classes(lengths: Mapping[str, int]) -> None:
    """Raise unless there is an output for each class, or one for two classes."""
    n_classes, n_outputs = lengths["classes"], lengths.get("outputs", 1)
    if n_classes != (2 if n_outputs == 1 else n_outputs):
        raise ValueError(
            f"data has {n_classes} classes_, but linear_coef_ is for {n_outputs} "
            "outputs: they do not fit together."
        )


def entries_of(kind: type) -> dict[str, Entry]:
    """The numbers and arrays among the fitted attributes of an estimator's class."""
    return next(ENTRIES[c.__name__] for c in kind.__mro__ if c.__name__ in ENTRIES)


def groups_of(kind: type) -> dict[str, dict[str, Entry]]:
    """The dictionaries among the fitted attributes of an estimator's class."""
    return next(GROUPS[c.__name__] for c in kind.__mro__ if c.__name__ in GROUPS)


def check_keys(
    name: str, plain: object, known: Collection[str], optional: Collection[str] = ()
) -> None:
    """Raise if the dictionary at ``name`` lacks keys, or has others than ``known``."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"data must have a dictionary {name!r}, got {shown(plain)}.")
    unknown = [key for key in plain if key not in known]
    if unknown:
        raise ValueError(
            f"data has entries in {name} that are not known: {shown(unknown)}."
        )
    missing = sorted(set(known) - set(optional) - set(plain))
    if missing:
        raise ValueError(f"data lacks a part of {name}: {shown(missing)}.")


def keyed(name: str, plain: object, *keys: str) -> Any:
    """A dictionary that has exactly these keys."""
    if not isinstance(plain, Mapping) or set(plain) != set(keys):
        raise refusal(name, f"expected a dictionary of {sorted(keys)}", plain)
    return plain


def restored_array(name: str, plain: object) -> np.ndarray:
    """An array of any dtype and shape that the format has."""
    parts = keyed(name, plain, "array", "shape", "dtype")
    items, shape, dtype = parts["array"], parts["shape"], parts["dtype"]
    if not isinstance(dtype, str) or dtype not in ITEMS:
        raise refusal(name, f"its dtype must be one of {list(ITEMS)}", dtype)
    is_shape = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(items, list) or not is_shape or len(items) != math.prod(shape):
        raise refusal(name, "expected as many items as its shape says", plain)
    values = [restored_item(name, item, dtype) for item in items]
    try:
        array = np.array(values, dtype=object if dtype == "str" else dtype)
        return array.reshape(shape)
    except (OverflowError, ValueError) as error:  # too large for the dtype
        raise refusal(name, str(error), plain) from error


def restored_item(name: str, plain: object, dtype: str) -> Any:
    """A number or text, of exactly the type that the dtype asks for."""
    if dtype == "float64" and isinstance(plain, Mapping):
        text = keyed(name, plain, "number")["number"]
        if isinstance(text, str) and text in ODD_NUMBERS:
            return ODD_NUMBERS[text]
    if type(plain) not in ITEMS[dtype]:
        raise refusal(name, f"expected an item of {dtype}", plain)
    return plain


def refusal(name: str, reason: str, plain: object) -> ValueError:
    return ValueError(
        f"data has an entry {name} that cannot be read: {reason}, got {shown(plain)}."
    )


def shown(plain: object) -> str:
    """The beginning of what was given, which may be long or deeply nested."""
    try:
        text = repr(plain)
    except (RecursionError, ValueError):  # integers can have too many digits
        text = f"a {type(plain).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


class _Reader:
    """Reads entries, and remembers the lengths of their dimensions."""

    def __init__(self, *, is_single: bool) -> None:
        self.is_single = is_single
        # A range is a least and a largest number, and a standard deviation.
        self.lengths = {"range": 3}

    def read(self, name: str, entry: Entry, plain: object) -> object:
        shape = [d for d in entry.shape if d != "outputs" or not self.is_single]
        if shape:
            array = restored_array(name, plain)
            expected = (
                {"any", plain["dtype"]} if isinstance(plain, Mapping) else {"any"}
            )
            if entry.dtype not in expected:
                raise refusal(name, f"expected an array of {entry.dtype}", plain)
            self._check_lengths(name, shape, array)
        else:
            value = restored_item(name, plain, entry.dtype)
            array = restored_array(
                name, {"array": [plain], "shape": [1], "dtype": entry.dtype}
            )
        self._check_values(name, entry, array, plain)
        if shape:
            return array
        return int(value) if entry.dtype == "int64" else float(value)

    def _check_lengths(self, name: str, shape: list[str], array: np.ndarray) -> None:
        if array.ndim == len(shape):
            expected = [
                self.lengths.setdefault(dimension, length)
                for dimension, length in zip(shape, array.shape, strict=True)
            ]
            if list(array.shape) == expected:
                return
        known = {d: self.lengths[d] for d in shape if d in self.lengths}
        raise ValueError(
            f"data has an entry {name} of shape {array.shape} that does not fit "
            f"together with the others: expected ({', '.join(shape)}) with {known}."
        )

    @staticmethod
    def _check_values(
        name: str, entry: Entry, array: np.ndarray, plain: object
    ) -> None:
        if array.dtype == object:
            return
        if not entry.may_be_odd and not np.isfinite(array).all():
            raise refusal(name, "expected finite numbers", plain)
        if entry.least is not None and (array < entry.least).any():
            raise refusal(name, f"expected numbers of at least {entry.least}", plain)


def optional_names(table: Mapping[str, Entry]) -> set[str]:
    """Names of the entries that a dictionary may lack."""
    return {name for name, entry in table.items() if entry.is_optional}


def _n_dimensions(plain: object) -> int:
    shape = plain.get("shape") if isinstance(plain, Mapping) else None
    return len(shape) if isinstance(shape, list) else 0
