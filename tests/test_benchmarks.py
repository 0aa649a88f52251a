"""The pieces of the benchmarks that use the package's own mathematics still run."""

import importlib
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
)

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROBLEM = {"n_samples": 300, "n_features": 4, "n_directions": 2}


@pytest.fixture
def benchmark_module(monkeypatch):
    if not BENCHMARKS.exists():
        pytest.skip("only in a checkout")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda p: p.stem)
def test_benchmarks_can_be_imported(path, benchmark_module):
    assert benchmark_module(path.stem)


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_the_oracle_finds_its_own_teacher(hidden_bias, benchmark_module):
    common = benchmark_module("common")
    exact = common.oracle_score(common.draw(PROBLEM, 0), hidden_bias)
    assert exact.is_exact
    assert exact.excess_risk < 1e-20
    noisy = common.oracle_score(common.draw(PROBLEM, 0, noise=0.3), hidden_bias)
    assert 0.0 < noisy.excess_risk < 0.09


def test_the_dense_certificate_is_not_below_that_of_the_fit(benchmark_module):
    data = benchmark_module("common").draw(PROBLEM, 0)
    model = RegularizedTwoLayerRegressor(schedule=StagedSchedule([0.2]), random_state=0)
    model.fit(*data[:2])
    dense = benchmark_module("certificate").dense_certificate(model, *data[:2])
    assert dense == pytest.approx(model.certificate_, rel=2e-3)


@pytest.mark.slow
def test_small_networks_are_those_of_max_features(benchmark_module):
    X, y = benchmark_module("common").draw(PROBLEM, 0, noise=0.3)[:2]
    options = {"lambdas": 6, "eps": 1e-2, "cv": 2, "debias": False, "random_state": 0}
    options["column_transform"] = "power"
    whole = RegularizedTwoLayerRegressorCV(**options).fit(X, y)
    assert len(whole.features_) > 2
    small = benchmark_module("readable").smaller(whole, X, y, 2)
    expected = RegularizedTwoLayerRegressorCV(max_features=2, **options).fit(X, y)
    np.testing.assert_allclose(small.predict(X), expected.predict(X))


def real_data_record(table, method, mean, seconds=1.0, n_cut=0):
    r2 = None if mean is None else [mean] * 5
    return {
        "table": table, "method": method, "r2": r2, "mean": mean,
        "seconds": seconds, "n_cut": n_cut, "versions": {"numpy": "2"},
    }  # fmt: skip


REAL_DATA = [
    real_data_record("wind", "forest", 0.8, seconds=0.5),
    real_data_record("wind", "two-layer", 0.91, seconds=2.0),
    real_data_record("wind", "slow", 0.7, seconds=60.0, n_cut=5),
    real_data_record("rain", "forest", 0.6, seconds=1.5),
    real_data_record("rain", "two-layer", 0.6),
    real_data_record("rain", "slow", None, seconds=60.0, n_cut=1),
    real_data_record("rain", "half run", 0.99),
]


def cells_of(markdown):
    return [line.strip("| ").split(" | ") for line in markdown.splitlines()]


def test_the_table_of_real_data_ranks_methods_that_have_every_table(benchmark_module):
    """Equal figures share their rank, and being first; no result is last."""
    printing = benchmark_module("readme_table")
    header, _, *rows = cells_of(printing.real_data(REAL_DATA))
    assert header == [
        "R²", "mean rank", "first on", "wind", "rain", "seconds, median", "most",
    ]  # fmt: skip
    assert rows == [
        ["**two-layer**", "1.2", "2", "**0.910**", "**0.600**", "1.5", "2.0"],
        ["forest", "1.8", "1", "0.800", "**0.600**", "1.0", "1.5"],
        ["slow", "3.0", "0", "0.700", "time", "60.0", "60.0+"],
    ]
    _, _, *rows = cells_of(printing.seconds_by_table(REAL_DATA))
    assert ["slow", "60.0+", "60.0+"] in rows


def test_the_table_of_classes_ranks_by_loss_and_by_accuracy(benchmark_module):
    """The least loss and the greatest accuracy are best; no result is last."""
    printing = benchmark_module("readme_table")

    def record(table, method, loss, accuracy):
        own = {"log_loss": loss, "accuracy": accuracy, "seconds": 2.0}
        return {"table": table, "method": method, **own}

    records = [
        record("wine", "two-layer, CV", 0.1, 0.9),
        record("wine", "forest", 0.2, 0.95),
        record("iris", "two-layer, CV", 0.3, 0.8),
        record("iris", "forest", None, None),
    ]
    header, _, *rows = cells_of(printing.real_classes(records))
    assert header[1:] == ["rank by loss", "by accuracy", "wine", "iris", "seconds"]
    assert rows == [
        ["**two-layer, CV**", "1.0", "1.5", "**0.100**, 0.900", "**0.300**, 0.800",
         "2.0"],
        ["forest", "2.0", "1.5", "0.200, 0.950", "time", "2.0"],
    ]  # fmt: skip


def test_results_are_merged_by_table_and_method(benchmark_module, tmp_path):
    printing = benchmark_module("readme_table")
    path = tmp_path / "results.json"
    assert printing.load(path) == []
    printing.save(path, REAL_DATA)
    better = real_data_record("rain", "forest", 0.95)
    new = real_data_record("rain", "new", 0.5)
    printing.save(path, printing.merge(printing.load(path), [better, new]))
    assert printing.load(path) == [*REAL_DATA[:3], better, *REAL_DATA[4:], new]


def test_a_stale_table_is_noticed_and_mended(benchmark_module):
    printing = benchmark_module("readme_table")
    tables = {"real data": printing.real_data(REAL_DATA)}
    text = "Before.\n\n<!-- real data -->\n\nold\n\n<!-- end of real data -->\n\nAfter."
    assert printing.stale(text, tables) == ["real data"]
    mended = printing.written(text, tables)
    assert printing.stale(mended, tables) == []
    assert mended == text.replace("old", tables["real data"])
    assert printing.stale(mended.replace("0.910", "0.911"), tables) == ["real data"]
    assert printing.stale("no markers", tables) == ["real data"]
    with pytest.raises(ValueError, match="markers of 'real data'"):
        printing.written("no markers", tables)


def test_the_tables_of_pages_are_those_of_the_results(benchmark_module):
    printing = benchmark_module("readme_table")
    for page in printing.PAGES.values():
        own = printing.of_page(page, printing.generated())
        assert own
        assert printing.stale((BENCHMARKS.parent / page).read_text(), own) == []


def test_a_search_keeps_its_best_when_its_time_is_up(benchmark_module):
    """The limit is of process time; a fit that ended nothing has no result."""
    methods = benchmark_module("real_methods")
    X, y = make_regression(100, 3, random_state=0)

    class Slow(Ridge):
        def fit(self, X, y):
            began = time.process_time()
            while time.process_time() - began < 0.05:
                pass
            return super().fit(X, y)

    search = methods.Search(Slow(), {"alpha": [1e-3] * 100})
    with methods.time_limit(0.4):
        search.fit(X, y)
    assert search.was_cut
    assert r2_score(y, search.predict(X)) > 0.99
    with pytest.raises(methods.TimeLimit), methods.time_limit(0.1):
        methods.Search(Slow(), {"alpha": [1.0]}).fit(X, y)
    whole = methods.Search(Ridge(), {"alpha": [1e-3, 1e6]}).fit(X, y)
    assert not whole.was_cut
    assert whole.best.alpha == 1e-3


def test_evaluations_on_the_cpu_copy_nothing_between_devices(benchmark_module):
    device = benchmark_module("device")
    X, y = device.draw(500, 3, "float32")
    cpu = torch.device("cpu")
    *seconds, n_copies = device.evaluation(X, y, 2, torch.float32, cpu)
    assert n_copies == 0
    assert min(seconds) > 0.0
