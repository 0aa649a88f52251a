"""The record of standard errors and intervals, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._checks.parameters import check_option
from sklearn_twolayer._export.frame import frame_of
from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._export.summary import (
    LARGEST_LOADINGS,
    LONGEST_NAME,
    MOST_FEATURES,
    more_features,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class DirectionErrors:
    """Standard errors and confidence intervals of a fitted network.

    Parameters
    ----------
    features : ndarray of shape (n_features_out, n_features_in)
        Standard errors of `features_`, which stay on the unit sphere.
    feature_intercepts : ndarray of shape (n_features_out,)
        Standard errors of `feature_intercepts_`; zero without hidden biases.
    amplitudes : ndarray of the shape of `amplitudes_`
        Standard errors of `amplitudes_`.
    features_interval, feature_intercepts_interval, amplitudes_interval : ndarray
        Lower and upper ends of the confidence intervals, each of the shape above
        with a first axis of length 2.
    angles : ndarray of shape (n_features_out,)
        Angle between estimated and true direction, in radians, that is not exceeded
        with probability `confidence`.
    confidence : float
        Probability that each single interval covers the truth.
    loadings : ndarray of shape (n_features_out, n_features_in)
        Directions in inputs divided by their standard deviations, `feature_scales_` of
        the estimator: of unit length, with a positive largest entry.
    loading_errors : ndarray of shape (n_features_out, n_features_in)
        Their standard errors.
    loadings_interval : ndarray of shape (2, n_features_out, n_features_in)
        Lower and upper ends of their confidence intervals.
    loading_angles : ndarray of shape (n_features_out,)
        As `angles`, of the loadings.
    loading_pvalues : ndarray of shape (n_features_out, n_features_in)
        P-values of tests that a direction does not use an input, its loading is zero;
        NaN for constant inputs.
    input_pvalues : ndarray of shape (n_features_in,)
        P-values of tests that no direction uses an input, nor does the linear part;
        NaN for constant inputs.
    feature_names : list of str
        Names of the inputs.
    """

    features: np.ndarray
    feature_intercepts: np.ndarray
    amplitudes: np.ndarray
    features_interval: np.ndarray
    feature_intercepts_interval: np.ndarray
    amplitudes_interval: np.ndarray
    angles: np.ndarray
    confidence: float
    loadings: np.ndarray
    loading_errors: np.ndarray
    loadings_interval: np.ndarray
    loading_angles: np.ndarray
    loading_pvalues: np.ndarray
    input_pvalues: np.ndarray
    feature_names: list[str]

    def to_frame(self, *, loadings: str = "standardized") -> pd.DataFrame:
        """The loadings as a table with one row for each feature and input.

        Parameters
        ----------
        loadings : {"standardized", "raw"}, default="standardized"
            Whether loadings are those of inputs divided by their standard deviations,
            or those of `features_`, in the units of the inputs.

        Returns
        -------
        frame : pandas DataFrame
            Columns "feature", the row of `features_`; "input", its name; "loading";
            "error", its standard error; "lower" and "upper", its confidence interval;
            "z", the loading divided by its error; and "p", the p-value of a loading of
            zero.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        estimate, error, interval = shown_loadings(self, loadings)
        n_features, n_inputs = estimate.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            z = estimate / error
        return frame_of(
            {
                "feature": np.repeat(np.arange(n_features), n_inputs),
                "input": np.tile(
                    np.array(self.feature_names, dtype=object), n_features
                ),
                "loading": estimate.ravel(),
                "error": error.ravel(),
                "lower": interval[0].ravel(),
                "upper": interval[1].ravel(),
                "z": z.ravel(),
                "p": self.loading_pvalues.ravel(),
            }
        )

    def __repr__(self) -> str:
        """Name each feature's largest loadings with their errors."""
        n_features = len(self.loadings)
        title = (
            f"DirectionErrors of {n_features} features, {self.confidence:g} confidence"
        )
        if n_features == 0:
            return title
        names = shortened(self.feature_names, LONGEST_NAME)
        lines = [
            title,
            "feature     cone  largest loadings and errors (standardised inputs)",
        ]
        for j, (loadings, errors) in enumerate(
            zip(
                self.loadings[:MOST_FEATURES],
                self.loading_errors[:MOST_FEATURES],
                strict=True,
            )
        ):
            order = np.argsort(-np.abs(loadings), kind="stable")[:LARGEST_LOADINGS]
            text = "  ".join(
                f"{names[i]} {loadings[i]:+.3f} ± {_error(errors[i])}" for i in order
            )
            lines.append(f"{j:7d}{self.loading_angles[j]:9.2g}  {text}")
        notes = [
            *more_features(n_features),
            "The cone is in radians; errors are standard errors.",
        ]
        return "\n".join([*lines, *notes])


def _error(value: float) -> str:
    """Errors above one say that nothing is known of an entry of a unit vector."""
    return f"{value:.2g}" if value < 1 else ">1"


def interval_around(estimate: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Lower and upper ends of intervals of these half widths."""
    return np.stack([estimate - reach, estimate + reach])


def shown_loadings(
    errors: DirectionErrors, loadings: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions, their errors and intervals, of the kind asked for."""
    kind = check_option("loadings", loadings, ["standardized", "raw"])
    if kind == "standardized":
        return errors.loadings, errors.loading_errors, errors.loadings_interval
    middle = errors.features_interval.mean(axis=0)
    return middle, errors.features, errors.features_interval
