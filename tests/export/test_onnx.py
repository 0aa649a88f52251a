"""ONNX graphs give what the estimators and everything around them give."""

import warnings

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_twolayer import (
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer.onnx import register_onnx_converters

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    y = np.abs(X[:, 0] + X[:, 1]) + 0.3 * X[:, 2] + 0.1 * rng.standard_normal(200)
    return X, y, np.column_stack([y, np.abs(X[:, 3])])


def quick(**parameters):
    return RegularizedTwoLayerRegressor(
        schedule=StagedSchedule([0.3]), solver="fast", random_state=0, **parameters
    )


def computed(model, X, **options):
    """What the graph of the fitted model gives."""
    register_onnx_converters()
    register_onnx_converters()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converting packages themselves
        graph = skl2onnx.to_onnx(model, X[:1], **options)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {"X": X})  # exactly one output
    return result


def is_exported(model, X, y):
    model.fit(X, y)
    expected = model.predict(X) if hasattr(model, "predict") else model.transform(X)
    expected = expected.reshape(len(X), -1)
    result = computed(model, X).reshape(len(X), -1)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    single = computed(model, X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(
        single.reshape(len(X), -1), expected, atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("linear", [False, True])
def test_predictions(data, n_targets, linear):
    X, y, two = data
    target = y if n_targets == 1 else two
    if linear:
        target = X @ np.ones((5, n_targets))
    is_exported(RegularizedTwoLayerRegressor(random_state=0), X, target)


def test_predictions_after_a_cast_to_declared_types(data):
    X, y, _ = data
    model = quick().fit(X, y)
    kind = skl2onnx.common.data_types.DoubleTensorType([None, 1])
    result = computed(model, X, final_types=[("value", kind)])
    np.testing.assert_allclose(result[:, 0], model.predict(X), atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), quick()),
        make_pipeline(quick(), Ridge()),
        make_pipeline(quick(feature_output="activation"), Ridge()),
        make_pipeline(quick(feature_output="terms"), Ridge()),
        make_pipeline(quick(), StandardScaler(), quick()),
        make_pipeline(quick(), FunctionTransformer()),
        make_pipeline(make_pipeline(StandardScaler(), quick()), Ridge()),
        make_pipeline(
            RegularizedTwoLayerRegressorCV(lambdas=3, cv=3, random_state=0), Ridge()
        ),
    ],
    ids=["last", "first", "activation", "terms", "twice", "transform", "nested", "cv"],
)
def test_steps_of_pipelines(data, model):
    is_exported(model, *data[:2])


@pytest.mark.parametrize(
    "model",
    [
        FeatureUnion([("a", quick())]),
        FeatureUnion(
            [("a", quick()), ("b", StandardScaler())], transformer_weights={"a": 2.0}
        ),
        ColumnTransformer([("a", quick(), [0, 1, 3])]),
        ColumnTransformer([("a", quick(), [0, 1, 2, 3, 4])]),
        ColumnTransformer([("a", quick(), [0, 1])], remainder="passthrough"),
        ColumnTransformer([("a", make_pipeline(StandardScaler(), quick()), [0, 1])]),
    ],
    ids=["union", "weights", "columns", "all", "remainder", "pipeline"],
)
@pytest.mark.parametrize("is_last", [True, False])
def test_unions_and_columns_are_transformed(data, model, is_last):
    is_exported(model if is_last else make_pipeline(model, Ridge()), *data[:2])


def test_columns_that_are_only_selected_do_not_make_a_transform(data):
    selected = ColumnTransformer([("a", "passthrough", [0, 1, 3])])
    is_exported(make_pipeline(selected, quick()), *data[:2])


@pytest.mark.parametrize(
    "model",
    [
        GridSearchCV(quick(), {"hidden_bias": [True, False]}, cv=2),
        GridSearchCV(make_pipeline(quick(), Ridge()), {}, cv=2),
        VotingRegressor([("a", quick()), ("b", make_pipeline(quick(), Ridge()))]),
        StackingRegressor(
            [("a", quick()), ("b", make_pipeline(quick(), Ridge()))], quick(), cv=2
        ),
        BaggingRegressor(quick(), n_estimators=2, random_state=0),
        AdaBoostRegressor(quick(), n_estimators=2, random_state=0),
        MultiOutputRegressor(make_pipeline(quick(), Ridge())),
        make_pipeline(SelectFromModel(quick()), quick()),
        make_pipeline(RFE(quick(), n_features_to_select=3), Ridge()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_inside_other_estimators(data, model):
    X, y, two = data
    is_exported(model, X, two if isinstance(model, MultiOutputRegressor) else y)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (TransformedTargetRegressor(quick()), "TransformedTargetRegressor"),
        (RegressorChain(quick()), "RegressorChain"),
        (RandomizedSearchCV(quick(), {"tol": [1e-3]}, n_iter=1), "RandomizedSearchCV"),
        (
            make_pipeline(GridSearchCV(quick(), {}, cv=2), Ridge()),
            "RegularizedTwoLayerRegressor cannot be exported in a search",
        ),
        (
            ColumnTransformer([("a", GridSearchCV(quick(), {}, cv=2), [0, 1])]),
            "put best_estimator_ of the search in its place",
        ),
    ],
)
def test_what_cannot_be_exported_is_named(data, model, message):
    X, y, two = data
    model.fit(X, two if isinstance(model, RegressorChain) else y)
    # skl2onnx itself has an error class of its own.
    with pytest.raises((ValueError, RuntimeError), match=message):
        computed(model, X)


@pytest.mark.filterwarnings("ignore::sklearn_twolayer.exceptions.NoFeaturesWarning")
def test_a_transform_without_features_is_refused(data):
    X, y, _ = data
    empty = RegularizedTwoLayerRegressor(schedule=StagedSchedule([1e3]), solver="fast")
    model = FeatureUnion([("a", empty), ("b", StandardScaler())]).fit(X, y)
    with pytest.raises(ValueError, match="has found no features"):
        computed(model, X)


@pytest.mark.parametrize("kind", ["power", "clip"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_transforms_of_columns(data, kind, in_pipeline):
    X, y, _ = data
    X = np.column_stack([np.sinh(X[:, :4]), X[:, 4] > 0.0])
    model = RegularizedTwoLayerRegressorCV(
        column_transform=kind, lambdas=4, eps=0.01, cv=2, random_state=0
    )
    if in_pipeline:
        is_exported(make_pipeline(model, Ridge()), X, y)
        return
    is_exported(model, X, y)
    # The limits of the powers, and values far out.
    model.column_transform_["exponent"][:3] = 0.0, 2.0, 1.0
    far = np.concatenate([X, 1e4 * X])
    result = computed(model, far).ravel()
    np.testing.assert_allclose(result, model.predict(far), rtol=1e-9, atol=1e-9)
    if kind == "clip":
        single = computed(model, 1e20 * X.astype(np.float32))
        assert np.isfinite(single).all()


@pytest.mark.parametrize("loss", ["poisson", "huber"])
def test_losses_have_their_link(loss, data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(loss=loss, random_state=0)
    is_exported(model, X, np.round(np.exp(y)) if loss == "poisson" else y)


def classes_of(X, names):
    return np.array(names)[np.digitize(np.abs(X[:, 0] + X[:, 1]), [0.8, 1.6])]


def computed_classes(model, X, zipmap=False):
    register_onnx_converters()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = skl2onnx.to_onnx(model, X[:1], options={"zipmap": zipmap})
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": X})


@pytest.mark.parametrize(
    "names",
    [["a", "b", "a"], ["low", "middle", "high"], [3, 1, 2], [True, False, True]],
    ids=["two of text", "three of text", "numbers", "truth values"],
)
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_classes_and_their_probabilities(names, in_pipeline, data):
    X = data[0]
    model = RegularizedTwoLayerClassifier(random_state=0, linear_decay=0.01)
    model = make_pipeline(StandardScaler(), model) if in_pipeline else model
    model.fit(X, classes_of(X, names))
    labels, probabilities = computed_classes(model, X)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-12)
    single, probabilities = computed_classes(model, X.astype(np.float32))
    assert probabilities.dtype == np.float32
    assert (single == labels).mean() > 0.99
    rows = computed_classes(model, X[:3].astype(np.float32), zipmap=True)[1]
    first = dict(zip(model.classes_.tolist(), model.predict_proba(X)[0], strict=True))
    assert rows[0] == pytest.approx(first, abs=1e-4)


@pytest.mark.slow
def test_classes_of_cross_validation_and_in_an_ensemble(data):
    X = data[0]
    y = classes_of(X, ["a", "b", "c"])
    cv = RegularizedTwoLayerClassifierCV(
        lambdas=2, cv=2, linear_decay=0.01, random_state=0
    )
    stack = StackingClassifier(
        [
            ("ours", RegularizedTwoLayerClassifier(linear_decay=0.01, random_state=0)),
            ("other", LogisticRegression()),
        ],
        cv=2,
    )
    for model in (cv, stack):
        model.fit(X, y)
        labels, probabilities = computed_classes(model, X)
        np.testing.assert_array_equal(labels, model.predict(X))
        np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-9)


def test_classifiers_that_transform_are_refused(data):
    X = data[0]
    y = classes_of(X, ["a", "b", "c"])
    model = RegularizedTwoLayerClassifier(linear_decay=0.01, random_state=0)
    for step in (model, ColumnTransformer([("ours", model, [0, 1, 2, 3, 4])])):
        outer = make_pipeline(step, LogisticRegression()).fit(X, y)
        with pytest.raises(ValueError, match=r"RegularizedTwoLayerClassifier.*step"):
            computed_classes(outer, X)
    of_floats = model.fit(X, classes_of(X, [0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="dtype float64"):
        computed_classes(of_floats, X)
