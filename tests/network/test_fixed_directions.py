import numpy as np
import pytest
import torch
from conftest import Definition, random_problem

from sklearn_twolayer._network.fixed_directions import AmplitudeFit
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import objective_at


def least_squares(definition, directions):
    """Residual sum of squares and amplitudes, by NumPy on the written definition."""
    activations = np.maximum(definition.inputs @ directions.T, 0)
    features = definition.without_linear(activations)
    root = np.sqrt(definition.share)[:, None]
    amplitudes = np.linalg.lstsq(features * root, definition.y * root, rcond=None)[0]
    residual = (definition.y - features @ amplitudes) * root
    return (residual**2).sum() / ((definition.y * root) ** 2).sum(), amplitudes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_costs_and_gains_are_those_of_least_squares(seed, n_outputs):
    X, y, weights, rows, network = random_problem(seed, n_outputs=n_outputs)
    definition = Definition(X, y, weights)
    directions = network.directions.numpy()
    fit = AmplitudeFit.of(rows, network.directions)
    squares, _ = least_squares(definition, directions)
    np.testing.assert_allclose(fit.squares, squares, rtol=1e-8)
    costs = [
        least_squares(definition, np.delete(directions, j, axis=0))[0] - squares
        for j in range(5)
    ]
    np.testing.assert_allclose(fit.costs(), costs, rtol=1e-6, atol=1e-9)
    living, _ = least_squares(definition, directions[:3])
    gains = [
        living - least_squares(definition, directions[[0, 1, 2, j]])[0] for j in (3, 4)
    ]
    np.testing.assert_allclose(
        fit.gains(fit.take(range(3))), gains, rtol=1e-6, atol=1e-9
    )
    network = fit.network()
    np.testing.assert_allclose(2 * objective_at(rows, network, 0.0)[0], squares)
    norms = network.amplitudes.norm(dim=1), network.weights.norm(dim=1)
    torch.testing.assert_close(*norms)


def test_without_neurons_all_is_residual():
    *_, rows, _ = random_problem(0)
    fit = AmplitudeFit.of(rows, Network.empty(rows).directions)
    assert fit.squares == 1.0
    assert fit.network().n_neurons == 0
    assert len(fit.costs()) == 0


def test_a_direction_like_the_living_gains_nothing():
    *_, rows, network = random_problem(0)
    directions = network.directions
    twice = torch.cat([directions, -directions[:1], directions[1:2]])
    fit = AmplitudeFit.of(rows, twice)
    np.testing.assert_array_equal(fit.gains(fit.take(range(5))), 0.0)
    assert fit.costs()[5] < 1e-9 < fit.costs()[2]
