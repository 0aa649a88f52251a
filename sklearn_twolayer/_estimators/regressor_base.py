"""What the estimators of targets, not of classes, have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_targets,
    check_weights,
    is_dask,
)
from sklearn_twolayer._estimators.base import FITTED, TwoLayerModel
from sklearn_twolayer._rows.dask import dask_rows

if TYPE_CHECKING:
    from sklearn_twolayer._rows.raw import RawRows


class TwoLayerRegressor(RegressorMixin, MultiOutputMixin, TwoLayerModel):
    """A regressor with a two-layer network; subclasses define `fit`."""

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
            Predicted targets; a lazy Dask array if `X` is a Dask collection.
        """
        check_is_fitted(self, FITTED)
        network = self._fitted_network()
        if is_dask(X):
            columns = np.shape(network.linear_intercept)
            return self._lazily(network, "predict", X, columns)
        return network.predict(check_inputs(self, X, reset=False))

    def _raw_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, RawRows]:
        """Validate the data of a fit. Returns the validated inputs and all rows."""
        from sklearn_twolayer._rows.raw import RawRows

        if is_dask(X):
            return X, dask_rows(self, X, y, sample_weight)
        checked = check_inputs(self, X, y)
        targets = check_targets(y, checked.shape[0])
        weights = check_weights(sample_weight, checked.shape[0])
        return checked, RawRows.local(checked, targets, weights)
