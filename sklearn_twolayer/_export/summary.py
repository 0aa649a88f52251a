"""A fitted network in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.linear_model import LinearRegression

from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._rows.units import FittedNetwork

# Most loadings of a line, and most characters of a name, so that lines fit a screen
# (convention).
LARGEST_LOADINGS = 4
LONGEST_NAME = 24


def shares_of_variance(
    network: FittedNetwork, X: np.ndarray | sparse.csr_array
) -> np.ndarray:
    """Shares of the linear part and of each feature in the variance of the predictions.

    The first entry is the share of the best linear model of the predictions (on the
    transformed columns, if there is a transform), the others are what each feature adds
    to it; they add up to one. The linear fit of a feature
    counts for the linear model, because it depends on the sign of the direction
    (theory eq. 5).
    """
    network, X = network.on_transformed(X)
    prediction = network.predict(X).reshape(X.shape[0], network.n_outputs)
    amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
    activations = np.maximum(network.project(X), 0.0)
    both = np.hstack([prediction, activations])
    residual = both - LinearRegression().fit(X, both).predict(X)
    rest, activations = np.split(residual, [network.n_outputs], axis=1)
    variance = np.sum((prediction - prediction.mean(axis=0)) ** 2)
    if variance == 0:
        return np.zeros(network.n_features + 1)
    shares = np.sum((activations.T @ rest) * amplitudes, axis=1) / variance
    return np.insert(shares, 0, 1.0 - shares.sum())


def summarized(
    title: str,
    network: FittedNetwork,
    names: Sequence[object],
    facts: dict[str, str],
    shares: np.ndarray | None,
) -> str:
    """Text with lines about the fit, then one line for each feature."""
    if shares is not None:
        facts = {**facts, "linear part": f"{shares[0]:.1%} of the variance"}
    width = max(map(len, facts))
    lines = [title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
    if network.n_features == 0:
        return "\n".join([*lines, "", "No features: the fitted model is linear."])
    share = "" if shares is None else f"{'share':>8}"
    lines += ["", f"{'feature':>7}{'amplitude':>11}{share}  largest loadings"]
    short = shortened(names, LONGEST_NAME)
    amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
    sizes = np.linalg.norm(amplitudes, axis=1)
    for j in range(network.n_features):
        share = "" if shares is None else f"{shares[j + 1]:8.1%}"
        loadings = _loadings(network.features[j], short)
        lines.append(f"{j:7d}{sizes[j]:11.4g}{share}  {loadings}")
    return "\n".join(lines)


def _loadings(direction: np.ndarray, names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(direction), kind="stable")[:LARGEST_LOADINGS]
    return "  ".join(f"{names[i]} {direction[i]:+.3f}" for i in order)
