import numpy as np
import pytest
import torch
from conftest import make_rows, seeded, teacher_rows, true_network

from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._path.path import start_path
from sklearn_twolayer._search.bold_start import start_at_noise_level
from sklearn_twolayer._search.exact import (
    descend_from_combinations,
    drop_linear_neurons,
    find_exact_network,
    merge_coarsely,
    merge_while_exact,
    recover_at_small_decays,
    refit_with_births,
    refit_without_decay,
)
from sklearn_twolayer._search.tuning import DEFAULT_TUNING as TUNING
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def at_small_decays(rows, seed=0):
    generator = seeded(seed)
    start = start_path(rows, max(32, rows.n_inputs), generator)
    wide, _ = start_at_noise_level(rows, start, TUNING)
    return recover_at_small_decays(rows, start, wide, generator, TUNING)


def by_refits(rows, seed=0):
    generator = seeded(seed)
    start = start_path(rows, max(32, rows.n_inputs), generator)
    wide, lambda_ = start_at_noise_level(rows, start, TUNING)
    wide = quasi_newton(rows, wide, lambda_, max_iter=12, tol=1e-7)
    few = merge_coarsely(wide, TUNING)
    return find_exact_network(rows, start, few, generator, TUNING)


WAYS = pytest.mark.parametrize("recover", [at_small_decays, by_refits])


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


def test_a_refit_that_lacks_a_neuron_adds_it():
    X, y, teacher = make_two_layer_regression(
        2000, 10, subspace_dim=3, return_teacher=True, random_state=0
    )
    rows = make_rows(X, y, hidden_bias=False)
    weights = torch.from_numpy(teacher.directions[:-1] * rows.units.scale)
    amplitudes = torch.from_numpy(teacher.amplitudes[:-1, None])
    lacking = Network.from_parts(weights, amplitudes)
    refit = refit_with_births(rows, lacking, seeded(), TUNING, TUNING.cheap_cost)
    network = refit.network
    assert refit.is_exact
    assert network.n_neurons == len(teacher.directions)
    assert residual_at(rows, network).squares < 1e-24


def test_a_refit_is_not_tried_where_it_is_expensive():
    X, y = make_two_layer_regression(500, 5, random_state=0)
    rows = make_rows(X, y)
    network = Network.from_parts(torch.eye(6).double(), torch.ones(6, 1).double())
    cost = rows.n_samples * network.parameters.numel() ** 2
    missed = refit_with_births(rows, network, seeded(), TUNING, cost - 1)
    assert not missed.is_exact
    assert missed.network is network
    tried = refit_with_births(rows, network, seeded(), TUNING, cost)
    assert tried.network is not network


def test_networks_that_interpolate_are_not_exact():
    X = np.random.default_rng(0).standard_normal((60, 4))
    y = np.random.default_rng(1).standard_normal(60)
    rows = make_rows(X, y)
    weights = torch.randn(30, 5, generator=seeded()).double()
    network = Network.from_parts(weights, torch.ones(30, 1).double())
    refit = refit_with_births(rows, network, seeded(), TUNING, np.inf)
    assert refit.network is network
    assert not refit.is_exact
    assert at_small_decays(rows) is None


@pytest.mark.parametrize("seed", range(4))
def test_what_a_refit_misses_is_found_in_the_span(seed):
    rows, teacher = teacher_rows(
        seed, noise=0.0, n_features=10, n_directions=6, subspace_dim=2, min_angle=0.2
    )
    start = start_path(rows, 32, seeded())
    truth = true_network(rows, teacher)
    few = truth.take([0, 1, 2, 3])
    cost = TUNING.cheap_cost
    assert not refit_with_births(rows, few, seeded(), TUNING, cost).is_exact
    exact = find_exact_network(rows, start, few, seeded(), TUNING)
    assert exact.n_neurons == 6
    cosines = (exact.directions @ truth.directions.T).abs().max(dim=1).values
    assert cosines.min() > 1.0 - 1e-12


def test_combinations_restart_what_missed_a_neuron_and_not_on_noise():
    for seed in range(3):
        rows, teacher = teacher_rows(
            seed, noise=0.1, n_samples=2000, n_features=10, subspace_dim=2
        )
        start = start_path(rows, 32, seeded())
        truth = true_network(rows, teacher)
        network, _ = gauss_newton(rows, truth, 0.0, max_iter=30, tol=1e-9)
        arguments = seeded(), TUNING
        assert descend_from_combinations(rows, start, network, *arguments) is None
        lacking = network.take([0, 1])
        again = descend_from_combinations(rows, start, lacking, *arguments)
        assert residual_at(rows, again).squares < residual_at(rows, lacking).squares


@pytest.mark.parametrize("seed", range(3))
def test_few_rows_get_as_few_neurons(seed):
    rows, teacher = teacher_rows(
        seed, noise=0.0, n_samples=300, n_features=6, subspace_dim=None
    )
    truth = true_network(rows, teacher)
    shift = 1e-3 * torch.randn(truth.weights.shape, generator=seeded()).double()
    halves = [
        Network.from_parts(truth.weights + turn, 0.5 * truth.amplitudes)
        for turn in (shift, -shift)
    ]
    network = merge_while_exact(rows, halves[0].joined_by(halves[1]), TUNING)
    assert network.n_neurons == 3
    assert residual_at(rows, network).squares < rows.exact
    # Of the truth nothing can be made one.
    assert merge_while_exact(rows, truth, TUNING) is truth


def test_two_neurons_that_no_row_tells_apart_become_one():
    X, y = make_two_layer_regression(500, 5, n_directions=1, random_state=0)
    rows = make_rows(X, y)
    exact = by_refits(rows)
    assert exact.n_neurons == 1
    # Halves whose kinks have no row between them fit as well as the whole.
    shift = torch.randn(exact.weights.shape, generator=seeded()).double()
    turned = exact.weights + 1e-5 * shift
    pair = torch.cat([exact.weights, turned])
    halves = torch.cat([exact.amplitudes, exact.amplitudes]) / 2.0
    network = refit_without_decay(rows, Network.from_parts(pair, halves), TUNING)
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


def test_neurons_that_are_linear_on_the_data_are_dropped():
    X = np.random.default_rng(0).standard_normal((100, 2))
    rows = make_rows(X, np.abs(X[:, 0]))
    weights = torch.tensor(
        [[1.0, 0.0, 0.0], [0.1, 0.1, 50.0], [-0.1, 0.0, -50.0], [0.0, 1.0, 0.3]]
    ).double()
    amplitudes = torch.tensor([[1.0], [1.0], [1.0], [1e-9]]).double()
    network = Network.from_parts(weights, amplitudes)
    kept = drop_linear_neurons(rows, network, TUNING)
    torch.testing.assert_close(kept.parameters, network.parameters[:1])
    assert drop_linear_neurons(rows, Network.empty(rows), TUNING).n_neurons == 0
