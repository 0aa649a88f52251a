"""Inspection of fitted networks: directions, their errors, and displays."""

from sklearn_twolayer.inspection._active_subspace import (
    ActiveSubspace,
    active_subspace,
)
from sklearn_twolayer.inspection._count import DirectionCount, count_directions
from sklearn_twolayer.inspection._direction_errors import direction_errors
from sklearn_twolayer.inspection._direction_pvalue import direction_pvalue
from sklearn_twolayer.inspection._error_record import DirectionErrors
from sklearn_twolayer.inspection._path_display import TwoLayerPathDisplay
from sklearn_twolayer.inspection._prediction_errors import (
    PredictionErrors,
    prediction_errors,
)
from sklearn_twolayer.inspection._ridge_display import RidgeFunctionDisplay
from sklearn_twolayer.inspection._stability import direction_stability
from sklearn_twolayer.inspection._stability_record import DirectionStability
from sklearn_twolayer.inspection._subspace_display import ActiveSubspaceDisplay

__all__ = [
    "ActiveSubspace",
    "ActiveSubspaceDisplay",
    "DirectionCount",
    "DirectionErrors",
    "DirectionStability",
    "PredictionErrors",
    "RidgeFunctionDisplay",
    "TwoLayerPathDisplay",
    "active_subspace",
    "count_directions",
    "direction_errors",
    "direction_pvalue",
    "direction_stability",
    "prediction_errors",
]
