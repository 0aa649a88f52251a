"""Which directions other fits to such data find, too."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._checks.data import check_groups, check_targets, check_weights
from sklearn_twolayer._checks.parameters import check_integer, check_real
from sklearn_twolayer._cross_validation.folds import FEWEST_ROWS
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._rows.loadings import standardised_loadings
from sklearn_twolayer.inspection._active_subspace import active_subspace
from sklearn_twolayer.inspection._inputs import model_inputs
from sklearn_twolayer.inspection._stability_record import DirectionStability
from sklearn_twolayer.metrics import match_directions

# Seeds of refits are drawn below this (convention: what all generators take).
LARGEST_SEED = 2**31 - 1


def direction_stability(
    estimator: object,
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    groups: object = None,
    n_repeats: int = 20,
    max_samples: float = 0.5,
    max_angle: float = 0.2,
    n_jobs: int | None = None,
    random_state: object = None,
) -> DirectionStability:
    """Which directions recur in fits to other rows and from other random states.

    The estimator is fitted again, with the same parameters, to random subsets of the
    rows and with other random states. The features of each refit are matched to those
    of the estimator, as lines and one to one. A feature that most refits find is one
    that the data determine; one that they do not find is one of many that fit equally
    well, and is not to be read on its own [1]_. Its standard error, of
    :func:`direction_errors`, does not tell, as it takes the features as given.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor or RegularizedTwoLayerRegressorCV
        Fitted estimator, or a fitted pipeline that ends with one. What the steps before
        the last make of `X` is taken as given: only the last step is fitted again.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit.
    groups : array-like of shape (n_samples,), default=None
        Labels of rows that stay together, such as repeated measurements of one person.
        They are also passed to a `cv` of the estimator that is not a number.
    n_repeats : int, default=20
        Number of refits.
    max_samples : float, default=0.5
        Fraction of the rows, or of the groups, of each refit, drawn without
        replacement, in (0, 1]. With all rows only the random state differs.
    max_angle : float, default=0.2
        A feature recurs in a refit if the direction that it is matched to is no further
        away than this, in radians and in standardised inputs. In [0, pi/2].
    n_jobs : int, default=None
        Refits that are run at the same time.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows and the random states of the refits. Pass an int for repeatable
        results.

    Returns
    -------
    stability : DirectionStability
        How often and how closely each feature recurs, the numbers of features, and how
        far the active subspace turns; ``print`` shows them. `summary` and
        :meth:`RidgeFunctionDisplay.from_estimator` take it, to mark features that do
        not recur.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        If the estimator is not one of this package or is not fitted, or if a parameter
        or the data are not as documented.

    See Also
    --------
    direction_errors : Standard errors, given the number of features.
    active_subspace : What fits with other features have in common.

    Notes
    -----
    A fit to half of the rows differs from that to all of them about as much as a fit to
    all rows differs from the truth [2]_: its own error has twice the variance, half of
    which the two have in common. So with ``max_samples=0.5`` `spread` is an estimate of
    the standard error, if the feature recurs. On the other hand, features that only all
    of the rows are enough to find do not recur in halves.

    Bootstrap samples are not offered, because an information criterion takes repeated
    rows for independent ones.

    The angles are those of unit directions in inputs divided by `feature_scales_` of
    the estimator. With two or three inputs and many features, some directions are near
    one another by chance.

    References
    ----------
    .. [1] N. Meinshausen and P. Buhlmann, "Stability Selection", Journal of the Royal
       Statistical Society B 72, 2010.
    .. [2] J. Shao and C. F. J. Wu, "A General Theory for Jackknife Variance
       Estimation", Annals of Statistics 17, 1989.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import direction_stability
    >>> X, y = make_two_layer_regression(
    ...     500, 4, n_directions=2, noise=0.3, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> stability = direction_stability(model, X, y, n_repeats=5, random_state=0)
    >>> stability.recurs
    array([ True,  True])
    """
    model, inputs, names = model_inputs(estimator, X)
    targets = check_targets(y, inputs.shape[0])
    weights = check_weights(sample_weight, inputs.shape[0])
    labels = check_groups(groups, weights)
    n_repeats = check_integer("n_repeats", n_repeats, min_val=1)
    max_angle = check_real("max_angle", max_angle, min_val=0.0, max_val=np.pi / 2)
    fraction = check_real(
        "max_samples", max_samples, min_val=0.0, max_val=1.0, include_boundaries="right"
    )
    generator = check_random_state(random_state)
    samples = _samples(np.flatnonzero(weights), labels, fraction, n_repeats, generator)
    seeds = generator.randint(LARGEST_SEED, size=n_repeats).tolist()
    refits = Parallel(n_jobs=n_jobs)(
        delayed(_refit)(model, inputs, targets, weights, labels, rows, seed)
        for rows, seed in zip(samples, seeds, strict=True)
    )
    if not any(_is_transformed(one) for one in [model, *refits]):
        for refit in refits:  # All are compared in the same units.
            refit.feature_scales_ = model._input_scales(inputs)
    loadings = _loadings(model, inputs)
    others = [_loadings(refit, inputs) for refit in refits]
    angles, matched = _matches(loadings, others)
    subspace = active_subspace(estimator, X, sample_weight=weights)
    turned = np.zeros((n_repeats, *subspace.directions.shape))
    for repeat, refit in enumerate(refits):
        turned[repeat] = active_subspace(
            refit, inputs, sample_weight=weights, n_directions=subspace.n_directions
        ).directions
    return DirectionStability(
        loadings=loadings,
        angles=angles,
        matched_loadings=matched,
        n_features=np.array([len(other) for other in others]),
        subspace_directions=subspace.directions,
        matched_subspace_directions=_aligned(turned, subspace.directions),
        subspace_angles=_turns(subspace.directions, turned),
        importances=np.array([refit.feature_importances_ for refit in refits]),
        max_angle=max_angle,
        max_samples=fraction,
        feature_names=names,
    )


def _samples(
    rows: np.ndarray,
    groups: np.ndarray | None,
    fraction: float,
    n_repeats: int,
    generator: np.random.RandomState,
) -> list[np.ndarray]:
    """Subsets of the rows, one for each refit.

    Too few rows would say nothing about directions.
    """
    if fraction == 1.0:
        return [rows] * n_repeats
    kind = ShuffleSplit if groups is None else GroupShuffleSplit
    splitter = kind(n_repeats, train_size=fraction, random_state=generator)
    own = None if groups is None else groups[rows]
    samples = [np.sort(rows[chosen]) for chosen, _ in splitter.split(rows, groups=own)]
    fewest = min(map(len, samples))
    if fewest < FEWEST_ROWS:
        raise ValueError(
            f"max_samples={fraction!r} leaves {fewest} of {len(rows)} rows for a "
            f"refit, which needs at least {FEWEST_ROWS}; give a larger fraction."
        )
    return samples


def _refit(
    model: TwoLayerModel,
    X: np.ndarray | sparse.csr_array,
    y: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None,
    rows: np.ndarray,
    seed: int,
) -> TwoLayerModel:
    """The model fitted to some of the rows, from another random state."""
    other = clone(model).set_params(random_state=seed, verbose=0)
    if "checkpoint" in other.get_params(deep=False):
        other.set_params(checkpoint=None)  # Which is that of all rows.
    cv = getattr(model, "cv", None)
    own = {}
    if groups is not None and cv is not None and not isinstance(cv, Integral):
        own["groups"] = groups[rows]
    # Equal weights are not passed: those who set metadata requests need not ask.
    if np.ptp(weights[rows]) > 0:
        own["sample_weight"] = weights[rows]
    fitted: TwoLayerModel = other.fit(X[rows], y[rows], **own)
    return fitted


def _is_transformed(model: TwoLayerModel) -> bool:
    return getattr(model, "column_transform_", None) is not None


def _loadings(model: TwoLayerModel, X: np.ndarray | sparse.csr_array) -> np.ndarray:
    scales = model._input_scales(X)
    assert scales is not None  # Those of X, if the fit has none.
    return standardised_loadings(model.features_, scales)[0]


def _matches(
    loadings: np.ndarray, others: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Angle and direction that each refit has for each feature, turned alike."""
    angles = np.full((len(others), len(loadings)), np.pi / 2)
    matched = np.full((len(others), *loadings.shape), np.nan)
    for repeat, other in enumerate(others):
        match = match_directions(other, loadings)
        found = match.indices >= 0
        angles[repeat] = match.angles
        matched[repeat, found] = other[match.indices[found]]
    return angles, _aligned(matched, loadings)


def _aligned(directions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Directions of refits with the sign that is nearer to the reference."""
    products = np.sum(directions * reference, axis=-1, keepdims=True)
    return np.where(products < 0, -directions, directions)


def _turns(reference: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Largest principal angle between the spans of the first 1, 2, ... directions."""
    return np.array(
        [
            [
                subspace_angles(reference[: k + 1].T, other[: k + 1].T).max()
                for k in range(len(reference))
            ]
            for other in turned
        ]
    )
