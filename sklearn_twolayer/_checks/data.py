"""Validation of ``X``, ``y``, sample weights and folds. No torch here.

Every error message names the argument that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sklearn_twolayer._checks.types import as_data, columns_of, named_columns
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer.exceptions import UncentredWarning

# Largest absolute value of inputs, targets and weights, so that float64 holds squares;
# if all are smaller than its inverse, they are refused, too (convention).
LARGEST = 1e150
# Sizes of columns that single precision can compute with: their squares must be finite,
# and so must their inverses, which are coefficients of the linear part (convention).
SINGLE = 1e-30, 1e15


def check_numbers(name: str, data: object, **options: object) -> np.ndarray:
    """``data`` as a finite float array, from ``check_array`` with ``options``."""
    data = as_data(name, data)
    with named_errors(name, data):
        return check_array(data, input_name=name, **{"dtype": np.float64, **options})


def check_single(column: int, size: float) -> None:
    """Refuse a column that single precision cannot hold as it is."""
    least, most = SINGLE
    if size > most or 0.0 < size < least:
        raise ValueError(
            f"Column {column} of X is of size {size:.3g} (its standard deviation; with "
            "hidden_bias=False the root of its mean square), with which "
            f"dtype='float32' and standardize=False cannot compute: rescale it to "
            f"between {least:g} and {most:g}, or set standardize=True or "
            "dtype='float64'."
        )


def warn_of_far_columns(
    estimator: BaseEstimator | None, columns: Sequence[int]
) -> None:
    """Name the columns that neurons without biases see as nearly constant."""
    if not columns:
        return
    names = getattr(estimator, "feature_names_in_", range(columns[-1] + 1))
    named = named_columns([names[column] for column in columns])
    warn_caller(
        "With hidden_bias=False features cannot bend where these columns of X vary, "
        f"which are far from zero beside their standard deviations: {named}. Centre "
        "them, or set hidden_bias=True.",
        UncentredWarning,
    )


def is_dask(data: object) -> bool:
    """Whether the data are a Dask collection."""
    return getattr(data, "__dask_graph__", None) is not None


def check_inputs(
    estimator: BaseEstimator | None,
    X: object,
    y: object = "no_validation",
    *,
    reset: bool = True,
) -> np.ndarray:
    """``X`` as an array of numbers; sparse ``X`` becomes CSR.

    With ``reset=True``, for fitting, it must have at least two rows. With
    ``reset=False``, for predicting, one row is enough, and its columns must be those
    that ``estimator`` was fitted on. ``y`` is used only to raise an error if it is
    None.
    """
    options = {
        "dtype": "numeric",  # Blocks of rows are converted when they are used.
        "accept_sparse": "csr",
        "ensure_min_samples": 2 if reset else 1,
    }
    if is_dask(X):
        raise TypeError(
            "X is a Dask collection, which only RegularizedTwoLayerRegressor can fit "
            f"where its rows are, got {type(X).__name__}; X.compute() brings it into "
            "memory."
        )
    X = as_data("X", X)
    with named_errors("X", X):
        if estimator is None:
            checked = check_array(X, input_name="X", **options)
        else:
            y = None if y is None else "no_validation"
            checked = validate_data(estimator, X, y, reset=reset, **options)
        # Some dataframes become objects, whose values may be numbers, and products of
        # sparse arrays do not take numbers wider than float64.
        wide = sparse.issparse(checked) and checked.dtype.itemsize > 8
        return (
            checked.astype(np.float64) if wide or checked.dtype == object else checked
        )


def check_targets(y: object, n_samples: int) -> np.ndarray:
    """``y`` as a float array of one or two dimensions, with ``n_samples`` rows."""
    if is_dask(y):
        raise TypeError(
            "y is a Dask collection but X is not; y.compute() brings it into memory."
        )
    targets = check_numbers("y", y, ensure_2d=False)
    if targets.ndim not in (1, 2):
        raise ValueError(f"y must have one or two dimensions, got {targets.ndim}.")
    if targets.shape[0] != n_samples:
        raise ValueError(
            "X and y have inconsistent numbers of samples: "
            f"[{n_samples}, {targets.shape[0]}]."
        )
    check_magnitude("y", np.abs(targets).max(initial=0.0))
    return targets


def check_magnitude(name: str, largest: float) -> None:
    """Raise if the square of the largest absolute value overflows or underflows."""
    if largest > LARGEST or 0.0 < largest < 1.0 / LARGEST:
        raise ValueError(
            f"{name} has a largest absolute value of {largest:.3g}, whose square "
            "float64 cannot hold: rescale it to between "
            f"{1.0 / LARGEST:g} and {LARGEST:g}."
        )


def check_weights(sample_weight: object, n_samples: int) -> np.ndarray:
    """Sample weights as in ``check_signs``, at least one of them positive."""
    weights = check_signs(sample_weight, n_samples)
    check_total(weights.max(initial=0.0))
    return weights


def check_total(total: float) -> None:
    """Raise if ``total``, the sum of the sample weights or the largest, is zero."""
    if total == 0:
        raise ValueError("sample_weight must not be all zero.")


def check_signs(sample_weight: object, n_samples: int) -> np.ndarray:
    """Sample weights as a float array, which may all be zero.

    None stands for ones; a number is the weight of every row.
    """
    if is_dask(sample_weight):
        raise TypeError(
            "sample_weight is a Dask collection but X is not; sample_weight.compute() "
            "brings it into memory."
        )
    if sample_weight is None or isinstance(sample_weight, Real):
        weight = 1.0 if sample_weight is None else float(sample_weight)
        weights = np.full(n_samples, weight)
    else:
        weights = check_numbers("sample_weight", sample_weight, ensure_2d=False)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected ({n_samples},)."
        )
    if not (weights >= 0).all():
        raise ValueError(
            f"sample_weight must not be negative, the least is {weights.min()}."
        )
    check_magnitude("sample_weight", weights.max(initial=0.0))
    return weights


def check_splits(
    splits: list[tuple[np.ndarray, np.ndarray]], weights: np.ndarray
) -> None:
    """Raise if the training or the held-out rows of a fold have no weight."""
    if not splits:
        raise ValueError("cv must give at least one pair of train and test indices.")
    for number, rows in enumerate(splits):
        for kind, index in zip(("training", "held-out"), rows, strict=True):
            try:
                own = weights[index]
            except IndexError as error:
                raise ValueError(
                    f"cv must give indices of the {len(weights)} rows of X; the {kind} "
                    f"rows of its fold {number} are others: {error}."
                ) from error
            if len(own) == 0:
                raise ValueError(f"cv gives no {kind} rows in its fold {number}.")
            if not (own > 0).any():
                raise ValueError(
                    f"sample_weight must not be zero on all {kind} rows of a fold of "
                    f"cv, but is in its fold {number}."
                )


@contextmanager
def named_errors(name: str, data: object) -> Iterator[None]:
    """Add to errors in this context the name of the argument and what is wrong.

    The message then lists the columns that are not numbers, and begins with ``name``
    unless it contains it already.
    """
    try:
        yield
    except (OverflowError, TypeError, ValueError) as error:
        message = str(error)
        columns = _columns_not_numbers(data)
        if columns:
            message = f"{message} Columns that are not numbers: {columns}."
        if name not in message.split():
            message = f"{name}: {message}"
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(message) from error


def _columns_not_numbers(data: object) -> list[object]:
    """Names of a dataframe's columns that cannot be read as floats."""
    refused: list[object] = []
    frame: Any = data
    for column in columns_of(data):
        try:
            np.asarray(frame[column], dtype=np.float64)
        except (TypeError, ValueError):
            refused.append(column)
    return refused


def check_groups(groups: object, weights: np.ndarray) -> np.ndarray | None:
    """Groups as integers, of which two at least have rows of positive weight."""
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != weights.shape:
        raise ValueError(
            f"groups must have a label for each of the {len(weights)} rows of X, got "
            f"shape {labels.shape}; leave it out if the rows are independent."
        )
    missing = np.array([label is None or label != label for label in labels.tolist()])
    if missing.any():
        raise ValueError(
            f"groups must have a label for each row, got none (None or NaN) in "
            f"{np.count_nonzero(missing)} rows, first in row {missing.argmax()}; give "
            "rows that belong to no group labels of their own."
        )
    try:
        integers = np.unique(labels, return_inverse=True)[1]
    except TypeError as error:
        raise TypeError(
            "groups must have labels that can be sorted, such as integers or strings, "
            f"got several types ({error}); convert them to strings."
        ) from error
    if len(np.unique(integers[weights > 0])) < 2:
        raise ValueError(
            "groups must name two groups at least with rows of positive weight, got "
            "one; leave it out if the rows are independent."
        )
    return integers
