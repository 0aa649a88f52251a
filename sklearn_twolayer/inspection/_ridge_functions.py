"""What the display of ridge functions draws, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from sklearn_twolayer._checks.parameters import check_integer
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._rows.loadings import standardised_loadings
from sklearn_twolayer._rows.ranges import RANGE_ROUNDING
from sklearn_twolayer._rows.units import FittedNetwork

# Most features drawn unless they are named (convention: what a page holds).
MOST_PANELS = 12


@dataclass(frozen=True, eq=False)
class RidgeFunctions:
    """One function ``offset + slope p + amplitude relu(p)`` for each feature.

    Its bend is that of the feature, and its best straight line over the rows is that of
    the predictions. So a feature's function rises where predictions rise along it, and
    does not depend on how the network divides a straight line between its linear part
    and features that bend against one another (theory eq. 5).

    Parameters
    ----------
    loadings : ndarray of shape (n_features_out, n_features_in)
        Unit directions in inputs divided by their scales, with a positive largest
        entry.
    multiples : ndarray of shape (n_features_out,)
        Projections of the network divided by projections ``p`` on the loadings.
    amplitudes, slopes, offsets : ndarray of shape (n_features_out,)
        Of the functions.
    """

    loadings: np.ndarray
    multiples: np.ndarray
    amplitudes: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(
        cls,
        network: FittedNetwork,
        chosen: list[int],
        target: int,
        scales: np.ndarray,
        X: np.ndarray | sparse.csr_array,
        weights: np.ndarray,
    ) -> RidgeFunctions:
        """Those of the chosen features, for rows with these weights."""
        loadings, multiples = standardised_loadings(network.features[chosen], scales)
        amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
        amplitudes = amplitudes[chosen, target] * np.abs(multiples)
        projections = network.project(X)[:, chosen] / multiples
        prediction = network.predict(X).reshape(X.shape[0], -1)[:, [target]]
        shares = weights / weights.max()
        shares /= shares.sum()
        rest = prediction - amplitudes * np.maximum(projections, 0.0)
        centres, means = shares @ projections, shares @ rest
        centred = projections - centres
        squares = shares @ centred**2
        slopes = shares @ (centred * (rest - means)) / np.where(squares > 0, squares, 1)
        offsets = means - slopes * centres
        return cls(loadings, multiples, amplitudes, slopes, offsets)

    def __call__(self, projections: np.ndarray) -> np.ndarray:
        """Values at projections of shape (n_samples, n_features_out)."""
        bends = self.amplitudes * np.maximum(projections, 0.0)
        return self.offsets + self.slopes * projections + bends


def check_features(features: ArrayLike | None, n_features: int) -> list[int]:
    """The rows of `features_` to draw, checked."""
    if n_features == 0:
        raise ValueError(
            "estimator has no features to draw: the fitted model is linear. With "
            "smaller decays (parameter schedule) there may be some."
        )
    if features is None:
        return list(range(min(n_features, MOST_PANELS)))
    chosen = [check_integer("features", j, min_val=0) for j in np.atleast_1d(features)]
    if not chosen or max(chosen) >= n_features:
        raise ValueError(
            f"features must be rows of features_, below {n_features}, got {features!r}."
        )
    return chosen


def check_target(
    target: int | str, y: object, n_outputs: int, known: list[str] | None = None
) -> tuple[int, str]:
    """Number and name of the target to draw; ``known`` are names to take."""
    names = _target_names(y, n_outputs) if known is None else known
    if isinstance(target, str):
        if target not in names:
            raise ValueError(f"target must be one of {names}, got {target!r}.")
        return names.index(target), target
    target = check_integer("target", target, min_val=0)
    if target >= n_outputs:
        raise ValueError(f"target must be below {n_outputs}, got {target}.")
    return target, names[target]


def _target_names(y: object, n_outputs: int) -> list[str]:
    """Names of the columns of a table, or of a series; otherwise their numbers."""
    names = list(getattr(y, "columns", [getattr(y, "name", None)]))
    if len(names) == n_outputs and all(isinstance(n, str) and n for n in names):
        return names
    return ["y"] if n_outputs == 1 else [f"y{k}" for k in range(n_outputs)]


def drawn_ranges(
    model: TwoLayerModel, chosen: list[int], multiples: np.ndarray
) -> np.ndarray | None:
    """Ranges of the drawn projections; None of models of early releases.

    They are wider by what counts as rounding, so that rows of the fit are inside.
    """
    ranges = getattr(model, "feature_ranges_", None)
    if ranges is None:
        return None
    low, high, deviation = ranges[:, chosen]
    slack = RANGE_ROUNDING * deviation
    return np.sort(np.stack([low - slack, high + slack]) / multiples, axis=0)
