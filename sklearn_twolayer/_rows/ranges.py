"""Where the rows of a fit lie along the directions that a network sees. No torch here.

A network sees a row by its projections on the features, and by the straight line of
each target: the linear part and half the slope of every feature. The other half is that
of ``|z|``, since ``relu(z) = (z + |z|) / 2``. So neither depends on the signs of the
directions, which divide straight lines arbitrarily (theory eq. 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.loadings import CONSTANT_COLUMN
from sklearn_twolayer._rows.raw import weight_facts

if TYPE_CHECKING:
    from sklearn_twolayer._rows.parts import Parts
    from sklearn_twolayer._rows.raw import RawPart
    from sklearn_twolayer._rows.units import FittedNetwork

# Distances beyond a range up to this count as rounding, in standard deviations
# (convention).
RANGE_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Ranges:
    """The ranges of a network's projections over the rows of its fit.

    Parameters
    ----------
    network : FittedNetwork
        The network.
    values : ndarray of shape (3, n_features_out + n_outputs)
        Least and largest projection, and its standard deviation: of the features, then
        of the straight lines.
    """

    network: FittedNetwork
    values: np.ndarray

    @classmethod
    def of(
        cls, network: FittedNetwork, raw: Parts[RawPart], mean: np.ndarray
    ) -> Ranges:
        """The ranges over raw rows; ``mean`` are the means of their columns."""
        centre = projections(network, mean[np.newaxis])[0]
        largest = max(own for own, _ in raw.gather(weight_facts))
        lows, highs, sums = zip(
            *raw.gather(_range_facts, network, centre, largest), strict=True
        )
        total, first, second = np.sum(sums, axis=0)
        shift = first / total
        spread = np.sqrt(np.maximum(second / total - np.square(shift), 0.0))
        spread[spread <= CONSTANT_COLUMN * np.abs(centre + shift)] = 0.0
        return cls(network, np.stack([np.min(lows, 0), np.max(highs, 0), spread]))

    def attributes(self) -> dict[str, float | np.ndarray]:
        """Fitted attributes of the estimator, which :meth:`of_attributes` reads."""
        n_features = self.network.n_features
        linear = self.values[:, n_features:]
        shape = (3, *self.network.linear_coef.shape[:-1])
        return {
            "feature_ranges_": self.values[:, :n_features],
            "linear_ranges_": linear.reshape(shape),
        }

    @classmethod
    def of_attributes(
        cls, network: FittedNetwork, attributes: Mapping[str, Any]
    ) -> Ranges:
        """The ranges of a fitted estimator."""
        if "feature_ranges_" not in attributes or "linear_ranges_" not in attributes:
            raise AttributeError(
                "The estimator was fitted by an early release and has no "
                "feature_ranges_, which extrapolation needs: fit it anew."
            )
        linear = attributes["linear_ranges_"].reshape(3, -1)
        return cls(network, np.hstack([attributes["feature_ranges_"], linear]))

    def distances(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """How far each projection is beyond its range, in standard deviations."""
        low, high, deviation = self.values
        found = np.empty((X.shape[0], len(low)))
        for rows in row_blocks(X.shape[0], X.shape[1] + len(low)):
            seen = projections(self.network, X[rows])
            found[rows] = np.maximum(np.maximum(low - seen, seen - high), 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found /= deviation
        return np.where(found > RANGE_ROUNDING, found, 0.0)  # 0 / 0 is nan

    def largest(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """The largest of these distances for each row."""
        largest: np.ndarray = self.distances(X).max(axis=1)
        return largest


def projections(network: FittedNetwork, X: np.ndarray | sparse.csr_array) -> np.ndarray:
    """``X @ features.T + feature_intercepts``, and the straight lines of the targets.

    Columns of ``X`` are transformed first if there is a transform.
    """
    alone, seen = network.on_transformed(X)
    amplitudes = alone.amplitudes.reshape(alone.n_features, alone.n_outputs)
    straight = np.atleast_2d(alone.linear_coef) + 0.5 * amplitudes.T @ alone.features
    weights = np.vstack([alone.features, straight])
    with np.errstate(under="ignore"):
        found: np.ndarray = seen @ weights.T
        found[:, : network.n_features] += network.feature_intercepts
    return found


def _range_facts(
    raw: RawPart, network: FittedNetwork, centre: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and largest projections, and sums for their variances.

    The sums are those of the weights, divided by the largest, alone and times
    projections less the ``centre``, and times their squares.
    """
    low, high = np.full_like(centre, np.inf), np.full_like(centre, -np.inf)
    sums = np.zeros((3, len(centre)))
    for rows in row_blocks(len(raw.y), raw.X.shape[1] + len(centre)):
        X = raw.X[rows if raw.index is None else raw.index[rows]]
        X = X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
        found = projections(network, X)
        np.minimum(low, found.min(axis=0, initial=np.inf), out=low)
        np.maximum(high, found.max(axis=0, initial=-np.inf), out=high)
        weights, found = raw.sample_weight[rows] / largest, found - centre
        sums += [
            np.full_like(centre, weights.sum()),
            weights @ found,
            weights @ np.square(found),
        ]
    return low, high, sums
