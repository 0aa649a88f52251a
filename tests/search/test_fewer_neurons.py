"""Small networks with nearly the outputs of large ones."""

import numpy as np
import pytest
import torch
from conftest import inputs_of, neuron_inputs_of, random_problem, targets_of

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._runtime.limits import step_limit, time_limit
from sklearn_twolayer._search.fewer_neurons import _with_outputs, fewer_neurons
from sklearn_twolayer._search.tuning import DEFAULT_TUNING

DECAYS = [0.0, 0.3]


def outputs_of(rows, network):
    activations = (neuron_inputs_of(rows) @ network.weights.T).clamp_min(0.0)
    return activations @ network.amplitudes


def residual_maker(rows):
    """The matrix that takes the linear fit from values, shrunk or not."""
    inputs = inputs_of(rows).numpy()
    rho = 0.0 if rows.linear_decay is None else rows.linear_decay.rho
    shrinks = rho * np.diag([*np.ones(inputs.shape[1] - 1), 0.0])
    fit = inputs @ np.linalg.solve(inputs.T @ inputs + shrinks, inputs.T)
    return np.eye(len(inputs)) - fit


def distance(rows, first, second):
    """Squares of the difference of outputs, up to a linear part."""
    values = (outputs_of(rows, first) - outputs_of(rows, second)).numpy()
    return float(np.einsum("it,ij,jt->", values, residual_maker(rows), values))


@pytest.mark.parametrize("linear_decay", DECAYS)
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_outputs_become_targets_of_unit_loss(n_outputs, hidden_bias, linear_decay):
    *_, rows, network = random_problem(
        0, n_outputs=n_outputs, hidden_bias=hidden_bias, linear_decay=linear_decay
    )
    target, size = _with_outputs(rows, network)
    outputs, left = outputs_of(rows, network).numpy(), residual_maker(rows)
    expected = outputs if linear_decay else left @ outputs
    np.testing.assert_allclose(targets_of(target) * size, expected, atol=1e-12)
    np.testing.assert_allclose(
        size**2, np.einsum("it,ij,jt->", outputs, left, outputs), rtol=1e-10
    )


@pytest.mark.parametrize("linear_decay", DECAYS)
def test_copies_of_neurons_are_given_up_at_no_loss(linear_decay):
    *_, rows, network = random_problem(
        1, n_samples=200, n_neurons=3, linear_decay=linear_decay
    )
    shares = [0.2, 0.5, 0.3]
    several = [
        Network.from_parts(network.weights, s * network.amplitudes) for s in shares
    ]
    many = several[0].joined_by(several[1]).joined_by(several[2])
    few = fewer_neurons(rows, many, 3, DEFAULT_TUNING)
    assert few.n_neurons == 3
    cosines = (few.directions @ network.directions.T).abs().max(dim=0).values
    assert cosines.min() > 1.0 - 1e-6
    whole = distance(rows, network, Network.empty(rows))
    assert distance(rows, few, network) < 1e-10 * whole


def test_more_neurons_come_nearer():
    *_, rows, network = random_problem(2, n_samples=300, n_outputs=2, n_neurons=20)
    distances = []
    for most in (1, 2, 4, 8, 16):
        few = fewer_neurons(rows, network, most, DEFAULT_TUNING)
        assert few.n_neurons == most
        distances.append(distance(rows, few, network))
    assert np.all(np.diff(distances) < 0.0)
    whole = distance(rows, network, Network.empty(rows))
    assert distances[-1] < 0.05 * whole
    assert distances[0] < whole


def test_a_small_network_stays_as_it_is():
    *_, rows, network = random_problem(3, n_neurons=4)
    for most in (4, 5):
        assert fewer_neurons(rows, network, most, DEFAULT_TUNING) is network


def test_where_parameters_are_too_many_directions_are_kept():
    *_, rows, network = random_problem(4, n_samples=30, n_features=12, n_neurons=8)
    few = fewer_neurons(rows, network, 7, DEFAULT_TUNING)
    cosines = (few.directions @ network.directions.T).abs().max(dim=1).values
    assert few.n_neurons == 7
    # All are those of the network, or one of them is that of the two that are merged.
    assert (cosines > 1.0 - 1e-9).sum() >= 6


@pytest.mark.parametrize("limit", [time_limit, step_limit])
def test_a_limit_does_not_change_the_bound(limit):
    *_, rows, network = random_problem(5, n_samples=100, n_neurons=20)
    with limit(0.0):
        few = fewer_neurons(rows, network, 3, DEFAULT_TUNING)
    assert few.n_neurons == 3
    assert torch.isfinite(few.parameters).all()
