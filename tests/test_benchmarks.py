"""The pieces of the benchmarks that use the package's own mathematics still run."""

import importlib
from pathlib import Path

import numpy as np
import pytest

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


def test_small_networks_are_those_of_max_features(benchmark_module):
    X, y = benchmark_module("common").draw(PROBLEM, 0, noise=0.3)[:2]
    options = {"lambdas": 6, "eps": 1e-2, "cv": 2, "debias": False, "random_state": 0}
    options["column_transform"] = "power"
    whole = RegularizedTwoLayerRegressorCV(**options).fit(X, y)
    assert len(whole.features_) > 2
    small = benchmark_module("readable").smaller(whole, X, y, 2)
    expected = RegularizedTwoLayerRegressorCV(max_features=2, **options).fit(X, y)
    np.testing.assert_allclose(small.predict(X), expected.predict(X))
