"""Chunks of all kinds give the fit in memory; samples differ from part to part."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer._fit import searches
from sklearn_twolayer._rows.parts import LocalParts
from sklearn_twolayer._rows.raw import RawPart, sampled
from sklearn_twolayer._runtime.limits import time_left, time_limit
from sklearn_twolayer.datasets import make_two_layer_regression

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

X, Y = make_two_layer_regression(300, 4, n_directions=2, noise=0.2, random_state=0)
LAZY_Y = da.from_array(Y, chunks=100)


@pytest.fixture(scope="module", autouse=True)
def threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def fit(X, y, sample_weight=None):
    return RegularizedTwoLayerRegressor(random_state=0).fit(X, y, sample_weight)


def assert_same(model, expected):
    for name in ("features_", "feature_intercepts_", "amplitudes_", "linear_coef_"):
        np.testing.assert_allclose(
            getattr(model, name), getattr(expected, name), rtol=0, atol=1e-6
        )


CHUNKS = {
    "objects": (X.astype(object), lambda X: X),
    "truth values": (X > 0.0, lambda X: X),
    "float32": (X.astype(np.float32), lambda X: X),
    "split by columns": (X, lambda X: X.rechunk((100, 2))),
    "sparse": (X, lambda X: X.map_blocks(sparse.csr_array)),
}


@pytest.mark.parametrize("case", CHUNKS)
def test_chunks_of_all_kinds_are_those_of_memory(case):
    values, change = CHUNKS[case]
    y = Y if case != "truth values" else np.abs(X[:, 0]) + (X > 0) @ [1.0, 2.0, 0.0, 3]
    lazy = change(da.from_array(values, chunks=(100, 4)))
    expected = fit(values, y)
    model = fit(lazy, da.from_array(y, chunks=100))
    assert_same(model, expected)
    np.testing.assert_allclose(
        model.predict(lazy).compute(), expected.predict(values), atol=1e-5
    )


def test_targets_split_by_columns():
    targets = np.column_stack([Y, np.abs(X[:, 0])])
    model = fit(
        da.from_array(X, chunks=(100, 4)), da.from_array(targets, chunks=(50, 1))
    )
    assert_same(model, fit(X, targets))


@pytest.mark.parametrize("weight", [1, 2.5, np.float32(3.0)])
def test_one_weight_for_all_rows(weight):
    lazy = da.from_array(X, chunks=(100, 4))
    assert_same(fit(lazy, LAZY_Y, weight), fit(X, Y))
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="sample_weight"):
            fit(lazy, LAZY_Y, wrong)


def raw_part(n_rows):
    rows = np.arange(n_rows, dtype=float)
    return RawPart(rows[:, None], None, rows[:, None], np.ones(n_rows))


def test_parts_have_samples_of_their_own():
    samples = [sampled(raw_part(1000), 0.1, 7, number).y for number in range(3)]
    assert [len(one) for one in samples] == [100] * 3
    assert len(np.intersect1d(samples[0], samples[1])) < 40  # ten on average
    assert len(np.intersect1d(samples[1], samples[2])) < 40
    np.testing.assert_array_equal(sampled(raw_part(1000), 0.1, 7, 1).y, samples[1])


def test_small_and_empty_parts_have_their_share():
    counts = [len(sampled(raw_part(3), 0.1, 7, number).y) for number in range(1000)]
    assert 230 < sum(counts) < 370  # 300 on average, 16 standard deviation
    assert len(sampled(raw_part(0), 0.5, 7, 3).y) == 0
    assert len(sampled(raw_part(5), 1.0, 7, 3).y) == 5


@pytest.mark.slow
def test_searches_on_samples_know_parts_and_time(monkeypatch):
    """The limit on time reaches the search on the sample, wherever that runs."""
    seen = []
    original = searches._search_sample

    def search_sample(samples, *arguments):
        seen.append((len(samples), sum(len(one.y) for one in samples), arguments[-1]))
        return original(samples, *arguments)

    monkeypatch.setattr(searches, "_search_sample", search_sample)
    monkeypatch.setattr(searches, "SAMPLED_ROWS", 60)
    monkeypatch.setattr(searches, "SAMPLED_PER_INPUT", 1)
    model = RegularizedTwoLayerRegressor(max_time=100.0, random_state=0)
    model.fit(da.from_array(X, chunks=(3, 4)), da.from_array(Y, chunks=3))
    model.set_params(max_time=None).fit(X, Y)
    (n_parts, n_rows, seconds), (_, n_local, unlimited) = seen
    assert n_parts == 100
    assert 30 < n_rows < 100
    assert 0.0 < seconds < 100.0
    assert (n_local, unlimited) == (60, None)
    assert LocalParts(raw_part(3)).numbers() == 0


def test_time_left():
    assert time_left() is None
    with time_limit(50.0):
        assert 49.0 < time_left() <= 50.0
        with time_limit(1e-9):
            assert time_left() == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_paths_differ_by_what_their_gaps_allow(seed):
    """Stages on noisy data amplify rounding, but the predictions are certified.

    The objective is convex in the measure, so that half the mean squared difference of
    predictions from the best ones is at most the duality gap.
    """
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, noise=0.5, random_state=seed
    )
    options = {"debias": False, "tol": 1e-4, "random_state": 0}
    schedule = StagedSchedule([0.5, 0.2])
    model = RegularizedTwoLayerRegressor(schedule=schedule, **options).fit(X, y)
    lazy = RegularizedTwoLayerRegressor(schedule=schedule, **options).fit(
        da.from_array(X, chunks=(100, -1)), da.from_array(y, chunks=100)
    )
    difference = np.sqrt(np.mean((model.predict(X) - lazy.predict(X)) ** 2))
    assert model.lambda_ == pytest.approx(lazy.lambda_, rel=1e-6)
    assert difference <= np.sqrt(2 * model.dual_gap_) + np.sqrt(2 * lazy.dual_gap_)
    assert difference < 0.02 * y.std()
