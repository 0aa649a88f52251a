"""Two-layer networks that recover the directions the data depend on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sklearn_twolayer._estimators.classifier import RegularizedTwoLayerClassifier
from sklearn_twolayer._estimators.classifier_cv import RegularizedTwoLayerClassifierCV
from sklearn_twolayer._estimators.regressor import RegularizedTwoLayerRegressor
from sklearn_twolayer._estimators.regressor_cv import RegularizedTwoLayerRegressorCV
from sklearn_twolayer._estimators.stop_validation import stop_validation_curve
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
    "RegularizedTwoLayerClassifier",
    "RegularizedTwoLayerClassifierCV",
    "RegularizedTwoLayerRegressor",
    "RegularizedTwoLayerRegressorCV",
    "StagedSchedule",
    "TwoLayerPath",
    "stop_validation_curve",
    "two_layer_path",
]

# Public classes are pickled by their public names, so that private files can move.
for _public in (
    ConstantSchedule,
    FittedNetwork,
    GeometricSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
):
    # Early pickles of 0.1.0.dev0 name the files that held the classes at the time.
    _early = f"{__name__}._{_public.__module__.rpartition('.')[2]}"
    if _public.__module__ != __name__:
        sys.modules[_early] = sys.modules[_public.__module__]
    _public.__module__ = __name__


def __getattr__(name: str) -> object:
    """Import what needs torch only when it is asked for."""
    if name in ("TwoLayerPath", "two_layer_path"):
        from sklearn_twolayer._estimators import two_layer_path as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
