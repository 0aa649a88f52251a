"""Base class of the classifiers: classes and their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import check_inputs, check_weights
from sklearn_twolayer._checks.labels import check_labels, class_weights
from sklearn_twolayer._estimators.base import FITTED, TwoLayerModel


class TwoLayerClassifier(ClassifierMixin, TwoLayerModel):
    """A classifier with a two-layer network; subclasses define `fit`."""

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the scores of the classes: what the network puts out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes the logarithm of the odds of the second. With more, one
            score for each, whose sum is zero; differences are logarithms of the odds.
        """
        check_is_fitted(self, FITTED)
        checked = check_inputs(self, X, reset=False)
        return self._fitted_network().predict(checked)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Classes.
        """
        scores = self.decision_function(X)
        number = scores > 0.0 if scores.ndim == 1 else scores.argmax(axis=1)
        classes: np.ndarray = self.classes_[number.astype(int)]
        return classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return expit(np.column_stack([-scores, scores]))
        return softmax(scores, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        logarithms : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; finite also where probabilities are rounded to
            zero.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return log_expit(np.column_stack([-scores, scores]))
        return log_softmax(scores, axis=1)

    def _labelled_rows(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Validated inputs, the classes, the number of each row's, and its weight."""
        checked = check_inputs(self, X, y)
        classes, index = check_labels(y, checked.shape[0])
        weights = check_weights(sample_weight, checked.shape[0])
        weights = class_weights(self.class_weight, classes, index, weights)
        return checked, classes, index, weights
