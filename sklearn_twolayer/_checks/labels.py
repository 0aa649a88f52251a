"""Validation of class labels and their weights. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_twolayer._checks.data import check_total, is_dask, named_errors

# Classes that a message names (convention).
MOST_CLASSES = 10


def check_labels(y: Any, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, and for each row the number of its class."""
    if is_dask(y):
        raise TypeError(
            "y is a Dask collection, which a classifier cannot fit; y.compute() brings "
            "it into memory."
        )
    with named_errors("y", None):
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind in "fO":
            assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
    if len(labels) != n_samples:
        raise ValueError(
            "X and y have inconsistent numbers of samples: "
            f"[{n_samples}, {len(labels)}]."
        )
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            "y must have at least two classes, got one class only: "
            f"{classes.tolist()[0]!r}."
        )
    return classes, index


def check_known_labels(y: Any, classes: np.ndarray, n_samples: int) -> np.ndarray:
    """For each row the number of its class, one of those of a fit."""
    own, index = check_labels(y, n_samples)
    unknown = own[~np.isin(own, classes)].tolist()[:MOST_CLASSES]
    if unknown:
        raise ValueError(
            f"y has classes that the estimator was not fitted on: {unknown}."
        )
    return np.searchsorted(classes, own)[index]


def check_same_classes(classes: np.ndarray, before: np.ndarray) -> None:
    """Refuse to continue a fit that had other classes."""
    if not np.array_equal(classes, before):
        raise ValueError(
            "warm_start=True continues from the previous fit, whose classes were "
            f"{before.tolist()[:MOST_CLASSES]}; y has {classes.tolist()[:MOST_CLASSES]}"
            ": set warm_start=False to begin anew."
        )


def class_weights(
    class_weight: Any, classes: np.ndarray, index: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The sample weights times those of the classes; each class must have some."""
    if class_weight is None:
        total = weights
    else:
        total = weights * _by_class(class_weight, classes, index, weights)[index]
    check_total(total.max(initial=0.0))
    sums = np.bincount(index, weights=total, minlength=len(classes))
    empty = classes[sums == 0.0].tolist()[:MOST_CLASSES]
    if empty:
        raise ValueError(
            f"Each class needs rows of positive weight, but these have none: {empty}. "
            "Leave their rows out, or change sample_weight or class_weight."
        )
    return total


def _by_class(
    class_weight: Any, classes: np.ndarray, index: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                "class_weight must be 'balanced', a dictionary of weights by class or "
                f"None, got {class_weight!r}."
            )
        sums = np.bincount(index, weights=weights, minlength=len(classes))
        # Only ratios matter; classes without weight are refused afterwards.
        return np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0.0)
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "class_weight must be 'balanced', a dictionary of weights by class or "
            f"None, got {class_weight!r}."
        )
    with named_errors("class_weight", None):
        by_class = compute_class_weight(dict(class_weight), classes=classes, y=classes)
    if not (np.isfinite(by_class) & (by_class >= 0.0)).all():
        raise ValueError(
            "class_weight must have finite weights of at least 0, got "
            f"{class_weight!r}."
        )
    return np.asarray(by_class, dtype=np.float64)


def check_class_splits(
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    classes: np.ndarray,
    index: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Raise if the training rows of a fold lack a class."""
    for number, (train, _) in enumerate(splits):
        sums = np.bincount(index[train], weights=weights[train], minlength=len(classes))
        empty = classes[sums == 0.0].tolist()[:MOST_CLASSES]
        if empty:
            raise ValueError(
                "Each class needs rows in the training rows of each fold, but fold "
                f"{number} of cv has none of: {empty}. Use other folds, or join or "
                "leave out rare classes."
            )
