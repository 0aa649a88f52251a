from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Definition, inputs_of, make_rows, random_problem, targets_of


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_targets_are_the_residual_of_the_weighted_linear_fit(hidden_bias):
    X, y, weights, rows, _ = random_problem(0, n_outputs=2, hidden_bias=hidden_bias)
    defined = Definition(X, y, weights)
    root = np.sqrt(defined.share)[:, None]
    targets = targets_of(rows).numpy() * rows.units.target_scale
    np.testing.assert_allclose(targets, defined.y * root, atol=1e-14)
    assert float(targets_of(rows).square().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_linear_basis_is_orthonormal(hidden_bias):
    *_, rows, _ = random_problem(1, hidden_bias=hidden_bias)
    basis = inputs_of(rows) @ rows.linear_basis
    torch.testing.assert_close(basis.T @ basis, torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize("hidden_bias", [True, False])
def test_collinear_and_constant_columns_leave_a_smaller_basis(rng, hidden_bias):
    X = rng.standard_normal((30, 3))
    X = np.column_stack([X, X[:, 0], np.full(30, 7.0), X[:, 1] - X[:, 2]])
    rows = make_rows(X, rng.standard_normal(30), hidden_bias=hidden_bias)
    # The copy is left out, and the constant column unless it is an input of neurons.
    assert rows.linear_basis.shape == (5 if hidden_bias else 6, 4)
    assert rows.rank == 4
    assert torch.isfinite(inputs_of(rows)).all()


def test_offsets_do_not_cost_accuracy(rng):
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    plain, shifted = make_rows(X, y), make_rows(X + 1e8, y + 1e6)
    torch.testing.assert_close(
        targets_of(shifted), targets_of(plain), rtol=0, atol=1e-7
    )


def test_rows_without_weight_are_left_out(rng):
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    weights = np.where(np.arange(30) < 20, 1.0, 0.0)
    rows, expected = make_rows(X, y, weights), make_rows(X[:20], y[:20])
    torch.testing.assert_close(inputs_of(rows), inputs_of(expected), rtol=0, atol=0)


def test_only_ratios_of_weights_matter(rng):
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    weights = rng.uniform(0.5, 2.0, 30)
    for factor in (1e-300, 1e-12, 1e12, 1e300):
        rows, expected = make_rows(X, y, weights * factor), make_rows(X, y, weights)
        torch.testing.assert_close(inputs_of(rows), inputs_of(expected))


@pytest.mark.parametrize("target", ["constant", "linear"])
def test_linear_targets_are_zero(rng, target):
    X = rng.standard_normal((40, 3)) + 5.0
    y = np.full(40, 3.3) if target == "constant" else X @ [1.0, 2.0, 3.0] + 4.0
    assert not targets_of(make_rows(X, y)).any()


def test_blocks_cover_all_rows_once():
    *_, rows, _ = random_problem(0, n_samples=41)
    for n_neurons in (0, 1, 10**4, 10**7):
        index = [
            i for block in rows.parts.part.blocks(n_neurons) for i in range(41)[block]
        ]
        assert index == list(range(41))


def test_without_standardize_inputs_are_centred_only(rng):
    X = rng.standard_normal((20, 2)) * [1.0, 100.0] + 3.0
    rows = make_rows(X, rng.standard_normal(20), standardize=False)
    expected = (X - X.mean(axis=0)) / np.sqrt(20)
    np.testing.assert_allclose(inputs_of(rows)[:, :2], expected, atol=1e-13)


def test_single_precision_rows_are_made_once():
    *_, rows, _ = random_problem(0, n_samples=41)
    single = rows.in_single().parts.part
    assert single.targets.dtype == torch.float32
    assert replace(rows, n_effective=3.0).in_single().parts.part is single


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [1e9, 1e15, 1.7e18, -1e20])
def test_targets_far_from_zero_keep_what_their_floats_hold(seed, offset):
    generator = np.random.default_rng(seed)
    X, weights = generator.standard_normal((200, 3)), generator.uniform(0.5, 2.0, 200)
    y = offset + 1e6 * (np.abs(X[:, :2]) + 0.1 * generator.standard_normal((200, 2)))
    defined = Definition(X, y - offset, weights)  # a difference of near ones is exact
    rows = make_rows(X, y, weights)
    targets = targets_of(rows).numpy() * rows.units.target_scale
    expected = defined.y * np.sqrt(defined.share)[:, None]
    np.testing.assert_allclose(targets, expected, rtol=0, atol=1e-9 * 1e6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e5, 1e15, 1e17])
def test_targets_that_are_linear_but_for_their_floats_are_zero(seed, dtype, offset):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((60, 3))
    y = (X @ [1.0, 2.0, 3.0] + offset).astype(dtype)
    assert not targets_of(make_rows(X, y)).any()
    bent = (y + 1e5 * np.spacing(y).max() * np.abs(X[:, 0])).astype(dtype)
    assert targets_of(make_rows(X, bent)).any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "offset"), [(1e13, 0.0), (1e5, 1.7e18)])
def test_rounding_of_one_target_hides_no_other(seed, size, offset):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((60, 3))
    bent = 1e-3 * np.abs(X[:, 0])
    y = np.column_stack([bent, size * (X @ [1.0, 2.0, 3.0]) + offset])
    alone, beside = make_rows(X, bent), make_rows(X, y)
    assert beside.units.target_scale == pytest.approx(alone.units.target_scale)
    torch.testing.assert_close(targets_of(beside)[:, :1], targets_of(alone))
    assert not targets_of(beside)[:, 1].any()


def test_large_whole_numbers_are_not_taken_for_rounded_ones(rng):
    X = rng.standard_normal((60, 3))
    y = 2.5e7 + 2.0 * (np.rint(1e6 * X[:, 0]) + np.rint(np.abs(X[:, 1])))
    assert (y == y.astype(np.float32)).all()  # with a spacing of two
    assert targets_of(make_rows(X, y)).any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_effective_rows_are_those_of_the_weights(seed, n_outputs):
    _, _, weights, rows, _ = random_problem(seed, n_outputs=n_outputs)
    expected = weights.sum() ** 2 / np.square(weights).sum()
    assert rows.n_effective == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("value", [0.1, -1e-140, 1e20, 1e50, 1e140])
@pytest.mark.parametrize("rounding", [0.0, 1e-11])
def test_constant_columns_far_from_zero_change_no_other(
    rng, value, rounding, standardize, dtype
):
    X, y = rng.standard_normal((50, 2)), rng.standard_normal(50)
    options = {"standardize": standardize, "dtype": dtype}
    expected = inputs_of(make_rows(X, y, **options))
    constant = value * (1.0 + rounding * rng.uniform(-1.0, 1.0, 50))
    rows = make_rows(np.column_stack([X, constant]), y, **options)
    assert rows.linear_basis.shape[1] == 3
    torch.testing.assert_close(inputs_of(rows), expected, rtol=0, atol=0)
