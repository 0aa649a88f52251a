"""Conversion of fitted estimators to ONNX graphs by skl2onnx (extra ``onnx``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._estimators.regressor import RegularizedTwoLayerRegressor
from sklearn_twolayer._estimators.regressor_cv import RegularizedTwoLayerRegressorCV

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

__all__ = ["register_onnx_converters"]


def register_onnx_converters() -> None:
    """Make skl2onnx convert the predictions of this package's estimators.

    Afterwards `skl2onnx.to_onnx` takes them alone or as the last step of a Pipeline.
    Graphs compute in the precision of their inputs: only with double inputs are the
    predictions equal to those of the estimator. Calling this twice does no harm.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.onnx import register_onnx_converters
    >>> X, y = make_two_layer_regression(200, 3, n_directions=1, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> graph = skl2onnx.to_onnx(model, X)  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "register_onnx_converters needs skl2onnx: "
            "python -m pip install 'sklearn-twolayer[onnx]'."
        ) from error
    for kind in (RegularizedTwoLayerRegressor, RegularizedTwoLayerRegressorCV):
        update_registered_converter(
            kind, f"SklearnTwolayer{kind.__name__}", _shape, _convert, overwrite=True
        )


def _shape(operator: Operator) -> None:
    """Declare type and shape of the predictions, in the precision of the inputs."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    source = operator.inputs[0].type
    kind = DoubleTensorType if isinstance(source, DoubleTensorType) else FloatTensorType
    n_outputs = len(np.atleast_1d(operator.raw_operator.linear_intercept_))
    operator.outputs[0].type = kind([source.shape[0], n_outputs])


def _convert(
    scope: Scope, operator: Operator, container: ModelComponentContainer
) -> None:
    """Add the network to the graph: the linear part, and the hidden layer if any."""
    from skl2onnx.algebra.onnx_ops import (
        OnnxAdd,
        OnnxCast,
        OnnxMatMul,
        OnnxRelu,
    )
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        guess_proto_type,
    )

    model, X = operator.raw_operator, operator.inputs[0]
    target = operator.outputs[0]
    double = isinstance(target.type, DoubleTensorType)
    dtype = np.float64 if double else np.float32
    version = container.target_opset
    X = OnnxCast(X, to=guess_proto_type(target.type), op_version=version)
    coef = np.atleast_2d(model.linear_coef_).T.astype(dtype)
    intercept = np.atleast_1d(model.linear_intercept_).astype(dtype)
    outputs = OnnxMatMul(X, coef, op_version=version)
    if len(model.features_):
        hidden = OnnxMatMul(X, model.features_.T.astype(dtype), op_version=version)
        biases = model.feature_intercepts_.astype(dtype)
        hidden = OnnxRelu(
            OnnxAdd(hidden, biases, op_version=version), op_version=version
        )
        amplitudes = model.amplitudes_.reshape(len(model.features_), -1).astype(dtype)
        own = OnnxMatMul(hidden, amplitudes, op_version=version)
        outputs = OnnxAdd(outputs, own, op_version=version)
    result = OnnxAdd(
        outputs, intercept, op_version=version, output_names=[target.full_name]
    )
    result.add_to(scope, container)
