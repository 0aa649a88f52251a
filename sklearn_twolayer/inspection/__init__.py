"""Inspection of fitted networks: displays, and standard errors of the directions."""

from sklearn_twolayer.inspection._direction_errors import direction_errors
from sklearn_twolayer.inspection._error_record import DirectionErrors
from sklearn_twolayer.inspection._path_display import TwoLayerPathDisplay
from sklearn_twolayer.inspection._ridge_display import RidgeFunctionDisplay

__all__ = [
    "DirectionErrors",
    "RidgeFunctionDisplay",
    "TwoLayerPathDisplay",
    "direction_errors",
]
