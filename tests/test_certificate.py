import numpy as np
import pytest
import torch
from conftest import Definition, make_rows, random_problem, targets_of

from sklearn_twolayer._certificate import duality_gap, early_directions, find_peaks
from sklearn_twolayer._network import balance
from sklearn_twolayer._objective import (
    Left,
    Residual,
    residual_at,
    target_residual,
)
from sklearn_twolayer.datasets import make_two_layer_regression


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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
    zero = Residual(Left(torch.zeros_like(targets_of(rows)), None, None), 0.0, 0.0)
    assert find_peaks(rows, zero, network.directions, seeded()).height == 0.0
