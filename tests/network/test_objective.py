import numpy as np
import pytest
import torch
from conftest import (
    Definition,
    inputs_of,
    make_rows,
    neuron_inputs_of,
    random_problem,
    residual_values,
    targets_of,
)
from scipy import sparse
from scipy.optimize import approx_fprime

from sklearn_twolayer._descent.hessian_product import curvature_product
from sklearn_twolayer._network.fixed_directions import activation_moments
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import with_effective_size
from sklearn_twolayer._network.objective import (
    correlations,
    evaluate,
    linear_part_at,
    objective_at,
    target_residual,
)
from sklearn_twolayer._rows import blocks

CASES = [(seed, q, bias) for seed in range(3) for q in (1, 3) for bias in (True, False)]


@pytest.mark.parametrize(("seed", "n_outputs", "hidden_bias"), CASES)
def test_objective_is_its_definition(seed, n_outputs, hidden_bias):
    X, y, weights, rows, network = random_problem(
        seed, n_outputs=n_outputs, hidden_bias=hidden_bias
    )
    size = rows.units.target_scale
    defined = Definition(X, y / size, weights, hidden_bias)
    expected = defined.objective(
        network.weights.numpy(), network.amplitudes.numpy(), 0.3
    )
    evaluation = evaluate(rows, network, 0.3)
    assert evaluation.objective == pytest.approx(expected, rel=1e-12)
    loss, objective = objective_at(rows, network, 0.3)
    assert objective == pytest.approx(expected, rel=1e-12)
    assert loss == pytest.approx(evaluation.loss, rel=1e-14)


@pytest.mark.parametrize(("seed", "n_outputs", "hidden_bias"), CASES)
def test_gradient_against_finite_differences(seed, n_outputs, hidden_bias):
    *_, rows, network = random_problem(
        seed, n_outputs=n_outputs, hidden_bias=hidden_bias
    )

    def objective(flat):
        moved = network.moved_to(torch.from_numpy(flat).reshape_as(network.parameters))
        return objective_at(rows, moved, 0.2)[1]

    numeric = approx_fprime(network.parameters.numpy().ravel(), objective, 1e-7)
    gradient = evaluate(rows, network, 0.2).gradient.numpy().ravel()
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.abs(numeric).max())


@pytest.mark.parametrize(("seed", "n_outputs", "hidden_bias"), CASES)
def test_curvature_product_against_differences_of_the_gradient(
    seed, n_outputs, hidden_bias
):
    *_, rows, network = random_problem(
        seed, n_outputs=n_outputs, hidden_bias=hidden_bias
    )
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(
        network.parameters.shape, generator=generator, dtype=torch.float64
    )
    product = curvature_product(rows, network, 0.2, direction)
    step = 1e-6  # small enough that no row crosses a kink
    ends = [
        evaluate(rows, network.moved_to(network.parameters + t * direction), 0.2)
        for t in (step, -step)
    ]
    numeric = (ends[0].gradient - ends[1].gradient) / (2 * step)
    torch.testing.assert_close(product, numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_correlations_and_their_gradient(n_outputs):
    X, y, weights, rows, network = random_problem(1, n_outputs=n_outputs)
    defined = Definition(X, y / rows.units.target_scale, weights)
    directions = network.directions
    values, gradient = correlations(rows, target_residual(rows), directions)
    expected = defined.correlation(defined.y, directions.numpy())
    np.testing.assert_allclose(values, expected, atol=1e-14)

    def height(flat, j):
        moved = defined.correlation(defined.y, flat[None])
        return np.linalg.norm(moved)

    for j, direction in enumerate(directions.numpy()):
        numeric = approx_fprime(direction, height, 1e-7, j)
        np.testing.assert_allclose(gradient[j], numeric, atol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("entries", [1, 7, 60, 10**9])
def test_blocks_do_not_matter(monkeypatch, n_outputs, entries):
    *_, rows, network = random_problem(2, n_outputs=n_outputs)
    whole = evaluate(rows, network, 0.1)
    peaks = correlations(rows, target_residual(rows), network.directions)
    moments = activation_moments(rows, network.weights)
    product = curvature_product(rows, network, 0.1, network.parameters)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", entries)
    assert (len(rows.parts.part.blocks(5)) > 1) == (entries < 10**9)
    blocked = evaluate(rows, network, 0.1)
    torch.testing.assert_close(blocked.gradient, whole.gradient, rtol=0, atol=1e-13)
    assert blocked.objective == pytest.approx(whole.objective, rel=1e-13)
    again = curvature_product(rows, network, 0.1, network.parameters)
    torch.testing.assert_close(again, product, rtol=0, atol=1e-12)
    again = correlations(rows, target_residual(rows), network.directions)
    for ours, theirs in [
        *zip(again, peaks, strict=True),
        *zip(activation_moments(rows, network.weights), moments, strict=True),
    ]:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_invariance_under_balance_permutation_and_sign():
    *_, rows, network = random_problem(3, n_outputs=2)
    loss = objective_at(rows, network, 0.0)[0]
    factors = torch.tensor([[0.1], [2.0], [30.0], [1.0], [0.5]], dtype=torch.float64)
    scaled = Network.from_parts(network.weights * factors, network.amplitudes / factors)
    permuted = network.take(torch.tensor([4, 2, 0, 1, 3]))
    turned = Network.from_parts(-network.weights, network.amplitudes)
    for other in (scaled, permuted, turned):
        assert objective_at(rows, other, 0.0)[0] == pytest.approx(loss, rel=1e-12)


def test_linear_part_leaves_the_least_residual():
    *_, rows, network = random_problem(4)
    residual = residual_values(rows, network)
    np.testing.assert_allclose(inputs_of(rows).T @ residual, 0.0, atol=1e-13)
    activations = (neuron_inputs_of(rows) @ network.weights.T).clamp_min(0.0)
    outputs = activations @ network.amplitudes
    outputs = outputs + inputs_of(rows) @ linear_part_at(rows, network)
    torch.testing.assert_close(targets_of(rows) - outputs, residual)


def test_activation_moments_are_those_of_projected_activations():
    *_, rows, network = random_problem(5, n_outputs=2)
    activations = (neuron_inputs_of(rows) @ network.weights.T).clamp_min(0.0)
    fit = torch.linalg.lstsq(inputs_of(rows), activations).solution
    projected = activations - inputs_of(rows) @ fit
    gram, inner = activation_moments(rows, network.weights)
    torch.testing.assert_close(gram, projected.T @ projected)
    torch.testing.assert_close(inner, projected.T @ targets_of(rows))


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_rows_are_counted_by_the_noise_of_those_of_large_weight(hidden_bias, make):
    X, y, weights, _, _ = random_problem(0, n_outputs=2)
    rows = make_rows(make(X), y, weights, hidden_bias=hidden_bias)
    *_, network = random_problem(0, n_outputs=2, hidden_bias=hidden_bias)
    size = rows.units.target_scale
    definition = Definition(X, y / size, weights, hidden_bias=hidden_bias)
    residual = definition.residual(network.weights.numpy(), network.amplitudes.numpy())
    squares, share = (residual**2).sum(axis=1), definition.share
    expected = min(share @ squares / (share**2 @ squares), len(y))
    np.testing.assert_allclose(with_effective_size(rows, network).n_effective, expected)


def test_rows_of_all_blocks_are_with_effective_size(monkeypatch):
    *_, rows, network = random_problem(0)
    expected = with_effective_size(rows, network).n_effective
    monkeypatch.setattr("sklearn_twolayer._rows.blocks.BLOCK_ENTRIES", 30)
    assert len(rows.parts.part.blocks(1)) > 2
    assert with_effective_size(rows, network).n_effective == pytest.approx(
        expected, rel=1e-12
    )


def test_rows_that_leave_no_noise_are_counted_by_their_weights():
    X, _, weights, *_ = random_problem(0)
    rows = make_rows(X, X[:, 0], weights)
    expected = weights.sum() ** 2 / (weights**2).sum()
    assert with_effective_size(rows, Network.empty(rows)).n_effective == pytest.approx(
        expected
    )


def test_only_ratios_of_weights_count():
    X, y, weights, _, network = random_problem(1)
    for factor in (1.0, 0.3):
        rows = make_rows(X, y, np.full(len(y), factor))
        assert with_effective_size(rows, network).n_effective == pytest.approx(len(y))
    whole = np.ceil(3 * weights)
    n_effective = with_effective_size(make_rows(X, y, whole), network).n_effective
    assert n_effective <= len(y)
    scaled = with_effective_size(make_rows(X, y, 1e16 * whole), network)
    assert scaled.n_effective == pytest.approx(n_effective, rel=1e-12)


def test_correlated_and_unequal_targets_count_less():
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((300, 3)), generator.standard_normal((300, 2))
    for targets, expected in [
        (y, 2.0), (y * [1.0, 0.01], 1.0), (y[:, [0, 0]], 1.0), (y[:, :1], 1.0),
    ]:  # fmt: skip
        rows = make_rows(X, targets)
        n_outputs = with_effective_size(rows, Network.empty(rows)).n_effective_outputs
        assert n_outputs == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_what_is_kept_between_the_sweeps_changes_nothing(rng, monkeypatch, kind):
    X, y = rng.standard_normal((200, 3)), rng.standard_normal(200)
    monkeypatch.setattr("sklearn_twolayer._rows.blocks.BLOCK_ENTRIES", 90)
    rows = make_rows(kind(X), y)
    network = Network.from_parts(
        torch.from_numpy(rng.standard_normal((5, 4))),
        torch.from_numpy(rng.standard_normal((5, 1))),
    )
    expected = evaluate(rows, network, 0.1).gradient
    monkeypatch.setattr("sklearn_twolayer._network.objective.ACTIVE_PER_INPUT", 0)
    assert torch.equal(evaluate(rows, network, 0.1).gradient, expected)
