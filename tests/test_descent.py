import numpy as np
import pytest
import torch
from conftest import make_rows, random_problem

from sklearn_twolayer._descent import DESCENTS
from sklearn_twolayer._objective import evaluate, objective_at
from sklearn_twolayer.datasets import make_two_layer_regression

GRID = [(name, seed, q) for name in DESCENTS for seed in range(2) for q in (1, 2)]


@pytest.mark.parametrize(("name", "seed", "n_outputs"), GRID)
def test_descent_ends_at_a_stationary_point(name, seed, n_outputs):
    X, y = make_two_layer_regression(
        1000, 4, n_directions=2, n_targets=n_outputs, random_state=seed
    )
    rows, lambda_ = make_rows(X, y), 0.02
    start = random_problem(seed, n_outputs=n_outputs)[-1]
    before = evaluate(rows, start, lambda_)
    descent = DESCENTS[name](rows, start, lambda_, max_iter=5000, tol=1e-4)
    after = evaluate(rows, descent.network, lambda_)
    assert 0 < descent.n_iter < 5000
    assert after.objective < before.objective
    size = lambda_ * float(descent.network.parameters.norm())
    if descent.converged:
        assert float(after.gradient.norm()) <= 1e-4 * size * (1 + 1e-9)
    # One row's kink can keep the gradient of a minimum from zero, by its weight.
    assert float(after.gradient.norm()) < 0.05 * size
    assert float(before.gradient.norm()) > size


@pytest.mark.parametrize("name", DESCENTS)
@pytest.mark.parametrize("max_iter", [1, 2, 5, 40])
def test_objective_never_rises(name, max_iter):
    *_, rows, network = random_problem(1)
    values = [objective_at(rows, network, 0.1)[1]]
    for _ in range(5):
        descent = DESCENTS[name](rows, network, 0.1, max_iter=max_iter, tol=0.0)
        assert descent.n_iter <= max_iter
        network = descent.network
        values.append(objective_at(rows, network, 0.1)[1])
    assert (np.diff(values) <= 0).all()
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", DESCENTS)
def test_a_stationary_start_is_left_alone(name):
    *_, rows, network = random_problem(0)
    zero = network.moved_to(torch.zeros_like(network.parameters))
    descent = DESCENTS[name](rows, zero, 0.1, max_iter=10, tol=1e-3)
    assert descent.converged
    assert not descent.network.parameters.any()


def test_gradient_steps_do_not_depend_on_scales():
    X, y, weights, rows, network = random_problem(2)
    scaled = make_rows(X * 1e9, y * 1e-7, weights)
    ends = [
        DESCENTS["gd"](r, network, 0.05, max_iter=100, tol=0.0).network.parameters
        for r in (rows, scaled)
    ]
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8)
