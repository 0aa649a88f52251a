"""Gradient descent with steps of a fixed size, and the curvature that limits it."""

import numpy as np
import pytest
import torch
from conftest import make_rows, random_problem
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer._descent.curvature import largest_curvature
from sklearn_twolayer._descent.gradient import descend_plainly
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import evaluate, objective_at
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer.datasets import make_two_layer_regression

X, Y = make_two_layer_regression(300, 5, n_directions=2, noise=0.1, random_state=0)


def descended(rows, network, lambda_, step_size, n_steps):
    with step_limit(n_steps):
        return descend_plainly(
            rows, network, lambda_, max_iter=n_steps, tol=0.0, step_size=step_size
        )


def gd(**parameters):
    defaults = {
        "solver": "gd", "n_neurons": 20, "max_iter": 100, "random_state": 0,
        "schedule": StagedSchedule([0.1, 0.03]),
    }  # fmt: skip
    return RegularizedTwoLayerRegressor(**{**defaults, **parameters})


@pytest.mark.parametrize("lambda_", [0.0, 0.2])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_the_largest_curvature_is_the_largest_eigenvalue(
    lambda_, n_outputs, hidden_bias
):
    *_, rows, network = random_problem(1, n_outputs=n_outputs, hidden_bias=hidden_bias)
    columns, step = [], 1e-6
    for flat in torch.eye(network.parameters.numel(), dtype=torch.float64):
        direction = step * flat.reshape_as(network.parameters)
        ends = [
            evaluate(
                rows, network.moved_to(network.parameters + sign * direction), lambda_
            ).gradient
            for sign in (1, -1)
        ]
        columns.append(((ends[0] - ends[1]) / (2 * step)).ravel())
    expected = float(torch.linalg.eigvalsh(torch.stack(columns))[-1])
    found = largest_curvature(rows, network, lambda_)
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_largest_curvature_of_nothing_is_zero():
    *_, rows, network = random_problem(1)
    assert largest_curvature(rows, Network.empty(rows), 0.1) == 0.0
    idle = network.weights.clone()
    idle[:, :-1], idle[:, -1] = 0.0, -1.0  # active on no row
    network = Network.from_parts(idle, network.amplitudes)
    assert largest_curvature(rows, network, 0.0) == 0.0
    assert largest_curvature(rows, network, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize("n_steps", [1, 7])
def test_fixed_steps_are_multiples_of_the_gradient(n_steps):
    *_, rows, network = random_problem(2)
    parameters = network.parameters
    for _ in range(n_steps):
        gradient = evaluate(rows, network.moved_to(parameters), 0.1).gradient
        parameters = parameters - 0.01 * gradient
    ended = descended(rows, network, 0.1, 0.01, n_steps)
    assert ended.stopped_by == "max_iter"
    torch.testing.assert_close(ended.network.parameters, parameters)


@pytest.mark.parametrize("seed", range(3))
def test_steps_overshoot_above_two_over_the_curvature(seed):
    """Near a minimum, along the direction of the largest curvature."""
    X, y = make_two_layer_regression(500, 4, n_directions=2, random_state=seed)
    rows, start = make_rows(X, y), random_problem(seed, n_neurons=8)[-1]
    minimum = descend_plainly(rows, start, 0.02, max_iter=3000, tol=1e-5).network
    curvature = largest_curvature(rows, minimum, 0.02)
    least = objective_at(rows, minimum, 0.02)[1]
    for factor, is_stable in ((1.0, True), (1.8, True), (2.4, False)):
        ended = descended(rows, minimum, 0.02, factor / curvature, 100).network
        rise = objective_at(rows, ended, 0.02)[1] - least
        assert (rise < 1e-4 * least) == is_stable


def test_steps_that_lead_away_leave_the_start():
    *_, rows, network = random_problem(2)
    for step_size in (1e2, 1e200, 1e300):
        ended = descended(rows, network, 0.1, step_size, 100)
        assert ended.stopped_by == "diverged"
        assert ended.network is network


@pytest.mark.parametrize("schedule", [StagedSchedule([0.1]), ConstantSchedule(0.0)])
def test_a_fit_whose_steps_diverge_says_so_and_is_usable(schedule, tmp_path):
    model = gd(step_size=10.0, schedule=schedule, checkpoint=tmp_path / "fit.npz")
    with pytest.warns(ConvergenceWarning, match=r"diverged.*lower step_size"):
        model.fit(X, Y)
    assert model.score(X, Y) > 0.5
    assert model.n_iter_ < 100
    with pytest.warns(ConvergenceWarning, match="diverged"):  # read from the file
        again = clone(model).fit(X, Y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fixed_step_does_not_depend_on_units():
    plain = gd(step_size=0.5).fit(X, Y)
    moved = gd(step_size=0.5).fit(X * 1e3 + 2.0, Y * 1e-4)
    np.testing.assert_allclose(
        moved.predict(X * 1e3 + 2.0), plain.predict(X) * 1e-4, rtol=1e-6
    )
    np.testing.assert_allclose(
        moved.history_["curvature"], plain.history_["curvature"], rtol=1e-3
    )
    other = gd(step_size=0.1).fit(X, Y)
    assert not np.allclose(other.predict(X), plain.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_history_has_the_curvature_of_gradient_descent_alone():
    model = gd(step_size=0.5).fit(X, Y)
    path = two_layer_path(
        X, Y, solver="gd", n_neurons=20, max_iter=100, step_size=0.5, random_state=0,
        schedule=StagedSchedule([0.1, 0.03]),
    )  # fmt: skip
    curvature = model.history_["curvature"]
    assert curvature.shape == (2,)
    assert (curvature > 0.0).all()
    np.testing.assert_array_equal(path.history["curvature"], curvature)
    again = RegularizedTwoLayerRegressor.from_dict(model.to_dict())
    np.testing.assert_array_equal(again.history_["curvature"], curvature)
    assert "curvature" not in gd(solver="newton").fit(X, Y).history_
    # Above lambda_max there is no neuron, hence no curvature.
    assert gd(schedule=ConstantSchedule(2.0)).fit(X, Y).history_["curvature"] == [0.0]
