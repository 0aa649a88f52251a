import numpy as np
import pytest
import torch
from conftest import Definition, make_rows

from sklearn_twolayer import ConstantSchedule, StagedSchedule, two_layer_path
from sklearn_twolayer._network.fixed_directions import fit_output_layer
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def teacher_data(seed, **kwargs):
    return make_two_layer_regression(
        2000, 10, subspace_dim=3, return_teacher=True, random_state=seed, **kwargs
    )


def largest_angle(network, teacher):
    return match_directions(network.features, teacher.directions).angles.max()


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_default_schedule_recovers_the_teacher_and_obeys_the_laws(seed):
    X, y, teacher = teacher_data(seed)
    path = two_layer_path(X, y, solver="gd", random_state=seed)
    angles = [largest_angle(network, teacher) for network in path.networks]
    assert angles[-1] < 0.03
    log_lambda = np.log(path.lambdas)
    loss_slope = np.polyfit(log_lambda, np.log(path.history["loss"]), 1)[0]
    angle_slope = np.polyfit(log_lambda, np.log(angles), 1)[0]
    assert 1.7 < loss_slope < 2.3
    assert 0.6 < angle_slope < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_decreasing_decay_wins_at_equal_steps(seed):
    X, y, teacher = teacher_data(seed)
    options = {"solver": "gd", "n_neurons": 50, "random_state": seed}
    path = two_layer_path(X, y, max_iter=500, **options)
    n_steps = int(path.history["n_iter"].sum())
    ours = largest_angle(path.networks[-1], teacher)
    for value in (0.0, 2e-4, 0.03):  # none, where the schedule ends, where it starts
        fixed = two_layer_path(
            X, y, schedule=ConstantSchedule(value), max_iter=n_steps, **options
        )
        assert largest_angle(fixed.networks[0], teacher) > 1.5 * ours


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_history_is_its_definition(n_targets, hidden_bias):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, n_targets=n_targets, noise=0.1, random_state=0
    )
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 300)
    path = two_layer_path(
        X, y, sample_weight=weights, schedule=StagedSchedule([0.5, 0.1]),
        hidden_bias=hidden_bias, random_state=0,
    )  # fmt: skip
    defined = Definition(X, y, weights, hidden_bias)
    generator = np.random.default_rng(1)
    for k, network in enumerate(path.networks):
        residual = (y - network.predict(X)).reshape(300, -1)
        loss = 0.5 * defined.share @ (residual**2).sum(axis=1)
        assert path.history["loss"][k] == pytest.approx(loss, rel=1e-9)
        hidden = network.features * defined.scale
        if hidden_bias:
            bias = network.feature_intercepts + network.features @ defined.mean
            hidden = np.column_stack([hidden, bias])
        amplitudes = network.amplitudes.reshape(len(hidden), -1)
        mass = np.linalg.norm(hidden, axis=1) @ np.linalg.norm(amplitudes, axis=1)
        objective = loss + path.lambdas[k] * mass
        assert path.history["objective"][k] == pytest.approx(objective, rel=1e-9)
        peak = defined.peak(residual, generator, starts=hidden)
        assert path.history["certificate"][k] == pytest.approx(
            peak / path.lambdas[k], rel=2e-3
        )
        reported = path.history["certificate"][k] * path.lambdas[k]
        gap = defined.gap(residual, objective, path.lambdas[k], reported)
        assert path.history["dual_gap"][k] == pytest.approx(gap, rel=1e-6)
        assert gap >= 0.0
    start = defined.peak(defined.y, generator)
    assert path.lambda_max == pytest.approx(start, rel=2e-3)
    assert path.lambda_max >= start * (1 - 1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_lambda_max_is_where_the_first_feature_appears(seed):
    X, y, _ = teacher_data(seed, noise=0.1)
    path = two_layer_path(
        X, y, schedule=StagedSchedule([2.0, 1.0, 0.99]), random_state=seed
    )
    assert [network.n_features for network in path.networks[:2]] == [0, 0]
    assert path.networks[2].n_features >= 1
    linear = path.history["loss"][0]
    assert path.history["objective"][2] <= linear * (1 + 1e-9)


def test_output_layer_is_stationary_in_the_amplitudes():
    X, y, _ = teacher_data(0, n_targets=2)
    rows, lambda_ = make_rows(X[:200], y[:200]), 0.05
    directions = torch.randn(
        7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    directions = directions / directions.norm(dim=1, keepdim=True)
    balanced = fit_output_layer(rows, directions, lambda_)
    torch.testing.assert_close(
        balanced.weights.norm(dim=1), balanced.amplitudes.norm(dim=1)
    )
    unbalanced = Network.from_parts(
        directions, balanced.amplitudes * balanced.weights.norm(dim=1, keepdim=True)
    )
    gradient = evaluate(rows, unbalanced, lambda_).gradient[:, :2]
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


def test_linear_targets_give_empty_networks_at_every_stage():
    X, _, _ = teacher_data(0)
    path = two_layer_path(X, X @ np.arange(10.0), random_state=0)
    assert path.lambda_max == 0.0
    assert all(network.n_features == 0 for network in path.networks)
    assert np.isfinite(path.history["dual_gap"]).all()
