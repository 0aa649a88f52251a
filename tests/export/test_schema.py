"""The JSON schema, round trips of any fitted state, and dictionaries from anywhere."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sklearn_twolayer
from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)
from sklearn_twolayer._export.fitted import entries_of, groups_of
from sklearn_twolayer._export.schema import json_schema
from sklearn_twolayer.datasets import make_two_layer_regression

KINDS = [
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
]
PUBLISHED = Path(__file__).parents[2] / "docs" / "estimator.schema.json"
SCHEMA = json_schema(*KINDS)
CHECKER = jsonschema.Draft202012Validator(SCHEMA)
X, Y = make_two_layer_regression(100, 3, n_directions=2, noise=0.1, random_state=0)
NUMBERS = st.floats(-1e6, 1e6)


def test_the_schema_is_one_and_is_published():
    CHECKER.check_schema(SCHEMA)
    if not PUBLISHED.exists():
        pytest.skip("not a checkout")
    text = json.dumps(SCHEMA, indent=1) + "\n"
    assert PUBLISHED.read_text() == text, (
        "the tables of sklearn_twolayer/_export/fitted.py have changed: write "
        "json.dumps(json_schema(...), indent=1) to the file, and raise FORMAT_VERSION "
        "if dictionaries of earlier releases cannot be read any more"
    )


def drawn_array(draw, entry, lengths, *, is_single):
    shape = [d for d in entry.shape if d != "outputs" or not is_single]
    size = tuple(lengths[d] for d in shape)
    if entry.dtype == "any":
        kind = draw(st.sampled_from(["str", "int64", "float64", "bool"]))
        if kind == "bool":
            return draw(arrays(bool, size))
        plain = replace(entry, dtype=kind)
        return drawn_array(draw, plain, lengths, is_single=is_single)
    if entry.dtype == "str":
        return draw(arrays(object, size, elements=st.text(max_size=5)))
    least = entry.least
    if entry.dtype == "int64":
        elements = st.integers(0 if least is None else least, 2**53)
    elif entry.may_be_odd and least is None:
        elements = st.floats()
    elif entry.may_be_odd:
        elements = st.floats(min_value=least, allow_nan=False)
    else:
        elements = st.floats(min_value=least, allow_nan=False, allow_infinity=False)
    dtype = np.int64 if entry.dtype == "int64" else np.float64
    values = draw(arrays(dtype, size, elements=elements))
    return values if shape else values.item()


@st.composite
def fitted_models(draw):
    """An estimator of any fitted state that the tables allow."""
    model = draw(st.sampled_from(KINDS))()
    table, is_single = entries_of(type(model)), draw(st.booleans())
    groups = groups_of(type(model))
    own = [entry for group in groups.values() for entry in group.values()]
    dimensions = {d for e in [*table.values(), *own] for d in e.shape}
    lengths = {d: draw(st.integers(0, 3)) for d in sorted(dimensions)}
    lengths |= {"inputs": draw(st.integers(1, 4)), "range": 3}
    if is_single or lengths.get("outputs") == 1:
        lengths["classes"] = 2
    else:
        lengths["classes"] = lengths["outputs"]
    for name, entry in table.items():
        if not entry.is_optional or draw(st.booleans()):
            value = drawn_array(draw, entry, lengths, is_single=is_single)
            setattr(model, name, value)
    model.n_features_in_ = lengths["inputs"]
    for name, group in groups.items():
        value = {
            key: drawn_array(draw, entry, lengths, is_single=is_single)
            for key, entry in group.items()
        }
        if name == "history_" or draw(st.booleans()):
            setattr(model, name, value)
        elif draw(st.booleans()):
            setattr(model, name, None)
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    schedules = (
        st.builds(ConstantSchedule, plain)
        | st.builds(GeometricSchedule, stop=plain)
        | st.builds(StagedSchedule, arrays(float, 3, elements=st.floats()))
    )
    values = st.recursive(
        plain | schedules,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
        ),
        max_leaves=4,
    )
    names = sorted(model.get_params(deep=False))
    return model.set_params(**{draw(st.sampled_from(names)): draw(values)})


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(
            first.astype(str), second.astype(str)
        )
    return type(first) is type(second) and repr(first) == repr(second)


@given(fitted_models())
def test_any_fitted_state_comes_back(model):
    text = json.dumps(model.to_dict(), allow_nan=False)
    plain = json.loads(text)
    CHECKER.validate(plain)
    again = type(model).from_dict(plain)
    assert same(vars(model), vars(again))
    assert json.dumps(again.to_dict()) == text


def plain_of(kind):
    options = {"lambdas": 3, "cv": 2} if "CV" in kind.__name__ else {}
    y = Y > 0.0 if "Classifier" in kind.__name__ else Y
    model = kind(random_state=0, **options).fit(X, y)
    return json.loads(json.dumps(model.to_dict()))


PLAIN = {kind: plain_of(kind) for kind in KINDS}


def places(value, path=()):
    """Paths of all values in nested dictionaries and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from places(inner, (*path, key))


def nested(depth):
    value = 1.0
    for _ in range(depth):
        value = [value]
    return value


JUNK = st.sampled_from(
    [
        None, True, "abc", "", -1, 0, 3.0, 10**30, 10**400, float("nan"), float("inf"),
        [], {}, [[1.0]], nested(900), {1: 2}, {"number": "nan"}, {"number": "1e9"},
        {"array": [], "shape": [0], "dtype": "float64"},
        {"array": [1.0], "shape": [-1], "dtype": "float64"},
        {"array": ["a"] * 3, "shape": [3], "dtype": "str"},
        {"array": [1] * 3, "shape": [3], "dtype": "int64"},
        {"array": [10**30] * 3, "shape": [3], "dtype": "int64"},
        {"array": [], "shape": [0, 10**30], "dtype": "float64"},
        {"array": [1.0], "shape": [1], "dtype": "object"},
        {"schedule": "os", "parameters": {}}, {"mapping": {1: 2}}, b"abc", object(),
    ]
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_read_can_predict(kind, data):
    """Any other value at any place is refused by name, or the model is usable."""
    plain = copy.deepcopy(PLAIN[kind])
    path = data.draw(st.sampled_from(sorted(places(plain), key=str)))
    how = data.draw(st.sampled_from(["replace", "remove", "add"]))
    value = data.draw(JUNK)
    place = plain
    for key in path[:-1]:
        place = place[key]
    if not path:
        plain = value
    elif how == "replace":
        place[path[-1]] = value
    elif how == "remove":
        del place[path[-1]]
    elif isinstance(place, dict):
        place["extra"] = value
    else:
        place.append(value)
    try:
        model = kind.from_dict(plain)
    except ValueError as error:
        told = str(error)
    else:
        told = None
        CHECKER.validate(json.loads(json.dumps(model.to_dict())))
        outputs = getattr(model, "decision_function", model.predict)(X)
        assert np.isfinite(outputs).all()
        assert len(model.predict(X)) == len(X)
        assert model.summary(X)
    if told is not None:
        assert re.match("data .*", told)
        assert len(told) < 500


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_the_schema_refuses_is_not_read(kind, data):
    plain = copy.deepcopy(PLAIN[kind])
    path = data.draw(st.sampled_from(sorted(filter(None, places(plain)), key=str)))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(
        st.sampled_from([None, True, "a", [], {}, -1, 2.5, {"number": "nan"}])
    )
    if not CHECKER.is_valid(plain):
        with pytest.raises(ValueError, match="data "):
            kind.from_dict(plain)


CHANGES = {
    "text for numbers": ("linear_coef_", {"dtype": "str", "array": ["1", "2", "3"]}),
    "none": ("linear_coef_", {"array": [{"number": "nan"}] * 3}),
    "null": ("linear_coef_", {"array": [None] * 3}),
    "too large": ("linear_coef_", {"array": [10**400] * 3}),
    "truth values": ("linear_coef_", {"array": [True] * 3}),
    "too many": ("features_", {"shape": [9, 3]}),
    "another shape": ("features_", {"shape": [3, 2]}),
    "too few": ("feature_intercepts_", {"array": [0.0], "shape": [1]}),
    "negative": ("lambdas_", {"array": [-1.0]}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_errors_name_the_entry(case):
    name, change = CHANGES[case]
    plain = copy.deepcopy(PLAIN[KINDS[0]])
    plain["fitted"][name].update(change)
    with pytest.raises(ValueError, match=rf"data has an entry {name} .*(got|expected)"):
        KINDS[0].from_dict(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear_intercept_", "abc"), ("linear_intercept_", None),
        ("linear_intercept_", 10**400), ("n_features_in_", 3.0), ("n_features_in_", 4),
        ("n_features_in_", True), ("lambda_", {"number": "inf"}), ("n_iter_", -1),
        ("feature_names_in_", {"array": ["a"], "shape": [1], "dtype": "str"}),
        ("feature_names_in_", {"array": [1, 2, 3], "shape": [3], "dtype": "int64"}),
        ("feature_names_in_", {"array": [1, 2, 3], "shape": [3], "dtype": "str"}),
        ("history_", 3), ("history_", {"mapping": {}}),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused(name, value):
    plain = copy.deepcopy(PLAIN[KINDS[0]])
    plain["fitted"][name] = value
    with pytest.raises(ValueError, match=rf"data .*\b{name}"):
        KINDS[0].from_dict(plain)


def test_integers_may_stand_for_floats():
    """Other writers of JSON write 1.0 as 1."""
    plain = copy.deepcopy(PLAIN[KINDS[0]])
    plain["fitted"]["linear_coef_"]["array"] = [1, 2, 3]
    plain["fitted"]["linear_intercept_"] = 1
    CHECKER.validate(plain)
    model = KINDS[0].from_dict(plain)
    assert model.linear_coef_.dtype == np.float64
    assert type(model.linear_intercept_) is float


def test_derived_classes_have_dictionaries():
    class Derived(RegularizedTwoLayerRegressor):
        pass

    model = Derived(random_state=0).fit(X, Y)
    again = Derived.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="not a RegularizedTwoLayerRegressor"):
        RegularizedTwoLayerRegressor.from_dict(model.to_dict())


def test_parameters_without_a_json_form_are_refused():
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, Y)
    endless = []
    endless.append(endless)
    for value in (endless, {1: 2}, object()):
        with pytest.raises(TypeError, match="checkpoint"):
            model.set_params(checkpoint=value).to_dict()
    assert sklearn_twolayer.__version__ in json.dumps(PLAIN[KINDS[0]])
