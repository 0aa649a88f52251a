import numpy as np
import pytest
import torch
from conftest import (
    Definition,
    make_rows,
    neuron_inputs_of,
    random_problem,
    residual_values,
)

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._certificate import find_peaks
from sklearn_twolayer._descent._gauss_newton import gauss_newton
from sklearn_twolayer._network import Network
from sklearn_twolayer._objective import objective_at, residual_at
from sklearn_twolayer._path import start_path
from sklearn_twolayer._search import (
    FINAL,
    Candidate,
    descended,
    drop_cheap,
    eliminate,
    grow,
    merge_closest,
    peaks_in_span,
    refit,
    search_stage,
    shrunk,
    smaller_networks,
)
from sklearn_twolayer._selection import DEFAULT_PENALTY, Criterion
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def teacher_rows(seed, noise=0.3, n_samples=1000, **parameters):
    X, y, teacher = make_two_layer_regression(
        n_samples, 5, subspace_dim=3, n_directions=3, noise=noise,
        return_teacher=True, random_state=seed, **parameters,
    )  # fmt: skip
    return make_rows(X, y), teacher


def true_network(rows, teacher):
    weights = teacher.directions * rows.units.scale
    weights = np.column_stack([weights, teacher.directions @ rows.units.shift])
    amplitudes = teacher.amplitudes[:, None] / rows.units.target_scale
    return Network.from_parts(torch.from_numpy(weights), torch.from_numpy(amplitudes))


def search(rows, seed=0, network=None, penalty=DEFAULT_PENALTY):
    generator = seeded(seed)
    start = start_path(rows, 32, generator)
    return search_stage(rows, start, penalty, 2000, generator, network)


def at_truth(rows, criterion, teacher):
    """Least squares started at the teacher."""
    network, n_iter = descended(rows, true_network(rows, teacher), 0.0, FINAL)
    loss = objective_at(rows, network, 0.0)[0]
    return Candidate(network, criterion.value(loss, network.n_neurons), n_iter)


@pytest.mark.parametrize("seed", range(5))
def test_noisy_teachers_are_found_with_their_number_of_neurons(seed):
    rows, teacher = teacher_rows(seed)
    network = search(rows).result
    assert network.n_neurons == 3
    found = network.weights.numpy()[:, :5] / rows.units.scale
    assert match_directions(found, teacher.directions).angles.max() < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_the_stage_certifies_the_network_that_is_kept(seed):
    X, y, weights, rows, _ = random_problem(seed, n_samples=200)
    y = y + 3.0 * np.abs(X[:, :1])
    rows = make_rows(X, y, weights)
    stage = search(rows)
    assert stage.network is stage.result
    definition = Definition(X, y, weights)
    scale = rows.units.target_scale
    first, second = stage.network.weights.numpy(), stage.network.amplitudes.numpy()
    np.testing.assert_allclose(
        stage.loss * scale**2, definition.loss(first, second * scale)
    )
    residual = definition.residual(first, second * scale)
    peak = definition.peak(residual, np.random.default_rng(0), first)
    found = stage.certificate * stage.lambda_ * scale
    np.testing.assert_allclose(found, peak, rtol=0.02)
    assert stage.dual_gap >= 0.0


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_linear_targets_get_no_neurons(noise):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((300, 5))
    y = X.sum(axis=1) + noise * generator.standard_normal(300)
    assert search(make_rows(X, y)).result.n_neurons == 0


def test_eliminate_removes_what_was_added_to_the_truth():
    for seed in range(3):
        rows, teacher = teacher_rows(seed)
        criterion = Criterion.of(rows, DEFAULT_PENALTY)
        truth = at_truth(rows, criterion, teacher)
        extra = torch.randn(2, rows.n_inputs, generator=seeded(), dtype=torch.float64)
        noise = Network.from_parts(0.1 * extra, torch.full((2, 1), 0.1).double())
        twin = Network.from_parts(
            truth.network.weights[:1] + 0.02, truth.network.amplitudes[:1]
        )
        wide = truth.network.joined_by(noise).joined_by(twin)
        wide = refit(rows, criterion, wide, 0)
        lean = eliminate(rows, criterion, wide, 2000)
        assert lean.network.n_neurons == 3
        assert lean.value < wide.value
        assert lean.value < truth.value + 0.2 * criterion.price


def test_grow_finds_what_was_taken_from_the_truth():
    for seed in range(3):
        rows, teacher = teacher_rows(seed)
        criterion = Criterion.of(rows, DEFAULT_PENALTY)
        truth = at_truth(rows, criterion, teacher)
        less = refit(rows, criterion, truth.network.take([1, 2]), 0)
        assert less.value > truth.value
        found = grow(rows, criterion, less, 2000, seeded())
        assert found.network.n_neurons == 3
        # Least squares has local minima: not always quite as low as the truth.
        assert found.value < truth.value + 0.5 * criterion.price
        assert found.n_iter > less.n_iter


def test_max_iter_ends_the_search():
    rows, teacher = teacher_rows(0)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    less = refit(rows, criterion, true_network(rows, teacher).take([0]), 0)
    assert grow(rows, criterion, less, less.n_iter, seeded()) is less
    assert eliminate(rows, criterion, less, less.n_iter) is less


def test_removals_are_one_smaller_and_sorted_by_what_they_leave():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher)
    twin = Network.from_parts(network.weights[:1] + 0.1, network.amplitudes[:1])
    network = network.joined_by(twin)
    trials = list(smaller_networks(rows, Criterion.of(rows, DEFAULT_PENALTY), network))
    assert trials
    assert all(trial.n_neurons == 3 for trial in trials)
    losses = [objective_at(rows, trial, 0.0)[0] for trial in trials]
    assert losses == sorted(losses)
    assert (
        list(smaller_networks(rows, Criterion.of(rows, 1.0), Network.empty(rows))) == []
    )


def test_merge_closest_joins_only_neighbours():
    *_, network = random_problem(0)
    weights = network.weights[:1]
    twin = Network.from_parts(-weights - 0.01, network.amplitudes[:1])
    merged = merge_closest(network.joined_by(twin))
    assert merged.n_neurons == network.n_neurons
    apart = Network.from_parts(torch.eye(5).double(), network.amplitudes)
    assert merge_closest(apart) is None
    assert merge_closest(network.take([0])) is None


def test_drop_cheap_keeps_the_truth():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    noise = torch.randn(4, rows.n_inputs, generator=seeded(), dtype=torch.float64)
    wide = network.joined_by(Network.from_parts(noise, torch.ones(4, 1).double()))
    lean = drop_cheap(rows, wide, criterion)
    torch.testing.assert_close(lean.directions, network.directions)


def test_peaks_in_the_span_are_lower_and_in_the_span():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher).take([0, 1])
    residual = residual_at(rows, network)
    directions = peaks_in_span(rows, residual, network, seeded())
    basis = torch.linalg.qr(network.directions.T)[0]
    torch.testing.assert_close(directions @ basis @ basis.T, directions)
    everywhere = find_peaks(rows, residual, network.directions, seeded()).height
    activations = (neuron_inputs_of(rows) @ directions.T).clamp_min(0)
    projected = activations.T @ residual.values.values
    assert 0.0 < float(projected.abs().max()) <= everywhere * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_one_over_the_variance_make_the_most_of_clean_rows(seed):
    X, y, teacher = make_two_layer_regression(
        1000, 8, n_directions=3, return_teacher=True, random_state=seed
    )
    generator = np.random.default_rng(seed)
    scale = np.exp(generator.normal(-1, 1, len(y)))
    y = y + scale * generator.standard_normal(len(y))
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(X, y, sample_weight=scale**-2)
    match = match_directions(model.features_, teacher.directions)
    assert len(model.features_) == 3
    assert match.angles.max() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_unequal_weights_on_equal_noise_are_no_features(seed):
    generator = np.random.default_rng(seed)
    X, y = generator.standard_normal((1000, 8)), generator.standard_normal(1000)
    weights = np.exp(generator.normal(0, 0.7, len(y)))
    model = RegularizedTwoLayerRegressor(random_state=0)
    assert len(model.fit(X, y, sample_weight=weights).features_) == 0


def mean_excess(rows, network, teacher):
    """Mean squared distance to the teacher on the rows, in the fit's coordinates."""
    truth = residual_values(rows, true_network(rows, teacher))
    return float((truth - residual_values(rows, network)).square().sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_last_decay_is_that_of_the_masses_and_the_noise(seed, n_targets):
    X, y = make_two_layer_regression(
        400, 4, n_directions=2, noise=0.3, n_targets=n_targets, random_state=seed
    )
    rows = make_rows(X, y)
    network = search(rows, penalty=3.5).network
    plain, _ = descended(rows, network, 0.0, FINAL)
    smaller, _ = shrunk(rows, plain)
    assert smaller.masses.sum() < plain.masses.sum()
    # Theory eq. (17), from the definition of each of its symbols.
    squares = residual_at(rows, plain).squares / n_targets
    masses = plain.weights.norm(dim=1) * plain.amplitudes.norm(dim=1)
    n_parameters = plain.n_neurons * (5 + n_targets - 1)
    lambda_ = squares * n_parameters / (400 * float(masses.sum()))
    expected, _ = gauss_newton(rows, plain, lambda_, max_iter=6, tol=1e-6)
    torch.testing.assert_close(smaller.parameters, expected.parameters)
    before, after = (objective_at(rows, n, lambda_)[1] for n in (plain, smaller))
    assert after < before


def test_the_last_decay_lowers_the_error_on_average():
    ratios = []
    for seed in range(8):
        rows, teacher = teacher_rows(seed, n_samples=300, noise=0.5)
        network = true_network(rows, teacher)
        plain, _ = descended(rows, network, 0.0, FINAL)
        smaller, _ = shrunk(rows, plain)
        before = mean_excess(rows, plain, teacher)
        ratios.append(mean_excess(rows, smaller, teacher) / before)
    assert np.mean(ratios) < 0.97


def test_an_exact_network_is_not_shrunk():
    rows, teacher = teacher_rows(0, noise=0.0)
    network, _ = shrunk(rows, true_network(rows, teacher))
    assert residual_at(rows, network).squares < rows.exact
    assert shrunk(rows, Network.empty(rows))[0].n_neurons == 0


@pytest.mark.parametrize("seed", [2, 3])
def test_directions_that_are_close_are_told_apart_without_noise(seed):
    X, y, teacher = make_two_layer_regression(
        3000, 20, subspace_dim=2, n_directions=5, min_angle=0.2, return_teacher=True,
        random_state=seed,
    )  # fmt: skip
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-10
