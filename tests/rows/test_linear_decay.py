"""Rows with a decay on the linear part, against an explicit ridge in NumPy."""

import numpy as np
import pytest
import torch
from conftest import make_rows, seeded
from scipy.optimize import approx_fprime, nnls
from scipy.stats import multivariate_normal
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._descent.gauss_newton import gauss_newton_matrix
from sklearn_twolayer._descent.hessian_product import curvature_product
from sklearn_twolayer._network.fixed_directions import (
    AmplitudeFit,
    fit_output_layer,
    refit_masses,
)
from sklearn_twolayer._network.linear_decay import (
    likely_linear_decay,
)
from sklearn_twolayer._network.network import Network, balance
from sklearn_twolayer._network.noise import with_effective_size
from sklearn_twolayer._network.objective import (
    evaluate,
    linear_part_at,
    objective_at,
    residual_at,
)
from sklearn_twolayer._search import sign_flips
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors

# Seed, targets, hidden biases, columns: fewer than the 40 rows, as many, and more.
CASES = [
    (seed, q, bias, d)
    for seed, (q, bias) in enumerate([(1, True), (3, True), (1, False), (3, False)])
    for d in (4, 40, 90)
]
N_ROWS = 40
parametrized = pytest.mark.parametrize(
    ("seed", "n_outputs", "hidden_bias", "n_features"), CASES
)


class Ridge:
    """The objective with ``rho ||beta||^2 / 2``, from X and y as they are given."""

    def __init__(self, X, y, weights, hidden_bias, rho):
        share = weights / weights.sum()
        mean = share @ X
        self.scale = np.sqrt(share @ (X - mean) ** 2)
        if not hidden_bias:
            self.scale = np.sqrt(share @ X**2)
        self.root, self.rho = np.sqrt(share)[:, None], rho
        self.linear = (X - mean) / self.scale * self.root
        self.inputs = X / self.scale * self.root
        if hidden_bias:
            self.inputs = np.hstack([self.linear, self.root])
        self.y = y * self.root

    def fit(self, values):
        """Coefficients and constant of the ridge regression of weighted values."""
        values = values - self.root * (self.root.T @ values)
        gram = self.linear @ self.linear.T
        dual = np.linalg.solve(gram + self.rho * np.eye(len(gram)), values)
        return self.linear.T @ dual

    def outputs(self, weights, amplitudes):
        return np.maximum(self.inputs @ weights.T, 0) @ amplitudes

    def residual(self, values):
        coef = self.fit(values)
        left = values - self.root * (self.root.T @ values) - self.linear @ coef
        return left, coef

    def loss(self, values):
        left, coef = self.residual(values)
        return 0.5 * (left**2).sum() + 0.5 * self.rho * (coef**2).sum()


def problem(seed, n_outputs, hidden_bias, n_features, rho=0.3, n_neurons=5):
    """Rows with the decay, their definition on targets of the same scale, a network."""
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((N_ROWS, n_features)) * 3.0 + 1.0
    y = generator.standard_normal((N_ROWS, n_outputs)) + 0.3 * X[:, :1]
    weights = generator.uniform(0.1, 2.0, N_ROWS)
    rows = make_rows(X, y, weights, hidden_bias=hidden_bias, linear_decay=rho)
    size = rows.units.target_scale
    defined = Ridge(X, y / size, weights, hidden_bias, rho)
    network = Network.from_parts(
        torch.from_numpy(generator.standard_normal((n_neurons, rows.n_inputs))),
        torch.from_numpy(generator.standard_normal((n_neurons, n_outputs))),
    )
    return rows, defined, network


def defined_objective(defined, network, lambda_):
    outputs = defined.outputs(network.weights.numpy(), network.amplitudes.numpy())
    return defined.loss(defined.y - outputs) + 0.5 * lambda_ * network.squared_norm()


@parametrized
def test_objective_linear_part_and_scale_of_the_targets(
    seed, n_outputs, hidden_bias, n_features
):
    rows, defined, network = problem(seed, n_outputs, hidden_bias, n_features)
    expected = defined_objective(defined, network, 0.2)
    assert evaluate(rows, network, 0.2).objective == pytest.approx(expected, rel=1e-11)
    assert objective_at(rows, network, 0.2)[1] == pytest.approx(expected, rel=1e-11)
    assert 2.0 * defined.loss(defined.y) == pytest.approx(1.0, rel=1e-11)
    outputs = defined.outputs(network.weights.numpy(), network.amplitudes.numpy())
    linear = linear_part_at(rows, network).numpy()
    np.testing.assert_allclose(
        linear[:-1], defined.fit(defined.y - outputs), atol=1e-10
    )


@parametrized
def test_gradient_and_curvature_against_differences(
    seed, n_outputs, hidden_bias, n_features
):
    rows, _, network = problem(seed, n_outputs, hidden_bias, n_features)

    def objective(flat):
        moved = network.moved_to(torch.from_numpy(flat).reshape_as(network.parameters))
        return objective_at(rows, moved, 0.2)[1]

    numeric = approx_fprime(network.parameters.numpy().ravel(), objective, 1e-7)
    gradient = evaluate(rows, network, 0.2).gradient.numpy().ravel()
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.abs(numeric).max())
    direction = torch.randn(
        network.parameters.shape, generator=seeded(seed), dtype=torch.float64
    )
    product, step = curvature_product(rows, network, 0.2, direction), 1e-6
    above, below = (
        evaluate(rows, network.moved_to(network.parameters + t * direction), 0.2)
        for t in (step, -step)
    )
    differences = (above.gradient - below.gradient) / (2 * step)
    np.testing.assert_allclose(product, differences, atol=1e-6 * product.abs().max())


@parametrized
def test_gauss_newton_matrix_is_that_of_the_derivatives(
    seed, n_outputs, hidden_bias, n_features
):
    rows, defined, network = problem(
        seed, n_outputs, hidden_bias, n_features, n_neurons=2
    )

    def columns(flat):
        point = network.moved_to(torch.from_numpy(flat).reshape_as(network.parameters))
        return defined.outputs(point.weights.numpy(), point.amplitudes.numpy())

    start, step = network.parameters.numpy().ravel(), 1e-6
    moves = step * np.eye(len(start))
    jacobian = [
        (columns(start + move) - columns(start - move)) / (2 * step) for move in moves
    ]
    residuals = [defined.residual(b)[0] for b in jacobian]
    expected = np.array([[(a * b).sum() for b in residuals] for a in jacobian])
    matrix = gauss_newton_matrix(rows, network).numpy()
    np.testing.assert_allclose(matrix, expected, atol=1e-6 * np.abs(matrix).max())


@parametrized
def test_solutions_at_fixed_directions(seed, n_outputs, hidden_bias, n_features):
    rows, defined, network = problem(seed, n_outputs, hidden_bias, n_features)
    directions = network.directions
    columns = np.maximum(defined.inputs @ directions.numpy().T, 0)
    projected, _ = defined.residual(columns)
    gram, inner = columns.T @ projected, projected.T @ defined.y
    fitted = fit_output_layer(rows, directions, 0.1)
    effects = fitted.amplitudes * fitted.weights.norm(dim=1, keepdim=True)
    expected = np.linalg.solve(gram + 0.1 * np.eye(len(gram)), inner)
    np.testing.assert_allclose(effects, expected, atol=1e-9)
    fit = AmplitudeFit.of(rows, directions)
    least = 2.0 * defined.loss(defined.y - columns @ np.linalg.solve(gram, inner))
    assert fit.squares == pytest.approx(least, rel=1e-8)
    balanced = balance(network)
    refitted = refit_masses(rows, balanced, 0.01)
    outputs = network.amplitudes / network.amplitudes.norm(dim=1, keepdim=True)
    matrix = gram * (outputs @ outputs.T).numpy()
    root = np.linalg.cholesky(matrix + 1e-13 * np.eye(len(matrix)))
    linear = (inner * outputs.numpy()).sum(axis=1) - 0.01
    masses = nnls(root.T, np.linalg.solve(root, linear))[0]
    assert float(refitted.masses.sum()) == pytest.approx(masses.sum(), rel=1e-6)


@parametrized
def test_duality_gap_is_its_definition_and_not_negative(
    seed, n_outputs, hidden_bias, n_features
):
    rows, defined, network = problem(seed, n_outputs, hidden_bias, n_features)
    lambda_ = 0.05
    network = refit_masses(rows, balance(network), lambda_)
    certificate = certify(rows, network, lambda_, seeded())
    outputs = defined.outputs(network.weights.numpy(), network.amplitudes.numpy())
    left, coef = defined.residual(defined.y - outputs)
    shrink = min(1.0, lambda_ / certificate.peaks.height)
    # The dual objective of the feasible point, written out: with a decay on the linear
    # part its moments need not be zero, but cost their square over the decay.
    point = shrink * left
    moments = defined.linear.T @ point
    centred = defined.y - defined.root * (defined.root.T @ defined.y)
    dual = (point * centred).sum() - 0.5 * (point**2).sum()
    dual -= 0.5 * (moments**2).sum() / defined.rho
    objective = defined_objective(defined, network, lambda_)
    assert certificate.dual_gap == pytest.approx(objective - dual, rel=1e-8)
    assert certificate.dual_gap >= 0.0
    # Opposite directions differ by what the linear part pays.
    directions = certificate.peaks.directions.numpy()[:3]
    heights = np.maximum(defined.inputs @ directions.T, 0).T @ left
    opposite = np.maximum(-defined.inputs @ directions.T, 0).T @ left
    n_features = len(coef)
    difference = defined.rho * directions[:, :n_features] @ coef
    if hidden_bias:
        np.testing.assert_allclose(heights - opposite, difference, atol=1e-10)


def test_a_second_decay_replaces_the_first():
    rows, _, network = problem(0, 2, True, 10, rho=0.3)
    again = rows.decayed(5.0).decayed(0.3)
    assert again.units.target_scale == pytest.approx(rows.units.target_scale, rel=1e-12)
    assert objective_at(again, network, 0.1)[1] == pytest.approx(
        objective_at(rows, network, 0.1)[1], rel=1e-12
    )


def test_a_vanishing_decay_is_no_decay():
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((60, 5)), generator.standard_normal(60)
    free, shrunk = make_rows(X, y), make_rows(X, y, linear_decay=1e-12)
    weights = torch.from_numpy(generator.standard_normal((4, free.n_inputs)))
    network = Network.from_parts(weights, torch.ones(4, 1, dtype=torch.float64))
    assert free.units.target_scale == pytest.approx(shrunk.units.target_scale)
    assert residual_at(free, network).squares == pytest.approx(
        residual_at(shrunk, network).squares, rel=1e-9
    )


@parametrized
def test_gains_on_noise_are_those_of_the_ridge_regression(
    seed, n_outputs, hidden_bias, n_features, monkeypatch
):
    rows, defined, network = problem(seed, n_outputs, hidden_bias, n_features)
    searches, kind = [], sign_flips._GainAscent

    def recorded(*arguments):
        searches.append(kind(*arguments))
        return searches[-1]

    monkeypatch.setattr(sign_flips, "_GainAscent", recorded)
    flips = sign_flips.Flips(n_flips=2, n_starts=1, n_steps=1)
    starts = network.directions[:1]
    sign_flips.gains_on_noise(rows, network, starts, seeded(seed), flips)
    search = searches[0]
    points = torch.randn(4, rows.n_inputs, generator=seeded(seed)).numpy()
    heights, gradients = search.evaluate(points)
    projection, _ = defined.residual(np.eye(N_ROWS))
    residuals = search.flipped.double().numpy()  # flips, targets, rows
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    activations = np.maximum(defined.inputs @ units.T.astype(float), 0)
    for j, h in enumerate(activations.T):
        left = residuals[j // 2].T  # points are flip by flip, two of each
        errors = np.linalg.pinv(projection, rcond=1e-8) @ left
        assert 2.0 * defined.loss(errors) == pytest.approx(1.0, rel=1e-4)
        amplitudes = h @ left / (h @ projection @ h)
        gain = 1.0 - 2.0 * defined.loss(errors - np.outer(h, amplitudes))
        height = float(heights[j, 0]) * search.unit
        assert height**2 == pytest.approx(gain, rel=1e-3)
    assert np.isfinite(gradients).all()


def test_flipped_residuals_are_what_each_row_leaves_if_the_others_predict_it():
    rows, defined, network = problem(1, 1, True, 10)
    hat = np.eye(N_ROWS) - defined.residual(np.eye(N_ROWS))[0]
    values = residual_at(rows, network).values
    flipped = rows.keep(sign_flips._flipped, values, rows.linear_basis.T, 0, 1, 0)
    left = values.values.numpy()[:, 0]
    expected = np.abs(left / np.maximum(1.0 - hat.diagonal(), 0.1))
    np.testing.assert_allclose(np.abs(flipped.numpy()[:, 0]), expected, rtol=1e-9)


@parametrized
def test_linear_part_counts_as_its_degrees_of_freedom(
    seed, n_outputs, hidden_bias, n_features
):
    rows, defined, _ = problem(seed, n_outputs, hidden_bias, n_features)
    hat = np.eye(N_ROWS) - defined.residual(np.eye(N_ROWS))[0]  # with the constant
    criterion = Criterion.of(rows, 1.0)
    expected = hat.trace() * rows.n_effective_outputs
    assert criterion.n_linear == pytest.approx(expected, rel=1e-9)
    rank = min(rows.n_inputs, np.linalg.matrix_rank(defined.linear) + 1)
    assert rows.rank == rank


def test_effective_size_is_that_of_the_residual_without_the_penalty():
    rows, defined, network = problem(1, 3, True, 40)
    outputs = defined.outputs(network.weights.numpy(), network.amplitudes.numpy())
    left, _ = defined.residual(defined.y - outputs)
    squares = (left**2).sum(axis=1)
    sized = with_effective_size(rows, network)
    expected = squares.sum() / (defined.root[:, 0] ** 2 @ squares)
    assert sized.n_effective == pytest.approx(min(expected, N_ROWS), rel=1e-9)
    products = left.T @ left
    expected = products.trace() ** 2 / (products**2).sum()
    assert sized.n_effective_outputs == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_constant", [3, 60])
def test_constant_columns_take_no_part_in_wide_data(hidden_bias, n_constant):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((30, 40))
    y = generator.standard_normal(30)
    wide = np.insert(X, np.zeros(n_constant, dtype=int), 0.0, axis=1)
    if n_constant == 60:  # Without these there are more rows than columns.
        X, wide = X[:, :20], wide[:, : n_constant + 20]
    plain, rows = (
        make_rows(data, y, hidden_bias=hidden_bias, linear_decay=0.3)
        for data in (X, wide)
    )
    assert rows.n_inputs == plain.n_inputs
    assert rows.rank == plain.rank
    np.testing.assert_array_equal(
        rows.units.columns.kept, np.arange(n_constant, wide.shape[1])
    )
    np.testing.assert_allclose(rows.spectrum.squares, plain.spectrum.squares)
    assert rows.units.target_scale == pytest.approx(plain.units.target_scale)
    assert len(rows.spectrum.gram) <= 30


@pytest.mark.parametrize("n_features", [8, 60])
def test_the_likely_decay_has_the_largest_restricted_likelihood(n_features):
    generator = np.random.default_rng(n_features)
    X = generator.standard_normal((N_ROWS, n_features))
    y = X @ generator.standard_normal(n_features) + generator.standard_normal(N_ROWS)
    rows = make_rows(X, y, linear_decay=1.0)
    found = likely_linear_decay(rows, Network.empty(rows))
    inputs = (X - X.mean(axis=0)) / X.std(axis=0) / np.sqrt(N_ROWS)
    contrasts = np.linalg.svd(np.ones((N_ROWS, 1)))[0][:, 1:]

    def likelihood(rho):
        covariance = contrasts.T @ (np.eye(N_ROWS) + inputs @ inputs.T / rho)
        covariance = covariance @ contrasts
        values = contrasts.T @ y
        noise = values @ np.linalg.solve(covariance, values) / len(values)
        return multivariate_normal(cov=noise * covariance).logpdf(values)

    best = likelihood(found)
    assert all(best >= likelihood(factor * found) for factor in (0.8, 1.25, 0.1, 10.0))
    hat = inputs @ np.linalg.solve(
        inputs.T @ inputs + found * np.eye(n_features), inputs.T
    )
    decayed = rows.decayed(found)
    assert decayed.linear_degrees_of_freedom == pytest.approx(np.trace(hat), rel=1e-9)


def dense_data(n_samples, n_features, seed=0):
    """A kink and a linear part along a dense direction, and fresh rows."""
    generator = np.random.default_rng(seed)
    w = generator.standard_normal(n_features) / np.sqrt(n_features)
    X = generator.standard_normal((n_samples + 1000, n_features))
    clean = np.abs(X @ w) + X @ w
    y = clean + 0.3 * generator.standard_normal(len(X))
    return X[:n_samples], y[:n_samples], X[n_samples:], clean[n_samples:]


def ridge():
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 33)))


def test_one_column_too_many_does_no_harm():
    for n_samples in (25, 29, 30, 31, 32, 40, 60, 90):
        X, y, X_new, y_new = dense_data(n_samples, 30)
        model = RegularizedTwoLayerRegressor(linear_decay="auto", random_state=0).fit(
            X, y
        )
        least = ridge().fit(X, y).score(X_new, y_new) - 0.05
        assert model.score(X_new, y_new) > least, n_samples
        assert model.linear_decay_ > 0.0


@pytest.mark.slow
def test_cross_validation_finds_what_few_rows_tell():
    X, y, X_new, y_new = dense_data(200, 60)
    model = RegularizedTwoLayerRegressorCV(
        lambdas=8, cv=3, linear_decay="auto", random_state=0
    ).fit(X, y)
    assert model.score(X_new, y_new) > ridge().fit(X, y).score(X_new, y_new) + 0.05


def test_noiseless_teachers_have_no_decay():
    X, y, teacher = make_two_layer_regression(
        n_samples=150, n_features=20, n_directions=2, return_teacher=True,
        random_state=0,
    )  # fmt: skip
    model = RegularizedTwoLayerRegressor(linear_decay="auto", random_state=0).fit(X, y)
    assert model.linear_decay_ == 0.0
    X_new = np.random.default_rng(1).standard_normal((500, 20))
    error = np.mean((model.predict(X_new) - teacher.predict(X_new)) ** 2)
    assert error < 1e-14 * np.var(y)


def test_a_number_is_the_decay_and_many_rows_have_none():
    X, y, *_ = dense_data(60, 5)
    auto = RegularizedTwoLayerRegressor(linear_decay="auto", random_state=0).fit(X, y)
    assert auto.linear_decay_ == 0.0
    given = RegularizedTwoLayerRegressor(linear_decay=0.7, random_state=0).fit(X, y)
    assert given.linear_decay_ == 0.7
    with pytest.raises(ValueError, match=r"linear_decay=0\.0"):
        direction_errors(given, X, y)
    with pytest.raises(ValueError, match="linear_decay"):
        RegularizedTwoLayerRegressor(linear_decay="none").fit(X, y)
    with pytest.raises(ValueError, match="linear_decay"):
        RegularizedTwoLayerRegressor(linear_decay=-1.0).fit(X, y)


@pytest.mark.parametrize("solver", ["newton", "fast", "gd"])
def test_paths_of_more_columns_than_rows(solver):
    X, y, *_ = dense_data(40, 50)
    path = two_layer_path(
        X, y, schedule=StagedSchedule([0.5, 0.2]), solver=solver, max_iter=3000,
        linear_decay="auto", random_state=0,
    )  # fmt: skip
    objective, gap = path.history["objective"], path.history["dual_gap"]
    assert (np.diff(objective) < 0).all()
    assert (gap >= -1e-9 * objective).all()
    if solver == "newton":
        assert (gap <= 1e-3 * objective).all()
