"""Rows with other weights and targets keep their coordinates."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import linear_part_at, objective_at
from sklearn_twolayer._rows.parts import LocalParts
from sklearn_twolayer._rows.raw import RawPart
from sklearn_twolayer._rows.reweighed import reweighed
from sklearn_twolayer._rows.rows import Rows

CPU = torch.device("cpu")


def problem(n_samples=60, n_features=4, kind="dense", n_outputs=1, **options):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_samples, n_features)) * 3.0 + 1.0
    if kind == "sparse":
        X[X < 0.0] = 0.0
    given = generator.uniform(0.5, 2.0, n_samples)
    y = generator.standard_normal((n_samples, n_outputs))
    raw = RawPart.of(sparse.csr_array(X) if kind == "sparse" else X, y, given)
    rows = Rows.from_parts(
        LocalParts(raw), standardize=True,
        **{"hidden_bias": True, "device": CPU, "dtype": torch.float64, **options},
    )  # fmt: skip
    weights = torch.from_numpy(generator.uniform(0.01, 1.0, n_samples))
    targets = torch.from_numpy(5.0 + generator.standard_normal((n_samples, n_outputs)))
    return X, given, rows, weights, targets


def made(rows, weights, targets, linear_decay=0.0, dtype=torch.float64):
    return reweighed(
        rows, weights, targets, linear_decay=linear_decay, dispersion=1.0, device=CPU,
        dtype=dtype,
    )  # fmt: skip


def penalised_squares(X, given, rows, weights, targets, rho, network=None):
    """The least mean of weighted squares over linear parts, from the definition."""
    share = given / given.sum() * weights.numpy()
    shift, scale = rows.units.shift, rows.units.scale
    inputs = np.column_stack([(X - shift) / scale, np.ones(len(X))])
    left = targets.numpy().copy()
    if network is not None:
        seen = inputs
        if not rows.units.hidden_bias:
            seen = X / scale
        left -= np.maximum(seen @ network.weights.numpy().T, 0.0) @ (
            network.amplitudes.numpy()
        )
    decay = rho * np.diag([1.0] * X.shape[1] + [0.0])
    gram = inputs.T @ (share[:, None] * inputs) + decay
    linear = np.linalg.solve(gram, inputs.T @ (share[:, None] * left))
    residual = left - inputs @ linear
    penalty = rho * np.square(linear[:-1]).sum()
    return (share @ np.square(residual)).sum() + penalty, linear


@pytest.mark.parametrize("rho", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_objective_is_that_of_the_definition(rho, kind, hidden_bias, n_outputs):
    X, given, rows, weights, targets = problem(
        kind=kind, hidden_bias=hidden_bias, n_outputs=n_outputs
    )
    new = made(rows, weights, targets, rho)
    scale = new.rows.units.target_scale
    generator = np.random.default_rng(1)
    network = Network.from_parts(
        torch.from_numpy(generator.standard_normal((3, rows.n_inputs))),
        torch.from_numpy(generator.standard_normal((3, n_outputs))),
    )
    expected, linear = penalised_squares(X, given, rows, weights, targets, rho, network)
    own = Network.from_parts(network.weights, network.amplitudes / scale)
    found = 2.0 * objective_at(new.rows, own, 0.0)[0] * new.mean_weight * scale**2
    assert found == pytest.approx(expected, rel=1e-10)
    fitted = new.rows.units.linear + scale * linear_part_at(new.rows, own).numpy()
    np.testing.assert_allclose(fitted, linear, rtol=1e-8, atol=1e-10)


def test_standardisation_and_units_of_the_decay_stay():
    _, _, rows, weights, targets = problem()
    new = made(rows, weights, targets)
    np.testing.assert_array_equal(new.rows.units.shift, rows.units.shift)
    np.testing.assert_array_equal(new.rows.units.scale, rows.units.scale)
    # The targets less their linear fit have a sum of squares of one.
    least = 2.0 * objective_at(new.rows, Network.empty(new.rows), 0.0)[0]
    assert least == pytest.approx(1.0)
    assert new.decay_of(0.5) == pytest.approx(
        0.5 / (new.mean_weight * new.rows.units.target_scale)
    )


def test_equal_weights_give_the_rows_that_are_made_anew():
    X, given, rows, _, targets = problem()
    new = made(rows, torch.full((len(X),), 0.2, dtype=torch.float64), targets).rows
    raw = RawPart.of(X, targets.numpy(), given)
    again = Rows.from_parts(
        LocalParts(raw), standardize=True, hidden_bias=True, device=CPU,
        dtype=torch.float64,
    )  # fmt: skip
    assert new.units.target_scale == pytest.approx(again.units.target_scale)
    np.testing.assert_allclose(
        new.parts.part.targets, again.parts.part.targets, atol=1e-12
    )


def test_dispersion_is_what_noise_of_these_weights_has():
    """Noise of variance one over the weight, in the squares of the rows."""
    _, _, rows, weights, _ = problem(n_samples=4000)
    generator = np.random.default_rng(0)
    noise = torch.from_numpy(generator.standard_normal((4000, 1)))
    new = made(rows, weights, noise / weights.sqrt()[:, None])
    # All of the targets but what the linear part fits is noise.
    assert new.rows.dispersion == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("n_samples", [10, 30])
def test_few_rows_have_the_same_shrunk_linear_part(n_samples):
    X, given, rows, weights, targets = problem(n_samples, 20, shrinks=True)
    assert rows.spectrum.is_of_rows == (n_samples < 20)
    new = made(rows, weights, targets, 0.1)
    expected, linear = penalised_squares(X, given, rows, weights, targets, 0.1)
    scale = new.rows.units.target_scale
    assert new.mean_weight * scale**2 == pytest.approx(expected, rel=1e-8)
    fitted = linear_part_at(new.rows, Network.empty(new.rows)).numpy()
    fitted = new.rows.units.linear + scale * fitted
    np.testing.assert_allclose(fitted, linear, rtol=1e-6, atol=1e-9)


def test_single_precision_differs_by_rounding():
    _, _, rows, weights, targets = problem()
    double = made(rows, weights, targets)
    single = made(rows, weights, targets, dtype=torch.float32)
    assert single.rows.parts.part.targets.dtype == torch.float32
    np.testing.assert_allclose(
        single.rows.parts.part.targets, double.rows.parts.part.targets, atol=1e-6
    )
