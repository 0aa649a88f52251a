"""Malformed calls: the error names the offender, an earlier fit survives."""

import pickle

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import UncentredWarning

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)
QUICK = {
    "n_neurons": 5, "max_iter": 20, "random_state": 0,
    "schedule": ConstantSchedule(0.1),
}  # fmt: skip


class Returning:
    """A schedule of somebody else's."""

    def __init__(self, decays):
        self.decays = decays

    def stages(self, lambda_max):
        return self.decays


def with_entry(array, value):
    changed = array.astype(object if isinstance(value, str) else type(value))
    changed[(1,) * array.ndim] = value
    return changed


def with_none(array):
    changed = array.astype(object)
    changed[(1,) * array.ndim] = None
    return changed


FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
CATEGORIES = pd.Categorical(["low", "mid", "top"] * 20)
PERIODS = pd.period_range("2020", periods=60, freq="D")
TIMES = np.datetime64("2020-01-01") + np.arange(60)

PARAMETERS = [
    ("n_neurons", 0, ValueError),
    ("n_neurons", 2.5, TypeError),
    ("n_neurons", True, TypeError),
    ("schedule", "geometric", TypeError),
    ("schedule", GeometricSchedule, TypeError),
    ("schedule", [0.1, 0.01], TypeError),
    ("schedule", GeometricSchedule(start=-1.0), ValueError),
    ("solver", "adam", ValueError),
    ("solver", ["gd"], ValueError),
    ("hidden_bias", "yes", TypeError),
    ("criterion", "hqic", ValueError),
    ("criterion", -1.0, ValueError),
    ("criterion", True, TypeError),
    ("debias", None, TypeError),
    ("standardize", 1, TypeError),
    ("feature_output", "both", ValueError),
    ("max_iter", 0, ValueError),
    ("max_iter", "many", TypeError),
    ("max_time", 0.0, ValueError),
    ("max_time", "a minute", TypeError),
    ("checkpoint", 3, TypeError),
    ("checkpoint", "no/such/folder/fit.npz", ValueError),
    ("checkpoint", ".", ValueError),
    ("schedule", StagedSchedule([]), ValueError),
    ("schedule", StagedSchedule([0.1, 0.2]), ValueError),
    ("schedule", StagedSchedule("abc"), ValueError),
    ("schedule", StagedSchedule([0.1, np.nan]), ValueError),
    ("schedule", ConstantSchedule(-1.0), ValueError),
    ("schedule", ConstantSchedule("x"), TypeError),
    ("schedule", GeometricSchedule(ratio=1.5), ValueError),
    ("schedule", GeometricSchedule(stop="never"), ValueError),
    ("schedule", GeometricSchedule(start=0.1, stop=0.5), ValueError),
    ("schedule", Returning([]), ValueError),
    ("schedule", Returning([0.1, 0.2]), ValueError),
    ("schedule", Returning([float("nan")]), ValueError),
    ("schedule", Returning([-1.0]), ValueError),
    ("schedule", Returning([[1.0]]), ValueError),
    ("schedule", Returning("abc"), ValueError),
    ("schedule", Returning(None), ValueError),
    ("tol", -1e-3, ValueError),
    ("tol", float("nan"), ValueError),
    ("prune_tol", 1.0, ValueError),
    ("merge_angle", 2.0, ValueError),
    ("step_size", 0.0, ValueError),
    ("step_size", -1.0, ValueError),
    ("step_size", float("nan"), ValueError),
    ("step_size", 10**400, ValueError),
    ("step_size", "auto", ValueError),
    ("step_size", None, TypeError),
    ("step_size", True, TypeError),
    ("warm_start", "no", TypeError),
    ("device", "abacus", ValueError),
    ("device", "cuda:99", ValueError),
    ("device", 3.5, ValueError),
    ("device", "meta", ValueError),
    ("dtype", "float16", ValueError),
    ("dtype", np.float64, ValueError),
    ("random_state", "seed", ValueError),
    ("verbose", -1, ValueError),
    ("verbose", "loud", TypeError),
    ("verbose", None, TypeError),
    ("n_neurons", None, TypeError),
    ("n_neurons", "100", TypeError),
    ("n_neurons", -5, ValueError),
    ("schedule", GeometricSchedule(start=1e308, stop=5e-324), ValueError),
    ("schedule", GeometricSchedule(stop=1e-320), ValueError),
    ("schedule", GeometricSchedule(ratio=1.0 - 1e-16), ValueError),
    ("schedule", GeometricSchedule(stop=None), TypeError),
    ("schedule", GeometricSchedule(n_stages=True), TypeError),
    ("schedule", ConstantSchedule(10**400), ValueError),
    ("schedule", ConstantSchedule(1e-320), ValueError),
    ("schedule", ConstantSchedule(1e150, relative=False), ValueError),
    ("schedule", StagedSchedule([10**400]), ValueError),
    ("schedule", StagedSchedule([1e200, 0.1]), ValueError),
    ("schedule", Returning([1e308]), ValueError),
    ("schedule", Returning([5e-324]), ValueError),
    ("criterion", float("nan"), ValueError),
    ("criterion", [2.0], TypeError),
    ("linear_decay", "yes", ValueError),
    ("linear_decay", -1.0, ValueError),
    ("linear_decay", None, TypeError),
    ("linear_decay", float("inf"), ValueError),
    ("max_iter", 1.5, TypeError),
    ("max_time", float("inf"), ValueError),
    ("max_time", True, TypeError),
    ("tol", None, TypeError),
    ("tol", 10**400, ValueError),
    ("prune_tol", "0", TypeError),
    ("merge_angle", -0.1, ValueError),
    ("warm_start", 1, TypeError),
    ("checkpoint", "/dev/null", ValueError),
    ("checkpoint", "a\0b", ValueError),
    ("checkpoint", "a" * 999, ValueError),
    ("random_state", -1, ValueError),
    ("random_state", 1.5, ValueError),
    ("max_features", 0, ValueError),
    ("max_features", 2.0, TypeError),
    ("max_features", True, TypeError),
]

DATA = [
    ("NaN in X", with_entry(X, np.nan), Y, None, ValueError, "X"),
    ("infinity in X", with_entry(X, np.inf), Y, None, ValueError, "X"),
    ("complex X", X + 1j, Y, None, ValueError, "X"),
    ("strings in X", with_entry(X, "abc"), Y, None, ValueError, "X"),
    ("one-dimensional X", X[:, 0], Y, None, ValueError, "array"),
    ("three-dimensional X", X[:, :, None], Y, None, ValueError, "X"),
    ("empty X", X[:0], Y[:0], None, ValueError, "X"),
    ("no columns", X[:, :0], Y, None, ValueError, "X"),
    ("one row", X[:1], Y[:1], None, ValueError, "X"),
    ("no y", X, None, None, ValueError, "y"),
    ("NaN in y", X, with_entry(Y, np.nan), None, ValueError, "y"),
    ("infinity in y", X, with_entry(Y, -np.inf), None, ValueError, "y"),
    ("strings in y", X, with_entry(Y, "abc"), None, ValueError, "y"),
    ("complex y", X, Y + 1j, None, ValueError, "y"),
    ("short y", X, Y[:-1], None, ValueError, "y"),
    ("three-dimensional y", X, Y[:, None, None], None, ValueError, "y"),
    ("y without columns", X, np.empty((60, 0)), None, ValueError, "y"),
    ("NaN weight", X, Y, with_entry(Y, np.nan), ValueError, "sample_weight"),
    ("negative weight", X, Y, with_entry(abs(Y), -1.0), ValueError, "sample_weight"),
    ("no weight at all", X, Y, 0 * Y, ValueError, "sample_weight"),
    ("short weights", X, Y, abs(Y[1:]), ValueError, "sample_weight"),
    ("two-dimensional weights", X, Y, abs(X), ValueError, "sample_weight"),
    ("string weight", X, Y, with_entry(Y, "abc"), ValueError, "sample_weight"),
    ("huge weights", X, Y, np.full(60, 1e200), ValueError, "sample_weight"),
    ("X of nothing", None, Y, None, ValueError, "X"),
    ("X of text", "abc", Y, None, ValueError, "X"),
    ("ragged X", [[1.0, 2.0], [3.0]], [1.0, 2.0], None, ValueError, "X"),
    (
        "X of times",
        pd.DataFrame({"t": pd.date_range("2020", periods=60), "b": Y}),
        Y,
        None,
        ValueError,
        "X",
    ),
    ("huge X", X * 1e200, Y, None, ValueError, "X"),
    ("tiny X", X * [1.0, 1e-310, 1.0], Y, None, ValueError, "Column 1 of X"),
    ("huge y", X, Y * 1e200, None, ValueError, "y"),
    ("tiny y", X, Y * 1e-200, None, ValueError, "y"),
    (
        "sparse X with NaN",
        sparse.csr_array(with_entry(X, np.nan)),
        Y,
        None,
        ValueError,
        "X",
    ),
    ("one-dimensional sparse X", sparse.coo_array(X[:, 0]), Y, None, ValueError, "X"),
    ("sparse y", X, sparse.csr_array(Y[:, None]), None, TypeError, "y"),
    ("y of Dask alone", X, da.from_array(Y), None, TypeError, "y"),
    ("weights of Dask alone", X, Y, da.ones(60), TypeError, "sample_weight"),
    ("categories in X", FRAME.assign(c=CATEGORIES), Y, None, ValueError, "category"),
    ("periods in X", FRAME.assign(c=PERIODS), Y, None, ValueError, "period"),
    ("X of times alone", TIMES[:, None], Y, None, ValueError, "X"),
    ("X of records", np.zeros(60, dtype=[("a", float)]), Y, None, ValueError, "X"),
    ("X of a dictionary", {"a": X[:, 0]}, Y, None, ValueError, "X"),
    ("X of a generator", iter(X), Y, None, ValueError, "X"),
    ("X of a function", len, Y, None, ValueError, "X"),
    ("X on no device", torch.empty(60, 3, device="meta"), Y, None, TypeError, "X"),
    ("sparse tensor", torch.eye(60).to_sparse(), Y, None, TypeError, "X"),
    ("X with None", with_none(X), Y, None, ValueError, "X"),
    ("y of times", X, TIMES, None, ValueError, "y"),
    ("y of categories", X, pd.Series(CATEGORIES), None, ValueError, "y"),
    ("y of bytes", X, np.full(60, b"1"), None, ValueError, "y"),
    ("y of a number", X, 3.0, None, TypeError, "y"),
    ("y with None", X, with_none(Y), None, ValueError, "y"),
    ("long y", X, np.append(Y, 1.0), None, ValueError, "y"),
    ("weights of times", X, Y, TIMES - TIMES[0], ValueError, "sample_weight"),
    ("infinite weight", X, Y, with_entry(abs(Y), np.inf), ValueError, "sample_weight"),
    ("a negative number", X, Y, -1.0, ValueError, "sample_weight"),
    ("no number", X, Y, float("nan"), ValueError, "sample_weight"),
    ("weight of zero", X, Y, 0, ValueError, "sample_weight"),
    ("weights of text", X, Y, "balanced", ValueError, "sample_weight"),
]


@pytest.fixture
def fitted():
    return RegularizedTwoLayerRegressor(**QUICK).fit(X, Y)


@pytest.mark.parametrize(("name", "value", "error"), PARAMETERS)
def test_parameters(fitted, name, value, error):
    before, state = fitted.predict(X), dict(vars(fitted))
    fitted.set_params(**{name: value})
    with pytest.raises(error, match=f"(?i){name}"):
        fitted.fit(X, Y)
    np.testing.assert_array_equal(fitted.predict(X), before)
    assert {**vars(fitted), name: state[name]} == state


@pytest.mark.parametrize(
    ("X_bad", "y_bad", "weight", "error", "name"),
    [case[1:] for case in DATA],
    ids=[case[0] for case in DATA],
)
def test_data(fitted, X_bad, y_bad, weight, error, name):
    before, state = fitted.predict(X), dict(vars(fitted))
    with pytest.raises(error, match=rf"\b{name}\b"):
        fitted.fit(X_bad, y_bad, sample_weight=weight)
    assert vars(fitted) == state
    np.testing.assert_array_equal(fitted.predict(X), before)
    if y_bad is not None:
        with pytest.raises(error, match=rf"\b{name}\b"):
            two_layer_path(X_bad, y_bad, sample_weight=weight, **QUICK)


def test_the_tables_are_long():
    """Each malformed call has its type of error and a piece of its message."""
    assert len(PARAMETERS) + len(DATA) + len(INPUTS) >= 120


def test_a_column_that_is_not_a_number_is_named(fitted):
    frame = pd.DataFrame(X, columns=["depth", "width", "colour"])
    frame["colour"] = "red"
    with pytest.raises(ValueError, match="colour"):
        fitted.fit(frame, Y)
    assert not hasattr(fitted, "feature_names_in_")


def test_another_number_of_columns_at_predict(fitted):
    for method in (fitted.predict, fitted.transform):
        with pytest.raises(ValueError, match=r"2 features, but .* 3 features"):
            method(X[:, :2])


@pytest.mark.parametrize("method", ["predict", "transform", "summary", "to_dict"])
def test_unfitted(method):
    model = RegularizedTwoLayerRegressor()
    arguments = [] if method in ("summary", "to_dict") else [X]
    with pytest.raises(NotFittedError):
        getattr(model, method)(*arguments)
    model.n_features_in_ = 3  # half a fit is none
    with pytest.raises(NotFittedError):
        getattr(model, method)(*arguments)


INPUTS = [
    ("NaN", with_entry(X, np.nan), ValueError, "X contains NaN"),
    ("no rows", X[:0], ValueError, "X: Found array with 0 sample"),
    ("one dimension", X[0], ValueError, "X: Expected 2D array"),
    ("text", [["a", "b", "c"]], ValueError, "X"),
    ("sparse, too few columns", sparse.csr_array(X[:, :2]), ValueError, "2 features"),
    ("too many columns", np.hstack([X, X]), ValueError, "6 features"),
    ("Dask, too few columns", da.from_array(X[:, :2]), ValueError, "2 features"),
]


@pytest.mark.parametrize("method", ["predict", "transform"])
@pytest.mark.parametrize(
    ("inputs", "error", "match"), [c[1:] for c in INPUTS], ids=[c[0] for c in INPUTS]
)
def test_inputs_of_predictions(fitted, method, inputs, error, match):
    state = dict(vars(fitted))
    with pytest.raises(error, match=match):
        getattr(fitted, method)(inputs)
    assert vars(fitted) == state


def test_names(fitted):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="input_features should have length"):
        fitted.get_feature_names_out(["a"])
    with pytest.raises(ValueError, match="Invalid parameter 'lambda_'"):
        fitted.set_params(lambda_=0.1)
    with pytest.warns(UserWarning, match="X has feature names"):
        fitted.predict(frame)
    fitted.fit(frame, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"a": "z"}))


def test_memory_maps_that_were_cut_short(fitted, tmp_path):
    np.save(tmp_path / "X.npy", X)
    content = (tmp_path / "X.npy").read_bytes()
    (tmp_path / "X.npy").write_bytes(content[:-240])  # ten rows
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match="greater than file size"):
        np.load(tmp_path / "X.npy", mmap_mode="r")
    rest = np.memmap(tmp_path / "X.npy", dtype=float, mode="r", offset=128)
    with pytest.raises(ValueError, match=r"X and y have inconsistent.*\[50, 60\]"):
        fitted.fit(rest.reshape(-1, 3), Y)
    assert vars(fitted) == before


def test_chunks_of_unknown_length(fitted):
    lazy = da.from_array(X, chunks=(20, 3))
    some, before = lazy[lazy[:, 0] > 0.0], dict(vars(fitted))
    for y in (Y, da.from_array(Y, chunks=20), da.from_array(Y, chunks=30)):
        with pytest.raises((TypeError, ValueError), match=r"\by\b"):
            fitted.fit(some, y)
    with pytest.raises(ValueError, match="known number of columns"):
        fitted.fit(lazy[:, da.from_array(np.array([True, True, False]))], Y)
    assert vars(fitted) == before


def test_wrong_pickles_and_dictionaries(fitted):
    with pytest.raises(pickle.UnpicklingError, match="truncated"):
        pickle.loads(pickle.dumps(fitted)[:-20])
    state = fitted.__getstate__().copy()
    del state["features_"]
    broken = RegularizedTwoLayerRegressor()
    broken.__setstate__(state)
    with pytest.raises(NotFittedError):
        broken.predict(X)
    with pytest.raises(ValueError, match="made by to_dict"):
        RegularizedTwoLayerRegressor.from_dict(pickle.dumps(fitted))
    with pytest.raises(ValueError, match="not a RegularizedTwoLayerRegressorCV"):
        RegularizedTwoLayerRegressorCV.from_dict(fitted.to_dict())


def test_interrupted_fit_leaves_the_earlier_one(fitted):
    class Interrupting(ConstantSchedule):
        def stages(self, lambda_max):
            raise KeyboardInterrupt

    before = fitted.predict(X)
    fitted.set_params(schedule=Interrupting(0.1))
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(2 * X, Y)
    np.testing.assert_array_equal(fitted.predict(X), before)


@pytest.mark.parametrize("kind", [int, bool, np.float32])
def test_other_numbers_are_taken(kind):
    inputs = (X > 0).astype(kind)
    model = RegularizedTwoLayerRegressor(**QUICK).fit(inputs, Y)
    assert np.isfinite(model.predict(inputs)).all()


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [1e-50, 1e-31, 1e16, 1e20, 1e50])
def test_columns_that_single_precision_cannot_hold(size, kind, hidden_bias):
    inputs = kind(X / X.std(axis=0) * [1.0, size, 1.0])
    single = {"dtype": "float32", "standardize": False, "hidden_bias": hidden_bias}
    model = RegularizedTwoLayerRegressor(**QUICK, **single)
    told = r"Column 1 of X .* size \d\.?\d*" + f"{size:.0e}"[1:].replace("+", r"\+")
    told += r".* between 1e-30 and 1e\+15, or set standardize=True or dtype='float64'"
    with pytest.raises(ValueError, match=told):
        model.fit(inputs, Y)
    with pytest.raises(ValueError, match=told):
        two_layer_path(inputs, Y, **QUICK, **single)
    for remedy in ({"standardize": True}, {"dtype": "float64"}):
        model.set_params(**{**single, **remedy}).fit(inputs, Y)
        assert np.isfinite(model.predict(inputs)).all()


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [1e-29, 1e-10, 1e10, 1e14])
def test_columns_that_single_precision_can_hold(size, kind, hidden_bias):
    model = RegularizedTwoLayerRegressor(
        dtype="float32", standardize=False, hidden_bias=hidden_bias, **QUICK
    )
    inputs = kind(X * [1.0, size, 1.0])
    predicted = model.fit(inputs, Y).predict(inputs)
    linear = np.column_stack([X, np.ones(60)])
    residual = Y - linear @ np.linalg.lstsq(linear, Y, rcond=None)[0]
    assert np.sum((Y - predicted) ** 2) <= np.sum(residual**2) * (1.0 + 1e-4)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, da.from_array])
def test_columns_far_from_zero_without_hidden_biases(kind, seed):
    X, y = make_two_layer_regression(200, 4, n_directions=2, random_state=seed)
    far = np.add(X, [0.0, 1e6, 0.0, -50.0])
    shifted = kind(far)
    targets = da.from_array(y) if kind is da.from_array else y
    model = RegularizedTwoLayerRegressor(hidden_bias=False, random_state=0)
    with pytest.warns(UncentredWarning, match=r"deviations: 1, 3\. Centre") as caught:
        model.fit(shifted, targets)
    if kind is not da.from_array:
        with pytest.warns(UncentredWarning, match=r": 1, 3\. Centre") as path:
            two_layer_path(shifted, y, hidden_bias=False, **QUICK)
        cv = RegularizedTwoLayerRegressorCV(hidden_bias=False, cv=2, lambdas=2)
        with pytest.warns(UncentredWarning, match=r": 1, 3\. Centre") as chosen:
            cv.fit(shifted, y)
        assert len(path) == len(chosen) == 1
        caught = [*caught, *path, *chosen]
    assert {warning.filename for warning in caught} == {__file__}
    model.set_params(hidden_bias=True).fit(shifted, targets)  # warnings are errors
    assert model.score(far, y) > 0.999
    model.set_params(hidden_bias=False).fit(X - X.mean(axis=0), y)
    assert len(model.features_) > 0


def test_columns_far_from_zero_are_named(fitted):
    names = [f"sensor {j}" for j in range(12)]
    wide = np.random.default_rng(0).standard_normal((len(X), 12))
    frame = pd.DataFrame(wide + 100.0, columns=names)
    fitted.set_params(hidden_bias=False)
    with pytest.warns(UncentredWarning, match="sensor 0, .*, sensor 9 and 2 more"):
        fitted.fit(frame, Y)
