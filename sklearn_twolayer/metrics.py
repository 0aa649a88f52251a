"""Comparison of fitted directions with the true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sklearn_twolayer._checks.data import check_numbers
from sklearn_twolayer._checks.parameters import check_real

__all__ = ["DirectionMatch", "match_directions"]


@dataclass(frozen=True, eq=False)
class DirectionMatch:
    """Which feature goes with which true direction, and how far apart they are.

    Parameters
    ----------
    indices : ndarray of shape (n_true_directions,)
        Feature matched to each true direction; -1 where there are too few features.
    angles : ndarray of shape (n_true_directions,)
        Angle between the lines of the pair, in radians, in [0, pi/2]; pi/2 where
        there are too few features.
    n_missed : int
        True directions without a feature within `max_angle`.
    n_spurious : int
        Features that no true direction within `max_angle` is matched to.
    """

    indices: np.ndarray
    angles: np.ndarray
    n_missed: int
    n_spurious: int


def match_directions(
    features: object, true_directions: object, *, max_angle: float = 0.2
) -> DirectionMatch:
    """Match features to true directions, one to one.

    The matching maximises the sum of ``|cos|`` over the pairs [1]_. Directions are
    lines: their sign and length do not matter.

    Parameters
    ----------
    features : array-like of shape (n_features_out, n_features_in)
        Directions found, for example `features_` of a fitted estimator; may be empty.
    true_directions : array-like of shape (n_true_directions, n_features_in)
        Directions to be found.
    max_angle : float, default=0.2
        Pairs further apart than this, in radians, count as one missed and one
        spurious direction. In [0, pi/2].

    Returns
    -------
    match : DirectionMatch
        Indices and angles of the pairs, number missed and number spurious.

    Raises
    ------
    ValueError
        If the shapes do not agree or a direction is zero.

    Notes
    -----
    The angle between unit vectors with ``u . v >= 0`` is computed as ``2 atan2(||u -
    v||, ||u + v||)``, which is accurate for small angles [2]_, where the arc cosine
    of a dot product is not.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval
       Research Logistics Quarterly 2, 1955.
    .. [2] W. Kahan, "How Futile are Mindless Assessments of Roundoff in
       Floating-Point Computation?", 2006, section 12.

    Examples
    --------
    >>> from sklearn_twolayer.metrics import match_directions
    >>> match = match_directions([[0.0, -2.0], [1.0, 1.0]], [[0.0, 1.0]])
    >>> match.indices, match.angles, match.n_missed, match.n_spurious
    (array([0]), array([0.]), 0, 1)
    """
    true = _unit_directions(true_directions, "true_directions")
    found = _unit_directions(features, "features", n_columns=true.shape[1])
    max_angle = check_real("max_angle", max_angle, min_val=0.0, max_val=math.pi / 2)
    cosines = true @ found.T
    rows, columns = linear_sum_assignment(-np.abs(cosines))
    indices = np.full(len(true), -1)
    angles = np.full(len(true), np.pi / 2)
    indices[rows] = columns
    signs = np.where(cosines[rows, columns] < 0, -1.0, 1.0)[:, None]
    pairs, partners = true[rows], found[columns] * signs
    angles[rows] = 2 * np.arctan2(
        np.linalg.norm(pairs - partners, axis=1),
        np.linalg.norm(pairs + partners, axis=1),
    )
    n_missed = int(((angles > max_angle) | (indices < 0)).sum())
    return DirectionMatch(
        indices=indices,
        angles=angles,
        n_missed=n_missed,
        n_spurious=len(found) - (len(true) - n_missed),
    )


def _unit_directions(
    directions: object, name: str, n_columns: int | None = None
) -> np.ndarray:
    checked = check_numbers(name, directions, ensure_min_samples=0)
    if n_columns is not None and checked.shape[1] != n_columns:
        raise ValueError(
            f"{name} has {checked.shape[1]} columns, true_directions has {n_columns}."
        )
    # Dividing by the largest entry first avoids overflow and underflow of the norm.
    largest = np.abs(checked).max(axis=1, initial=0.0, keepdims=True)
    if (largest == 0).any():
        raise ValueError(f"{name} has a row of zeros, which is no direction.")
    scaled = checked / largest
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
