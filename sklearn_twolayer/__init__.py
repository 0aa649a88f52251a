"""Two-layer networks that recover the directions the data depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_twolayer._estimators.regressor import RegularizedTwoLayerRegressor
from sklearn_twolayer._estimators.regressor_cv import RegularizedTwoLayerRegressorCV
from sklearn_twolayer._options.schedule import (
    ConstantSchedule,
    GeometricSchedule,
    StagedSchedule,
)
from sklearn_twolayer._rows.units import FittedNetwork

if TYPE_CHECKING:
    from sklearn_twolayer._estimators.two_layer_path import TwoLayerPath, two_layer_path

__version__ = "0.1.0.dev0"

__all__ = [
    "ConstantSchedule",
    "FittedNetwork",
    "GeometricSchedule",
    "RegularizedTwoLayerRegressor",
    "RegularizedTwoLayerRegressorCV",
    "StagedSchedule",
    "TwoLayerPath",
    "two_layer_path",
]


def __getattr__(name: str) -> object:
    """Import what needs torch only when it is asked for."""
    if name in ("TwoLayerPath", "two_layer_path"):
        from sklearn_twolayer._estimators import two_layer_path as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
