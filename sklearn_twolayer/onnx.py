"""Conversion of fitted estimators to ONNX graphs by skl2onnx (extra ``onnx``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from sklearn_twolayer._checks.losses import COUNTS
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._estimators.classifier import RegularizedTwoLayerClassifier
from sklearn_twolayer._estimators.classifier_cv import RegularizedTwoLayerClassifierCV
from sklearn_twolayer._estimators.regressor import RegularizedTwoLayerRegressor
from sklearn_twolayer._estimators.regressor_cv import RegularizedTwoLayerRegressorCV

if TYPE_CHECKING:
    from skl2onnx.algebra.onnx_operator import OnnxOperator
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope, Variable

    from sklearn_twolayer._rows.column_transform import ColumnTransform

__all__ = ["register_onnx_converters"]

ESTIMATORS = (RegularizedTwoLayerRegressor, RegularizedTwoLayerRegressorCV)
CLASSIFIERS = (RegularizedTwoLayerClassifier, RegularizedTwoLayerClassifierCV)
# Numbers of this size differ from the root of one plus their square by rounding only.
FARTHEST = 1e8
# Operators that skl2onnx adds after predictions, too, to convert their type.
CONVERSIONS = ("SklearnCast", "SklearnIdentity")
# The same after classes: dictionaries or columns of their probabilities.
OF_CLASSES = (*CONVERSIONS, "SklearnZipMap", "SklearnZipMapColumns")


def register_onnx_converters() -> None:
    """Make skl2onnx convert this package's estimators.

    Afterwards `skl2onnx.to_onnx` takes them alone or inside other estimators. What
    scikit-learn would call is exported: `predict` of an estimator alone, in an ensemble
    or as the last step of a :class:`~sklearn.pipeline.Pipeline`; `transform` of an
    earlier step and inside a :class:`~sklearn.pipeline.FeatureUnion` or
    :class:`~sklearn.compose.ColumnTransformer`. Classifiers have classes, integers or
    text, and their probabilities as outputs, and cannot be earlier steps. Graphs
    compute in the precision of their inputs: only with double inputs are the results
    equal to those of the estimator, and then classifiers need ``options={"zipmap":
    False}``, because dictionaries of probabilities are single. Calling this twice does
    no harm.

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
        from skl2onnx import update_registered_converter, update_registered_parser
    except ImportError as error:
        raise ImportError(
            "register_onnx_converters needs skl2onnx: "
            "python -m pip install 'sklearn-twolayer[onnx]'."
        ) from error
    for kind in ESTIMATORS:
        update_registered_converter(
            kind, f"SklearnTwolayer{kind.__name__}", _shape, _convert, overwrite=True
        )
    for classifier in CLASSIFIERS:
        update_registered_converter(
            classifier,
            f"SklearnTwolayer{classifier.__name__}",
            _shape_classes,
            _convert_classes,
            overwrite=True,
            options={"zipmap": [True, False, "columns"], "nocl": [True, False]},
        )
    update_registered_parser(ColumnTransformer, _parse_column_transformer)


def _parse_column_transformer(
    scope: Scope,
    model: ColumnTransformer,
    inputs: list[Variable],
    custom_parsers: dict[type, Any] | None = None,
) -> list[Variable]:
    """Let another operator read the output of each network, as `_is_read` expects.

    Of more than one transformer, skl2onnx joins the outputs anyway.
    """
    from skl2onnx._parse import build_sklearn_parsers_map

    for _, step, _ in model.transformers_:
        while isinstance(step, Pipeline):
            step = step.steps[-1][1]
        if isinstance(_chosen(step), CLASSIFIERS):
            _refuse_step(_chosen(step))
    parse = build_sklearn_parsers_map()[ColumnTransformer]
    outputs = parse(scope, model, inputs, custom_parsers=custom_parsers)
    writers = [writer for output in outputs for writer in output.operators_outputs_]
    if not any(isinstance(_chosen(one.raw_operator), ESTIMATORS) for one in writers):
        return outputs
    joined = scope.declare_local_operator("SklearnConcat")
    joined.inputs = outputs
    kind = type(outputs[0].type)
    joined.outputs.append(scope.declare_local_variable("transformed", kind()))
    return joined.outputs


def _chosen(model: object) -> object:
    """The estimator that a search has chosen; another model itself."""
    return getattr(model, "best_estimator_", model)


def _refuse_step(model: object) -> NoReturn:
    raise ValueError(
        f"{type(model).__name__} cannot be exported as a step that transforms: only "
        "its classes and probabilities can. Put a regressor in its place."
    )


def _is_read(operator: Operator) -> bool:
    """Whether another operator reads the output, which is then that of `transform`.

    Ensembles read the predictions of their estimators by nodes of the graph. A search
    has an operator of its own, whose output counts.
    """
    outer = [
        other
        for other in operator.scope_inst.operators.values()
        if _chosen(other.raw_operator) is operator.raw_operator
    ]
    read = [
        output
        for one in [operator, *outer]
        for output in one.outputs
        if any(reader.type not in CONVERSIONS for reader in output.operators_inputs_)
    ]
    if any(output.is_leaf for output in read):
        raise ValueError(
            f"{type(operator.raw_operator).__name__} cannot be exported in a search "
            "that is not the last step, because skl2onnx makes the output of the step "
            "an output of the graph: put best_estimator_ of the search in its place."
        )
    return bool(read)


def _shape(operator: Operator) -> None:
    """Declare type and shape of the output, in the precision of the inputs."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    model, source = operator.raw_operator, operator.inputs[0].type
    kind = DoubleTensorType if isinstance(source, DoubleTensorType) else FloatTensorType
    n_columns = len(np.atleast_1d(model.linear_intercept_))
    if _is_read(operator):
        n_columns = model._n_features_out
        if n_columns == 0:
            raise ValueError(
                f"{type(model).__name__} cannot be exported as a step that transforms: "
                "it has found no features, so that it has no output columns. Leave the "
                "step out."
            )
    n_rows = next(iter(source.shape or []), None)
    operator.outputs[0].type = kind([n_rows, n_columns])


def _convert(
    scope: Scope, operator: Operator, container: ModelComponentContainer
) -> None:
    """Add predictions, or features where these are read, to the graph."""
    from skl2onnx.algebra.onnx_ops import OnnxCast, OnnxExp, OnnxIdentity
    from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type

    model, target = operator.raw_operator, operator.outputs[0]
    version = container.target_opset
    dtype = np.float64 if isinstance(target.type, DoubleTensorType) else np.float32
    X = OnnxCast(
        operator.inputs[0], to=guess_proto_type(target.type), op_version=version
    )
    transform = model._fitted_network().column_transform
    if transform is not None:
        X = _transformed(transform, X, dtype, version)
    if _is_read(operator) and model.feature_output == "terms":
        result = _terms(model, X, dtype, version)
    elif _is_read(operator):
        result = _hidden(model, X, dtype, version, model.feature_output)
    else:
        result = _prediction(model, X, dtype, version)
        if str(model.loss) == COUNTS:
            result = OnnxExp(result, op_version=version)
    result = OnnxIdentity(result, op_version=version, output_names=[target.full_name])
    result.add_to(scope, container)


def _shape_classes(operator: Operator) -> None:
    """Declare the types of classes and probabilities."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    model, source = operator.raw_operator, operator.inputs[0].type
    label, probabilities = operator.outputs
    if any(one.type not in OF_CLASSES for one in label.operators_inputs_):
        _refuse_step(model)
    if model.classes_.dtype.kind not in "iubOUT":
        raise ValueError(
            f"{type(model).__name__} cannot be exported with classes of dtype "
            f"{model.classes_.dtype}: fit it to integers or text."
        )
    n_rows = next(iter(source.shape or []), None)
    kind = DoubleTensorType if isinstance(source, DoubleTensorType) else FloatTensorType
    is_number = model.classes_.dtype.kind in "iub"
    label.type = (Int64TensorType if is_number else StringTensorType)([n_rows])
    probabilities.type = kind([n_rows, len(model.classes_)])


def _convert_classes(
    scope: Scope, operator: Operator, container: ModelComponentContainer
) -> None:
    """Add the most probable class and the probabilities to the graph."""
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type

    model, (label, probabilities) = operator.raw_operator, operator.outputs
    version, kind = container.target_opset, probabilities.type
    dtype = np.float64 if isinstance(kind, DoubleTensorType) else np.float32
    source = operator.inputs[0]
    X = ops.OnnxCast(source, to=guess_proto_type(kind), op_version=version)
    scores = _prediction(model, X, dtype, version)
    if len(model.classes_) == 2:  # Half the odds are the difference of the scores.
        half = np.array([[-0.5, 0.5]], dtype)
        scores = ops.OnnxMul(scores, half, op_version=version)
    share = ops.OnnxSoftmax(scores, axis=1, op_version=version)
    number = ops.OnnxArgMax(scores, axis=1, keepdims=0, op_version=version)
    is_number = model.classes_.dtype.kind in "iub"
    classes = model.classes_.astype(np.int64 if is_number else np.str_)
    chosen = ops.OnnxArrayFeatureExtractor(classes, number, op_version=version)
    shape = np.array([-1], np.int64)
    chosen = ops.OnnxReshape(
        chosen, shape, op_version=version, output_names=[label.full_name]
    )
    share = ops.OnnxIdentity(
        share, op_version=version, output_names=[probabilities.full_name]
    )
    chosen.add_to(scope, container)
    share.add_to(scope, container)


def _transformed(
    transform: ColumnTransform, X: OnnxOperator, dtype: type, version: int
) -> OnnxOperator:
    """The nodes of the transform of the columns; those that stay are passed on."""
    from skl2onnx.algebra import onnx_ops as ops

    arrays: dict[str, np.ndarray] = {
        name: values.astype(dtype) for name, values in transform.attributes().items()
    }
    centre, scale, exponent = arrays["centre"], arrays["scale"], arrays["exponent"]
    one: np.ndarray = np.ones(1, dtype)
    most: np.ndarray = np.full(1, FARTHEST, dtype)

    def apply(name: str, *inputs: object) -> OnnxOperator:
        return getattr(ops, f"Onnx{name}")(*inputs, op_version=version)

    def power(z: OnnxOperator, exponent: np.ndarray) -> OnnxOperator:
        is_zero = exponent == 0.0
        log = apply("Log", apply("Add", z, one))
        grown = apply("Sub", apply("Exp", apply("Mul", log, exponent)), one)
        divided = apply("Div", grown, np.where(is_zero, one, exponent))
        return apply("Where", is_zero, log, divided)

    if transform.lowest is not None:
        X = apply("Min", apply("Max", X, arrays["lowest"]), arrays["highest"])
    z = apply("Div", apply("Sub", X, centre), scale)
    above = power(apply("Relu", z), exponent)
    below = power(apply("Relu", apply("Neg", z)), 2.0 - exponent)
    z = apply("Where", exponent != 1.0, apply("Sub", above, below), z)
    is_clipped = arrays["inverse_limit"] > 0.0
    limit = one / np.where(is_clipped, arrays["inverse_limit"], one)
    # Squares of numbers that are farther out could overflow.
    near = apply("Max", apply("Min", apply("Div", z, limit), most), -most)
    length = apply("Sqrt", apply("Add", apply("Mul", near, near), one))
    clipped = apply("Mul", apply("Div", near, length), limit)
    z = apply("Where", is_clipped, clipped, z)
    changed = apply("Add", apply("Mul", z, scale), centre)
    return apply("Where", transform.changes, changed, X)


def _hidden(
    model: TwoLayerModel, X: OnnxOperator, dtype: type, version: int, kind: str
) -> OnnxOperator:
    """Projections of the inputs, or activations, by the ``kind``."""
    from skl2onnx.algebra.onnx_ops import OnnxAdd, OnnxMatMul, OnnxRelu

    projected = OnnxMatMul(X, model.features_.T.astype(dtype), op_version=version)
    biases = model.feature_intercepts_.astype(dtype)
    projected = OnnxAdd(projected, biases, op_version=version)
    if kind == "projection":
        return projected
    return OnnxRelu(projected, op_version=version)


def _prediction(
    model: TwoLayerModel, X: OnnxOperator, dtype: type, version: int
) -> OnnxOperator:
    """The nodes of `predict`: the linear part, and the hidden layer if any."""
    from skl2onnx.algebra.onnx_ops import OnnxAdd, OnnxMatMul

    outputs = _linear(model, X, dtype, version)
    if len(model.features_):
        hidden = _hidden(model, X, dtype, version, "activation")
        amplitudes = model.amplitudes_.reshape(len(model.features_), -1).astype(dtype)
        own = OnnxMatMul(hidden, amplitudes, op_version=version)
        outputs = OnnxAdd(outputs, own, op_version=version)
    return outputs


def _linear(
    model: TwoLayerModel, X: OnnxOperator, dtype: type, version: int
) -> OnnxOperator:
    """The linear part with its constant, one column for each target."""
    from skl2onnx.algebra.onnx_ops import OnnxAdd, OnnxMatMul

    coef: np.ndarray = np.atleast_2d(model.linear_coef_).T.astype(dtype)
    intercept: np.ndarray = np.atleast_1d(model.linear_intercept_).astype(dtype)
    outputs = OnnxMatMul(X, coef, op_version=version)
    return OnnxAdd(outputs, intercept, op_version=version)


def _terms(
    model: TwoLayerModel, X: OnnxOperator, dtype: type, version: int
) -> OnnxOperator:
    """The linear part, then what each feature adds."""
    from skl2onnx.algebra.onnx_ops import OnnxConcat, OnnxMul

    linear = _linear(model, X, dtype, version)
    if len(model.features_) == 0:
        return linear
    sizes: np.ndarray = model._fitted_network().feature_sizes().astype(dtype)
    hidden = _hidden(model, X, dtype, version, "activation")
    own = OnnxMul(hidden, sizes, op_version=version)
    return OnnxConcat(linear, own, axis=1, op_version=version)
