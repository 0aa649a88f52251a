"""Requests that no machine could hold are refused before anything is allocated."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._runtime import memory
from sklearn_twolayer._runtime.memory import fit_memory
from sklearn_twolayer.datasets import make_two_layer_regression

X, Y = make_two_layer_regression(60, 3, n_directions=2, random_state=0)


def test_too_many_neurons():
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, Y)
    before = dict(vars(model))
    model.set_params(solver="gd", n_neurons=10**9)
    tracemalloc.start()
    with pytest.raises(MemoryError, match=r"n_neurons = 1000000000.*lower n_neurons"):
        model.fit(X, Y)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert {**vars(model), "solver": "auto", "n_neurons": 100} == before
    # The other solvers begin with few and add more.
    model.set_params(solver="newton").fit(X, Y)


def test_too_many_columns():
    wide = sparse.csr_array((np.ones(2), ([0, 1], [0, 10**7])), shape=(3, 10**7 + 1))
    with pytest.raises(MemoryError, match=r"10000001 columns.*select columns of X"):
        RegularizedTwoLayerRegressor(linear_decay=0.0).fit(wide, np.arange(3.0))
    # With few rows no matrix is as large as the columns squared, but neurons are wide.
    with pytest.raises(MemoryError, match="lower n_neurons or select columns of X"):
        RegularizedTwoLayerRegressor().fit(wide, np.arange(3.0))


def test_a_machine_that_does_not_tell_is_trusted(monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: None)
    memory.check_memory(10**9, 1, 10**9)
    monkeypatch.setattr(memory, "total_memory", lambda: 10**6)
    with pytest.raises(MemoryError):
        RegularizedTwoLayerRegressor(n_neurons=2000, solver="gd").fit(X, Y)


def test_the_estimate_grows_with_what_it_is_of():
    base = fit_memory(10, 1, 10)
    assert 0 < base < min(fit_memory(20, 1, 10), fit_memory(10, 1, 20))
    assert base < fit_memory(10, 5, 10)
