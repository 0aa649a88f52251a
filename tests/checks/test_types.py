"""What is not numbers is refused by column and type; tensors are read."""

import datetime
import decimal
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors

pa = pytest.importorskip("pyarrow")

X, Y = make_two_layer_regression(60, 2, n_directions=1, noise=0.1, random_state=0)
DATES = pd.date_range("2020", periods=60)
WORDS, DIGITS = ["low", "mid", "top"] * 20, ["1", "2", "3"] * 20
MODELS = [
    RegularizedTwoLayerRegressor(random_state=0),
    RegularizedTwoLayerRegressorCV(lambdas=2, cv=2, random_state=0),
]


def pandas_frame(column):
    return pd.DataFrame({"depth": X[:, 0], "grade": column})


def polars_frame(column):
    return pl.DataFrame({"depth": X[:, 0], "grade": column})


def arrow_table(column):
    return pa.table({"depth": X[:, 0], "grade": column})


REFUSED = {
    "categories": (pandas_frame(pd.Categorical(WORDS)), "category"),
    "digits as categories": (pandas_frame(pd.Categorical(DIGITS)), "category"),
    "numbers as categories": (pandas_frame(pd.Categorical([0, 1] * 30)), "category"),
    "periods": (pandas_frame(DATES.to_period("D")), "period"),
    "intervals": (pandas_frame(pd.interval_range(0, 60)), "interval"),
    "times": (pandas_frame(DATES), "datetime64"),
    "times of a zone": (pandas_frame(DATES.tz_localize("UTC")), "datetime64"),
    "durations": (pandas_frame(DATES - DATES[0]), "timedelta64"),
    "missing times": (pandas_frame([pd.NaT, *DATES[1:]]), "datetime64"),
    "text": (pandas_frame(WORDS), "str"),
    "nullable text": (pandas_frame(pd.array(DIGITS, dtype="string")), "string"),
    "times of Arrow": (
        pandas_frame(pd.Series(DATES).astype("timestamp[ns][pyarrow]")), "timestamp",
    ),
    "polars categories": (polars_frame(pl.Series(WORDS, dtype=pl.Categorical)), "Cat"),
    "polars enum": (
        polars_frame(pl.Series(DIGITS, dtype=pl.Enum(["1", "2", "3"]))), "Enum",
    ),
    "polars times": (polars_frame(pl.Series(list(DATES.to_pydatetime()))), "Datetime"),
    "polars dates": (polars_frame(pl.Series(list(DATES.date))), "Date"),
    "polars durations": (
        polars_frame(pl.Series([datetime.timedelta(k) for k in range(60)])), "Duration",
    ),
    "polars hours": (
        polars_frame(pl.Series([datetime.time(k % 24) for k in range(60)])), "Time",
    ),
    "polars text": (polars_frame(pl.Series(DIGITS)), "String"),
    "polars lists": (polars_frame(pl.Series([[1.0]] * 60)), "List"),
    "arrow dictionary": (arrow_table(pa.array(DIGITS).dictionary_encode()), "dict"),
    "arrow times": (arrow_table(pa.array(DATES)), "timestamp"),
    "arrow durations": (arrow_table(pa.array(DATES - DATES[0])), "duration"),
    "arrow text": (arrow_table(pa.array(DIGITS)), "string"),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=["one", "cv"])
@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_not_numbers_are_named_at_fit(case, model):
    frame, kind = REFUSED[case]
    before = dict(vars(model))
    told = rf"X has columns .* not numbers: 'grade' \({kind}.*\)\. .*OrdinalEncoder"
    with pytest.raises(ValueError, match=told):
        model.fit(frame, Y)
    assert vars(model) == before


@pytest.fixture(scope="module")
def fitted():
    return RegularizedTwoLayerRegressor(random_state=0).fit(X, Y)


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_not_numbers_are_named_by_other_methods(case, fitted):
    frame = REFUSED[case][0]
    calls = [
        fitted.predict,
        fitted.transform,
        fitted.summary,
        lambda X: direction_errors(fitted, X, Y),
        lambda X: two_layer_path(X, Y),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="X has columns that are not numbers: 'gr"):
            call(frame)


def test_many_columns_are_counted():
    frame = pd.DataFrame({f"t{k}": DATES for k in range(14)})
    with pytest.raises(ValueError, match=r"'t0' \(datetime.*, 't9' .* and 4 more\. "):
        MODELS[0].fit(frame, Y)


NO_NUMBERS = {
    "times": (DATES.to_numpy(), "datetime64"),
    "missing times": (np.array(["NaT"] * 60, dtype="M8[s]"), "datetime64"),
    "durations": ((DATES - DATES[0]).to_numpy(), "timedelta64"),
    "a column of times": (pd.Series(DATES), "datetime64"),
    "categories": (pd.Series(pd.Categorical(DIGITS)), "category"),
    "periods": (pd.Series(DATES.to_period("D")), "period"),
    "polars dates": (pl.Series(list(DATES.date)), "Date"),
    "arrow times": (pa.array(DATES), "timestamp"),
    "bytes": (np.full(60, b"1"), r"\|S1"),
    "text": (np.array(DIGITS), "<U1"),
    "records": (np.zeros(60, dtype=[("a", float)]), r"\[\('a'"),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_targets_and_weights_that_are_not_numbers(case):
    values, kind = NO_NUMBERS[case]
    for model in MODELS:
        with pytest.raises(ValueError, match=f"y is of type {kind}.*, not numbers"):
            model.fit(X, values)
        with pytest.raises(ValueError, match=f"sample_weight is of type {kind}"):
            model.fit(X, Y, sample_weight=values)


@pytest.mark.parametrize("unit", ["M8[D]", "m8[s]"])
def test_arrays_of_times_are_refused(unit, fitted):
    times = np.round(X * 100).astype("i8").astype(unit)
    times[3, 1] = "NaT"
    for data in (times, times.astype(object)):
        for call in (fitted.predict, lambda X: MODELS[0].fit(X, Y)):
            with pytest.raises((TypeError, ValueError), match=r"^X"):
                call(data)
    mixed = X.astype(object)
    mixed[5, 0] = np.timedelta64("NaT")  # NumPy would count it as -9.2e18
    with pytest.raises(ValueError, match="X has times among its objects"):
        MODELS[0].fit(mixed, Y)
    with pytest.raises(ValueError, match="X has times among its objects"):
        fitted.predict(pd.DataFrame(mixed))
    target = Y.astype(object)
    target[5] = np.timedelta64(3, "s")
    with pytest.raises(ValueError, match="y has times among its objects"):
        MODELS[0].fit(X, target)


NUMBERS = {
    "nullable": pandas_frame(pd.array([1, 2, 3] * 20, dtype="Int64")),
    "truth values": pandas_frame(pd.array([True, False] * 30, dtype="boolean")),
    "objects": pandas_frame(pd.Series([1, 2.5, True] * 20, dtype=object)),
    "Arrow in pandas": pandas_frame(pd.Series(Y).astype("double[pyarrow]")),
    "polars integers": polars_frame(pl.Series([1, 2, 3] * 20, dtype=pl.Int8)),
    "polars decimals": polars_frame(pl.Series(Y).cast(pl.Decimal(20, 10))),
    "arrow": arrow_table(pa.array(Y)),
    "arrow truth values": arrow_table(pa.array([True, False] * 30)),
    "arrow decimals": arrow_table(pa.array([decimal.Decimal(k) for k in range(60)])),
    "wide": X.astype(np.longdouble),
    "narrow": X.astype(np.float16),
    "wide and sparse": sparse.csr_array(X.astype(np.longdouble)),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_all_kinds_are_those_of_their_array(case):
    data = NUMBERS[case]
    plain = np.asarray(data.toarray() if sparse.issparse(data) else data, dtype=float)
    model = RegularizedTwoLayerRegressor(random_state=0)
    expected = model.fit(plain, Y).predict(plain)
    found = model.fit(data, Y).predict(data)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


TENSORS = {
    "plain": torch.from_numpy(X),
    "in a graph": torch.from_numpy(X.copy()).requires_grad_(),
    "negative bit": torch.from_numpy(-1j * X).conj().imag,
    "half": torch.from_numpy(X).bfloat16(),
    "integers": torch.from_numpy(np.round(9 * X)).int(),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_are_read(case):
    data = TENSORS[case]
    plain = data.detach().resolve_neg().double().numpy()
    y, weights = torch.from_numpy(Y).requires_grad_(), torch.ones(60)
    for model in MODELS:
        expected = model.fit(plain, Y).predict(plain)
        found = model.fit(data, y, sample_weight=weights).predict(data)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert isinstance(model.transform(data), np.ndarray)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.from_numpy(X).to_sparse(), "layout torch.sparse_coo"),
        (torch.empty(60, 2, device="meta"), "device 'meta'"),
    ],
)
def test_tensors_that_have_no_array_are_refused(tensor, told, fitted):
    with pytest.raises(TypeError, match=f"^X must be a dense tensor .*{told}"):
        MODELS[0].fit(tensor, Y)
    with pytest.raises(TypeError, match=r"^X must be a dense tensor"):
        fitted.predict(tensor)


class Elsewhere:
    """An array of a library that does not copy to this machine by itself."""

    __array_namespace__ = None
    dtype = "float64"

    def __array__(self, *args, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


def test_arrays_elsewhere_are_refused(fitted):
    with pytest.raises(TypeError, match=r"X must be an array .*NumPy.*, got Elsewhere"):
        MODELS[0].fit(Elsewhere(), Y)
    with pytest.raises(TypeError, match="y must be an array that NumPy can read"):
        MODELS[0].fit(X, Elsewhere())


DISPATCH = """
import numpy as np, sklearn, torch, warnings
from sklearn.model_selection import cross_val_score
from sklearn_twolayer import *
from sklearn_twolayer.datasets import make_two_layer_regression

warnings.simplefilter("ignore")
X, y = make_two_layer_regression(60, 2, n_directions=1, noise=0.1, random_state=0)
tensors = torch.from_numpy(X), torch.from_numpy(y)
for model in (RegularizedTwoLayerRegressor(random_state=0),
              RegularizedTwoLayerRegressorCV(lambdas=2, cv=2, random_state=0)):
    expected, score = model.fit(X, y).predict(X), model.score(X, y)
    with sklearn.config_context(array_api_dispatch=True):
        for A, b in [(X, y), tensors, (X, tensors[1]), (tensors[0], y)]:
            model.fit(A, b, sample_weight=torch.ones(60))
            np.testing.assert_array_equal(model.predict(A), expected)
            assert isinstance(model.transform(A), np.ndarray)
            assert abs(model.score(A, b) - score) < 1e-12
        cross_val_score(model, *tensors, cv=2, error_score="raise")
"""


@pytest.mark.slow
def test_dispatch_to_other_arrays_changes_nothing():
    settings = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", DISPATCH], env=settings, check=True)


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ([(np.arange(60), np.arange(0))], "cv gives no held-out rows in its fold 0"),
        (
            [(np.arange(60), np.arange(9)), (np.arange(0), np.arange(60))],
            "cv gives no training rows in its fold 1",
        ),
        ([(np.arange(50), np.arange(50, 99))], "cv must give indices of the 60 rows"),
    ],
)
def test_folds_without_rows_are_not_blamed_on_weights(splits, told):
    model = RegularizedTwoLayerRegressorCV(cv=splits, lambdas=2)
    with pytest.raises(ValueError, match=told) as error:
        model.fit(X, Y)
    assert "sample_weight" not in str(error.value)


def test_parameters_of_none_ask_for_an_instance():
    model = RegularizedTwoLayerRegressor()
    told = r"schedule__stop cannot .* schedule is None: .*GeometricSchedule\(stop"
    with pytest.raises(ValueError, match=told):
        model.set_params(schedule__stop=0.1)
    model.set_params(schedule=GeometricSchedule(), schedule__stop=0.1)
    assert model.schedule.stop == 0.1
    with pytest.raises(ValueError, match="schedule__stop cannot be set"):
        model.set_params(schedule=None, schedule__stop=0.1)
    assert model.schedule.stop == 0.1
    with pytest.raises(ValueError, match="cv__n_splits cannot be set because cv is"):
        RegularizedTwoLayerRegressorCV().set_params(cv__n_splits=3)
    with pytest.raises(ValueError, match="Invalid parameter 'plan'"):
        model.set_params(plan__stop=0.1)
