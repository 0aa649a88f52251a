import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Definition, make_rows, random_problem, seeded, targets_of

from sklearn_twolayer._certificate import ascent
from sklearn_twolayer._certificate.certificate import certify, duality_gap
from sklearn_twolayer._certificate.peaks import (
    ALL,
    QUICK,
    Effort,
    Peaks,
    early_directions,
    find_peaks,
)
from sklearn_twolayer._network.network import Network, balance
from sklearn_twolayer._network.objective import (
    PartResidual,
    Residual,
    correlations,
    residual_at,
    target_residual,
)
from sklearn_twolayer.datasets import make_two_layer_regression


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_peak_is_not_below_a_dense_search(seed, n_outputs):
    X, y, weights, rows, network = random_problem(
        seed, n_samples=60, n_outputs=n_outputs
    )
    defined = Definition(X, y / rows.units.target_scale, weights)
    residual = defined.residual(network.weights.numpy(), network.amplitudes.numpy())
    dense = defined.peak(residual, np.random.default_rng(seed))
    peaks = find_peaks(rows, residual_at(rows, network), network.directions, seeded())
    assert peaks.height >= dense * (1 - 1e-3)
    # What is reported is attained.
    attained = defined.correlation(residual, peaks.directions.numpy())
    np.testing.assert_allclose(attained, peaks.correlations, atol=1e-12)
    torch.testing.assert_close(
        peaks.directions.norm(dim=1), torch.ones(len(peaks.directions)).double()
    )


def test_peaks_of_a_teacher_agree_between_seeds():
    X, y = make_two_layer_regression(2000, 10, random_state=0)
    rows = make_rows(X, y)
    targets, heights = target_residual(rows), []
    for seed in range(4):
        starts = early_directions(rows, targets, 50, seeded(seed))
        heights.append(find_peaks(rows, targets, starts, seeded(seed)).height)
    assert np.ptp(heights) < 1e-4 * np.max(heights)


def test_early_directions_lie_near_the_teachers_subspace():
    X, y, teacher = make_two_layer_regression(
        5000, 20, n_directions=3, return_teacher=True, random_state=0
    )
    rows = make_rows(X, y)
    directions = early_directions(rows, target_residual(rows), 50, seeded())
    directions = directions.numpy()[:, :-1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    basis = np.linalg.qr(teacher.directions.T)[0]
    inside = np.linalg.norm(directions @ basis, axis=1)
    # Random directions would have sqrt(3 / 20) = 0.39.
    assert np.median(inside) > 0.9


@pytest.mark.parametrize("lambda_", [0.0, 0.01, 10.0])
def test_gap_is_its_definition_and_bounds_the_excess(lambda_):
    X, y, weights, rows, network = random_problem(1, n_outputs=2)
    network = balance(network)
    defined = Definition(X, y / rows.units.target_scale, weights)
    pair = network.weights.numpy(), network.amplitudes.numpy()
    residual, objective = defined.residual(*pair), defined.objective(*pair, lambda_)
    ours = residual_at(rows, network)
    peak = find_peaks(rows, ours, network.directions, seeded()).height
    gap = duality_gap(ours, objective, lambda_, peak)
    expected = defined.gap(residual, objective, lambda_, peak)
    assert gap == pytest.approx(expected, rel=1e-10)
    # The empty network is one of those that the bound is about.
    assert objective - gap <= defined.objective(pair[0][:0], pair[1][:0], lambda_)


def test_a_residual_of_zero_has_no_peak():
    *_, rows, network = random_problem(0)
    zero = Residual(
        PartResidual(torch.zeros_like(targets_of(rows)), None, None), 0.0, 0.0
    )
    assert find_peaks(rows, zero, network.directions, seeded()).height == 0.0


SMALL = Effort(n_random=5, n_nearby=2, n_refined=4, n_steps=6, n_combined_each=1)


def test_a_search_repeats_and_keeps_as_many_as_it_is_told():
    *_, rows, network = random_problem(0)
    residual = residual_at(rows, network)
    found = [
        find_peaks(rows, residual, network.directions, seeded(3), SMALL)
        for _ in range(2)
    ]
    torch.testing.assert_close(found[0].directions, found[1].directions, rtol=0, atol=0)
    assert len(found[0].directions) == SMALL.n_refined
    heights = found[0].correlations.norm(dim=1)
    assert (heights.diff() <= 0).all()
    # Each of its steps is taken.
    none = replace(SMALL, n_steps=0)
    start = find_peaks(rows, residual, network.directions, seeded(3), none)
    assert found[0].height > start.height


@pytest.mark.parametrize("each", [0, 3])
@pytest.mark.parametrize("kind", ["n_random_each", "n_combined_each"])
def test_a_search_begins_where_its_effort_says(each, kind):
    *_, rows, network = random_problem(0)
    effort = Effort(n_random=5, n_nearby=2, n_refined=ALL, n_steps=1)
    effort = replace(effort, **{kind: each})
    peaks = find_peaks(
        rows, residual_at(rows, network), network.directions, seeded(), effort
    )
    assert len(peaks.directions) == 5 + (1 + 2 + each) * network.n_neurons


def test_combinations_are_of_all_starts_and_of_nothing_else():
    *_, rows, network = random_problem(0, n_features=20)
    residual = residual_at(rows, network)
    looks = Effort(n_random=0, n_nearby=0, n_combined_each=10, n_refined=ALL, n_steps=0)
    starts = network.directions[:3]
    found = find_peaks(rows, residual, starts, seeded(), looks).directions
    assert len(found) == 3 + 30
    torch.testing.assert_close(found.norm(dim=1), torch.ones(33, dtype=torch.float64))
    shares = torch.linalg.lstsq(starts.T, found.T).solution.T
    torch.testing.assert_close(shares @ starts, found)
    assert (shares.abs() > 1e-3).all(dim=1).sum() >= 25


def test_directions_that_are_nearby_are_so_at_every_scale():
    *_, rows, network = random_problem(0, n_features=20)
    residual = residual_at(rows, network)
    looks = Effort(n_random=1, n_nearby=600, n_refined=1000, n_steps=0)
    starts = network.directions[:1]
    found = find_peaks(rows, residual, starts, seeded(), looks)
    assert len(found.directions) == 1 + 1 + looks.n_nearby
    angles = np.sort(np.arccos(np.clip((found.directions @ starts[0]).numpy(), -1, 1)))
    assert angles[0] < 1e-7
    nearby = angles[1:-1]
    assert 0.0025 < nearby.min() < 0.01
    assert 0.5 < nearby.max() < 1.5
    shares = [np.mean(nearby < angle) for angle in (0.0188, 0.0707, 0.266)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75], atol=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_search_in_single_precision_tells_heights_in_full_precision(seed, n_outputs):
    *_, rows, network = random_problem(seed, n_outputs=n_outputs)
    residual = residual_at(rows, network)
    single = replace(SMALL, in_single=True)
    found = [
        find_peaks(rows, residual, network.directions, seeded(3), effort)
        for effort in (SMALL, single)
    ]
    assert found[1].height == pytest.approx(found[0].height, rel=1e-3)
    exact, _ = correlations(rows, residual, found[1].directions)
    torch.testing.assert_close(found[1].correlations, exact, rtol=1e-12, atol=1e-14)
    # No lower than where it began.
    start = replace(single, n_steps=0)
    begun = find_peaks(rows, residual, network.directions, seeded(3), start)
    assert found[1].height >= begun.height


def starts_alone(rows, effort, network):
    residual = residual_at(rows, network)
    return find_peaks(rows, residual, network.directions, seeded(), effort).directions


def test_hyperplanes_cut_the_rows_at_all_distances():
    *_, rows, network = random_problem(0, n_features=20)
    begins = Effort(n_random=0, n_nearby=0, n_refined=ALL, n_steps=0)
    given = len(starts_alone(rows, begins, network))
    effort = replace(begins, n_hyperplanes=400, n_hyperplanes_each=10)
    planes = starts_alone(rows, effort, network)
    assert len(planes) == 11 * given + 400
    torch.testing.assert_close(planes.norm(dim=1), torch.ones(len(planes)).double())
    # Distances are standard normal; those of uniform directions are 0.22 in size.
    distances = planes[:, -1] / planes[:, :-1].norm(dim=1)
    assert 0.9 < float(distances.std()) < 1.1
    assert abs(float(distances.mean())) < 0.15


def test_without_biases_hyperplanes_are_uniform_directions():
    X, y = make_two_layer_regression(60, 3, random_state=0)
    rows = make_rows(X, y, hidden_bias=False)
    effort = Effort(n_random=0, n_nearby=0, n_refined=ALL, n_steps=0, n_hyperplanes=900)
    planes = starts_alone(rows, effort, Network.empty(rows))
    assert planes.shape == (900, 3)
    second = planes.T @ planes / 900
    torch.testing.assert_close(second, torch.eye(3).double() / 3, rtol=0.0, atol=0.05)


def test_what_is_known_of_a_network_is_found_with_the_effort_asked_for():
    X, y, weights, rows, network = random_problem(2, n_outputs=2)
    network = balance(network)
    defined = Definition(X, y / rows.units.target_scale, weights)
    pair = network.weights.numpy(), network.amplitudes.numpy()
    for effort in (SMALL, QUICK):
        known = certify(rows, network, 0.2, seeded(1), effort)
        residual = residual_at(rows, network)
        peaks = find_peaks(rows, residual, network.directions, seeded(1), effort)
        assert known.peaks.height == peaks.height
        assert known.loss == pytest.approx(defined.loss(*pair), rel=1e-12)
        assert known.objective == pytest.approx(defined.objective(*pair, 0.2))
        gap = defined.gap(defined.residual(*pair), known.objective, 0.2, peaks.height)
        assert known.dual_gap == pytest.approx(gap)
        assert known.relative_gap == pytest.approx(gap / known.objective)


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1, 2])
def test_with_a_tolerance_peaks_are_found_that_exceed_it(seed):
    *_, rows, network = random_problem(seed, n_features=8)
    network = balance(network)
    full = certify(rows, network, 1.0, seeded(1)).peaks.height
    # Above the decay by ten tolerances, and below it by as much.
    for lambda_ in (full / 1.01, full / 0.99):
        known = certify(rows, network, lambda_, seeded(1), tol=1e-3)
        assert known.peaks.height == pytest.approx(full, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_tolerance_saves_looks_at_what_will_not_exceed_it(seed, monkeypatch):
    *_, rows, network = random_problem(seed, n_features=8)
    network, looks = balance(network), []
    full = certify(rows, network, 1.0, seeded(1)).peaks.height

    def recorded(rows, residual, directions):
        looks.append(len(directions))
        return correlations(rows, residual, directions)

    monkeypatch.setattr(ascent, "correlations", recorded)
    counts = []
    for tol in (None, 0.3, 0.1):  # the last one is exceeded by more
        certify(rows, network, full / 1.1, seeded(1), tol=tol)
        counts.append(sum(looks))
        looks.clear()
    assert counts[0] > 1.5 * counts[1]
    assert counts[2] > counts[1]


def test_what_two_searches_know_is_ordered_by_height_and_the_worse_of_both():
    *_, rows, network = random_problem(0, n_outputs=2)
    network = balance(network)
    low, high = (
        certify(rows, network, 0.2, seeded(1), replace(SMALL, n_steps=n_steps))
        for n_steps in (0, 30)
    )
    for joined in (low.joined_by(high), high.joined_by(low)):
        assert joined.dual_gap == max(low.dual_gap, high.dual_gap)
        assert joined.objective == low.objective == high.objective
        heights = joined.peaks.correlations.norm(dim=1)
        both = torch.cat([low.peaks.correlations, high.peaks.correlations])
        expected = both.norm(dim=1).sort(descending=True).values
        torch.testing.assert_close(heights, expected, rtol=0, atol=0)
        residual = residual_at(rows, network)
        values, _ = correlations(rows, residual, joined.peaks.directions)
        torch.testing.assert_close(joined.peaks.correlations, values)


def test_peaks_that_are_close_are_one_and_become_neurons():
    angles = torch.tensor([0.0, 0.1, 1.0, math.pi + 0.05], dtype=torch.float64)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    correlations = torch.tensor([[3.0, -4.0], [0.0, 4.0], [0.0, 3.0], [2.0, 0.0]])
    peaks = Peaks(directions, correlations.double())
    assert peaks.height == 5.0
    distinct = peaks.distinct(0.2)
    torch.testing.assert_close(distinct.directions, directions[[0, 2]])
    torch.testing.assert_close(distinct.correlations, peaks.correlations[[0, 2]])
    neurons = distinct.neurons(0.25)
    torch.testing.assert_close(neurons.masses, torch.full((2,), 0.25).double())
    torch.testing.assert_close(neurons.directions, directions[[0, 2]])
    outputs = neurons.amplitudes / neurons.amplitudes.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        outputs, torch.tensor([[0.6, -0.8], [0.0, 1.0]]).double()
    )


def test_early_directions_do_not_depend_on_rounding():
    """Where a random neuron is linear on all rows, the step is rounding alone."""
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((30, 2)), generator.standard_normal(30)
    found = []
    for factor in (1.0, 3.0, 0.1):
        rows = make_rows(X, factor * y)
        found.append(early_directions(rows, target_residual(rows), 200, seeded()))
    sizes = found[0].norm(dim=1)
    assert 0 < (sizes == 0.0).sum() < 100
    torch.testing.assert_close(sizes[sizes > 0.0], torch.ones_like(sizes[sizes > 0.0]))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("apart", [1e-3, 0.1, 0.5, 1.6])
@pytest.mark.parametrize("n_peaks", [0, 1, 60])
def test_a_peak_counts_if_no_higher_one_that_counts_is_close(n_peaks, apart):
    source = torch.Generator().manual_seed(n_peaks)
    kinds = torch.randn(n_peaks, 4, generator=source, dtype=torch.float64)
    moved = kinds + 10.0 ** -torch.arange(n_peaks)[:, None] * kinds.roll(1, dims=1)
    directions = torch.cat([kinds, -moved])
    directions /= directions.norm(dim=1, keepdim=True)
    directions = directions[torch.randperm(2 * n_peaks, generator=source)]
    numbers = torch.arange(2.0 * n_peaks)[:, None]
    found = Peaks(directions, numbers).distinct(apart)
    expected: list[int] = []
    for j, direction in enumerate(directions):
        cosines = [abs(float(direction @ directions[k])) for k in expected]
        if all(cosine <= math.cos(apart) for cosine in cosines):
            expected.append(j)
    assert found.correlations[:, 0].tolist() == expected
    torch.testing.assert_close(found.directions, directions[expected])
