"""One network for several searches that end elsewhere."""

import numpy as np
import pytest
import torch
from conftest import random_problem
from sklearn.datasets import make_friedman1

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import objective_at
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._search.consensus import agree, consensus
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.tuning import DEFAULT_TUNING
from sklearn_twolayer.datasets import make_two_layer_regression


def flipped(network):
    """The network in another order, with the opposite sign of each direction."""
    order = list(range(network.n_neurons))[::-1]
    return Network.from_parts(-network.weights[order], network.amplitudes[order])


def fits(X, y, n_searches, n_states=3, **parameters):
    return [
        RegularizedTwoLayerRegressor(
            random_state=state, n_searches=n_searches, **parameters
        ).fit(X, y)
        for state in range(n_states)
    ]


def recurring(models):
    """Share of the features that each of the other models has within 0.2 rad."""
    lines = [model.features_ * model.feature_scales_ for model in models]
    lines = [own / np.linalg.norm(own, axis=1, keepdims=True) for own in lines]
    shares = [
        (np.abs(own @ other.T).max(axis=1) > np.cos(0.2)).mean()
        for own in lines
        for other in lines
        if own is not other
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("seed", range(3))
def test_networks_of_the_same_lines_agree(seed):
    *_, network = random_problem(seed)
    assert agree(network, flipped(network), DEFAULT_TUNING)
    assert not agree(network, network.take([0]), DEFAULT_TUNING)
    turned = network.weights.clone()
    turned[0] = turned[0].roll(1) * torch.tensor([-1.0, *[1.0] * (turned.shape[1] - 1)])
    other = Network.from_parts(turned, network.amplitudes)
    assert not agree(network, other, DEFAULT_TUNING)


@pytest.mark.parametrize("linear_decay", [0.0, 0.3])
def test_the_consensus_has_no_higher_criterion_than_equal_networks(linear_decay):
    *_, rows, network = random_problem(0, linear_decay=linear_decay)
    criterion = Criterion.of(rows, 1e-6)  # No neuron costs anything to speak of.
    generator = torch.Generator().manual_seed(0)
    with step_limit():
        found = consensus(rows, [network] * 3, criterion, generator, DEFAULT_TUNING)
    before = criterion.value(objective_at(rows, network, 0.0)[0], network.n_neurons)
    after = criterion.value(objective_at(rows, found, 0.0)[0], found.n_neurons)
    assert after <= before + 1e-6 * abs(before)


@pytest.mark.slow
def test_features_of_other_random_states_recur_more_often():
    shares, spreads = [], []
    for seed in range(3):
        X, y = make_friedman1(300, n_features=5, noise=1.0, random_state=seed)
        both = [fits(X, y, n_searches) for n_searches in (1, 4)]
        shares.append([recurring(models) for models in both])
        spreads.append([np.ptp([len(m.features_) for m in models]) for models in both])
    alone, together = np.mean(shares, axis=0)
    assert together > alone
    alone, together = np.mean(spreads, axis=0)
    assert together <= alone


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_one_search_is_enough_where_directions_are_found_at_once(noise):
    X, y = make_two_layer_regression(
        500, 5, n_directions=2, noise=noise, min_angle=0.8, random_state=0
    )
    alone, together = (fits(X, y, n, n_states=1)[0] for n in (1, 4))
    np.testing.assert_array_equal(alone.features_, together.features_)
    assert alone.n_iter_ == together.n_iter_


def test_the_bound_holds_for_the_consensus():
    X, y = make_friedman1(300, n_features=5, noise=1.0, random_state=0)
    for model in fits(X, y, 4, n_neurons=3):
        assert len(model.features_) <= 3


@pytest.mark.parametrize("value", [0, -1])
def test_the_number_of_searches_is_positive(value):
    X, y = make_two_layer_regression(50, 3, random_state=0)
    with pytest.raises(ValueError, match="n_searches == "):
        RegularizedTwoLayerRegressor(n_searches=value).fit(X, y)
