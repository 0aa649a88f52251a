"""Standard errors and confidence intervals of a network with hardly any decay."""

from __future__ import annotations

import numpy as np
from scipy.stats import f, t

from sklearn_twolayer._checks.parameters import check_real
from sklearn_twolayer._rows.loadings import standardised_loadings
from sklearn_twolayer.inspection._error_record import DirectionErrors, interval_around
from sklearn_twolayer.inspection._estimate import Estimate, estimate_of
from sklearn_twolayer.inspection._wald import input_pvalues


def direction_errors(
    estimator: object,
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    groups: object = None,
    confidence: float = 0.95,
) -> DirectionErrors:
    """How sure the directions of a network with hardly any decay are.

    Standard errors come from the sandwich covariance [1]_ of the least squares
    estimate, with residuals corrected for the leverage of their rows (HC3, [2]_), or
    of their groups (CR3, [3]_). They hold whatever the variance of the noise, row by
    row. Two terms are added, which vanish where rows are many: the bias by what
    little decay the fit has, and what the errors of the parameters do to the
    derivatives, above all where rows cross the kinks of the neurons. A transform of the
    columns, which an estimator may have, is taken as given. Those of a classifier of
    two classes are the same for the working targets at its probabilities.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor, RegularizedTwoLayerClassifier or CV
        Fitted without a schedule, when what decay there is hardly biases the network,
        or with ``debias=True``; or a fitted pipeline that ends with such an estimator.
        Directions and names are then those of the inputs of its last step.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit. Only their ratios matter.
    groups : array-like of shape (n_samples,), default=None
        Labels, numbers or strings, of rows whose noise may be dependent, such as
        repeated measurements of one person. Rows of different groups are independent.
        None stands for independent rows.
    confidence : float, default=0.95
        Probability that each interval covers the truth, in (0, 1).

    Returns
    -------
    errors : DirectionErrors
        Standard errors and intervals, in the units of `features_`,
        `feature_intercepts_` and `amplitudes_`, and those of the loadings of
        standardised inputs, which ``print`` and `to_frame` show. Tests of whether
        each direction, and the network as a whole, uses each input.

    Raises
    ------
    TypeError, ValueError
        If the network was fitted with a schedule or with a shrunk linear part, whose
        bias the covariance does not see, or is a mean of several, or there are no
        more rows than parameters, or there is one group only, or the data are not as
        documented.

    Notes
    -----
    The formulas are equations 20 and 21 of the theory page. They are evaluated with
    standardised columns, in an orthonormal basis of the derivatives, so that neither
    units nor offsets of the columns nor the units of the targets matter. The error of
    a loading that columns share in a way that the data do not determine is that of the
    shortest solution.

    Intervals of entries are Student's. With groups his degrees of freedom are their
    number less one, so have many: some twenty at least. Otherwise they are the number
    of rows, counted by their noise if their weights differ (equation 16), less the
    number of parameters. The cone of `angles` uses the distribution of a sum of
    squares of correlated normal errors, approximated by a scaled F distribution with
    the same mean and variance [4]_.

    The tests are Wald's: `loading_pvalues` of a single loading by Student's
    distribution, `input_pvalues` of all loadings of an input and its coefficients in
    the linear part at once, by an F distribution. With many inputs some are small by
    chance: :func:`scipy.stats.false_discovery_control` allows for that.

    Everything here is conditional on the number of neurons, which the data chose too:
    after a selection that went wrong, the intervals mean little. They also assume that
    the truth is a network with these neurons.

    References
    ----------
    .. [1] H. White, "Maximum Likelihood Estimation of Misspecified Models",
       Econometrica 50, 1982.
    .. [2] J. G. MacKinnon and H. White, "Some Heteroskedasticity-Consistent Covariance
       Matrix Estimators with Improved Finite Sample Properties", Journal of
       Econometrics 29, 1985.
    .. [3] R. M. Bell and D. F. McCaffrey, "Bias Reduction in Standard Errors for Linear
       Regression with Multi-Stage Samples", Survey Methodology 28, 2002.
    .. [4] F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance
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
    >>> errors.features.shape, bool(errors.angles.max() < 0.3)
    ((2, 4), True)
    >>> errors.to_frame().columns.tolist()
    ['feature', 'input', 'loading', 'error', 'lower', 'upper', 'z', 'p']
    >>> bool(errors.input_pvalues.max() < 0.05)  # all inputs matter
    True
    """
    confidence = check_real(
        "confidence", confidence, min_val=0.0, max_val=1.0, include_boundaries="neither"
    )
    estimate = estimate_of(estimator, X, y, sample_weight=sample_weight, groups=groups)
    return _in_units(estimate, confidence)


def _in_units(estimate: Estimate, confidence: float) -> DirectionErrors:
    """Standard errors and intervals in the units of the data, and of loadings."""
    network, standardised = estimate.network, estimate.standardised
    basis, covariance, free = estimate.basis, estimate.covariance, estimate.free
    scales = estimate.scales
    origin = standardised.columns.origin
    amplitudes = np.zeros_like(standardised.amplitudes)
    features = np.zeros_like(network.features)
    intercepts = np.zeros_like(network.feature_intercepts)
    angles, loading_angles = np.zeros((2, network.n_features))
    loadings, _ = standardised_loadings(network.features, scales)
    loading_errors = np.zeros_like(loadings)
    for j, (direction, length) in enumerate(
        zip(network.features, standardised.lengths, strict=True)
    ):
        change = basis.direction_map(standardised, j)
        moved = _moved(estimate, j)
        stretched = direction @ moved
        turned = _beside(direction) @ moved
        features[j] = _deviations(turned, covariance)
        angles[j] = _radius(turned, covariance, confidence, free)
        turned_loadings = loading_map(estimate, j)
        loading_errors[j] = _deviations(turned_loadings, covariance)
        loading_angles[j] = _radius(turned_loadings, covariance, confidence, free)
        # What stretches the direction to a unit vector is taken from the amplitude.
        effects = basis.linear_maps(j)
        effects += standardised.amplitudes[j, :, np.newaxis] * stretched
        effects *= standardised.target_scale / length
        amplitudes[j] = _deviations(effects, covariance)
        if standardised.hidden_bias:
            bias = length * (change[-1] - standardised.biases[j] * stretched)
            bias -= origin @ turned
            intercepts[j] = _deviations(bias[np.newaxis], covariance)[0]
    amplitudes = amplitudes.reshape(network.amplitudes.shape)
    reach = t.ppf(0.5 + 0.5 * confidence, free)
    return DirectionErrors(
        features=features,
        feature_intercepts=intercepts,
        amplitudes=amplitudes,
        features_interval=interval_around(network.features, reach * features),
        feature_intercepts_interval=interval_around(
            network.feature_intercepts, reach * intercepts
        ),
        amplitudes_interval=interval_around(network.amplitudes, reach * amplitudes),
        angles=angles,
        confidence=confidence,
        loadings=loadings,
        loading_errors=loading_errors,
        loadings_interval=interval_around(loadings, reach * loading_errors),
        loading_angles=loading_angles,
        loading_pvalues=_pvalues(loadings, loading_errors, free),
        input_pvalues=input_pvalues(estimate),
        feature_names=estimate.names,
    )


def _moved(estimate: Estimate, j: int) -> np.ndarray:
    """How a direction moves with the coordinates in the basis, before it is unit."""
    network = estimate.standardised
    n_turned = network.directions.shape[1] - 1
    lengths = network.lengths[j] / network.columns.size[:, np.newaxis]
    change = estimate.basis.direction_map(network, j)
    return np.asarray(lengths * network.tangents[j] @ change[:n_turned])


def loading_map(estimate: Estimate, j: int) -> np.ndarray:
    """How the loadings of a feature move with the coordinates in the basis."""
    features, scales = estimate.network.features[[j]], estimate.scales
    loadings, multiples = standardised_loadings(features, scales)
    moved = _moved(estimate, j) * (scales / multiples[0])[:, np.newaxis]
    return np.asarray(_beside(loadings[0]) @ moved)


def _pvalues(values: np.ndarray, errors: np.ndarray, free: float) -> np.ndarray:
    """Of the hypotheses that the values are zero; NaN for what cannot vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2.0 * t.sf(np.abs(values) / errors, free))


def _beside(direction: np.ndarray) -> np.ndarray:
    """Projection onto what is orthogonal to a unit vector.

    Its diagonal is summed from the other entries: one less the square of an entry near
    one would lose the small entries, those of columns in large units.
    """
    result = -np.outer(direction, direction)
    np.fill_diagonal(result, 0.0)
    others = np.where(np.eye(len(direction), dtype=bool), 0.0, direction**2)
    np.fill_diagonal(result, others.sum(axis=1))
    return result


def _deviations(rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Standard deviations of products of the rows with errors of this covariance."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    largest[largest == 0] = 1.0
    rows = rows / largest[:, np.newaxis]
    squares = np.einsum("na,ab,nb->n", rows, covariance, rows)
    return largest * np.sqrt(np.maximum(squares, 0.0))


def _radius(
    rows: np.ndarray, covariance: np.ndarray, confidence: float, free: float
) -> float:
    """Length that the product of the rows with such errors rarely exceeds."""
    largest = np.abs(rows).max(initial=0.0) or 1.0
    own = rows / largest @ covariance @ (rows / largest).T
    mean = np.trace(own)
    if mean <= 0:
        return 0.0
    shape = 1.0 / np.sum((own / mean) ** 2)  # degrees of freedom of the square
    length = largest * np.sqrt(mean * f.ppf(confidence, shape, free))
    return float(min(length, np.pi / 2))
