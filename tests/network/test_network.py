import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from conftest import random_problem, residual_values

from sklearn_twolayer._fit.report import followed_masses
from sklearn_twolayer._network.network import (
    Network,
    balance,
    merge,
    merged_pairs,
    prune,
    unit_rows,
    weighted_mean,
)
from sklearn_twolayer._network.objective import objective_at


def total_mass(network):
    return float(network.masses.sum())


def test_balance_keeps_the_function_and_lowers_the_decay():
    *_, rows, network = random_problem(0, n_outputs=2)
    balanced = balance(network)
    norms = balanced.weights.norm(dim=1), balanced.amplitudes.norm(dim=1)
    torch.testing.assert_close(*norms)
    torch.testing.assert_close(balanced.masses, network.masses)
    assert objective_at(rows, balanced, 0)[0] == pytest.approx(
        objective_at(rows, network, 0)[0], rel=1e-12
    )
    assert balanced.squared_norm() == pytest.approx(2 * total_mass(network))
    assert balanced.squared_norm() < network.squared_norm()


def test_balance_of_a_neuron_without_weights_is_zero():
    network = Network(torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 4.0]]), 1)
    assert not balance(network).parameters.any()


def test_prune_is_relative_to_the_largest_mass():
    amplitudes = torch.tensor([[1.0], [1e-3], [1e-5]])
    network = Network.from_parts(torch.eye(3), amplitudes)
    assert prune(network, 1e-4).n_neurons == 2
    assert prune(network, 0.0).n_neurons == 3
    assert prune(network.take(torch.tensor([], dtype=torch.long)), 0.1).n_neurons == 0


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_merge_on_one_line_keeps_the_loss_across_signs(n_outputs):
    *_, rows, network = random_problem(1, n_outputs=n_outputs, n_neurons=6)
    weights = network.weights.clone()
    weights[3], weights[4], weights[5] = -2 * weights[0], 0.5 * weights[1], -weights[1]
    network = Network.from_parts(weights, network.amplitudes)
    merged = merge(network, 1e-4)
    assert merged.n_neurons == 3
    assert objective_at(rows, merged, 0)[0] == pytest.approx(
        objective_at(rows, network, 0)[0], rel=1e-10
    )
    assert total_mass(merged) <= total_mass(network) * (1 + 1e-12)
    torch.testing.assert_close(
        merged.weights.norm(dim=1), merged.amplitudes.norm(dim=1)
    )


def test_merge_angle_decides_and_directions_are_averaged_by_mass():
    angles = torch.tensor([0.0, 0.04, 0.2], dtype=torch.float64)
    weights = torch.stack([angles.cos(), angles.sin()], dim=1)
    amplitudes = torch.tensor([[3.0], [1.0], [1.0]], dtype=torch.float64)
    network = Network.from_parts(weights, amplitudes)
    assert merge(network, 0.0).n_neurons == 3
    merged = merge(network, 0.05)
    assert merged.n_neurons == 2
    first = merged.directions[merged.masses.argmax()]
    assert float(torch.atan2(first[1], first[0])) == pytest.approx(0.01, abs=1e-4)
    assert float(merged.masses.max()) == pytest.approx(4.0)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("signs", [(1.0, 1.0), (1.0, -0.3), (-1.0, 0.3)])
def test_merging_keeps_the_outputs_to_first_order_in_the_angle(signs, n_outputs):
    generator = np.random.default_rng(0)
    X = torch.from_numpy(generator.standard_normal((20_000, 5)))
    direction, turn = torch.from_numpy(generator.standard_normal((2, 5)))
    outputs = torch.from_numpy(generator.standard_normal((1, n_outputs)))

    def change(angle):
        weights = torch.stack([direction, direction + angle * turn])
        amplitudes = torch.tensor(signs).double()[:, None] * outputs
        pair = Network.from_parts(weights, amplitudes)
        merged = merge(pair, 0.5)
        assert merged.n_neurons == 1
        before, after = (
            (X @ network.weights.T).clamp_min(0.0) @ network.amplitudes
            for network in (pair, merged)
        )
        return float((after - before).square().mean().sqrt())

    # A fourth, but between the kinks, where there are half as many rows, a half.
    assert change(0.01) < 0.4 * change(0.02)
    assert change(0.02) < 0.4 * change(0.04)


def test_neurons_that_cancel_become_one_without_mass():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    amplitudes = torch.tensor([[1.0], [-1.0]]).double()
    merged = merge(Network.from_parts(weights, amplitudes), 1.6)
    assert merged.n_neurons == 1
    assert float(merged.masses) < 1e-15
    assert merged.parameters.isfinite().all()


def test_merged_pairs_join_only_neighbours():
    *_, network = random_problem(0)
    weights = network.weights[:1]
    twin = Network.from_parts(-weights - 0.01, network.amplitudes[:1])
    merged = next(merged_pairs(network.joined_by(twin), 0.8))
    assert merged.n_neurons == network.n_neurons
    apart = Network.from_parts(torch.eye(5).double(), network.amplitudes)
    assert list(merged_pairs(apart, 0.8)) == []
    assert list(merged_pairs(network.take([0]), 0.8)) == []


def test_merged_pairs_begin_with_the_closest():
    angles = torch.tensor([0.0, 0.3, 0.4, 2.0]).double()
    weights = torch.stack([angles.cos(), angles.sin()], dim=1)
    network = Network.from_parts(weights, torch.ones(4, 1).double())
    merged = [
        sorted(np.degrees(np.arctan(w[:, 1] / w[:, 0])).round().astype(int))
        for w in (pair.weights.numpy() for pair in merged_pairs(network, 0.35))
    ]
    assert merged == [[-65, 0, 20], [-65, 9, 23]]


def test_merge_of_nothing_is_nothing():
    *_, rows, _ = random_problem(0)
    assert merge(Network.empty(rows), 0.1).n_neurons == 0


def test_unit_rows_keeps_zero_rows():
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_weighted_mean_is_that_of_the_outputs(share):
    *_, rows, first = random_problem(0)
    second = random_problem(1)[-1]
    blended = weighted_mean([first, second], [1 - share, share])
    residuals = [residual_values(rows, network) for network in (first, second, blended)]
    torch.testing.assert_close(
        residuals[2], (1 - share) * residuals[0] + share * residuals[1]
    )
    assert blended.n_neurons == first.n_neurons + second.n_neurons
    with pytest.raises(ValueError, match="zip"):
        weighted_mean([first, second], [1.0])


def network_of(*neurons):
    """Neurons as (mass, direction), with one output."""
    masses = torch.tensor([mass for mass, _ in neurons], dtype=torch.float64)
    directions = np.array([d for _, d in neurons], dtype=float).reshape(-1, 3)
    directions = torch.from_numpy(directions)
    return balance(Network.from_parts(directions, masses[:, None]))


def test_masses_are_followed_along_lines():
    """A neuron keeps its column while it lives, whatever its place and its sign."""
    turned = [math.cos(0.2), math.sin(0.2), 0.0]
    stages = [
        network_of((3.0, [1.0, 0.0, 0.0]), (2.0, [0.0, 1.0, 0.0])),
        network_of(),
        network_of((5.0, [0.0, -1.0, 0.0]), (4.0, turned), (1.0, [0.0, 0.0, 1.0])),
        network_of((7.0, [0.0, 0.0, 1.0])),
        network_of((8.0, [math.cos(0.5), math.sin(0.5), 0.0])),
        network_of((9.0, [0.0, math.sqrt(0.5), math.sqrt(0.5)])),
    ]
    expected = [
        [3.0, 2.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [4.0, 5.0, 1.0, 0.0],
        [0.0, 0.0, 7.0, 0.0],
        [8.0, 0.0, 0.0, 0.0],  # 0.3 radians from where the first line had turned to
        [0.0, 0.0, 0.0, 9.0],  # half a right angle from the nearest: a new one
    ]
    np.testing.assert_allclose(followed_masses(stages), expected)


def test_several_born_at_once_get_columns_of_their_own():
    stages = [
        network_of((1.0, [1.0, 0.0, 0.0])),
        network_of(
            (2.0, [0.0, 1.0, 0.0]), (3.0, [1.0, 0.0, 0.0]), (4.0, [0.0, 0.0, 1.0])
        ),
    ]
    np.testing.assert_allclose(followed_masses(stages), [[1, 0, 0], [3, 2, 4]])


def test_nothing_to_follow():
    assert followed_masses([network_of(), network_of()]).shape == (2, 0)


def test_pruning_is_relative_and_keeps_what_is_above():
    network = network_of((10.0, [1.0, 0.0, 0.0]), (1.0, [0.0, 1.0, 0.0]))
    assert prune(network, 0.11).n_neurons == 1
    assert prune(network, 0.09).n_neurons == 2
    equal = network_of((0.0, [1.0, 0.0, 0.0]), (0.0, [0.0, 1.0, 0.0]))
    assert prune(equal, 0.5).n_neurons == 0  # neurons without mass go


def test_the_heaviest_takes_in_its_neighbours():
    """Of a chain, each within the angle of the next, the middle one is heaviest."""
    angles, masses = [0.0, 0.2, 0.4], [1.0, 2.0, 1.0]
    chain = [
        (mass, [math.cos(angle), math.sin(angle), 0.0])
        for mass, angle in zip(masses, angles, strict=True)
    ]
    assert merge(network_of(*chain), 0.25).n_neurons == 1
    light_middle = [(3.0, chain[0][1]), (1.0, chain[1][1]), (2.0, chain[2][1])]
    merged = merge(network_of(*light_middle), 0.25)
    np.testing.assert_allclose(sorted(merged.masses.tolist()), [2.0, 4.0])


def test_networks_are_immutable_and_compared_as_objects():
    network = network_of((1.0, [1.0, 0.0, 0.0]))
    with pytest.raises(FrozenInstanceError):
        network.n_outputs = 2
    assert network != network_of((1.0, [1.0, 0.0, 0.0]))
