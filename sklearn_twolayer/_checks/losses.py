"""Validation of the loss of a regressor, and of targets for it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from sklearn_twolayer._checks.data import is_dask
from sklearn_twolayer._checks.parameters import check_option
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer.exceptions import SeparableWarning

SQUARES = "squared_error"
COUNTS = "poisson"
LOG_LOSS = "log_loss"  # of classes
LOSSES = [SQUARES, "huber", COUNTS]
# Values of the regressors' parameters that other losses than the squared one accept.
# What the others do has been worked out for squares only.
ACCEPTED: dict[str, tuple[object, ...]] = {
    "solver": ("auto", "newton"),
    "debias": (False,),
    "max_features": (None,),
}


def check_loss(
    loss: object, parameters: Mapping[str, Any], losses: Sequence[str] = LOSSES
) -> str:
    """One of the losses, and no parameters that it cannot be fitted with."""
    checked = check_option("loss", loss, list(losses))
    if checked == SQUARES:
        return checked
    for name, value in parameters.items():
        accepted = ACCEPTED[name]
        if not any(value is one or str(value) == str(one) for one in accepted):
            raise ValueError(
                f"{name} must be one of {list(accepted)} with loss={checked!r}, got "
                f"{value!r}: other values are for loss='squared_error'."
            )
    return checked


def check_single_target(
    loss: str, targets: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The targets as one column that the loss can be computed of."""
    if targets.ndim == 2 and targets.shape[1] != 1:
        raise ValueError(
            f"y must have one target with loss={loss!r}, got {targets.shape[1]}: fit "
            "one estimator for each, as sklearn.multioutput.MultiOutputRegressor does."
        )
    targets = column_or_1d(targets, warn=True)
    if loss == COUNTS:
        _check_counts(targets, weights)
    return targets


def check_loss_splits(
    loss: str,
    targets: np.ndarray,
    weights: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Raise if the training rows of a fold have no counts."""
    for number, (train, _) in enumerate(splits if loss == COUNTS else ()):
        if not (targets[train] * weights[train] > 0.0).any():
            raise ValueError(
                "y must be positive in a training row of each fold with "
                f"loss='poisson', but fold {number} of cv has none: use other folds."
            )


def refuse_dask(loss: str, X: Any) -> None:
    """Raise if the inputs are a Dask collection."""
    if is_dask(X):
        raise TypeError(
            f"X is a Dask collection, which loss={loss!r} cannot fit; X.compute() and "
            "y.compute() bring the data into memory."
        )


def _check_counts(targets: np.ndarray, weights: np.ndarray) -> None:
    if (targets < 0.0).any():
        raise ValueError(
            f"y must not be negative with loss='poisson', the least is {targets.min()}"
            ": it holds counts, or counts over exposures with the exposures as "
            "sample_weight."
        )
    if not (targets[weights > 0.0] > 0.0).any():
        raise ValueError(
            "y must be positive in a row of positive weight with loss='poisson', but "
            "all such rows are zero: no mean is best for them."
        )


def warn_of_separation(
    linear_decay: float, *, is_separable: bool, what: str = "classes"
) -> None:
    """Warn if a linear function separates classes, or rows without counts."""
    if is_separable:
        warn_caller(
            f"A linear function separates {what} of the data, so that its coefficients "
            "have no best value. They were shrunk by the decay under which the targets "
            f"are most likely, linear_decay_ = {linear_decay:.3g}; pass a "
            "positive linear_decay to choose another.",
            SeparableWarning,
        )
