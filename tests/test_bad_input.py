"""Malformed calls: the error names the offender, an earlier fit survives."""

import numpy as np
import pandas as pd
import pytest

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)
QUICK = {
    "n_neurons": 5, "max_iter": 20, "random_state": 0,
    "schedule": ConstantSchedule(0.1),
}  # fmt: skip


def with_entry(array, value):
    changed = array.astype(object if isinstance(value, str) else type(value))
    changed[(1,) * array.ndim] = value
    return changed


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
    ("tol", -1e-3, ValueError),
    ("tol", float("nan"), ValueError),
    ("prune_tol", 1.0, ValueError),
    ("merge_angle", 2.0, ValueError),
    ("warm_start", "no", TypeError),
    ("device", "abacus", ValueError),
    ("device", "cuda:99", ValueError),
    ("device", 3.5, ValueError),
    ("dtype", "float16", ValueError),
    ("dtype", np.float64, ValueError),
    ("random_state", "seed", ValueError),
    ("verbose", -1, ValueError),
    ("verbose", "loud", TypeError),
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


def test_unfitted():
    from sklearn.exceptions import NotFittedError

    for method in ("predict", "transform"):
        with pytest.raises(NotFittedError):
            getattr(RegularizedTwoLayerRegressor(), method)(X)


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
