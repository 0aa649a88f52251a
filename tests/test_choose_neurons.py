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
from sklearn_twolayer._search.choose_neurons import (
    Steps,
    descended,
    drop_cheap,
    eliminate,
    grow,
    peaks_in_span,
    refit,
    smaller_networks,
)
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion


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


@pytest.mark.parametrize(
    ("few_entries", "most_scaled", "method"),
    [
        (1e9, 500, partial(gauss_newton, max_iter=3, tol=1e-3)),
        (0.0, 500, partial(quasi_newton, max_iter=4, tol=1e-3, scaled=True)),
        (0.0, 10, partial(quasi_newton, max_iter=5, tol=1e-3)),
    ],
)
def test_sizes_decide_how_to_descend(few_entries, most_scaled, method, monkeypatch):
    *_, rows, network = random_problem(0)
    monkeypatch.setattr(
        "sklearn_twolayer._search.choose_neurons.MOST_SCALED", most_scaled
    )
    steps = Steps(few_entries, (3, 1e-3), scaled=(4, 1e-3), quasi_newton=(5, 1e-3))
    taken, expected = descended(rows, network, 0.1, steps), method(rows, network, 0.1)
    assert taken[1] == expected[1]
    assert torch.equal(taken[0].parameters, expected[0].parameters)


def test_trials_of_many_rows_go_on_as_long_as_a_part_of_a_price_is_gained():
    *_, rows, network = random_problem(0, n_samples=5000, n_neurons=5)
    candidates = []
    for price in (1e3, 1e-2):  # the latter is what 10**5 times as many rows would make
        criterion = Criterion(price, n_values=5000.0)
        candidates.append(refit(rows, criterion, network, 0))
    rough, exact = candidates
    assert rough.n_iter < exact.n_iter
    losses = [objective_at(rows, c.network, 0.0)[0] for c in candidates]
    assert losses[1] < losses[0]


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
