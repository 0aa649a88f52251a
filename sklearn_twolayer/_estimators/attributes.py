"""Fitted attributes of an estimator, which replace those of an earlier fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn_twolayer._export.fitted import entries_of, groups_of

# Attributes that the validation of the data has set already.
OF_INPUTS = ("n_features_in_", "feature_names_in_")


def store_fitted(estimator: object, *found: Mapping[str, object]) -> None:
    """Set the attributes found, and delete what another loss had and this one has not.

    A transform of the columns, for example, would change the predictions.
    """
    own: dict[str, Any] = estimator.__dict__
    for name in (*entries_of(type(estimator)), *groups_of(type(estimator))):
        if name not in OF_INPUTS:
            own.pop(name, None)
    for attributes in found:
        own.update(attributes)
