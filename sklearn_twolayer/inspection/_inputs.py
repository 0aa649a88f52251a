"""What inspection is given: estimators, alone or last in a pipeline, and their data."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import check_inputs
from sklearn_twolayer._estimators.base import TwoLayerModel


def check_model(estimator: object) -> TwoLayerModel:
    """The fitted model of this package: the estimator, or the last of a pipeline."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    if not isinstance(estimator, TwoLayerModel):
        raise TypeError(
            "estimator must be a RegularizedTwoLayerRegressor or a "
            "RegularizedTwoLayerRegressorCV, or a pipeline that ends with one, got "
            f"{type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    return estimator


def model_inputs(
    estimator: object, X: Any
) -> tuple[TwoLayerModel, np.ndarray | sparse.csr_array, list[str]]:
    """The model, its validated inputs, and their names.

    In a pipeline the inputs are what the steps before the model make of ``X``.
    """
    model, made = check_model(estimator), None
    while isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            before = estimator[:-1]
            X, made = before.transform(X), _names_out(before)
        estimator = estimator.steps[-1][1]
    checked = check_inputs(model, X, reset=False)
    if hasattr(model, "feature_names_in_") or made is None:
        return model, checked, [str(name) for name in model._input_names()]
    return model, checked, made


def _names_out(transformers: Pipeline) -> list[str] | None:
    """Names of the columns that the transformers make, if they know them."""
    try:
        return [str(name) for name in transformers.get_feature_names_out()]
    except (AttributeError, NotImplementedError, ValueError):
        return None
