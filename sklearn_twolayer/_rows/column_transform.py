"""Monotone functions of single columns, applied before a network. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar

# Columns with fewer different values stay as they are (convention): a few values have
# no distribution whose shape could be mended, and none of them lies far out.
FEWEST_VALUES = 10
# A clipped column ends this many robust standard deviations from its median
# (convention). Within one of them it is changed by at most three percent.
CLIP_AT = 4.0
# Exponents are looked for between these, and rounded to DIGITS digits (conventions):
# more of them mean nothing, and 0 and 2, where the formula has limits, are met exactly.
# The centre is the median, and the scale a distance of quantiles, for exponents, too:
# measured on exponentials of normal columns, R2 is 0.897, with mean and standard
# deviation 0.893.
EXPONENTS = -2.0, 4.0
DIGITS = 2
# Powers end at its exponential, far from where they would overflow (convention).
LARGEST_LOG = 300.0
# The lower of two quantiles whose distance measures the spread of a column, and the
# distance of those of the normal distribution of variance one. The second is used if
# the first two are equal.
SPREADS = ((0.25, 1.349), (0.05, 3.290))
# Columns of smaller scales stay as they are: one could not divide by these.
LEAST_SCALE = float(np.finfo(np.float64).tiny)
# By how much sums of shares may differ from what they are without rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class ColumnTransform:
    """One increasing function for each column, close to ``x`` at the column's centre.

    A column becomes ``centre + scale * g(z)`` with ``z = (x - centre) / scale``, where
    ``g(0) = 0`` and ``g'(0) = 1``, so that it keeps its units. The function ``g`` is
    that of Yeo and Johnson with the `exponent`, ``((1 + z)**exponent - 1) / exponent``
    for positive and ``-((1 - z)**(2 - exponent) - 1) / (2 - exponent)`` for negative
    `z`, followed by ``z / sqrt(1 + (z * inverse_limit)**2)``. Columns with the exponent
    1 and the inverse limit 0 stay as they are.

    Every clipped column, also one that keeps its shape, is first moved into the range
    that it had in the fit: what a network does beyond it nobody has seen, and one wrong
    cell could spoil a prediction.

    Parameters
    ----------
    centre : ndarray of shape (n_features_in,)
        Median of the column; 0 if it stays as it is.
    scale : ndarray of shape (n_features_in,)
        Standard deviation of the column, as a distance of quantiles tells it, which few
        values far out do not change; 1 if it stays as it is.
    exponent : ndarray of shape (n_features_in,)
        Exponent of the largest likelihood, or 1.
    inverse_limit : ndarray of shape (n_features_in,)
        One over the number of scales at which a clipped column ends, or 0.
    lowest, highest : ndarray of shape (n_features_in,) or None, default=None
        Least and largest value of each column in the fit; None if values beyond them
        are not moved.
    """

    centre: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray
    inverse_limit: np.ndarray
    lowest: np.ndarray | None = None
    highest: np.ndarray | None = None

    @classmethod
    def fit(
        cls, kind: str, X: np.ndarray, sample_weight: np.ndarray
    ) -> ColumnTransform:
        """Fit functions of one kind to the columns.

        Parameters
        ----------
        kind : {"power", "clip"}
            Whether columns get an exponent or are clipped and kept in their range.
        X : ndarray of shape (n_samples, n_features_in)
            Inputs.
        sample_weight : ndarray of shape (n_samples,)
            Weights of the rows. Rows of weight zero have no effect.

        Returns
        -------
        transform : ColumnTransform
            The functions.
        """
        rows = sample_weight > 0.0
        share = sample_weight[rows] / sample_weight[rows].max()
        share /= share.sum()
        n_columns = X.shape[1]
        centre, scale = np.zeros(n_columns), np.ones(n_columns)
        exponent, inverse_limit = np.ones(n_columns), np.zeros(n_columns)
        for j in range(n_columns):
            values, inverse = np.unique(X[rows, j], return_inverse=True)
            if len(values) < FEWEST_VALUES:
                continue
            shares = np.bincount(inverse, weights=share)
            values = values.astype(np.float64)
            own_centre, own_scale = median_and_spread(values, shares)
            if own_scale < LEAST_SCALE:
                continue
            if kind == "power":
                z = scaled(values, own_centre, own_scale)
                exponent[j] = likely_exponent(z, shares)
            else:
                inverse_limit[j] = 1.0 / CLIP_AT
            centre[j], scale[j] = own_centre, own_scale
        if kind == "power":
            return cls(centre, scale, exponent, inverse_limit)
        seen = X[rows].astype(np.float64)
        ends = seen.min(axis=0), seen.max(axis=0)
        return cls(centre, scale, exponent, inverse_limit, *ends)

    @property
    def changes(self) -> np.ndarray:
        """Whether each column is changed inside of its range."""
        return (self.exponent != 1.0) | (self.inverse_limit > 0.0)

    @property
    def n_changed(self) -> int:
        """Number of columns that do not stay as they are."""
        return int(np.count_nonzero(self.changes))

    def attributes(self) -> dict[str, np.ndarray]:
        """The parameters by name, from which the transform can be made again."""
        return {name: own for name, own in vars(self).items() if own is not None}

    def __call__(self, X: np.ndarray | sparse.csr_array) -> np.ndarray:
        """Transform the columns of inputs, which become dense and float64."""
        dense = X if isinstance(X, np.ndarray) else X.toarray()
        values, j = np.array(dense, dtype=np.float64), self.changes
        if self.lowest is not None:
            np.clip(values, self.lowest, self.highest, out=values)
        z = scaled(values[:, j], self.centre[j], self.scale[j])
        z = yeo_johnson(z, self.exponent[j])
        z /= np.hypot(1.0, z * self.inverse_limit[j])
        values[:, j] = self.centre[j] + self.scale[j] * z
        return values


def scaled(
    values: np.ndarray, centre: np.ndarray | float, scale: np.ndarray | float
) -> np.ndarray:
    """Distances from the centre, which end far out, so that no square overflows."""
    most = np.exp(LARGEST_LOG)
    with np.errstate(over="ignore"):
        return np.clip((values - centre) / scale, -most, most)


def yeo_johnson(z: np.ndarray, exponent: np.ndarray | float) -> np.ndarray:
    """The function of Yeo and Johnson, whose derivative at zero is one."""
    above = _power(np.maximum(z, 0.0), np.asarray(exponent))
    return above - _power(np.maximum(-z, 0.0), 2.0 - np.asarray(exponent))


def _power(z: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """``((1 + z)**exponent - 1) / exponent``, and its limit for the exponent zero."""
    log, divisor = np.log1p(z), np.where(exponent == 0.0, 1.0, exponent)
    grown = np.expm1(np.minimum(exponent * log, LARGEST_LOG))
    return np.where(exponent == 0.0, log, grown / divisor)


def likely_exponent(z: np.ndarray, share: np.ndarray) -> float:
    """The exponent after which the values are most likely normally distributed."""
    slope = share @ (np.sign(z) * np.log1p(np.abs(z)))

    def cost(exponent: float) -> float:
        own = yeo_johnson(z, exponent)
        variance = share @ np.square(own - share @ own)
        return float(0.5 * np.log(variance) - (exponent - 1.0) * slope)

    found = minimize_scalar(cost, bounds=EXPONENTS, method="bounded")
    return float(np.round(found.x, DIGITS)) + 0.0


def median_and_spread(values: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Median of the sorted values, and a standard deviation that outliers leave alone.

    It is the distance of two quantiles, or of two further apart if many values are
    equal; if nine of ten are, it is the standard deviation itself.
    """
    total = np.cumsum(share)

    def quantiles(*at: float) -> np.ndarray:
        # Sums that differ from `at` by rounding only count as equal.
        index = np.searchsorted(total, np.asarray(at) - ROUNDING)
        return values[np.minimum(index, len(values) - 1)]

    median = float(quantiles(0.5)[0])
    for below, normal in SPREADS:
        low, high = quantiles(below, 1.0 - below)
        if high > low:
            return median, float((high - low) / normal)
    return median, float(np.sqrt(share @ np.square(values - share @ values)))
