"""A fitted network as a torch module."""

from __future__ import annotations

import numpy as np
import torch

from sklearn_twolayer._rows.column_transform import LARGEST_LOG, ColumnTransform
from sklearn_twolayer._rows.units import FittedNetwork


class TwoLayerModule(torch.nn.Module):
    """The function of a fitted network, with its attributes as parameters.

    It is ``linear_intercept + X linear_coef' + relu(X features' + feature_intercepts)
    amplitudes``, where the columns of ``X`` are transformed first if the estimator does
    that. Parameters have double precision; ``module.float()`` converts them to single.
    """

    def __init__(self, network: FittedNetwork) -> None:
        super().__init__()
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        self.features = _parameter(network.features)
        self.feature_intercepts = _parameter(network.feature_intercepts)
        self.amplitudes = _parameter(amplitudes)
        self.linear_coef = _parameter(np.atleast_2d(network.linear_coef))
        self.linear_intercept = _parameter(np.atleast_1d(network.linear_intercept))
        self.columns = _Columns.of(network.column_transform)
        self.output_shape = network.linear_coef.shape[:-1]

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (n_samples,) or (n_samples, n_outputs)."""
        X = self.columns(X)
        hidden = torch.relu(X @ self.features.T + self.feature_intercepts)
        linear = X @ self.linear_coef.T + self.linear_intercept
        outputs = hidden @ self.amplitudes + linear
        return outputs.reshape(*X.shape[:-1], *self.output_shape)


class _Columns(torch.nn.Module):
    """The transform of the columns, whose constants are not trained."""

    changes: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor
    exponent: torch.Tensor
    inverse_limit: torch.Tensor
    lowest: torch.Tensor | None
    highest: torch.Tensor | None

    def __init__(self, transform: ColumnTransform) -> None:
        super().__init__()
        changes = transform.changes
        self.register_buffer("changes", torch.from_numpy(changes))
        for name in ("centre", "scale", "exponent", "inverse_limit"):
            constant = torch.from_numpy(getattr(transform, name)[changes])
            self.register_buffer(name, constant)
        for name in ("lowest", "highest"):
            ends = getattr(transform, name)
            self.register_buffer(name, None if ends is None else torch.tensor(ends))

    @staticmethod
    def of(transform: ColumnTransform | None) -> torch.nn.Module:
        return torch.nn.Identity() if transform is None else _Columns(transform)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        if self.lowest is not None:
            X = torch.clamp(X, self.lowest, self.highest)
        z = (X[..., self.changes] - self.centre) / self.scale
        above = _power(torch.relu(z), self.exponent)
        z = above - _power(torch.relu(-z), 2.0 - self.exponent)
        z = z / torch.hypot(torch.ones_like(z), z * self.inverse_limit)
        X = X.clone()
        X[..., self.changes] = self.centre + self.scale * z
        return X


def _power(z: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    log, is_zero = torch.log1p(z), exponent == 0.0
    grown = torch.expm1(torch.clamp(exponent * log, max=LARGEST_LOG))
    return torch.where(is_zero, log, grown / torch.where(is_zero, 1.0, exponent))


def _parameter(values: np.ndarray) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.array(values, dtype=np.float64)))
