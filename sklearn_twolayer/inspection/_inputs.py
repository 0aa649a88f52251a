"""What inspection is given: estimators, alone or last in a pipeline, and their data."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import check_inputs, check_targets, check_weights
from sklearn_twolayer._checks.labels import check_known_labels, class_weights
from sklearn_twolayer._checks.losses import COUNTS, SQUARES, check_single_target
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._estimators.classifier_base import TwoLayerClassifier
from sklearn_twolayer._losses.units import THRESHOLD

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
    least squares has the derivatives of the log loss (theory eq. 30). So it has those
    of counts. For Huber's loss residuals are cut off at the threshold and divided by
    the share of those that are not: the second derivative of all rows is then right.
    """
    if not isinstance(model, TwoLayerClassifier):
        targets = check_targets(y, X.shape[0])
        weights = check_weights(sample_weight, X.shape[0])
        return _working(model, X, targets, weights)
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


def _working(
    model: Any,
    X: np.ndarray | sparse.csr_array,
    targets: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Targets of a regressor's outputs, and weights, whose squares its loss is like."""
    if loss_of(model) == SQUARES:
        return targets, weights
    targets = check_single_target(loss_of(model), targets, weights)
    outputs = model.predict_link(X)
    if loss_of(model) == COUNTS:
        mean = model.predict(X)
        mean = np.maximum(mean, LEAST_PRODUCT * mean.max(initial=0.0))
        return outputs + (targets - mean) / mean, weights * mean
    threshold = THRESHOLD * model.scale_
    residual = targets - outputs
    near = float(weights @ (np.abs(residual) <= threshold) / weights.sum())
    return outputs + np.clip(residual, -threshold, threshold) / near, weights


def loss_of(model: Any) -> str:
    """The loss of a regressor; that of classes for a classifier."""
    return str(getattr(model, "loss", "log loss"))


def refuse_losses(model: object, name: str) -> None:
    """Raise if the model was fitted with another loss than the squared one."""
    if loss_of(model) != SQUARES:
        raise ValueError(
            f"estimator has the loss {loss_of(model)!r}, and {name} is for the squared "
            "one: fit a regressor with loss='squared_error' for it."
        )


def target_names(model: TwoLayerModel) -> list[str] | None:
    """Names of the outputs, if they are not those of the targets; otherwise None."""
    if loss_of(model) == COUNTS:
        return ["logarithm of the mean"]
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
