from functools import partial

import pytest
import torch
from conftest import (
    at_truth,
    neuron_inputs_of,
    random_problem,
    seeded,
    teacher_rows,
    true_network,
)

from sklearn_twolayer._certificate.peaks import find_peaks
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._search.choose_neurons import (
    backward_elimination,
    descend,
    drop_below_price,
    forward_selection,
    peaks_in_span,
    refit,
    smaller_networks,
)
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion
from sklearn_twolayer._search.tuning import DEFAULT_TUNING as TUNING
from sklearn_twolayer._search.tuning import DescentSteps


def test_elimination_removes_what_was_added_to_the_truth():
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
        wide = refit(rows, criterion, wide, TUNING)
        lean = backward_elimination(rows, criterion, wide, TUNING)
        assert lean.network.n_neurons == 3
        assert lean.value < wide.value
        assert lean.value < truth.value + 0.2 * criterion.price


@pytest.mark.parametrize(
    ("cost", "scaled_parameters", "method"),
    [
        (1e9, 500, lambda *a: gauss_newton(*a, max_iter=3, tol=1e-3)[0]),
        (0.0, 500, partial(quasi_newton, max_iter=4, tol=1e-3, scaled=True)),
        (0.0, 10, partial(quasi_newton, max_iter=5, tol=1e-3)),
    ],
)
def test_sizes_decide_how_to_descend(cost, scaled_parameters, method):
    *_, rows, network = random_problem(0)
    steps = DescentSteps(cost, (3, 1e-3), (4, 1e-3), (5, 1e-3), scaled_parameters)
    taken, expected = descend(rows, network, 0.1, steps), method(rows, network, 0.1)
    assert torch.equal(taken.parameters, expected.parameters)


def test_trials_of_many_rows_go_on_as_long_as_a_part_of_a_price_is_gained():
    *_, rows, network = random_problem(0, n_samples=5000, n_neurons=5)
    candidates, steps = [], []
    for price in (1e3, 1e-2):  # the latter is what 10**5 times as many rows would make
        criterion = Criterion(price, 1.0, 5000.0, 5000.0, 0.0)
        with step_limit() as progress:
            candidates.append(refit(rows, criterion, network, TUNING))
        steps.append(progress.n_iter)
    assert 0 < steps[0] < steps[1]
    losses = [objective_at(rows, c.network, 0.0)[0] for c in candidates]
    assert losses[1] < losses[0]


def test_selection_finds_what_was_taken_from_the_truth():
    for seed in range(3):
        rows, teacher = teacher_rows(seed)
        criterion = Criterion.of(rows, DEFAULT_PENALTY)
        truth = at_truth(rows, criterion, teacher)
        less = refit(rows, criterion, truth.network.take([1, 2]), TUNING)
        assert less.value > truth.value
        found = forward_selection(rows, criterion, less, seeded(), TUNING)
        assert found.network.n_neurons == 3
        # Least squares has local minima: not always quite as low as the truth.
        assert found.value < truth.value + 0.5 * criterion.price
        assert found.has_births
        assert not less.has_births


def test_max_iter_ends_the_search():
    rows, teacher = teacher_rows(0)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    less = refit(rows, criterion, true_network(rows, teacher).take([0]), TUNING)
    with step_limit(0):
        assert forward_selection(rows, criterion, less, seeded(), TUNING) is less
        assert backward_elimination(rows, criterion, less, TUNING) is less


def test_removals_are_one_smaller_and_sorted_by_what_they_leave():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher)
    twin = Network.from_parts(network.weights[:1] + 0.1, network.amplitudes[:1])
    network = network.joined_by(twin)
    trials = list(
        smaller_networks(
            rows, Criterion.of(rows, DEFAULT_PENALTY), network, TUNING, 4.0
        )
    )
    assert trials
    assert all(trial.n_neurons == 3 for trial in trials)
    losses = [objective_at(rows, trial, 0.0)[0] for trial in trials]
    assert losses == sorted(losses)
    empty = Network.empty(rows)
    assert not list(smaller_networks(rows, Criterion.of(rows, 1.0), empty, TUNING, 4.0))


def test_dropping_what_is_below_its_price_keeps_the_truth():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    noise = torch.randn(4, rows.n_inputs, generator=seeded(), dtype=torch.float64)
    wide = network.joined_by(Network.from_parts(noise, torch.ones(4, 1).double()))
    lean = drop_below_price(rows, criterion, wide, TUNING)
    torch.testing.assert_close(lean.directions, network.directions)


def test_peaks_in_the_span_are_lower_and_in_the_span():
    rows, teacher = teacher_rows(0)
    network = true_network(rows, teacher).take([0, 1])
    residual = residual_at(rows, network)
    directions = peaks_in_span(rows, residual, network, seeded(), TUNING.births_in_span)
    basis = torch.linalg.qr(network.directions.T)[0]
    torch.testing.assert_close(directions @ basis @ basis.T, directions)
    everywhere = find_peaks(rows, residual, network.directions, seeded()).height
    activations = (neuron_inputs_of(rows) @ directions.T).clamp_min(0)
    projected = activations.T @ residual.values.values
    assert 0.0 < float(projected.abs().max()) <= everywhere * (1 + 1e-6)
