import numpy as np
import pytest
import torch
from conftest import make_rows, seeded

from sklearn_twolayer._bold_start import at_noise_level
from sklearn_twolayer._descent._quasi_newton import quasi_newton
from sklearn_twolayer._network import Network
from sklearn_twolayer._objective import residual_at
from sklearn_twolayer._path import start_path
from sklearn_twolayer._recovery import (
    coarsely_merged,
    drop_idle,
    polish,
    recover_exactly,
    shoot,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

pytestmark = pytest.mark.usefixtures("threads_of_a_fit")


def the_long_way(rows, seed=0):
    generator = seeded(seed)
    start = start_path(rows, max(32, rows.n_inputs), generator)
    wide, _ = at_noise_level(rows, start)
    return recover_exactly(rows, start, wide, generator)[0]


def by_shots(rows, seed=0):
    generator = seeded(seed)
    start = start_path(rows, max(32, rows.n_inputs), generator)
    wide, lambda_ = at_noise_level(rows, start)
    wide, _ = quasi_newton(rows, wide, lambda_, max_iter=12, tol=1e-7)
    return shoot(rows, coarsely_merged(wide), generator)[0]


WAYS = pytest.mark.parametrize("recover", [the_long_way, by_shots])


@WAYS
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_noiseless_teachers_are_recovered_exactly(
    hidden_bias, n_targets, seed, recover
):
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


def test_a_shot_that_lacks_a_neuron_adds_it():
    X, y, teacher = make_two_layer_regression(
        2000, 10, subspace_dim=3, return_teacher=True, random_state=0
    )
    rows = make_rows(X, y, hidden_bias=False)
    weights = torch.from_numpy(teacher.directions[:-1] * rows.units.scale)
    amplitudes = torch.from_numpy(teacher.amplitudes[:-1, None])
    network, _ = shoot(rows, Network.from_parts(weights, amplitudes), seeded())
    assert network.n_neurons == len(teacher.directions)
    assert residual_at(rows, network).squares < 1e-24


def test_two_neurons_that_no_row_tells_apart_become_one():
    X, y = make_two_layer_regression(500, 5, n_directions=1, random_state=0)
    rows = make_rows(X, y)
    exact = by_shots(rows)
    assert exact.n_neurons == 1
    # Halves whose kinks have no row between them fit as well as the whole.
    shift = torch.randn(exact.weights.shape, generator=seeded()).double()
    turned = exact.weights + 1e-5 * shift
    pair = torch.cat([exact.weights, turned])
    halves = torch.cat([exact.amplitudes, exact.amplitudes]) / 2.0
    network, _ = polish(rows, Network.from_parts(pair, halves))
    assert network.n_neurons == 1
    assert residual_at(rows, network).squares < 1e-24


@WAYS
def test_biases_of_the_teacher_need_biases_of_the_student(recover):
    X, y = make_two_layer_regression(1000, 5, hidden_bias=0.5, random_state=0)
    assert recover(make_rows(X, y)).n_neurons == 4
    assert recover(make_rows(X, y, hidden_bias=False)) is None


@WAYS
@pytest.mark.parametrize("noise", [0.01, 0.3, 10.0])
def test_noisy_data_are_given_up(noise, recover):
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
