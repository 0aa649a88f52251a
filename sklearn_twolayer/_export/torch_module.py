"""A fitted network as a torch module."""

from __future__ import annotations

import numpy as np
import torch

from sklearn_twolayer._rows.units import FittedNetwork


class TwoLayerModule(torch.nn.Module):
    """``intercept + X coef' + relu(X features' + feature_intercepts) amplitudes``.

    Parameters have double precision; ``module.float()`` converts them to single.
    """

    def __init__(self, network: FittedNetwork) -> None:
        super().__init__()
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        self.features = _parameter(network.features)
        self.feature_intercepts = _parameter(network.feature_intercepts)
        self.amplitudes = _parameter(amplitudes)
        self.coef = _parameter(np.atleast_2d(network.coef))
        self.intercept = _parameter(np.atleast_1d(network.intercept))
        self.output_shape = network.coef.shape[:-1]

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (n_samples,) or (n_samples, n_outputs)."""
        hidden = torch.relu(X @ self.features.T + self.feature_intercepts)
        outputs = hidden @ self.amplitudes + X @ self.coef.T + self.intercept
        return outputs.reshape(*X.shape[:-1], *self.output_shape)


def _parameter(values: np.ndarray) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, dtype=np.float64)))
