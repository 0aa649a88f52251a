"""Standard errors and confidence intervals of a network with hardly any decay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import pinvh, qr
from scipy.stats import chi2, t

from sklearn_twolayer._checks.data import check_inputs, check_targets, check_weights
from sklearn_twolayer._checks.parameters import check_real
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer.inspection._drawing import check_model

SMALLEST_SHARE = 1e-6  # of a row's residual that its own leverage leaves


@dataclass(frozen=True, eq=False)
class DirectionErrors:
    """Standard errors and confidence intervals of a fitted network.

    Parameters
    ----------
    features : ndarray of shape (n_features_out, n_features_in)
        Standard errors of `features_`, which stay on the unit sphere.
    feature_intercepts : ndarray of shape (n_features_out,)
        Standard errors of `feature_intercepts_`; zero without hidden biases.
    amplitudes : ndarray of the shape of `amplitudes_`
        Standard errors of `amplitudes_`.
    features_interval, feature_intercepts_interval, amplitudes_interval : ndarray
        Lower and upper ends of the confidence intervals, each of the shape above
        with a first axis of length 2.
    angles : ndarray of shape (n_features_out,)
        Angle between estimated and true direction, in radians, that is not exceeded
        with probability `confidence`.
    confidence : float
        Probability that each single interval covers the truth.
    """

    features: np.ndarray
    feature_intercepts: np.ndarray
    amplitudes: np.ndarray
    features_interval: np.ndarray
    feature_intercepts_interval: np.ndarray
    amplitudes_interval: np.ndarray
    angles: np.ndarray
    confidence: float


def direction_errors(
    estimator: TwoLayerModel,
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    confidence: float = 0.95,
) -> DirectionErrors:
    """How sure the directions of a network with hardly any decay are.

    From the sandwich covariance [1]_ ``A^-1 B A^-1`` of the least squares estimate,
    with ``A = sum_i s_i J_i' J_i`` (Gauss-Newton),
    ``B = sum_i s_i^2 J_i' e_i e_i' J_i``
    and the derivative ``J_i`` of the prediction of row ``i`` with respect to
    amplitudes, directions on the unit sphere, hidden biases and the linear part. The
    residual of each row is divided by one minus its leverage, ``e_i = r_i / (1 -
    h_i)`` (HC3, [2]_). It holds whatever the variance of the noise, row by row.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor or RegularizedTwoLayerRegressorCV
        Fitted without a schedule, when what decay there is hardly biases the network,
        or with ``debias=True``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit.
    confidence : float, default=0.95
        Probability that each interval covers the truth, in (0, 1).

    Returns
    -------
    errors : DirectionErrors
        Standard errors and intervals.

    Raises
    ------
    TypeError, ValueError
        If the network was fitted with a schedule, whose bias the covariance does not
        see, or with a shrunk linear part, or is a mean of several, or there are no
        more rows than parameters, or the data are not as documented.

    Notes
    -----
    Intervals of entries are Student's; the cone of `angles` uses the distribution of a
    sum of squares of correlated normal errors, approximated by a scaled chi-squared
    with the same mean and variance [3]_.

    Everything here is conditional on the number of neurons, which the data chose too:
    after a selection that went wrong, the intervals mean little. They also assume that
    the truth is a network with these neurons and that rows are independent. They hold
    where rows are many: with fewer than some fifty rows a parameter, directions vary
    some 20 % more than the standard errors say, since rows cross the kinks.

    References
    ----------
    .. [1] H. White, "Maximum Likelihood Estimation of Misspecified Models",
       Econometrica 50, 1982.
    .. [2] J. G. MacKinnon and H. White, "Some Heteroskedasticity-Consistent Covariance
       Matrix Estimators with Improved Finite Sample Properties", Journal of
       Econometrics 29, 1985.
    .. [3] F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance
       Components", Biometrics Bulletin 2, 1946.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import direction_errors
    >>> X, y = make_two_layer_regression(
    ...     500, 4, n_directions=2, noise=0.3, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> errors = direction_errors(model, X, y)
    >>> errors.features.shape, bool(errors.angles.max() < 0.2)
    ((2, 4), True)
    """
    confidence = check_real(
        "confidence", confidence, min_val=0.0, max_val=1.0, include_boundaries="neither"
    )
    estimator = check_model(estimator)
    if _has_decay(estimator):
        raise ValueError(
            "estimator was fitted with a decay, which biases the directions, or is a "
            "mean of networks: fit RegularizedTwoLayerRegressor with schedule=None or "
            "debias=True for standard errors."
        )
    if estimator.linear_decay_ > 0.0:
        raise ValueError(
            "estimator was fitted with a decay of its linear part, which biases it: "
            "fit with linear_decay=0.0, or more rows, for standard errors."
        )
    X = check_inputs(estimator, X, reset=False)
    targets = check_targets(y, X.shape[0])
    weights = check_weights(sample_weight, X.shape[0])
    network = estimator._fitted_network()
    layout = _Layout.of(network, hidden_bias=estimator.hidden_bias)
    residual = (targets - network.predict(X)).reshape(X.shape[0], -1)
    n_used = np.count_nonzero(weights)
    free = n_used - layout.size / residual.shape[1]
    if free <= 0:
        raise ValueError(
            f"X has {n_used} rows of positive weight, too few for the "
            f"{layout.size} parameters of the network."
        )
    covariance = _sandwich(layout, X, residual, weights / weights.max())
    return layout.errors(covariance, confidence, t.ppf(0.5 + 0.5 * confidence, free))


def _has_decay(estimator: TwoLayerModel) -> bool:
    """Whether the kept network was fitted with a decay, or is a mean of several."""
    if hasattr(estimator, "debiased_share_"):
        return estimator.debiased_share_ < 1.0 or estimator.n_averaged_ > 1
    follows = estimator.schedule is not None or estimator.solver in ("fast", "gd")
    return follows and not estimator.debias


@dataclass(frozen=True, eq=False)
class _Layout:
    """Free parameters: for each neuron amplitudes, tangent of the direction, bias.

    After the neurons, for each output the coefficients and the intercept.
    """

    network: FittedNetwork
    amplitudes: np.ndarray  # (n_neurons, n_outputs)
    tangents: list[np.ndarray]  # orthonormal, (n_features_in, n_features_in - 1)
    hidden_bias: bool

    @classmethod
    def of(cls, network: FittedNetwork, *, hidden_bias: bool) -> _Layout:
        tangents = [qr(u[:, np.newaxis])[0][:, 1:] for u in network.features]
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        return cls(network, amplitudes, tangents, hidden_bias)

    @property
    def n_outputs(self) -> int:
        return self.network.n_outputs

    @property
    def neuron_size(self) -> int:
        n_features_in = self.network.features.shape[1]
        return self.n_outputs + n_features_in - 1 + self.hidden_bias

    @property
    def size(self) -> int:
        n_linear = self.n_outputs * (self.network.features.shape[1] + 1)
        return self.network.n_features * self.neuron_size + n_linear

    def derivative(self, X: np.ndarray) -> np.ndarray:
        """Of the outputs with respect to the parameters: rows, outputs, parameters."""
        n_outputs, n_features_in = self.n_outputs, X.shape[1]
        result = np.zeros((len(X), n_outputs, self.size))
        projections = self.network.project(X)
        for j, (tangent, amplitude) in enumerate(
            zip(self.tangents, self.amplitudes, strict=True)
        ):
            own = result[:, :, j * self.neuron_size : (j + 1) * self.neuron_size]
            activation = np.maximum(projections[:, j], 0.0)
            slope = np.sign(activation)[:, np.newaxis]
            for k in range(n_outputs):
                own[:, k, k] = activation
                inner = own[:, k, n_outputs:]
                inner[:, : n_features_in - 1] = amplitude[k] * slope * (X @ tangent)
                if self.hidden_bias:
                    inner[:, -1] = amplitude[k] * slope[:, 0]
        first = self.network.n_features * self.neuron_size
        for k in range(n_outputs):
            linear = result[:, k, first + k * (n_features_in + 1) :]
            linear[:, :n_features_in] = X
            linear[:, n_features_in] = 1.0
        return result

    def errors(
        self, covariance: np.ndarray, confidence: float, quantile: float
    ) -> DirectionErrors:
        """Standard errors and intervals from the covariance of the parameters."""
        network, n_outputs = self.network, self.n_outputs
        n_tangent = network.features.shape[1] - 1
        amplitudes = np.zeros_like(self.amplitudes)
        features = np.zeros_like(network.features)
        intercepts = np.zeros_like(network.feature_intercepts)
        angles = np.zeros(network.n_features)
        for j, tangent in enumerate(self.tangents):
            first = j * self.neuron_size
            own = covariance[first:, first:][: self.neuron_size, : self.neuron_size]
            amplitudes[j] = np.sqrt(own.diagonal()[:n_outputs])
            turn = own[n_outputs:, n_outputs:][:n_tangent, :n_tangent]
            features[j] = np.sqrt(np.einsum("ia,ab,ib->i", tangent, turn, tangent))
            angles[j] = _radius(turn, confidence)
            if self.hidden_bias:
                intercepts[j] = np.sqrt(own[-1, -1])
        amplitudes = amplitudes.reshape(network.amplitudes.shape)

        def interval(estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
            return np.stack([estimate - quantile * error, estimate + quantile * error])

        return DirectionErrors(
            features=features,
            feature_intercepts=intercepts,
            amplitudes=amplitudes,
            features_interval=interval(network.features, features),
            feature_intercepts_interval=interval(
                network.feature_intercepts, intercepts
            ),
            amplitudes_interval=interval(network.amplitudes, amplitudes),
            angles=angles,
            confidence=confidence,
        )


def _sandwich(
    layout: _Layout,
    X: np.ndarray | sparse.csr_array,
    residual: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """``A^-1 B A^-1``, its parameters scaled so that ``A`` has a unit diagonal."""
    size, n_outputs = layout.size, layout.n_outputs

    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        """Derivatives of the prediction, some rows at a time."""
        for rows in row_blocks(X.shape[0], n_outputs * size):
            block = X[rows].toarray() if sparse.issparse(X) else X[rows]
            yield rows, layout.derivative(np.asarray(block, dtype=np.float64))

    curvature, scores = np.zeros((2, size, size))
    for rows, derivative in blocks():
        flat = (derivative * np.sqrt(weights[rows])[:, None, None]).reshape(-1, size)
        curvature += flat.T @ flat
    scale = np.sqrt(curvature.diagonal())
    scale[scale == 0] = 1.0
    bread = pinvh(curvature / np.outer(scale, scale)) / np.outer(scale, scale)
    for rows, derivative in blocks():
        leverage = np.einsum("nkp,nkp->n", derivative @ bread, derivative)
        leverage *= weights[rows] / n_outputs
        # A row that is fitted whatever its target says nothing about the noise.
        factor = weights[rows] / np.maximum(1.0 - leverage, SMALLEST_SHARE)
        score = np.einsum("nkp,nk->np", derivative, residual[rows])
        score *= factor[:, np.newaxis]
        scores += score.T @ score
    return bread @ scores @ bread


def _radius(covariance: np.ndarray, confidence: float) -> float:
    """Length that a normal error with this covariance exceeds rarely."""
    mean, spread = np.trace(covariance), np.sum(covariance**2)
    if mean <= 0:
        return 0.0
    length = np.sqrt(spread / mean * chi2.ppf(confidence, mean**2 / spread))
    return float(min(length, np.pi / 2))
