"""Inspection of fitted networks: directions, their errors, and displays."""

from sklearn_twolayer.inspection._active_subspace import (
    ActiveSubspace,
    active_subspace,
)
from sklearn_twolayer.inspection._direction_errors import direction_errors
from sklearn_twolayer.inspection._error_record import DirectionErrors
from sklearn_twolayer.inspection._path_display import TwoLayerPathDisplay
from sklearn_twolayer.inspection._ridge_display import RidgeFunctionDisplay

__all__ = [
    "ActiveSubspace",
    "DirectionErrors",
    "RidgeFunctionDisplay",
    "TwoLayerPathDisplay",
    "active_subspace",
    "direction_errors",
]
