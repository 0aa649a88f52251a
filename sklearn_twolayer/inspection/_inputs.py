"""What inspection is given: estimators, alone or last in a pipeline, and their data."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import check_inputs, check_targets, check_weights
from sklearn_twolayer._checks.labels import check_known_labels, class_weights
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._estimators.classifier_base import TwoLayerClassifier

# Product of the probabilities of a class and of the others, below which a row counts as
# if it had this (convention).
LEAST_PRODUCT = 1e-10


def check_model(estimator: object) -> TwoLayerModel:
    """The fitted model of this package: the estimator, or the last of a pipeline."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    if not isinstance(estimator, TwoLayerModel):
        raise TypeError(
            "estimator must be a RegularizedTwoLayerRegressor, a "
            "RegularizedTwoLayerClassifier or the CV of one of them, or a pipeline "
            f"that ends with one, got {type(estimator).__name__}."
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


def model_targets(
    model: TwoLayerModel,
    X: np.ndarray | sparse.csr_array,
    y: object,
    sample_weight: object,
) -> tuple[np.ndarray, np.ndarray]:
    """The targets on the scale of the outputs of the network, and weights of rows.

    For a classifier they are the working targets of each class against the others, and
    with two classes the weights are multiplied by those of these targets: with both,
    least squares has the derivatives of the log loss (theory eq. 30).
    """
    if not isinstance(model, TwoLayerClassifier):
        return check_targets(y, X.shape[0]), check_weights(sample_weight, X.shape[0])
    number = check_known_labels(y, model.classes_, X.shape[0])
    weights = check_weights(sample_weight, X.shape[0])
    weights = class_weights(model.class_weight, model.classes_, number, weights)
    share = model.predict_proba(X)
    is_own = number[:, np.newaxis] == np.arange(len(model.classes_))
    product = np.maximum(share * (1.0 - share), LEAST_PRODUCT)
    outputs = model.decision_function(X)
    if outputs.ndim == 1:
        steps = (is_own[:, 1] - share[:, 1]) / product[:, 1]
        return outputs + steps, weights * product[:, 1]
    return outputs + (is_own - share) / product, weights


def target_names(model: TwoLayerModel) -> list[str] | None:
    """Names of the outputs of a classifier; None for a regressor."""
    if not isinstance(model, TwoLayerClassifier):
        return None
    classes = [str(one) for one in model.classes_.tolist()]
    if len(classes) == 2:
        return [f"log odds of {classes[1]}"]
    return [f"score of {one}" for one in classes]


def _names_out(transformers: Pipeline) -> list[str] | None:
    """Names of the columns that the transformers make, if they know them."""
    try:
        return [str(name) for name in transformers.get_feature_names_out()]
    except (AttributeError, NotImplementedError, ValueError):
        return None
