import numpy as np
import pytest
import torch
from conftest import random_problem, residual_values

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import linear_part_at


def fitted_from(rows, network, single_output):
    return rows.units.to_user(
        network.weights.numpy(),
        network.amplitudes.numpy(),
        linear_part_at(rows, network).numpy(),
        single_output=single_output,
    )


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_user_units_predict_the_same(hidden_bias, n_outputs):
    X, y, weights, rows, network = random_problem(
        0, n_outputs=n_outputs, hidden_bias=hidden_bias
    )
    fitted = fitted_from(rows, network, single_output=False)
    root = np.sqrt(weights / weights.sum())[:, None]
    residual = residual_values(rows, network).numpy() * rows.units.target_scale / root
    np.testing.assert_allclose(fitted.predict(X), y - residual, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(fitted.features, axis=1), 1.0)
    largest = np.abs(fitted.features).argmax(axis=1)
    assert (fitted.features[np.arange(len(largest)), largest] > 0).all()


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_there_and_back(hidden_bias):
    X, _, _, rows, network = random_problem(1, hidden_bias=hidden_bias)
    fitted = fitted_from(rows, network, single_output=True)
    weights, amplitudes = rows.units.from_user(fitted)
    again = Network.from_parts(torch.from_numpy(weights), torch.from_numpy(amplitudes))
    np.testing.assert_allclose(
        fitted_from(rows, again, single_output=True).predict(X),
        fitted.predict(X),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        np.sort(again.masses.numpy()), np.sort(network.masses.numpy())
    )


def test_features_are_ordered_by_mass():
    *_, rows, network = random_problem(2)
    fitted = fitted_from(rows, network, single_output=True)
    weights, amplitudes = rows.units.from_user(fitted)
    masses = np.linalg.norm(weights, axis=1) * np.abs(amplitudes[:, 0])
    assert (np.diff(masses) <= 0).all()


def test_a_neuron_that_sees_only_its_bias_goes_to_the_intercept():
    X, y, weights, rows, network = random_problem(3)
    changed = network.parameters.clone()
    changed[2, 1:-1], changed[2, -1] = 0.0, 0.7
    network = network.moved_to(changed)
    fitted = fitted_from(rows, network, single_output=True)
    assert fitted.n_features == network.n_neurons - 1
    root = np.sqrt(weights / weights.sum())
    residual = residual_values(rows, network).numpy()[:, 0] * rows.units.target_scale
    np.testing.assert_allclose(fitted.predict(X), y[:, 0] - residual / root, atol=1e-12)
