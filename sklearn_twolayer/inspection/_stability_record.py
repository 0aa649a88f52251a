"""The record of which directions recur, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._export.frame import frame_of
from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._export.summary import (
    LARGEST_LOADINGS,
    LONGEST_NAME,
    MOST_FEATURES,
    RECURRING,
    marked_recurrence,
    more_features,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class DirectionStability:
    """How often and how closely the directions of a fit recur in refits.

    Parameters
    ----------
    loadings : ndarray of shape (n_features_out, n_features_in)
        Directions of the estimator in inputs divided by their standard deviations: of
        unit length, with a positive largest entry.
    angles : ndarray of shape (n_repeats, n_features_out)
        Angle, in radians, between each of them and the direction that it is matched to
        in each refit; pi/2 where the refit has too few.
    matched_loadings : ndarray of shape (n_repeats, n_features_out, n_features_in)
        The directions that they are matched to; NaN where the refit has too few.
    n_features : ndarray of shape (n_repeats,)
        Numbers of features of the refits.
    subspace_directions : ndarray of shape (n_directions, n_features_in)
        Directions of the active subspace of the estimator.
    matched_subspace_directions : ndarray of shape \
            (n_repeats, n_directions, n_features_in)
        Those of each refit, by decreasing eigenvalue.
    subspace_angles : ndarray of shape (n_repeats, n_directions)
        For each refit the largest principal angle, in radians, between the span of the
        first direction and its own, then of the first two, and so on.
    importances : ndarray of shape (n_repeats, n_features_in)
        `feature_importances_` of each refit. On halves of the rows their spread
        estimates the standard errors of those of all rows.
    max_angle : float
        Angle within which a feature recurs.
    max_samples : float
        Fraction of the rows of each refit.
    feature_names : list of str
        Names of the inputs.
    """

    loadings: np.ndarray
    angles: np.ndarray
    matched_loadings: np.ndarray
    n_features: np.ndarray
    subspace_directions: np.ndarray
    matched_subspace_directions: np.ndarray
    subspace_angles: np.ndarray
    importances: np.ndarray
    max_angle: float
    max_samples: float
    feature_names: list[str]

    @property
    def recurrence(self) -> np.ndarray:
        """Share of the refits in which each feature recurs."""
        return np.mean(self.angles <= self.max_angle, axis=0)

    @property
    def recurs(self) -> np.ndarray:
        """Whether each feature recurs in half of the refits or more."""
        return self.recurrence >= RECURRING

    @property
    def spread(self) -> np.ndarray:
        """Root mean square change of each loading where its feature recurs.

        NaN for features that recur in no refit.
        """
        kept = (self.angles <= self.max_angle)[:, :, np.newaxis]
        squares = np.where(kept, (self.matched_loadings - self.loadings) ** 2, 0.0)
        counts = kept.sum(axis=0)
        means = squares.sum(axis=0) / np.maximum(counts, 1)
        return np.where(counts > 0, np.sqrt(means), np.nan)

    @property
    def subspace_spread(self) -> np.ndarray:
        """Root mean square change of each entry of `subspace_directions`."""
        changes = self.matched_subspace_directions - self.subspace_directions
        return np.asarray(np.sqrt(np.mean(changes**2, axis=0)))

    def to_frame(self) -> pd.DataFrame:
        """The loadings as a table with one row for each feature and input.

        Returns
        -------
        frame : pandas DataFrame
            Columns "feature", the row of `features_`; "recurrence", the share of refits
            that have it; "recurs", whether that is a half or more; "input", its name;
            "loading"; and "spread", its root mean square change in these refits.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        n_features, n_inputs = self.loadings.shape
        return frame_of(
            {
                "feature": np.repeat(np.arange(n_features), n_inputs),
                "recurrence": np.repeat(self.recurrence, n_inputs),
                "recurs": np.repeat(self.recurs, n_inputs),
                "input": self.feature_names * n_features,
                "loading": self.loadings.ravel(),
                "spread": self.spread.ravel(),
            }
        )

    def __repr__(self) -> str:
        """Say what recurs, and name each feature's largest loadings."""
        n_repeats, n_features = self.angles.shape
        rows = "all" if self.max_samples == 1.0 else f"{self.max_samples:.0%} of the"
        lines = [
            f"DirectionStability of {n_features} features, {n_repeats} refits on {rows}"
            " rows",
            f"  features of the refits  {self.n_features.min()} to "
            f"{self.n_features.max()}, median {np.median(self.n_features):g}",
            f"  features that recur     {np.count_nonzero(self.recurs)} of "
            f"{n_features}, within {self.max_angle:g} rad",
        ]
        turns = np.median(self.subspace_angles, axis=0)[:LARGEST_LOADINGS]
        if len(turns):
            text = ", ".join(f"{turn:.2g}" for turn in turns)
            which = ", ".join(f"{k + 1}" for k in range(len(turns)))
            lines.append(
                f"  active subspace turns   by {text} rad (medians; the span of its "
                f"first {which})"
            )
        if n_features == 0:
            return "\n".join(lines)
        names = shortened(self.feature_names, LONGEST_NAME)
        lines += [
            "",
            "feature   recurs   angle  largest loadings and their spread "
            "(standardised inputs)",
        ]
        shares, spread = marked_recurrence(self.recurrence), self.spread
        for j, loadings in enumerate(self.loadings[:MOST_FEATURES]):
            order = np.argsort(-np.abs(loadings), kind="stable")[:LARGEST_LOADINGS]
            text = "  ".join(
                f"{names[i]} {loadings[i]:+.3f}{_spread(spread[j, i])}" for i in order
            )
            angle = np.median(self.angles[:, j])
            near = f"{angle:8.2g}" if angle < np.pi / 2 else f"{'none':>8}"
            lines.append(f"{j:7d}{shares[j]:>9}{near}  {text}")
        notes = [
            *more_features(n_features),
            "Angles are medians; ? marks features that rarely recur.",
        ]
        return "\n".join([*lines, "", *notes])


def _spread(value: float) -> str:
    """Nothing of features that never recur."""
    return "" if np.isnan(value) else f" ± {value:.2g}"
