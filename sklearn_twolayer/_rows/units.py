"""Networks in the units of X and y, and conversion from and to those of the fit.

This module uses NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.column_transform import ColumnTransform

if TYPE_CHECKING:
    from sklearn_twolayer._rows.columns import Columns

ValueT = TypeVar("ValueT")


# Early files of 0.1.0.dev0 call the linear part as scikit-learn's linear models do.
EARLY_NAMES = {"coef": "linear_coef", "intercept": "linear_intercept"}


def present_names(values: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """The values of an early file, by the names that attributes have now."""
    early = {**EARLY_NAMES, **{f"{k}_": f"{v}_" for k, v in EARLY_NAMES.items()}}
    return {early.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A two-layer network in the units of ``X`` and ``y``.

    The prediction is ``linear_intercept + X @ linear_coef.T + relu(X @ features.T +
    feature_intercepts) @ amplitudes``, where columns of ``X`` may be transformed first.

    Parameters
    ----------
    features : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions, by decreasing mass.
    feature_intercepts : ndarray of shape (n_features_out,)
        Hidden biases.
    amplitudes : ndarray of shape (n_features_out,) or (n_features_out, n_outputs)
        Output weights.
    linear_coef : ndarray of shape (n_features_in,) or (n_outputs, n_features_in)
        Coefficients of the linear part.
    linear_intercept : float or ndarray of shape (n_outputs,)
        Constant of the linear part.
    column_transform : ColumnTransform or None, default=None
        What the columns of ``X`` are transformed by; None if they stay as they are.
    """

    features: np.ndarray
    feature_intercepts: np.ndarray
    amplitudes: np.ndarray
    linear_coef: np.ndarray
    linear_intercept: float | np.ndarray
    column_transform: ColumnTransform | None = None

    @classmethod
    def attribute_names(cls) -> list[str]:
        """Names of the fitted attributes of an estimator that predictions need."""
        return [f"{field.name}_" for field in fields(cls) if field.default is MISSING]

    @property
    def n_features(self) -> int:
        """Number of features, which are the neurons of the network."""
        return self.features.shape[0]

    @property
    def n_outputs(self) -> int:
        """Number of targets."""
        return len(np.atleast_2d(self.linear_coef))

    def project(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """Compute pre-activations ``X @ features.T + feature_intercepts``.

        Columns of ``X`` are transformed first if there is a transform.

        Parameters
        ----------
        X : {ndarray, sparse array} of shape (n_samples, n_features_in)
            Inputs.

        Returns
        -------
        projection : ndarray of shape (n_samples, n_features_out)
            One column for each feature.
        """
        projection = np.empty((X.shape[0], self.n_features))
        with np.errstate(under="ignore"):
            for rows in row_blocks(X.shape[0], X.shape[1]):
                projection[rows] = self._transformed(X[rows]) @ self.features.T
            projection += self.feature_intercepts
        return projection

    def terms(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """Compute the linear part of each target, then what each feature adds.

        Of one target the columns add up to the prediction. Of several, a feature's
        column is what it adds to the length of the predictions: its activation times
        the norm of its amplitudes.

        Parameters
        ----------
        X : {ndarray, sparse array} of shape (n_samples, n_features_in)
            Inputs.

        Returns
        -------
        terms : ndarray of shape (n_samples, n_outputs + n_features_out)
            Columns of the linear part, then one for each feature.
        """
        bends = np.maximum(self.project(X), 0.0) * self.feature_sizes()
        none = {
            name: getattr(self, name)[:0]
            for name in ("features", "feature_intercepts", "amplitudes")
        }
        linear = replace(self, **none).predict(X)
        return np.hstack([linear.reshape(X.shape[0], self.n_outputs), bends])

    def feature_sizes(self) -> np.ndarray:
        """Give the amplitude of each feature, or the norm of several.

        Returns
        -------
        sizes : ndarray of shape (n_features_out,)
            Of one target with signs.
        """
        amplitudes = self.amplitudes.reshape(self.n_features, self.n_outputs)
        if self.n_outputs == 1:
            return amplitudes[:, 0]
        return np.asarray(np.linalg.norm(amplitudes, axis=1))

    def predict(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """Compute the outputs of the network, block by block.

        Parameters
        ----------
        X : {ndarray, sparse array} of shape (n_samples, n_features_in)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        """
        n_features, coef = self.n_features, np.atleast_2d(self.linear_coef)
        weights = np.ascontiguousarray(np.vstack([self.features, coef]).T)
        biases = self.feature_intercepts[:, np.newaxis]
        amplitudes = self.amplitudes.reshape(n_features, len(coef)).T
        outputs = np.empty((X.shape[0], len(coef)))
        blocks = row_blocks(X.shape[0], X.shape[1] + 2 * weights.shape[1])
        with np.errstate(under="ignore"):  # Numbers that are too small are zero.
            for rows in blocks:
                # One product serves neurons and linear part. Its transpose has one row
                # for each neuron: loops over the few neurons of each sample would take
                # longer than the product.
                product = self._transformed(X[rows]) @ weights
                projection = np.ascontiguousarray(product.T)
                activations = projection[:n_features]
                activations += biases
                np.maximum(activations, 0.0, out=activations)
                outputs[rows] = (amplitudes @ activations + projection[n_features:]).T
            outputs += self.linear_intercept
        return outputs.reshape((len(outputs), *self.linear_coef.shape[:-1]))

    def __setstate__(self, state: dict[str, object]) -> None:
        """Read early pickles, too."""
        vars(self).update(present_names(state))

    def attributes(self) -> dict[str, float | np.ndarray]:
        """Collect the fitted attributes of the estimator that predictions need.

        Returns
        -------
        attributes : dict
            Values by the names of the attributes, such as ``"features_"``.
        """
        return {name: getattr(self, name[:-1]) for name in self.attribute_names()}

    def on_transformed(
        self, X: np.ndarray | sparse.csr_array
    ) -> tuple[FittedNetwork, np.ndarray | sparse.csr_array]:
        """The network of the transformed columns alone, and these columns.

        Parameters
        ----------
        X : {ndarray, sparse array} of shape (n_samples, n_features_in)
            Inputs.

        Returns
        -------
        network : FittedNetwork
            The same network without its transform.
        transformed : {ndarray, sparse array} of shape (n_samples, n_features_in)
            The inputs of this network.
        """
        return replace(self, column_transform=None), self._transformed(X)

    def _transformed(
        self, rows: np.ndarray | sparse.csr_array
    ) -> np.ndarray | sparse.csr_array:
        return rows if self.column_transform is None else self.column_transform(rows)


@dataclass(frozen=True, eq=False)
class Units:
    """How inputs and targets were shifted and scaled for the fit.

    The fit sees ``(X - shift) / scale`` and ``(y - target_mean - linear part) /
    target_scale``; ``linear`` holds the coefficients of this linear part on the scaled
    inputs and on the constant input. The fit sees only the kept ``columns`` of the
    inputs; the weights of all others are zero.
    """

    columns: Columns
    shift: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    target_mean: np.ndarray
    target_scale: float
    hidden_bias: bool

    def to_user(
        self,
        weights: np.ndarray,
        amplitudes: np.ndarray,
        linear: np.ndarray,
        *,
        single_output: bool,
    ) -> FittedNetwork:
        """Convert a network from the coordinates of the fit to the units of the data.

        ``linear`` of shape (n_features + 1, n_outputs) is the linear part fitted beside
        the neurons. Each direction gets the sign that makes its largest loading
        positive: since ``relu(z) = z + relu(-z)``, changing the sign of a neuron's
        weights adds ``amplitude * z`` to the linear part (theory eq. 5).
        """
        n_features = len(self.columns.kept)
        masses = np.linalg.norm(weights, axis=1) * np.linalg.norm(amplitudes, axis=1)
        directions = self.columns.spread(weights[:, :n_features]) / self.scale
        norms = np.linalg.norm(directions, axis=1)
        total = self.linear + linear * self.target_scale
        if self.hidden_bias:
            # The output of a neuron with a bias only is constant: add it to the
            # intercept.
            constant = np.maximum(weights[:, n_features], 0.0) * (norms == 0)
            total[-1] += constant @ amplitudes * self.target_scale
        order = np.argsort(-masses, kind="stable")
        order = order[norms[order] > 0]
        directions, norms = directions[order], norms[order]
        features = directions / norms[:, None]
        intercepts = np.zeros(len(features))
        if self.hidden_bias:
            intercepts = weights[order, n_features] / norms - features @ self.shift
        effects = amplitudes[order] * norms[:, None] * self.target_scale
        coef = self.columns.spread(total[:-1].T) / self.scale
        intercept = self.target_mean + total[-1] - coef @ self.shift

        largest = np.abs(features).argmax(axis=1)
        turned = features[np.arange(len(features)), largest] < 0
        coef = coef + effects[turned].T @ features[turned]
        intercept = intercept + intercepts[turned] @ effects[turned]
        sign = np.where(turned, -1.0, 1.0)
        features, intercepts = features * sign[:, None], intercepts * sign
        if single_output:
            return FittedNetwork(
                features, intercepts, effects[:, 0], coef[0], float(intercept[0])
            )
        return FittedNetwork(features, intercepts, effects, coef, intercept)

    def deviations(self, squares: np.ndarray) -> np.ndarray:
        """Standard deviation of each column of ``X``; zero where it was left out.

        ``squares`` are the sums of squares of the kept columns, as the fit sees them.
        """
        if len(self.columns.kept) == 0:
            return np.zeros(len(self.scale))
        deviations = np.sqrt(squares)[self.columns.source] * self.scale
        return deviations * np.abs(self.columns.sign)

    def from_user(self, fitted: FittedNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Hidden weights and amplitudes of a network in the coordinates of the fit."""
        weights = self.columns.gathered(fitted.features * self.scale)
        if self.hidden_bias:
            biases = fitted.feature_intercepts + fitted.features @ self.shift
            weights = np.column_stack([weights, biases])
        n_outputs = self.target_mean.shape[0]
        amplitudes = fitted.amplitudes.reshape(len(weights), n_outputs)
        return weights, amplitudes / self.target_scale

    def linear_from_user(self, fitted: FittedNetwork) -> np.ndarray:
        """Linear part of a network in the coordinates of the fit.

        It has shape (n_features + 1, n_outputs) and is what :meth:`to_user` takes.
        """
        coef = np.atleast_2d(fitted.linear_coef)
        intercept = fitted.linear_intercept - self.target_mean + coef @ self.shift
        total = np.vstack([self.columns.gathered(coef * self.scale).T, intercept])
        return np.asarray((total - self.linear) / self.target_scale)


def check_continues(
    network: FittedNetwork, n_features_in: int, y_shape: tuple[int, ...]
) -> None:
    """Refuse to continue from a network on data of another shape."""
    expected = (network.features.shape[1], network.linear_coef.shape[:-1])
    if expected != (n_features_in, y_shape[1:]):
        raise ValueError(
            "warm_start=True continues from the previous fit, which had "
            f"{expected[0]} inputs and targets of shape {('n', *expected[1])}; got "
            f"{n_features_in} inputs and targets of shape {y_shape}."
        )
