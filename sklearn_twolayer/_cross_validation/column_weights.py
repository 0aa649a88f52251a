"""Weights of the columns of ``X`` by what an earlier network makes of them.

With weights in proportion to the importances of the columns, a loading ``w_jk`` costs
``lambda / 2 (w_jk / weight_k)^2``: this is the adaptive ridge of theory eq. (28), which
finds directions of few columns among many.
"""

from __future__ import annotations

import numpy as np

# Columns below this weight are left out: they explain less than a ten-thousandth of
# what the most important one does (convention).
LEAST_WEIGHT = 0.01
# Times that weights are computed anew, at most (convention). The held-out error seldom
# falls after the third.
MOST_REWEIGHTINGS = 4


def column_weights(importances: np.ndarray) -> np.ndarray:
    """Weights of the columns; the largest is one, and all are if nothing matters."""
    largest = importances.max(initial=0.0)
    if largest == 0.0:
        return np.ones(len(importances))
    weights = importances / largest
    return np.where(weights < LEAST_WEIGHT, 0.0, weights)
