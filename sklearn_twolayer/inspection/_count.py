"""A test of how many directions there are, by what noise would let one more gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sklearn_twolayer._checks.parameters import check_integer, check_real
from sklearn_twolayer._estimators.regressor import RegularizedTwoLayerRegressor
from sklearn_twolayer._export.frame import frame_of
from sklearn_twolayer._rows.loadings import unit_rows
from sklearn_twolayer.inspection._estimate import Estimate, estimate_of
from sklearn_twolayer.inspection._inputs import check_model, model_inputs, refuse_losses
from sklearn_twolayer.inspection._one_more import best_gains

if TYPE_CHECKING:
    import pandas as pd

# Residuals are divided by one less the leverage, or by this if it is more: where the
# network interpolates a row, its residual tells nothing of its error (convention).
LEAST_LEFT = 0.1
# Residuals of a smaller share of the targets' squares are rounding (convention).
NOTHING_LEFT = 1e-24
# A penalty at which no neuron is worth its parameters.
PROHIBITIVE = 1e12


@dataclass(frozen=True, eq=False, repr=False)
class DirectionCount:
    """P-values of tests that a number of directions is enough.

    Parameters
    ----------
    pvalues : ndarray of shape (n_tested,)
        For 0, 1, 2, ... directions, until one is not rejected.
    level : float
        P-values below this reject a number.
    """

    pvalues: np.ndarray
    level: float

    @property
    def is_enough(self) -> bool:
        """Whether the last number was not rejected; otherwise there are more."""
        return bool(self.pvalues[-1] >= self.level)

    @property
    def n_directions(self) -> int:
        """The least number that is not rejected, or if all are, one more than these."""
        return len(self.pvalues) - int(self.is_enough)

    def to_frame(self) -> pd.DataFrame:
        """One row for each number tested.

        Returns
        -------
        frame : pandas DataFrame
            Columns "n_directions" and "p".

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return frame_of(
            {"n_directions": np.arange(len(self.pvalues)), "p": self.pvalues}
        )

    def __repr__(self) -> str:
        """The number, and the p-values."""
        least = "" if self.is_enough else "at least "
        lines = [
            f"DirectionCount: {least}{self.n_directions} directions at level "
            f"{self.level:g}",
            "directions  p-value of the hypothesis that there are no more",
        ]
        lines += [f"{j:10d}  {p:.3g}" for j, p in enumerate(self.pvalues)]
        return "\n".join(lines)


def count_directions(
    estimator: object,
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    groups: object = None,
    level: float = 0.05,
    max_directions: int | None = None,
    n_flips: int = 199,
    random_state: object = None,
) -> DirectionCount:
    """Test how many directions the data depend on.

    For 0, 1, 2, ... directions, the hypothesis is tested that there are no more. It is
    rejected if one more neuron gains more on the residual of a network with so many
    than on nearly all residuals with random signs. The first number that is not
    rejected is the result. It is larger than the truth with a probability of about
    `level`, whatever the number, if the data are a network with even noise.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor
        Fitted without a schedule or with ``debias=True``, or a fitted pipeline that
        ends with such an estimator. It is fitted again with other numbers of neurons.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs that the estimator was fitted on.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the fit. Only their ratios matter.
    groups : array-like of shape (n_samples,), default=None
        Labels of rows whose noise may be dependent: they get one sign together.
    level : float, default=0.05
        Probability of rejecting a number of directions that is right, in (0, 1).
    max_directions : int, default=None
        Largest number to test; None for no limit but that of the rows.
    n_flips : int, default=199
        Residuals with random signs. P-values are multiples of ``1 / (n_flips + 1)``.
    random_state : int, RandomState instance or None, default=None
        Chooses signs and where searches begin. Pass an int for repeatable results.

    Returns
    -------
    count : DirectionCount
        The number, and the p-value of each number tested.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        If the estimator is not one of this kind or is not fitted, or if a parameter or
        the data are not as documented.

    See Also
    --------
    direction_stability : Which directions refits find, too.

    Notes
    -----
    The gain of a neuron is what it would take from the residual's squares if the other
    parameters were adjusted, to first order: ``(h'r)^2 / ||h||^2``, where ``h`` are its
    activations less their projection on the derivatives of the network by its
    parameters. The same search for the best neuron is run on the residual and on each
    residual with random signs, whose entries were divided by one less the leverage,
    less the same projection: a wild bootstrap [1]_ of a score test. So the size of the
    noise does not matter. If it depends strongly on the inputs, numbers that are right
    are rejected clearly more often. On the residual itself what a network with one
    neuron more gains counts, if that is more.

    Each number is that of a fit with as many neurons at most and a criterion of 0; for
    the number of `features_` it is the estimator itself. If the search has found a
    network that is far from the best of its size, the test rejects for that reason.
    On data that a network only approximates, the number grows with the rows.

    References
    ----------
    .. [1] R. Davidson and E. Flachaire, "The Wild Bootstrap, Tamed at Last", Journal of
       Econometrics 146, 2008.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import count_directions
    >>> X, y = make_two_layer_regression(
    ...     300, 4, n_directions=2, noise=0.2, random_state=1)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> count_directions(model, X, y, random_state=0).n_directions
    2
    """
    level = check_real(
        "level", level, min_val=0.0, max_val=1.0, include_boundaries="neither"
    )
    n_flips = check_integer("n_flips", n_flips, min_val=1)
    if max_directions is not None:
        max_directions = check_integer("max_directions", max_directions, min_val=0)
    generator = check_random_state(random_state)
    model = check_model(estimator)
    if not isinstance(model, RegularizedTwoLayerRegressor):
        raise TypeError(
            "estimator must be a RegularizedTwoLayerRegressor, or a pipeline that ends "
            f"with one, got {type(model).__name__}: cross-validation keeps means of "
            "networks."
        )
    refuse_losses(model, "count_directions")
    data = {"sample_weight": sample_weight, "groups": groups}
    own = estimate_of(estimator, X, y, **data)
    _, inputs, _ = model_inputs(estimator, X)
    weights = None if sample_weight is None else own.data.roots**2

    def with_neurons(size: int) -> Estimate | None:
        if size == own.network.n_features:
            return own
        refit = _with_neurons(model, size).fit(inputs, own.data.targets, weights)
        if len(refit.features_) < size:
            return None  # The rows allow for no more.
        return estimate_of(refit, inputs, own.data.targets, **data)

    pvalues: list[float] = []
    following = with_neurons(0)
    while following is not None:
        estimate, following = following, with_neurons(len(pvalues) + 1)
        pvalues.append(_pvalue(estimate, following, n_flips, generator))
        if pvalues[-1] >= level or len(pvalues) - 1 == max_directions:
            break
    return DirectionCount(np.array(pvalues), level)


def _with_neurons(
    model: RegularizedTwoLayerRegressor, size: int
) -> RegularizedTwoLayerRegressor:
    """A new estimator that finds so many features, if it can."""
    new: RegularizedTwoLayerRegressor = clone(model)
    return new.set_params(
        n_neurons=max(size, 1), criterion=0.0 if size else PROHIBITIVE, schedule=None,
        solver="auto", debias=False, warm_start=False, checkpoint=None, verbose=0,
    )  # fmt: skip


def _pvalue(
    estimate: Estimate,
    following: Estimate | None,
    n_flips: int,
    generator: np.random.RandomState,
) -> float:
    """Share of residuals, the own one among them, on which a neuron gains as much.

    ``following`` is the network with one neuron more: what it really gains counts, if
    that is more than it is to first order.
    """
    loss = _loss(estimate)
    if loss <= NOTHING_LEFT * np.sum(estimate.data.targets**2):
        return 1.0  # There is nothing left to gain.
    data, basis, residual = estimate.data, estimate.basis, estimate.residual
    derivative = np.concatenate(
        [basis.derivative(block, data.roots[rows]) for rows, block in data.blocks()]
    )
    columns = np.concatenate([block.columns for _, block in data.blocks()])
    if estimate.standardised.hidden_bias:
        columns = np.hstack([columns, np.ones((len(columns), 1))])
    tangent = derivative.reshape(-1, basis.rank)
    left = 1.0 - np.sum(derivative**2, axis=2)
    errors = residual / np.maximum(left, LEAST_LEFT)
    labels = np.arange(len(residual)) if data.groups is None else data.groups
    signs = generator.choice([-1.0, 1.0], size=(labels.max() + 1, n_flips))[labels]
    flipped = errors[:, :, np.newaxis] * signs[:, np.newaxis]
    every = np.concatenate([residual[:, :, np.newaxis], flipped], axis=2)
    every = every.reshape(len(tangent), -1)
    every -= tangent @ (tangent.T @ every)
    every = unit_rows(every.T)[0].T.reshape(*residual.shape, -1)
    gains = best_gains(columns, data.roots, derivative, every, generator)
    if following is not None:
        gains[0] = max(gains[0], 1.0 - _loss(following) / loss)
    return float(np.mean(gains >= gains[0]))


def _loss(estimate: Estimate) -> float:
    """Weighted sum of squared residuals in the units of the targets."""
    unit = estimate.standardised.target_scale
    return float(np.sum((estimate.residual * unit) ** 2))
