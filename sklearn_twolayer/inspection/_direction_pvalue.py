"""A test of whether a direction is that of another feature, or a given one."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from sklearn_twolayer._rows.loadings import standardised_loadings
from sklearn_twolayer.inspection._direction_errors import loading_map
from sklearn_twolayer.inspection._estimate import Estimate, estimate_of
from sklearn_twolayer.inspection._wald import wald_pvalue


def direction_pvalue(
    estimator: object,
    X: object,
    y: object,
    feature: int,
    other: object,
    *,
    sample_weight: object = None,
    groups: object = None,
) -> float:
    """P-value of the hypothesis that a feature has a given direction, up to its sign.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor, RegularizedTwoLayerClassifier or CV
        As for :func:`direction_errors`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    feature : int
        The row of `features_` that is tested.
    other : int, array-like or pandas Series of shape (n_features,)
        Another row of `features_`, or a direction in the units of `X`, of any length.
        The labels of a Series are names of inputs, in any order.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit. Only their ratios matter.
    groups : array-like of shape (n_samples,), default=None
        Labels of rows whose noise may be dependent.

    Returns
    -------
    pvalue : float
        Of Wald's test with the covariance of :func:`direction_errors`, by an F
        distribution. NaN if the direction has no error.

    Raises
    ------
    TypeError, ValueError
        As for :func:`direction_errors`, or if `feature` or `other` are not as
        documented.

    Notes
    -----
    The difference of the two directions is tested in standardised inputs. Two features
    of one direction bend at different places; if they do not, they are one, and the
    data do not determine both. Choosing the pair after looking at the directions makes
    p-values too large.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import direction_pvalue
    >>> X, y, teacher = make_two_layer_regression(
    ...     500, 4, n_directions=2, noise=0.3, return_teacher=True, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> direction_pvalue(model, X, y, 0, 1) < 1e-6
    True
    """
    estimate = estimate_of(estimator, X, y, sample_weight=sample_weight, groups=groups)
    first = _checked_feature("feature", feature, estimate)
    loadings, _ = standardised_loadings(estimate.network.features, estimate.scales)
    own, change = loadings[first], loading_map(estimate, first)
    if isinstance(other, Integral) and not isinstance(other, bool):
        second = _checked_feature("other", other, estimate)
        if second == first:
            raise ValueError(
                f"other must be another feature than feature={first}, or a direction."
            )
        hypothesis, sign = loadings[second], np.sign(own @ loadings[second]) or 1.0
        change = change - sign * loading_map(estimate, second)
    else:
        hypothesis = _checked_direction(other, estimate)
        sign = np.sign(own @ hypothesis) or 1.0
    covariance = change @ estimate.covariance @ change.T
    return wald_pvalue(own - sign * hypothesis, covariance, estimate.free)


def _checked_feature(name: str, value: Any, estimate: Estimate) -> int:
    n_features = estimate.network.n_features
    is_number = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_number or not 0 <= value < n_features:
        raise ValueError(
            f"{name} must be the number of one of the {n_features} features, from 0 "
            f"on, got {value!r}."
        )
    return int(value)


def _checked_direction(direction: object, estimate: Estimate) -> np.ndarray:
    """The direction in standardised inputs, of unit length."""
    n_inputs = len(estimate.scales)
    labels = getattr(direction, "index", None)
    if labels is not None and not callable(labels):  # lists have a method of that name
        labelled: Any = direction
        if sorted(map(str, labels)) != sorted(estimate.names):
            raise ValueError(
                f"other must have the labels {estimate.names}, the names of the "
                f"inputs, got {[*labels]}."
            )
        order = {str(label): value for label, value in labelled.items()}
        direction = [order[name] for name in estimate.names]
    try:
        values = np.asarray(direction, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (n_inputs,) or not np.isfinite(values).all():
        raise ValueError(
            f"other must be a feature's number or a direction of {n_inputs} finite "
            f"numbers, got {direction!r}."
        )
    if not (values * estimate.scales).any():
        raise ValueError(
            "other must be a direction along which the inputs vary, got "
            f"{direction!r}: one entry at least, of an input that is not constant, "
            "must not be zero."
        )
    unit: np.ndarray = standardised_loadings(values[np.newaxis], estimate.scales)[0][0]
    return unit
