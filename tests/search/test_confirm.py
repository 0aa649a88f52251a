"""Neurons are kept only if noise of the kind at hand would not have paid for them."""

import numpy as np
import pytest
import torch
from conftest import at_truth, make_rows, seeded, teacher_rows

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._search.choose_neurons import Candidate, refit
from sklearn_twolayer._search.confirm import confirm_neurons
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion
from sklearn_twolayer._search.sign_flips import Flips, gains_on_noise
from sklearn_twolayer._search.tuning import DEFAULT_TUNING as TUNING
from sklearn_twolayer.datasets import make_two_layer_regression


def noise_of(kind, generator, n_samples, n_features):
    """Inputs, targets without a feature, and sample weights."""
    X = generator.standard_normal((n_samples, n_features))
    noise = generator.standard_normal((n_samples, 3))
    if kind == "Gaussian":
        return X, noise[:, 0], None
    if kind == "t3":
        return X, generator.standard_t(3, n_samples), None
    if kind == "sd 1 and 0.1":
        return X, noise[:, :2] * [1.0, 0.1], None
    if kind == "correlated":
        return X, np.column_stack([noise[:, 0], noise[:, :2] @ [0.9, 0.44]]), None
    if kind == "the same twice":
        return X, noise[:, [0, 0]], None
    if kind == "and a linear one":
        return X, np.column_stack([noise[:, 0], X[:, 0]]), None
    if kind == "exp(x1)":
        return X, X.sum(axis=1) + np.exp(X[:, 0]) * noise[:, 0], None
    return X, noise[:, 0], generator.integers(500, 2001, n_samples).astype(float)


@pytest.mark.parametrize(
    ("kind", "n_samples", "n_features"),
    [
        ("Gaussian", 10, 5), ("Gaussian", 30, 10), ("Gaussian", 90, 30),
        ("t3", 50, 10), ("sd 1 and 0.1", 300, 10), ("correlated", 300, 10),
        ("the same twice", 300, 10), ("and a linear one", 300, 10),
        ("exp(x1)", 500, 10), ("whole weights", 300, 10),
    ],
)  # fmt: skip
def test_nothing_is_found_in_noise(kind, n_samples, n_features):
    found = 0
    for seed in range(8):
        generator = np.random.default_rng(100 + seed)
        X, y, weights = noise_of(kind, generator, n_samples, n_features)
        model = RegularizedTwoLayerRegressor(random_state=0)
        found += len(model.fit(X, y, sample_weight=weights).features_) > 0
    assert found <= 1


@pytest.mark.parametrize("schedule", [None, GeometricSchedule(stop=0.3)])
@pytest.mark.parametrize("criterion", [None, "bic", 5.0])
def test_nothing_is_found_in_unequal_noise_however_neurons_are_chosen(
    schedule, criterion
):
    found = 0
    for seed in range(4):
        X, y, _ = noise_of("exp(x1)", np.random.default_rng(seed), 300, 5)
        model = RegularizedTwoLayerRegressor(
            schedule=schedule, solver="fast" if schedule else "auto",
            criterion=criterion, debias=True, random_state=0,
        )  # fmt: skip
        found += len(model.fit(X, y).features_) > 0
    assert found <= 1


@pytest.mark.slow
def test_cross_validation_finds_nothing_in_unequal_noise():
    found = 0
    for seed in range(4):
        X, y, _ = noise_of("exp(x1)", np.random.default_rng(seed), 300, 5)
        model = RegularizedTwoLayerRegressorCV(lambdas=4, cv=3, random_state=0)
        found += len(model.fit(X, y).features_) > 0
    assert found <= 1


@pytest.mark.parametrize("factor", [7.0, 1e-3, 1e16])
def test_only_ratios_of_weights_matter(factor):
    X, y = make_two_layer_regression(500, 5, n_directions=2, noise=0.3, random_state=0)
    weights = np.random.default_rng(0).integers(500, 2001, 500).astype(float)
    model = RegularizedTwoLayerRegressor(random_state=0)
    features = model.fit(X, y, sample_weight=weights).features_
    again = model.fit(X, y, sample_weight=factor * weights).features_
    assert len(features) == 2
    np.testing.assert_allclose(again, features, atol=1e-8)


def test_unequal_noise_hides_no_teacher():
    right = 0
    for seed in range(5):
        X, y = make_two_layer_regression(2000, 8, n_directions=3, random_state=seed)
        generator = np.random.default_rng(seed)
        noise = np.exp(X[:, 0] / 2) * generator.standard_normal(len(y))
        y = y + 0.3 * y.std() * noise
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
        right += len(model.features_) == 3
    assert right >= 4


@pytest.mark.parametrize("seed", range(3))
def test_true_neurons_are_confirmed_and_others_dropped(seed):
    rows, teacher = teacher_rows(seed)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    truth = at_truth(rows, criterion, teacher)
    kept = confirm_neurons(rows, criterion, truth, seeded(seed), TUNING)
    assert kept is truth
    extra = torch.randn(2, rows.n_inputs, generator=seeded(seed), dtype=torch.float64)
    noise = Network.from_parts(extra, torch.full((2, 1), 0.01).double())
    wide = refit(rows, criterion, truth.network.joined_by(noise), TUNING)
    kept = confirm_neurons(rows, criterion, wide, seeded(seed), TUNING)
    assert kept.network.n_neurons == 3
    nothing = Candidate(Network.empty(rows), 0.0)
    assert confirm_neurons(rows, criterion, nothing, seeded(), TUNING) is nothing


def definition_of_gain(X, residual, direction):
    """The fall of the squares by one neuron, from least squares on all of it."""
    inputs = np.column_stack([X, np.ones(len(X))])
    activations = np.maximum(inputs @ direction, 0.0)
    basis = np.linalg.qr(inputs)[0]
    activations -= basis @ (basis.T @ activations)
    inner = activations @ residual
    squares = activations @ activations
    return (inner @ inner) / squares if squares > 1e-9 else 0.0


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_gains_on_noise_are_at_least_those_of_random_directions(n_outputs):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 4))
    y = generator.standard_normal((200, n_outputs))
    rows = make_rows(X, y)
    flips = Flips(n_flips=6, n_starts=4, n_steps=40)
    starts = torch.eye(rows.n_inputs, dtype=torch.float64)[:2]
    gains = gains_on_noise(rows, Network.empty(rows), starts, seeded(), flips)
    assert gains.shape == (6,)
    # On other noise of the same kind, the best of many random directions gains less.
    basis = np.linalg.qr(np.column_stack([X, np.ones(200)]))[0]
    random = []
    for _ in range(6):
        noise = generator.standard_normal((200, n_outputs))
        noise -= basis @ (basis.T @ noise)
        noise /= np.linalg.norm(noise)
        directions = generator.standard_normal((300, 5))
        random.append(max(definition_of_gain(X, noise, u) for u in directions))
    assert -np.log1p(-np.mean(random)) < gains.mean() < 0.5


def test_gains_on_noise_do_not_depend_on_rounding():
    """Nor does what is drawn from the generator, which later searches go on with."""
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((200, 4)), generator.standard_normal(200)
    starts, measured, states = torch.eye(5, dtype=torch.float64)[:2], [], []
    for factor in (1.0, 3.0, 0.1):
        rows, source = make_rows(X, factor * y), seeded()
        empty = Network.empty(rows)
        measured.append(gains_on_noise(rows, empty, starts, source))
        states.append(source.get_state())
    for gains, state in zip(measured[1:], states[1:], strict=True):
        np.testing.assert_allclose(gains, measured[0], rtol=1e-3)
        torch.testing.assert_close(state, states[0])


def test_gains_grow_with_what_one_direction_can_separate():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((400, 5))
    equal, unequal = (
        make_rows(X, scale * generator.standard_normal(400))
        for scale in (np.ones(400), np.exp(1.5 * X[:, 0]))
    )
    starts = torch.eye(6, dtype=torch.float64)[:1]
    gains = [
        gains_on_noise(rows, Network.empty(rows), starts, seeded()).mean()
        for rows in (equal, unequal)
    ]
    assert gains[1] > 2.0 * gains[0]


@pytest.mark.parametrize("linear_decay", [0.0, 0.3])
def test_no_more_parameters_than_half_the_values(linear_decay):
    generator = np.random.default_rng(0)
    for n_samples, n_features, n_outputs in [(40, 5, 1), (60, 10, 2), (20, 15, 1)]:
        X = generator.standard_normal((n_samples, n_features))
        y = generator.standard_normal((n_samples, n_outputs))
        rows = make_rows(X, y, linear_decay=linear_decay)
        most = Criterion.of(rows, DEFAULT_PENALTY).most_neurons
        model = RegularizedTwoLayerRegressor(
            criterion=0.0, random_state=0, linear_decay=linear_decay
        ).fit(X, y)
        assert len(model.features_) <= most
        scaled = (X - X.mean(axis=0)) / X.std(axis=0)
        squares = np.linalg.eigvalsh(scaled.T @ scaled / n_samples)
        n_linear = 1.0 + (squares / (squares + linear_decay)).sum()
        parameters = most * (n_features + n_outputs) + n_linear * n_outputs
        assert most == 0 or parameters <= n_samples * n_outputs / 2
