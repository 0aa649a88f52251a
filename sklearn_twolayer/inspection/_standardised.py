"""A fitted network and its rows in standardised coordinates. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import qr

from sklearn_twolayer._rows.loadings import column_moments, unit_rows
from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class Columns:
    """How columns are shifted and scaled.

    The linear part sees ``(x - shift) / scale`` and the neurons see ``(x - origin) /
    size``. With hidden biases both are the same. Without, the neurons must not be
    shifted: `origin` is zero and `size` is the root mean square.
    """

    shift: np.ndarray
    scale: np.ndarray
    origin: np.ndarray
    size: np.ndarray
    varies: np.ndarray  # whether the linear part sees more than a constant
    seen: np.ndarray  # whether the neurons do, or are not shifted

    @classmethod
    def of(
        cls,
        X: np.ndarray | sparse.csr_array,
        weights: np.ndarray,
        *,
        hidden_bias: bool,
    ) -> Columns:
        """The weighted means and deviations of the rows, as the two parts see them."""
        shift, spread = column_moments(X, weights)
        varies = spread > 0
        scale = np.where(varies, spread, 1.0)
        if hidden_bias:
            return cls(shift, scale, shift, scale, varies, varies)
        size = np.hypot(spread, shift)
        seen = size > 0
        size = np.where(seen, size, 1.0)
        return cls(shift, scale, np.zeros_like(shift), size, varies, seen)


@dataclass(frozen=True, eq=False)
class StandardisedNetwork:
    """The network on standardised columns, with targets in units of ``target_scale``.

    Its pre-activations are those in the units of the data, divided by `lengths`.
    """

    columns: Columns
    directions: np.ndarray  # (n_neurons, n_features_in), of unit norm
    biases: np.ndarray  # (n_neurons,)
    lengths: np.ndarray  # (n_neurons,)
    amplitudes: np.ndarray  # (n_neurons, n_outputs)
    linear: np.ndarray  # (n_features_in, n_outputs)
    constant: np.ndarray  # (n_outputs,)
    target_scale: float
    tangents: list[np.ndarray]  # orthonormal, (n_features_in, n_features_in - 1)
    hidden_bias: bool

    @classmethod
    def of(
        cls, network: FittedNetwork, columns: Columns, *, hidden_bias: bool
    ) -> StandardisedNetwork:
        """Bring a network with neurons from the units of the data."""
        weights = network.features * np.where(columns.seen, columns.size, 0.0)
        directions, lengths = unit_rows(weights)
        biases = network.feature_intercepts + network.features @ columns.origin
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        amplitudes = amplitudes * lengths[:, np.newaxis]
        target_scale = np.abs(amplitudes).max(initial=0.0) or 1.0
        coef = np.atleast_2d(network.linear_coef)
        linear = (coef * np.where(columns.varies, columns.scale, 0.0)).T
        constant = network.linear_intercept + coef @ columns.shift
        return cls(
            columns=columns,
            directions=directions,
            biases=biases / lengths,
            lengths=lengths,
            amplitudes=amplitudes / target_scale,
            linear=linear / target_scale,
            constant=constant / target_scale,
            target_scale=float(target_scale),
            tangents=[qr(w[:, np.newaxis])[0][:, 1:] for w in directions],
            hidden_bias=hidden_bias,
        )

    @property
    def neuron_size(self) -> int:
        """Number of coordinates of a direction and its bias."""
        return self.directions.shape[1] - 1 + self.hidden_bias

    @property
    def n_linear(self) -> int:
        """Number of coordinates that are linear in each output."""
        return len(self.directions) + self.directions.shape[1] + 1


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows: what the derivatives of the outputs are made of.

    ``d output_k = linear @ d(amplitudes_k, linear part of k) + sum_j amplitudes_jk
    slopes_j inner_j @ d(tangent of w_j, bias_j)``.
    """

    network: StandardisedNetwork
    projections: np.ndarray  # (n_rows, n_neurons)
    linear: np.ndarray  # activations, columns and ones, (n_rows, n_linear)
    columns: np.ndarray  # what the neurons see, (n_rows, n_features_in)

    @classmethod
    def of(cls, network: StandardisedNetwork, rows: np.ndarray) -> Block:
        """Standardise rows given in the units of the data."""
        to = network.columns
        seen = np.where(to.seen, (rows - to.origin) / to.size, 0.0)
        own = seen
        if not network.hidden_bias:
            own = (rows - to.shift) / to.scale
        own = np.where(to.varies, own, 0.0)
        projections = seen @ network.directions.T + network.biases
        activations = np.maximum(projections, 0.0)
        linear = np.hstack([activations, own, np.ones((len(rows), 1))])
        return cls(network, projections, linear, seen)

    def inner(self, neuron: int) -> np.ndarray:
        """Derivative of the pre-activation of a neuron by its direction and bias."""
        turned = self.columns @ self.network.tangents[neuron]
        if not self.network.hidden_bias:
            return turned
        return np.hstack([turned, np.ones((len(turned), 1))])

    def slopes(self) -> np.ndarray:
        """Derivatives of all activations by directions and biases, side by side."""
        neurons = range(len(self.network.directions))
        active = self.projections > 0
        none = np.zeros((len(active), 0))
        return np.hstack([none, *(active[:, [j]] * self.inner(j) for j in neurons)])

    def outputs(self) -> np.ndarray:
        """Outputs of the network, in units of the target scale."""
        network = self.network
        weights = np.vstack([network.amplitudes, network.linear, network.constant])
        return self.linear @ weights
