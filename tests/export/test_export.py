"""Summaries, torch modules, ONNX graphs and JSON."""

import copy
import json
import pickle
import re
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_twolayer
from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer.datasets import make_two_layer_regression

NAMES = ["age", "income", "size", "a column with a very long name indeed"]


@pytest.fixture(params=["one target", "two targets", "linear"], scope="module")
def data(request):
    n_targets = 2 if request.param == "two targets" else 1
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, n_targets=n_targets, noise=0.3, random_state=0
    )
    if request.param == "linear":
        y = X @ [1.0, 2.0, 3.0, 4.0]
    return X, y, RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


def columns_of(line):
    return line.split()


def lines_of_features(text):
    """The words of the line of each feature, by its number."""
    table = text.split("largest loadings")[1].split("\n\n")[0].splitlines()[1:]
    rows = [columns_of(line) for line in table]
    return {int(row[0].strip("~")): row for row in rows}


def test_summary_tells_the_fit(data):
    X, _, model = data
    text = model.summary()
    assert f"{len(model.features_)} of 4 inputs" in text
    assert f"{model.lambda_max_:.4g}" in text
    # The network was fitted without decay.
    assert "certificate" not in text
    assert "gap" not in text
    if len(model.features_) == 0:
        assert text.endswith("No features: the fitted model is linear.")
        assert "100.0%" in model.summary(X)
        return
    table = lines_of_features(text)
    assert sorted(table) == list(range(len(model.features_)))
    for j, row in table.items():
        weights = model.features_[j] * X.std(axis=0)
        loadings = weights / np.linalg.norm(weights)
        largest = np.argmax(np.abs(loadings))
        assert float(row[1]) == pytest.approx(
            np.linalg.norm(model.amplitudes_[j]) * np.linalg.norm(weights), rel=1e-3
        )
        assert row[2:4] == [f"x{largest}", f"{np.abs(loadings[largest]):+.3f}"]


def test_summary_of_a_decay_that_was_kept(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(
        schedule=GeometricSchedule(stop=0.1), solver="fast", random_state=0
    )
    text = model.fit(X, y).summary()
    for value in (f"{model.lambda_:.4g}", f"{model.certificate_:.4f}"):
        assert value in text
    assert "certificate" not in model.set_params(debias=True).fit(X, y).summary()


def test_loadings_are_of_standardised_inputs_or_raw_on_request():
    """A column in small units does not look like the whole direction."""
    X, y = make_two_layer_regression(500, 3, n_directions=2, random_state=0)
    units = np.array([1.0, 1e-4, 1e3])
    plain = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    scaled = RegularizedTwoLayerRegressor(random_state=0).fit(X * units, y)
    np.testing.assert_allclose(scaled.feature_scales_, X.std(axis=0) * units)
    first, second = (
        {" ".join(row[3:]) for row in lines_of_features(model.summary()).values()}
        for model in (plain, scaled)
    )
    assert first == second
    raw = scaled.summary(loadings="raw")
    assert "units of the inputs" in raw
    assert all(row[2:4] == ["x1", "+1.000"] for row in lines_of_features(raw).values())
    with pytest.raises(ValueError, match="loadings must be one of"):
        scaled.summary(loadings="standardised")


def test_shares_of_more_columns_than_rows(rng):
    """A straight line through any rows does not hide the features."""
    X = rng.standard_normal((30, 40))
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, X[:, 0])
    model.features_ = np.eye(40)[:1]
    model.feature_intercepts_ = np.zeros(1)
    model.amplitudes_ = np.ones(1)
    model.linear_coef_ = -0.5 * np.eye(40)[0]
    (linear,) = [s for s in model.summary(X).splitlines() if "linear part" in s]
    assert float(linear.split()[-1].strip("%")) < 30


def test_early_models_show_raw_loadings_unless_they_get_inputs(data):
    X, _, model = data
    plain = model.to_dict()
    del plain["fitted"]["feature_scales_"]
    early = type(model).from_dict(plain)
    if len(model.features_) == 0:
        pytest.skip("no features")
    assert early.summary() == model.summary(loadings="raw")
    assert early.summary(X) == model.summary(X)


def test_scales_are_those_of_the_weighted_rows(rng):
    X = rng.standard_normal((200, 4)) * [1.0, 100.0, 1e-5, 1.0] + [0.0, 1e4, 1.0, 5.0]
    X[:, 3] = 5.0  # constant
    X = np.column_stack([X, -X[:, 1]])  # a copy
    weights = rng.exponential(size=200)
    y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(200)
    mean = np.average(X, axis=0, weights=weights)
    expected = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    for parameters in ({}, {"standardize": False}, {"linear_decay": 0.1}):
        model = RegularizedTwoLayerRegressor(random_state=0, **parameters)
        scales = model.fit(X, y, sample_weight=weights).feature_scales_
        np.testing.assert_allclose(scales, expected, rtol=1e-9, atol=1e-14)


def test_features_of_one_line_are_together_in_the_summary(rng):
    X = rng.standard_normal((1000, 3))
    kinks = np.maximum(X[:, :1] + [-1.0, 0.0, 1.0], 0.0) @ [2.0, -4.0, 2.0]
    y = kinks + 3 * np.abs(X[:, 1])
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    assert len(model.features_) == 4
    lines = model.summary().splitlines()
    marks = [line.strip()[:1] == "~" for line in lines]
    alone = next(j for j, w in enumerate(model.features_) if abs(w[1]) > 0.9)
    assert sum(marks) == 2 + 1  # two features, and what the mark means
    first = next(line for line in lines if line.split()[:1] == [str(alone)])
    assert "x1 +1.000" in first


def test_of_many_features_the_summary_tells_the_first(data, rng):
    X, _, model = data
    many = copy.deepcopy(model)
    many.features_ = rng.standard_normal((100, X.shape[1]))
    many.feature_intercepts_ = np.zeros(100)
    many.amplitudes_ = np.full((100, *model.amplitudes_.shape[1:]), 2.0)
    lines = many.summary(X).splitlines()
    marked = [line for line in lines if re.match(r" +~?\d+ ", line)]
    assert len(marked) == 30
    assert "70 more features, of smaller mass" in lines
    assert "more features" not in model.summary(X)


def test_shares_are_those_of_their_definition(data):
    """Independent of the signs of directions, not negative, and adding up to one."""
    X, _, model = data
    if len(model.features_) == 0:
        pytest.skip("no features")
    text = model.summary(X)
    (linear,) = [line for line in text.splitlines() if "linear part" in line]
    n_features = len(model.features_)
    table = lines_of_features(text)
    shown = [linear.split()[-1], *(table[j][2] for j in range(n_features))]
    shares = np.array([float(text.strip("%")) for text in shown]) / 100
    prediction = model.predict(X).reshape(len(X), -1)
    amplitudes = model.amplitudes_.reshape(n_features, -1)
    bends = []
    for projection in model.transform(X).T:
        # The bend of a neuron is half that of the absolute value of its projection.
        part = np.abs(projection) / 2
        bends.append(part - np.polyval(np.polyfit(projection, part, 1), projection))
    parts = [np.outer(bend, a) for bend, a in zip(bends, amplitudes, strict=True)]
    straight = prediction - sum(parts)
    np.testing.assert_allclose(
        LinearRegression().fit(X, straight).score(X, straight), 1
    )
    centred = prediction - prediction.mean(axis=0)
    covariances = [np.sum(part * centred) for part in [straight, *parts]]
    expected = np.abs(covariances) / np.abs(covariances).sum()
    np.testing.assert_allclose(shares, expected, atol=1e-3)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    "frame",
    [lambda X: pd.DataFrame(X, columns=NAMES), lambda X: pl.DataFrame(X, NAMES)],
)
def test_summary_names_the_columns(data, frame):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(random_state=0).fit(frame(X), y)
    text = model.summary(frame(X))
    if len(model.features_):
        assert "age " in text
        assert NAMES[-1] not in text  # shortened
        assert NAMES[-1][:20] in text


def test_html_links_to_the_documentation(data):
    html = data[2]._repr_html_()
    assert "sklearn_twolayer.RegularizedTwoLayerRegressor.html" in html


def test_torch_module_predicts_the_same_and_can_be_trained(data):
    X, _, model = data
    module = model.to_torch()
    with torch.no_grad():
        predictions = module(torch.from_numpy(X))
    np.testing.assert_allclose(predictions.numpy(), model.predict(X), atol=1e-12)
    with torch.no_grad():  # changing the module leaves the estimator alone
        module.linear_coef += 1.0
    assert not np.allclose(module.linear_coef.detach().numpy(), model.linear_coef_)
    module(torch.from_numpy(X)).sum().backward()
    assert module.linear_intercept.grad is not None
    assert module.float()(torch.from_numpy(X).float()).dtype == torch.float32


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, np.ndarray):
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and (first.astype(str) == second.astype(str)).all()
        )
    return type(first) is type(second) and str(first) == str(second)


@pytest.mark.parametrize(
    "model",
    [
        RegularizedTwoLayerRegressor(random_state=0),
        RegularizedTwoLayerRegressor(
            schedule=StagedSchedule([0.5, 0.1]), solver="fast", random_state=0
        ),
        RegularizedTwoLayerRegressor(
            schedule=GeometricSchedule(stop=0.1), solver="fast", device="cpu"
        ),
        RegularizedTwoLayerRegressorCV(lambdas=4, cv=3, random_state=0),
    ],
    ids=["default", "staged", "geometric", "cv"],
)
def test_json_brings_everything_back(data, model):
    X, y, _ = data
    model = model.fit(pd.DataFrame(X, columns=NAMES), y)
    text = json.dumps(model.to_dict(), allow_nan=False)
    restored = type(model).from_dict(json.loads(text))
    assert str(restored.get_params()) == str(model.get_params())
    assert vars(restored).keys() == vars(model).keys()
    for name, value in vars(model).items():
        if name.endswith("_"):
            assert same(value, vars(restored)[name]), name
    frame = pd.DataFrame(X, columns=NAMES)
    np.testing.assert_array_equal(restored.predict(frame), model.predict(frame))
    assert restored.summary() == model.summary()


def stored(*values):
    return {"array": list(values), "shape": [len(values)], "dtype": "float64"}


def changed(data, **changes):
    return {**data, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "text", "made by to_dict"),
        (lambda d: changed(d, format="pickle"), "made by to_dict"),
        (lambda d: changed(d, version=99), "version 99"),
        (lambda d: changed(d, **{"class": "object"}), "describes a 'object'"),
        (lambda d: changed(d, fitted=3), "must have dictionaries"),
        (lambda d: changed(d, parameters={"no_such": 1}), "not known"),
        (lambda d: changed(d, fitted={"__class__": 1}), "not known"),
        (lambda d: changed(d, fitted={"predict": 1}), "not known"),
        (lambda d: changed(d, fitted={}), "lacks a part"),
        (
            lambda d: changed(d, fitted={**d["fitted"], "n_features_in_": 7}),
            "do not fit together",
        ),
        (
            lambda d: changed(
                d, fitted={**d["fitted"], "linear_coef_": {"array": [1]}}
            ),
            "linear_coef_ that cannot be read",
        ),
        (
            lambda d: changed(
                d, parameters={"schedule": {"schedule": "os", "parameters": {}}}
            ),
            "schedule that cannot be read",
        ),
        (
            lambda d: changed(
                d,
                fitted={
                    **d["fitted"],
                    "linear_coef_": {"array": ["x"], "shape": [1], "dtype": "object"},
                },
            ),
            "linear_coef_ that cannot be read",
        ),
    ],
)
def test_json_of_something_else_is_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        RegularizedTwoLayerRegressor.from_dict(change(data[2].to_dict()))


@pytest.fixture(scope="module")
def clipped():
    X, y = make_two_layer_regression(60, 3, n_directions=1, random_state=0)
    model = RegularizedTwoLayerRegressorCV(
        column_transform="clip", lambdas=2, cv=2, random_state=0
    )
    return model.fit(X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: None, None),
        (lambda t: 3, "column_transform_ that cannot be read"),
        (lambda t: {"mapping": {}}, "lacks a part of column_transform_"),
        (lambda t: {"mapping": {**t["mapping"], "kind": 1}}, "not known"),
        (
            lambda t: {"mapping": {**t["mapping"], "scale": stored(0.0, 0.0, 0.0)}},
            r"column_transform_\['scale'\] that cannot be read: expected numbers of at",
        ),
        (
            lambda t: {"mapping": {**t["mapping"], "centre": stored(0.0)}},
            r"column_transform_\['centre'\] of shape \(1,\) that does not fit",
        ),
    ],
)
def test_json_of_a_transform_is_checked(change, message, clipped):
    model, plain = clipped, clipped.to_dict()
    transform = plain["fitted"]["column_transform_"]
    plain["fitted"]["column_transform_"] = change(transform)
    if message is None:
        assert type(model).from_dict(plain).column_transform_ is None
        return
    with pytest.raises(ValueError, match=message):
        type(model).from_dict(plain)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [({"random_state": np.random.RandomState(0)}, "random_state")],
)
def test_json_names_the_parameter_it_cannot_hold(data, parameters, name):
    X, y, _ = data
    model = RegularizedTwoLayerRegressor(**parameters).fit(X, y)
    with pytest.raises(TypeError, match=name):
        model.to_dict()


def test_json_cannot_hold_splitters(data):
    X, y, _ = data
    model = RegularizedTwoLayerRegressorCV(lambdas=3, cv=KFold(3)).fit(X, y)
    with pytest.raises(TypeError, match="cv has no JSON form"):
        model.to_dict()


def test_dumps_predict_the_same(data, tmp_path):
    X, _, model = data
    joblib.dump(model, tmp_path / "model.joblib")
    for loaded in [
        joblib.load(tmp_path / "model.joblib"),
        pickle.loads(pickle.dumps(model)),
    ]:
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        RegularizedTwoLayerRegressor(
            schedule=StagedSchedule([0.5, 0.1]), solver="fast", random_state=0
        ),
        RegularizedTwoLayerRegressorCV(lambdas=3, cv=3, random_state=0),
        make_pipeline(StandardScaler(), RegularizedTwoLayerRegressor(random_state=0)),
    ],
    ids=["staged", "cv", "pipeline"],
)
def test_skops_holds_public_classes_of_this_package_only(data, model):
    io = pytest.importorskip("skops.io")
    X, y = data[:2]
    text = io.dumps(model.fit(X, y))
    untrusted = io.get_untrusted_types(data=text)
    assert {name.partition(".")[2] for name in untrusted} <= {*sklearn_twolayer.__all__}
    loaded = io.loads(text, trusted=untrusted)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert str(loaded.get_params()) == str(model.get_params())


DATA = Path(__file__).parent / "data"


def test_pickles_name_no_private_file_and_tell_the_version(data):
    X, y = data[:2]
    model = RegularizedTwoLayerRegressor(
        schedule=StagedSchedule([0.5]), solver="fast", random_state=0
    ).fit(X, y)
    for one in (model, RegularizedTwoLayerRegressorCV(), model._fitted_network()):
        text = pickle.dumps(one)
        assert b"sklearn_twolayer._" not in text
        assert type(pickle.loads(text)) is type(one)
    assert sklearn_twolayer.__version__.encode() in pickle.dumps(model)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict(X), model.predict(X)
    )


def test_pickles_of_before_the_folders_still_load():
    """Written when each class lay in a file of its own beside ``__init__``."""
    with open(DATA / "before_folders.pickle", "rb") as file:
        models, network, X, predictions = pickle.load(file)
    for model, predicted in zip(models, predictions, strict=True):
        np.testing.assert_allclose(model.predict(X), predicted, rtol=1e-12)
        assert type(model).from_dict(model.to_dict()).get_params()
        assert "loadings (raw" in model.summary()  # they have no feature_scales_
        assert "loadings (standardised" in model.summary(X)
    assert models[1].schedule.lambdas == [0.5, 0.2]
    assert network.predict(X).shape == (len(X),)


@pytest.mark.parametrize("kind", ["regressor", "cv"])
def test_no_attribute_looks_like_a_linear_model(data, kind):
    """Scikit-learn's selectors and shap prefer ``coef_`` to everything else."""
    X, y, model = data
    if kind == "cv":
        model = RegularizedTwoLayerRegressorCV(lambdas=3, cv=3, random_state=0).fit(
            X, y
        )
    for name in ("coef_", "intercept_"):
        assert not hasattr(model, name)
        assert hasattr(model, f"linear_{name}")


def test_json_of_the_first_version_is_read(data):
    X, _, model = data
    plain = model.to_dict()
    early = {
        name.removeprefix("linear_"): value
        for name, value in plain["fitted"].items()
        if name not in {"linear_decay_", "feature_ranges_", "linear_ranges_"}
    }
    assert {"coef_", "intercept_"} < early.keys()
    restored = type(model).from_dict({**plain, "version": 1, "fitted": early})
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
    assert not hasattr(restored, "coef_")


def test_pickles_that_lack_an_attribute_are_refused(data):
    model = RegularizedTwoLayerRegressor(max_time=10.0, random_state=0).fit(*data[:2])
    del model.amplitudes_
    text = pickle.dumps(model).replace(b"0.1.0.dev0", b"0.0.0.dev0")
    with pytest.raises(ValueError, match=r"version .* lacks \['amplitudes_'\]"):
        pickle.loads(text)


def test_json_holds_paths_and_arrays_of_any_precision(data, tmp_path):
    X, y = data[:2]
    schedule = StagedSchedule(np.array([0.5, 0.25], dtype=np.float32))
    model = RegularizedTwoLayerRegressor(
        schedule=schedule, solver="fast", checkpoint=tmp_path / "fit.npz",
        random_state=np.int32(3),
    )  # fmt: skip
    again = RegularizedTwoLayerRegressor.from_dict(
        json.loads(json.dumps(model.fit(X, y).to_dict()))
    )
    assert again.checkpoint == str(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.schedule.lambdas, schedule.lambdas)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_json_of_another_format_tells_who_wrote_it(data):
    plain = RegularizedTwoLayerRegressor(random_state=0).fit(*data[:2]).to_dict()
    assert plain["package_version"] == sklearn_twolayer.__version__
    with pytest.raises(ValueError, match=r"written by sklearn_twolayer 9\.9"):
        RegularizedTwoLayerRegressor.from_dict(
            {**plain, "version": 99, "package_version": "9.9"}
        )
