"""Standard errors and intervals of predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from sklearn_twolayer._checks.parameters import check_real
from sklearn_twolayer._rows.blocks import dense_blocks
from sklearn_twolayer.inspection._error_record import interval_around
from sklearn_twolayer.inspection._estimate import Estimate, estimate_of
from sklearn_twolayer.inspection._inputs import check_model, model_inputs, refuse_losses
from sklearn_twolayer.inspection._standardised import Block


@dataclass(frozen=True, eq=False, repr=False)
class PredictionErrors:
    """Predictions with their standard errors and intervals.

    Parameters
    ----------
    predictions : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Those of the estimator.
    errors : ndarray of the same shape
        Standard errors of the predicted means: what the fit does not know of them.
    noise : float or ndarray of shape (n_outputs,)
        Standard deviation of the noise, the same for all rows.
    confidence : float
        Probability that each interval covers what it is for.
    mean_interval : ndarray of shape (2, n_samples) or (2, n_samples, n_outputs)
        Lower and upper ends of confidence intervals of the means.
    interval : ndarray of the same shape
        Lower and upper ends of intervals for new targets, noise included.
    """

    predictions: np.ndarray
    errors: np.ndarray
    noise: float | np.ndarray
    confidence: float
    mean_interval: np.ndarray
    interval: np.ndarray

    def __repr__(self) -> str:
        """The sizes of the errors."""
        noise = ", ".join(f"{value:.3g}" for value in np.atleast_1d(self.noise))
        return (
            f"PredictionErrors of {len(self.predictions)} rows, {self.confidence:g} "
            f"confidence\n  standard errors  {np.median(self.errors):.3g} (median), up "
            f"to {self.errors.max(initial=0.0):.3g}\n  noise            {noise}"
        )


def prediction_errors(
    estimator: object,
    X: object,
    y: object,
    X_new: object,
    *,
    sample_weight: object = None,
    groups: object = None,
    confidence: float = 0.95,
) -> PredictionErrors:
    """How sure the predictions of a network with hardly any decay are.

    The standard error of a predicted mean comes from the sandwich covariance of all
    parameters, by the delta method: it is right where the network is as good as linear
    in the errors of its parameters. New targets differ from their means by the noise,
    too.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor or RegularizedTwoLayerRegressorCV
        Fitted without a schedule, or with ``debias=True``; or a fitted pipeline that
        ends with such an estimator.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    X_new : {array-like, sparse matrix} of shape (n_new, n_features)
        Inputs to predict for.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit. Only their ratios matter.
    groups : array-like of shape (n_samples,), default=None
        Labels of rows of the fit whose noise may be dependent.
    confidence : float, default=0.95
        Probability that each interval covers what it is for, in (0, 1).

    Returns
    -------
    errors : PredictionErrors
        Predictions, their standard errors, the standard deviation of the noise, and
        intervals of means and of new targets.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        As :func:`direction_errors`.

    See Also
    --------
    direction_errors : Standard errors of directions and amplitudes.

    Notes
    -----
    This is a function and not ``predict(X, return_std=True)``, because the covariance
    comes from the rows of the fit, which a fitted estimator does not keep.

    The covariance is equation 20 of the theory page. The further terms of equation 21,
    which :func:`direction_errors` adds, are left out: where features are hardly
    determined, they are large for directions and amplitudes, but cancel in predictions.
    The errors are those of the parameters, given the number of neurons. They hold
    whatever the variance of the noise, row by row, but do not know of what the network
    cannot represent, nor of other networks that fit equally well: on real tables, whose
    features do not recur (:func:`direction_stability`), means are known less well. The
    noise is the root of the mean squared residual, corrected for the number of
    parameters, with the same `sample_weight`, and so has what the network cannot
    represent in it. Intervals for new targets suppose normal noise of this size
    everywhere.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import prediction_errors
    >>> X, y = make_two_layer_regression(
    ...     600, 4, n_directions=2, noise=0.3, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X[:500], y[:500])
    >>> errors = prediction_errors(model, X[:500], y[:500], X[500:], confidence=0.9)
    >>> low, high = errors.interval
    >>> 80 <= ((low < y[500:]) & (y[500:] < high)).sum() <= 98
    np.True_
    """
    confidence = check_real(
        "confidence", confidence, min_val=0.0, max_val=1.0, include_boundaries="neither"
    )
    refuse_losses(check_model(estimator), "prediction_errors")
    estimate = estimate_of(estimator, X, y, sample_weight=sample_weight, groups=groups)
    model, inputs, _ = model_inputs(estimator, X_new)
    predictions = model._fitted_network().predict(inputs)
    _, inputs = model._fitted_network().on_transformed(inputs)
    unit, basis = estimate.standardised.target_scale, estimate.basis
    covariance = estimate.linearised_covariance
    variances = np.empty((inputs.shape[0], basis.n_outputs))
    for rows, block in dense_blocks(inputs, basis.n_outputs * basis.rank):
        own = Block.of(estimate.standardised, block)
        derivative = basis.derivative(own, np.ones(len(block)))
        variances[rows] = np.einsum(
            "nkp,pq,nkq->nk", derivative, covariance, derivative, optimize=True
        )
    errors = unit * np.sqrt(np.maximum(variances, 0.0)).reshape(predictions.shape)
    noise = _noise(estimate)
    reach = t.ppf(0.5 + 0.5 * confidence, estimate.free)
    return PredictionErrors(
        predictions=predictions,
        errors=errors,
        noise=float(noise[0]) if predictions.ndim == 1 else noise,
        confidence=confidence,
        mean_interval=interval_around(predictions, reach * errors),
        interval=interval_around(
            predictions, reach * np.hypot(errors, noise.reshape(predictions.shape[1:]))
        ),
    )


def _noise(estimate: Estimate) -> np.ndarray:
    """Standard deviation of the noise of each target, in its units."""
    roots = estimate.data.roots
    largest = np.abs(estimate.residual).max(initial=0.0) or 1.0
    squares = np.sum((estimate.residual / largest) ** 2, axis=0) / np.sum(roots**2)
    n_rows = np.count_nonzero(roots)
    used = estimate.basis.rank / estimate.basis.n_outputs
    factor = np.sqrt(n_rows / max(n_rows - used, 1.0))
    return np.asarray(np.sqrt(squares) * factor * largest) * (
        estimate.standardised.target_scale
    )
