"""A fitted network as a torch module."""

from __future__ import annotations

import numpy as np
import torch

from sklearn_twolayer._rows.units import FittedNetwork


class TwoLayerModule(torch.nn.Module):
    """The function of a fitted network, with its attributes as parameters.

    It is ``linear_intercept + X linear_coef' + relu(X features' + feature_intercepts)
    amplitudes``. Parameters have double precision; ``module.float()`` converts them to
    single.
    """

    def __init__(self, network: FittedNetwork) -> None:
        super().__init__()
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        self.features = _parameter(network.features)
        self.feature_intercepts = _parameter(network.feature_intercepts)
        self.amplitudes = _parameter(amplitudes)
        self.linear_coef = _parameter(np.atleast_2d(network.linear_coef))
        self.linear_intercept = _parameter(np.atleast_1d(network.linear_intercept))
        self.output_shape = network.linear_coef.shape[:-1]

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (n_samples,) or (n_samples, n_outputs)."""
        hidden = torch.relu(X @ self.features.T + self.feature_intercepts)
        linear = X @ self.linear_coef.T + self.linear_intercept
        outputs = hidden @ self.amplitudes + linear
        return outputs.reshape(*X.shape[:-1], *self.output_shape)


def _parameter(values: np.ndarray) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, dtype=np.float64)))
