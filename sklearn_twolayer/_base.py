"""What the estimators share: predictions and features of a fitted network."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._dask import check_columns, dask_apply
from sklearn_twolayer._units import FittedNetwork
from sklearn_twolayer._validation import check_inputs, check_option, is_dask
from sklearn_twolayer.exceptions import NoFeaturesWarning


class TwoLayerModel(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    RegressorMixin,
    MultiOutputMixin,
    BaseEstimator,
):
    """A regressor and transformer with a fitted two-layer network, without `fit`."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def predict(self, X: object) -> np.ndarray:
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
        check_is_fitted(self)
        network = self._fitted_network()
        if is_dask(X):
            check_columns(self, X, reset=False)
            return dask_apply(network, "predict", X, np.shape(network.intercept))
        return network.predict(check_inputs(self, X, reset=False))

    def transform(self, X: object) -> np.ndarray:
        """Project inputs on the features.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            ``X @ features_.T + feature_intercepts_``, or its ReLU if
            `feature_output` is "activation". A lazy Dask array if `X` is a Dask
            collection.

        Warns
        -----
        NoFeaturesWarning
            If the fitted model is linear; the result then has no columns.
        """
        check_is_fitted(self)
        feature_output = self._check_feature_output()
        network = self._fitted_network()
        if is_dask(X):
            check_columns(self, X, reset=False)
            projection = dask_apply(network, "project", X, (network.n_features,))
        else:
            projection = network.project(check_inputs(self, X, reset=False))
        if self._n_features_out == 0:
            warnings.warn(
                "The fitted model is linear: there are no features to project on, "
                "and the result of transform has no columns. With smaller decays "
                "(parameter schedule) there may be some.",
                NoFeaturesWarning,
                stacklevel=2,
            )
        if feature_output == "activation":
            return np.maximum(projection, 0.0)
        return projection

    @property
    def _n_features_out(self) -> int:
        """What get_feature_names_out counts."""
        return self.features_.shape[0]

    def _check_feature_output(self) -> str:
        return check_option(
            "feature_output", self.feature_output, ["projection", "activation"]
        )

    def _fitted_network(self) -> FittedNetwork | None:
        """The fitted model as one record; None before the first fit."""
        if not hasattr(self, "features_"):
            return None
        return FittedNetwork(
            features=self.features_,
            feature_intercepts=self.feature_intercepts_,
            amplitudes=self.amplitudes_,
            coef=self.coef_,
            intercept=self.intercept_,
        )
