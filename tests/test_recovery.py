import numpy as np
import pytest
import torch
from conftest import make_rows

from sklearn_twolayer._network import Network
from sklearn_twolayer._objective import residual_at
from sklearn_twolayer._path import start_path
from sklearn_twolayer._recovery import drop_idle, recover_exactly
from sklearn_twolayer._search import bold_start
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def recover(rows, seed=0):
    generator = seeded(seed)
    start = start_path(rows, max(32, rows.n_inputs), generator)
    wide, *_ = bold_start(rows, start)
    return recover_exactly(rows, start, wide, generator)[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_noiseless_teachers_are_recovered_exactly(seed, n_targets, hidden_bias):
    X, y, teacher = make_two_layer_regression(
        2000, 10, subspace_dim=3, n_targets=n_targets, return_teacher=True,
        random_state=seed,
    )  # fmt: skip
    rows = make_rows(X, y, hidden_bias=hidden_bias)
    network = recover(rows, seed)
    assert residual_at(rows, network).squares < 1e-24
    found = network.weights.numpy()[:, :10] / rows.units.scale
    match = match_directions(found, teacher.directions)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-10


def test_biases_of_the_teacher_need_biases_of_the_student():
    X, y = make_two_layer_regression(1000, 5, hidden_bias=0.5, random_state=0)
    assert recover(make_rows(X, y)).n_neurons == 4
    assert recover(make_rows(X, y, hidden_bias=False)) is None


@pytest.mark.parametrize("noise", [0.01, 0.3, 10.0])
def test_noisy_data_are_given_up(noise):
    X, y = make_two_layer_regression(500, 6, noise=noise, random_state=0)
    assert recover(make_rows(X, y)) is None


def test_idle_neurons_are_those_that_are_linear_on_the_data():
    X = np.random.default_rng(0).standard_normal((100, 2))
    rows = make_rows(X, np.abs(X[:, 0]))
    weights = torch.tensor(
        [[1.0, 0.0, 0.0], [0.1, 0.1, 50.0], [-0.1, 0.0, -50.0], [0.0, 1.0, 0.3]]
    ).double()
    amplitudes = torch.tensor([[1.0], [1.0], [1.0], [1e-9]]).double()
    network = Network.from_parts(weights, amplitudes)
    kept = drop_idle(rows, network)
    torch.testing.assert_close(kept.parameters, network.parameters[:1])
    assert drop_idle(rows, Network.empty(rows)).n_neurons == 0
