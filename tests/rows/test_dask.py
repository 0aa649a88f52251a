"""Dask collections: whole fits against those in memory, on threads and on workers."""

import os
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._fit import searches
from sklearn_twolayer.datasets import make_two_layer_regression

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
joblib = pytest.importorskip("joblib")

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {
    "n_neurons": 8, "max_iter": 30, "random_state": 0,
    "schedule": ConstantSchedule(0.2),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


@pytest.fixture
def data():
    return make_two_layer_regression(300, 4, n_directions=2, noise=0.2, random_state=0)


def same_model(model, expected, atol=1e-6):
    for name in (
        "features_",
        "feature_intercepts_",
        "amplitudes_",
        "linear_intercept_",
    ):
        np.testing.assert_allclose(
            getattr(model, name), getattr(expected, name), rtol=0, atol=atol
        )


@pytest.mark.parametrize(
    ("schedule", "n_outputs"),
    [
        (None, 1),
        (None, 2),
        pytest.param(ConstantSchedule(0.3), 1, marks=pytest.mark.slow),
        (ConstantSchedule(0.3), 2),
    ],
)
def test_arrays_give_the_fit_in_memory(rng, n_outputs, schedule):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, n_targets=n_outputs, noise=0.2, random_state=0
    )
    weights = np.where(np.arange(300) < 100, 0.0, rng.uniform(0.5, 2.0, 300))
    model = RegularizedTwoLayerRegressor(schedule=schedule, random_state=0)
    expected = model.fit(X, y, weights)
    predicted, projected = expected.predict(X), expected.transform(X)
    chunks = da.from_array(X, chunks=(100, 2))
    model = RegularizedTwoLayerRegressor(schedule=schedule, random_state=0)
    model.fit(chunks, da.from_array(y, chunks=100), da.from_array(weights, chunks=75))
    same_model(model, expected)
    lazy = [model.predict(chunks), model.transform(chunks)]
    model.set_params(feature_output="terms")
    lazy.append(model.transform(chunks))
    terms = model.transform(X)
    for result, known in zip(lazy, (predicted, projected, terms), strict=True):
        assert isinstance(result, da.Array)
        assert result.shape == known.shape
        np.testing.assert_allclose(result.compute(), known, rtol=0, atol=1e-6)


def test_dataframes_give_the_fit_in_memory(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    expected = RegularizedTwoLayerRegressor(**QUICK).fit(frame[list("abcd")], y)
    parts = dd.from_pandas(frame, npartitions=3)
    parts = parts[parts.a < np.inf]  # the lengths of the partitions are unknown now
    model = RegularizedTwoLayerRegressor(**QUICK).fit(parts[list("abcd")], parts.y)
    same_model(model, expected)
    assert list(model.feature_names_in_) == list("abcd")
    predicted = model.predict(parts[list("abcd")]).compute()
    np.testing.assert_allclose(predicted, expected.predict(frame[list("abcd")]))


def test_partitions_may_be_empty(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y, row=np.arange(300))
    parts = dd.from_pandas(frame, npartitions=3)
    parts = parts[parts.row >= 120]
    expected = RegularizedTwoLayerRegressor(**QUICK).fit(X[120:], y[120:])
    model = RegularizedTwoLayerRegressor(**QUICK).fit(parts[list("abcd")], parts.y)
    same_model(model, expected)


def test_targets_and_weights_may_be_in_memory(data):
    X, y = data
    expected = RegularizedTwoLayerRegressor(**QUICK).fit(X, y, y**2)
    chunks = da.from_array(X, chunks=(100, 4))
    same_model(RegularizedTwoLayerRegressor(**QUICK).fit(chunks, y, y**2), expected)


def test_a_sample_of_all_chunks_begins(monkeypatch, data):
    X, y = data
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    monkeypatch.setattr(searches, "SAMPLED_ROWS", 100)
    monkeypatch.setattr(searches, "SAMPLED_PER_INPUT", 1)
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(da.from_array(X, chunks=(100, 4)), da.from_array(y, chunks=100))
    assert len(model.features_) == len(expected.features_)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=0.05)


def test_names_and_numbers_of_columns_are_checked(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = RegularizedTwoLayerRegressor(**QUICK).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(dd.from_pandas(frame[list("badc")], npartitions=2))
    model = RegularizedTwoLayerRegressor(**QUICK).fit(X, y)
    with pytest.raises(ValueError, match="3 features"):
        model.transform(da.from_array(X[:, :3], chunks=(100, 3)))


def test_errors_name_the_offender(data):
    X, y = data
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=3)
    chunks = da.from_array(X, chunks=(100, 4))
    lazy = da.from_array(y, chunks=100)
    unknown = chunks[chunks[:, 0] < np.inf]
    model = RegularizedTwoLayerRegressor(**QUICK)
    for X_bad, y_bad, error, match in [
        (chunks, lazy[:-1], ValueError, "y"),
        (chunks, y[:-1], ValueError, r"inconsistent numbers of samples: \[300, 299\]"),
        (chunks[:, 0], lazy, ValueError, "X must be a two-dimensional Dask array"),
        (unknown, y, TypeError, "y must be a Dask collection with the partitions of X"),
        (frame, lazy.rechunk(50), ValueError, "y must have as many chunks"),
        (chunks, lazy * np.nan, ValueError, "y contains NaN"),
        (chunks + np.inf, lazy, ValueError, "X contains infinity"),
        (chunks[:1], lazy[:1], ValueError, "at least 2"),
    ]:
        with pytest.raises(error, match=match):
            model.fit(X_bad, y_bad)
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        model.fit(chunks, lazy, da.zeros(300, chunks=100))
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        model.fit(chunks, lazy, -da.ones(300, chunks=100))
    with pytest.raises(TypeError, match="X is a Dask collection, which only"):
        RegularizedTwoLayerRegressorCV(cv=2).fit(chunks, lazy)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.slow
def test_workers_give_the_fit_in_memory(client, data):
    X, y = data
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    chunks, lazy = da.from_array(X, chunks=(75, 4)), da.from_array(y, chunks=75)
    with dask.config.set(scheduler=client):
        model = RegularizedTwoLayerRegressor(random_state=0).fit(chunks, lazy)
        predicted = model.predict(chunks).compute()
    same_model(model, expected)
    np.testing.assert_allclose(predicted, expected.predict(X), atol=1e-6)


@pytest.mark.slow
def test_a_fit_survives_a_killed_worker(client, data):
    X, y = data
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    chunks, lazy = da.from_array(X, chunks=(75, 4)), da.from_array(y, chunks=75)
    workers = client.run(os.getpid)
    victim = next(iter(workers.values()))
    killed = []

    def kill():
        time.sleep(2.0)
        os.kill(victim, 9)
        killed.append(time.perf_counter())

    killer = threading.Thread(target=kill)
    killer.start()
    with dask.config.set(scheduler=client):
        model = RegularizedTwoLayerRegressor(random_state=0).fit(chunks, lazy)
    ended = time.perf_counter()
    killer.join()
    assert killed[0] < ended  # in the middle of the fit
    same_model(model, expected)


@pytest.mark.slow
def test_a_search_runs_on_the_workers(client, data):
    X, y = data
    search = GridSearchCV(
        RegularizedTwoLayerRegressor(**QUICK), {"schedule__value": [0.05, 0.2]}, cv=2
    )
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask", client=client):
        found = search.fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(2))
def test_targets_far_from_zero_keep_their_features(seed):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, noise=0.2, random_state=seed
    )
    far = 1e6 * y + 1.7e18
    near = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, far)
    assert expected.score(X, far) == pytest.approx(near.score(X, y), abs=1e-2)
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(da.from_array(X, chunks=(100, 4)), da.from_array(far, chunks=100))
    assert len(model.features_) == len(expected.features_) > 0
    assert model.score(X, far) == pytest.approx(expected.score(X, far), abs=1e-6)
