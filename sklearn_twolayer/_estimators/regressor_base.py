"""What the estimators of targets, not of classes, have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import d2_tweedie_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_targets,
    check_weights,
    is_dask,
)
from sklearn_twolayer._checks.losses import (
    COUNTS,
    SQUARES,
    check_single_target,
    refuse_dask,
)
from sklearn_twolayer._estimators.base import FITTED, TwoLayerModel
from sklearn_twolayer._rows.dask import dask_rows

if TYPE_CHECKING:
    from sklearn_twolayer._rows.raw import RawRows

# Logarithms of means are cut off here, so that means are finite and positive
# (convention).
LARGEST_EXPONENT = 700.0


class TwoLayerRegressor(RegressorMixin, MultiOutputMixin, TwoLayerModel):
    """A regressor with a two-layer network; subclasses define `fit`."""

    loss: Any
    scale_: float
    dispersion_: float

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted targets, with ``loss="poisson"`` their means; a lazy Dask array if
            `X` is a Dask collection.
        """
        outputs = self.predict_link(X)
        if not self._counts:
            return outputs
        means: np.ndarray = np.exp(
            np.clip(outputs, -LARGEST_EXPONENT, LARGEST_EXPONENT)
        )
        return means

    def predict_link(self, X: Any) -> np.ndarray:
        """Predict on the scale of the link: what the network puts out.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.

        Returns
        -------
        outputs : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With ``loss="poisson"`` logarithms of the predicted means, otherwise the
            predicted targets; a lazy Dask array if `X` is a Dask collection.
        """
        check_is_fitted(self, FITTED)
        network = self._fitted_network()
        if is_dask(X):
            columns = np.shape(network.linear_intercept)
            return self._lazily(network, "predict", X, columns)
        return network.predict(check_inputs(self, X, reset=False))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Tell how much of the variance, or of the deviance, is explained.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            R², or with ``loss="poisson"`` the share of the Poisson deviance, D², of
            :func:`sklearn.metrics.d2_tweedie_score`; at most 1.
        """
        if not self._counts:
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X)
        return float(
            d2_tweedie_score(y, predicted, sample_weight=sample_weight, power=1)
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = str(self.loss) == SQUARES
        tags.target_tags.positive_only = self._counts
        return tags

    @property
    def _counts(self) -> bool:
        """Whether targets are counts, and outputs the logarithms of their means."""
        return str(self.loss) == COUNTS

    def _facts_of_loss(self) -> dict[str, str]:
        known = vars(self)
        if "dispersion_" in known:
            return {"loss": f"poisson (variance over mean {self.dispersion_:.3g})"}
        if "scale_" in known:
            return {"loss": f"huber (scale of the residuals {self.scale_:.4g})"}
        return {}

    def _raw_rows(
        self, X: Any, y: Any, sample_weight: Any, loss: str
    ) -> tuple[Any, RawRows]:
        """Validate the data of a fit. Returns the validated inputs and all rows."""
        from sklearn_twolayer._rows.raw import RawRows

        if loss == SQUARES and is_dask(X):
            return X, dask_rows(self, X, y, sample_weight)
        checked, targets, weights = self._checked_rows(X, y, sample_weight, loss)
        return checked, RawRows.local(checked, targets, weights)

    def _checked_rows(
        self, X: Any, y: Any, sample_weight: Any, loss: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Validated inputs, targets and weights."""
        if loss != SQUARES:
            refuse_dask(loss, X)
        checked = check_inputs(self, X, y)
        targets = check_targets(y, checked.shape[0])
        weights = check_weights(sample_weight, checked.shape[0])
        if loss != SQUARES:
            targets = check_single_target(loss, targets, weights)
        return checked, targets, weights
