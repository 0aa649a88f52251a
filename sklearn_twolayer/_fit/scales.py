"""What a fit hands to its report: units of decays, losses and masses; attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Fitted attributes of an estimator by their names.
Attributes = dict[str, float | np.ndarray]


@dataclass(frozen=True)
class Scales:
    """What decays, losses and masses of a fit are multiplied by for the user."""

    decay: float = 1.0
    loss: float = 1.0
    mass: float = 1.0
