"""Standardised inputs of all kinds are the same numbers, whatever the blocks."""

import numpy as np
import pytest
import torch
from conftest import Definition, inputs_of, make_rows, neuron_inputs_of, targets_of
from scipy import sparse

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._rows import blocks, standardize
from sklearn_twolayer._rows.dense import DenseBlock
from sklearn_twolayer._rows.folded import FoldedBlock
from sklearn_twolayer._rows.inputs import ArrayInputs, DenseInputs, SparseInputs


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, and no standardised copy of arrays."""
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 30)
    monkeypatch.setattr(standardize, "KEPT_ENTRIES", 0)
    monkeypatch.setattr(standardize, "KEPT_MAPPED_ENTRIES", 0)


def sparse_numbers(rng, n_samples=50, n_features=6):
    X = rng.standard_normal((n_samples, n_features))
    X *= rng.uniform(size=X.shape) < 0.3
    return X * [1.0, 1e6, 1e-6, 1.0, 1.0, 10.0][:n_features] + [0, 0, 0, 5.0, 0, 0]


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_inputs_are_those_of_the_definition(rng, small_blocks, kind, hidden_bias):
    X, y = sparse_numbers(rng)[:, :5], rng.standard_normal((50, 2))
    weights = rng.uniform(0.5, 2.0, 50)
    rows = make_rows(kind(X), y, weights, hidden_bias=hidden_bias)
    defined = Definition(X, y, weights, hidden_bias)
    root = np.sqrt(defined.share)[:, None]
    inputs = neuron_inputs_of(rows).numpy()
    np.testing.assert_allclose(inputs, defined.inputs * root, atol=1e-12)
    targets = targets_of(rows).numpy() * rows.units.target_scale
    np.testing.assert_allclose(targets, defined.y * root, atol=1e-12)


def test_each_kind_of_array_is_kept_as_it_should_be(rng, monkeypatch, tmp_path):
    X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")

    def kind(X):
        return type(make_rows(X, y).parts.part.inputs)

    assert kind(X) is DenseInputs
    assert kind(mapped) is DenseInputs  # so few entries are faster in memory
    assert kind(sparse.csr_array(X)) is SparseInputs
    monkeypatch.setattr(standardize, "KEPT_MAPPED_ENTRIES", 0)
    assert kind(mapped) is ArrayInputs
    assert kind(np.asarray(mapped)) is ArrayInputs  # a view of the map
    assert kind(X) is DenseInputs
    monkeypatch.setattr(standardize, "KEPT_ENTRIES", 0)
    assert kind(X) is ArrayInputs


def test_memory_maps_are_read_and_not_copied(rng, small_blocks, tmp_path):
    X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    weights = np.where(np.arange(40) % 4, 1.0, 0.0)
    rows = make_rows(mapped, y, weights)
    assert np.shares_memory(rows.parts.part.inputs.X, mapped)
    expected = make_rows(X[weights > 0], y[weights > 0])
    torch.testing.assert_close(inputs_of(rows), inputs_of(expected), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_methods_of_blocks_are_products_with_the_inputs(rng, small_blocks, kind, dtype):
    X, y = sparse_numbers(rng), rng.standard_normal(50)
    inputs = make_rows(kind(X), y, dtype=dtype).parts.part.inputs
    block = inputs.block(slice(10, 30))
    precision = {"dtype": getattr(torch, dtype)}
    values = {n_columns: block.dense(n_columns).double() for n_columns in (6, 7)}
    tolerance = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 1e-4}

    def tensor(*shape):
        return torch.from_numpy(rng.standard_normal(shape)).to(**precision)

    def same(result, expected):
        torch.testing.assert_close(result.double(), expected.double(), **tolerance)

    for n_columns in (6, 7):
        weights = tensor(4, n_columns)
        same(block.project(weights), weights.double() @ values[n_columns].T)
        left = tensor(4, 20)
        same(block.pull_back(left, n_columns), left.double() @ values[n_columns])
    right, linear = tensor(20, 2), tensor(7, 2)
    same(block.moments(right), values[7].T @ right.double())
    same(block.without(right, linear), right.double() - values[7] @ linear.double())
    if dtype == "float64":  # before the rows go to the precision of the fit
        same(block.gram(), values[7].T @ values[7])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_offsets_do_not_cost_accuracy(rng, small_blocks, kind):
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    plain, shifted = make_rows(kind(X), y), make_rows(kind(X + 1e6), y)
    torch.testing.assert_close(
        targets_of(shifted), targets_of(plain), rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("offset", [1e3, 1e7, -1e9])
def test_sparse_columns_far_from_zero_are_the_dense_ones(seed, hidden_bias, offset):
    generator = np.random.default_rng(seed)
    X, y = generator.standard_normal((300, 4)), generator.standard_normal(300)
    X[:, :2] += offset
    X[:, 3] *= generator.uniform(size=300) < 0.3
    weights = generator.uniform(0.5, 2.0, 300)
    expected = make_rows(X, y, weights, hidden_bias=hidden_bias)
    rows = make_rows(sparse.csr_array(X), y, weights, hidden_bias=hidden_bias)
    np.testing.assert_allclose(rows.units.scale, expected.units.scale, rtol=1e-12)
    torch.testing.assert_close(inputs_of(rows), inputs_of(expected), rtol=0, atol=1e-9)
    centred = X - offset * np.array([1.0, 1.0, 0.0, 0.0])
    defined = Definition(centred, y, weights)  # of columns that have lost no digits
    if hidden_bias:
        np.testing.assert_allclose(rows.units.scale, defined.scale, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, bool, np.float32])
def test_types_of_numbers_are_read_without_a_copy(rng, small_blocks, dtype):
    X = (rng.standard_normal((40, 3)) * 3).astype(dtype)
    y = rng.standard_normal(40)
    rows = make_rows(X, y)
    expected = make_rows(X.astype(float), y)
    torch.testing.assert_close(inputs_of(rows), inputs_of(expected), rtol=0, atol=0)
    assert rows.parts.part.inputs.X is X


def test_sparse_inputs_refuse_other_devices(rng):
    inputs = make_rows(sparse.csr_array(np.eye(4)), np.ones(4)).parts.part.inputs
    with pytest.raises(ValueError, match="device must be None or 'cpu' for sparse"):
        inputs.to(torch.device("meta"), torch.float64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_columns_far_from_zero_are_told_from_near_and_constant_ones(
    kind, standardize, seed
):
    generator = np.random.default_rng(seed)
    X, y = generator.standard_normal((200, 6)), generator.standard_normal(200)
    X = X * [1, 1, 1, 1e3, 1e-3, 0] + [0.0, 1e6, -30.0, 1e3, 1.0, 7.0]
    options = {"standardize": standardize}
    rows = make_rows(kind(X), y, hidden_bias=False, **options)
    assert rows.far_columns == [1, 2, 4]
    assert make_rows(kind(X), y, **options).far_columns == []


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden_bias", [False, True])
@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_folded_rows_are_the_standardised_ones(
    rng, small_blocks, monkeypatch, dtype, left_out, hidden_bias, weighted
):
    X = rng.standard_normal((50, 5)) * [1.0, 1e6, 1e-6, 1.0, 1.0] + [0, 3e6, 0, 5.0, 0]
    if left_out:
        X[:, 1] = 2.0 * X[:, 0]
    X, y = X.astype(dtype), rng.standard_normal(50)
    weights = rng.uniform(0.5, 2.0, 50) if weighted else None
    options = {"hidden_bias": hidden_bias, "dtype": dtype}
    inputs = make_rows(X, y, weights, **options).parts.part.inputs
    monkeypatch.setattr(standardize, "KEPT_ENTRIES", 100_000)
    kept = make_rows(X, y, weights, **options).parts.part.inputs
    block, other = inputs.block(slice(10, 30)), kept.block(slice(10, 30))
    assert (type(block), type(other)) == (FoldedBlock, DenseBlock)
    assert np.shares_memory(block.X, X)
    tolerance = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 1e-4}

    def tensor(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(dtype))

    def same(result, expected):
        torch.testing.assert_close(result.double(), expected.double(), **tolerance)

    n_inputs = inputs.n_columns
    assert n_inputs == 6 - left_out
    for n_columns in (n_inputs - 1, n_inputs):
        same(block.dense(n_columns), other.dense(n_columns))
        one, more = tensor(4, n_columns), tensor(4, 20)
        same(block.project(one), other.project(one))
        same(block.pull_back(more, n_columns), other.pull_back(more, n_columns))
    right, linear = tensor(20, 2), tensor(n_inputs, 2)
    same(block.moments(right), other.moments(right))
    same(block.without(right, linear), other.without(right, linear))
    same(block.gram(), other.gram())
    same(block.roots, other.roots)


@pytest.mark.parametrize("hidden_bias", [False, True])
@pytest.mark.parametrize("offset", [9.0, 11.0, 1e6, -1e9])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_far_from_zero_are_shifted_first(
    rng, small_blocks, monkeypatch, dtype, offset, hidden_bias
):
    X, y = rng.standard_normal((300, 3)), rng.standard_normal(300)
    X[:, 1] += offset
    options = {"dtype": dtype, "hidden_bias": hidden_bias}
    rows = make_rows(X, y, **options)
    block = rows.parts.part.inputs.block(slice(None))
    assert type(block) is FoldedBlock
    monkeypatch.setattr(standardize, "KEPT_ENTRIES", 10_000)
    kept = make_rows(X, y, **options)
    network = Network.from_parts(
        torch.from_numpy(rng.standard_normal((3, rows.n_inputs))),
        torch.from_numpy(rng.standard_normal((3, 1))),
    )
    found, expected = evaluate(rows, network, 0.1), evaluate(kept, network, 0.1)
    atol = 2e-14 if dtype == "float64" else 1e-5
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=0, atol=atol)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_columns_that_single_precision_cannot_hold_are_not_folded(
    rng, small_blocks, scale
):
    X, y = scale * rng.standard_normal((50, 3)), rng.standard_normal(50)
    block = make_rows(X, y, dtype="float32").parts.part.inputs.block(slice(None))
    assert type(block) is DenseBlock


def test_memory_maps_are_folded_and_not_written_to(rng, small_blocks, tmp_path):
    X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    block = make_rows(mapped, y).parts.part.inputs.block(slice(0, 10))
    assert np.shares_memory(block.X, mapped)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize(
    "arranged",
    [
        lambda X: X[::-1], lambda X: X[:, ::-1], np.asfortranarray,
        lambda X: X.astype(">f8"), lambda X: X[::2],
    ],
    ids=["backwards", "last column first", "columns", "bytes", "every other row"],
)  # fmt: skip
def test_arrays_of_any_arrangement_are_read(rng, monkeypatch, arranged, keeps):
    if not keeps:
        monkeypatch.setattr(standardize, "KEPT_ENTRIES", 0)
        monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 30)
    X = arranged(rng.standard_normal((40, 3)))
    X.flags.writeable = False
    y = rng.standard_normal(len(X))
    rows, expected = make_rows(X, y), make_rows(np.array(X, dtype=float, order="C"), y)
    network = Network.from_parts(
        torch.from_numpy(rng.standard_normal((3, 4))),
        torch.from_numpy(rng.standard_normal((3, 1))),
    )
    torch.testing.assert_close(
        evaluate(rows, network, 0.1).gradient,
        evaluate(expected, network, 0.1).gradient,
        rtol=0,
        atol=1e-14,
    )
