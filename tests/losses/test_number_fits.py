"""Counts and outliers: linear part, noise, stages and search from the definition."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import huber, xlogy
from sklearn.linear_model import HuberRegressor, PoissonRegressor

from sklearn_twolayer._fit.loss_fit import number_problem
from sklearn_twolayer._fit.loss_problem import find_model, loss_path
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.model import Model
from sklearn_twolayer._losses.noise import measured, rescaled
from sklearn_twolayer._losses.numbers import huber_loss
from sklearn_twolayer._losses.search import deviance
from sklearn_twolayer._losses.units import THRESHOLD
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._options.schedule import ConstantSchedule
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer.datasets import make_two_layer_regression

OPTIONS = check_path_options(
    schedule=ConstantSchedule(0.3), solver="newton", n_neurons=50, hidden_bias=True,
    standardize=True, max_iter=2000, max_time=None, tol=1e-3, prune_tol=0.0,
    merge_angle=0.0, device=None, dtype="float64", random_state=0, checkpoint=None,
    linear_decay=0.0,
)  # fmt: skip
LOSSES = pytest.mark.parametrize("loss", ["poisson", "huber"])


def numbers_of(loss, n_samples=400, n_features=3, seed=0):
    """Inputs, targets and weights of a teacher with two directions.

    Weights of counts are exposures. One of twenty numbers is an outlier.
    """
    X, signal = make_two_layer_regression(
        n_samples, n_features, n_directions=2, random_state=seed
    )
    signal = (signal - signal.mean()) / signal.std()
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0.5, 4.0, n_samples)
    if loss == "poisson":
        y = generator.poisson(weights * 100.0 * np.exp(signal - 4.0)) / weights
    else:
        noise = generator.standard_normal(n_samples)
        noise *= np.where(generator.random(n_samples) < 0.05, 9.0, 0.3)
        y = 100.0 + 10.0 * (signal + noise)
    return 2.0 * X + 1.0, y, weights


def problem_of(loss, X, y, weights=None, **options):
    raw = RawRows.local(X, y, np.ones(len(y)) if weights is None else weights)
    return number_problem(raw, replace(OPTIONS, **options), loss, 3.5)


def losses_of(loss, problem, y, outputs):
    """The loss of each row, in the units of the data."""
    if loss == "poisson":
        return xlogy(y, y) - y * outputs - y + np.exp(outputs)
    threshold = THRESHOLD * problem.data.scale * problem.units.scale
    return huber(threshold, y - outputs)


def slopes_of(loss, problem, y, outputs):
    if loss == "poisson":
        return np.exp(outputs) - y
    threshold = THRESHOLD * problem.data.scale * problem.units.scale
    return np.clip(outputs - y, -threshold, threshold)


def conjugates_of(loss, y, slopes):
    if loss == "poisson":
        return xlogy(slopes + y, slopes + y) - slopes - xlogy(y, y)
    return slopes * (y + 0.5 * slopes)


def test_linear_counts_are_those_of_scikit_learn():
    X, y, weights = numbers_of("poisson")
    problem = problem_of("poisson", X, y, weights)
    peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=1000).fit(X, y, weights)
    fitted = problem.fitted(problem.linear)
    np.testing.assert_allclose(fitted.linear_coef, peer.coef_, atol=1e-6)
    assert fitted.linear_intercept == pytest.approx(peer.intercept_, abs=1e-6)


@pytest.mark.parametrize("epsilon", [1.1, 1.35, 2.5])
def test_linear_fit_with_outliers_is_that_of_scikit_learn_with_its_scale(epsilon):
    X, y, weights = numbers_of("huber")
    problem = problem_of("huber", X, y, weights)
    peer = HuberRegressor(epsilon=epsilon, alpha=0.0, tol=1e-10, warm_start=True)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    # Each fit ends early; the last one fails, because it can go no further.
    with suppress(ValueError):
        for _ in range(30):
            peer.fit(Z, (y - 100.0) / 10.0, weights)
    scale = epsilon * peer.scale_ * 10.0 / THRESHOLD / problem.units.scale
    data = replace(problem.data, loss=huber_loss(scale))
    linear = fit_linear_part(data, Model.zero(data.rows)).model
    outputs = (problem.fitted(linear).predict(X) - 100.0) / 10.0
    np.testing.assert_allclose(outputs, peer.predict(Z), atol=1e-6)


@LOSSES
def test_from_lambda_max_on_the_linear_model_is_optimal(loss):
    problem = problem_of(loss, *numbers_of(loss))
    for factor, is_optimal in [(1.001, True), (0.9, False)]:
        lambda_ = factor * problem.start.lambda_max
        state = certify_model(problem.data, problem.linear, lambda_, problem.generator)
        assert (state.relative_gap < 1e-9) == is_optimal


@LOSSES
@pytest.mark.parametrize("rho", [0.0, 0.02])
def test_certificate_and_gap_are_those_of_the_definition(loss, rho):
    X, y, weights = numbers_of(loss)
    share = weights / weights.sum()
    problem = problem_of(loss, X, y, weights, linear_decay=rho, max_iter=4000)
    (stage,) = loss_path(problem)
    assert stage.stopped_by == "tol"
    assert stage.network.n_neurons > 0
    scales = problem.scales
    lambda_, gap = stage.lambda_ * scales.decay, stage.dual_gap * scales.loss
    outputs = problem.fitted(problem.model_of(stage)).predict(X)
    loss_value = share @ losses_of(loss, problem, y, outputs)
    assert stage.loss * scales.loss == pytest.approx(loss_value, rel=1e-9)
    masses = float(stage.network.masses.sum()) * scales.mass
    inner = problem.units.size * stage.linear[:-1].numpy()
    penalty = lambda_ * masses + 0.5 * rho * np.square(inner).sum()
    assert stage.objective * scales.loss == pytest.approx(
        loss_value + penalty, rel=1e-9
    )
    # v(u) is the mean of minus the derivative times relu(u.x).
    slopes = slopes_of(loss, problem, y, outputs)
    Z = (X - share @ X) / np.sqrt(share @ (X - share @ X) ** 2)
    ones = np.column_stack([Z, np.ones(len(X))])
    moments = Z.T @ (share * slopes)
    np.testing.assert_allclose(moments, -rho * inner[:, 0], atol=1e-7 * scales.decay)
    random = np.random.default_rng(0).standard_normal((5000, 4))
    random = np.vstack([random, stage.network.weights.numpy()])
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    heights = np.abs(np.maximum(ones @ random.T, 0.0).T @ (share * slopes))
    peak = stage.certificate * lambda_
    assert heights.max() <= peak * (1.0 + 1e-9)
    assert peak <= 1.01 * lambda_
    # The gap: objective less the dual value of the slopes, shrunk.
    shrunk = slopes * min(1.0, lambda_ / peak)
    dual = -share @ conjugates_of(loss, y, shrunk)
    if rho > 0.0:
        dual -= np.square(Z.T @ (share * shrunk)).sum() / (2.0 * rho)
    objective = stage.objective * scales.loss
    # The moments that are left by rounding are those of the constant and of columns.
    assert gap == pytest.approx(objective - dual, abs=1e-7 * objective)
    assert 0.0 <= gap <= 1e-3 * objective


@LOSSES
def test_search_finds_the_directions_and_its_criterion(loss):
    X, y, weights = numbers_of(loss, 1500, 4)
    problem = problem_of(loss, X, y, weights)
    found = find_model(problem, 3.5)
    assert found.n_neurons == 2
    outputs = problem.fitted(found.model).predict(X)
    mean = weights @ losses_of(loss, problem, y, outputs) / weights.sum()
    mean /= problem.scales.loss
    expected = 2.0 * problem.rows.n_effective * mean / found.data.dispersion
    assert deviance(found.data, found.model) == pytest.approx(expected)
    price = 3.5 * 5
    assert found.value == pytest.approx(expected + 2 * price)
    linear = deviance(found.data, problem.linear)
    assert found.value < linear


def test_dispersion_is_one_for_counts_whatever_their_exposures():
    X, y, weights = numbers_of("poisson", 3000)
    problem = problem_of("poisson", X, y, weights)
    found = find_model(problem, 3.5)
    dispersion = problem.attributes(found.model)["dispersion_"]
    assert dispersion == pytest.approx(1.0, abs=0.08)
    # Weights in other units leave all but the dispersion as it was.
    other = problem_of("poisson", X, y, 10.0 * weights)
    assert other.attributes(other.linear)["dispersion_"] == pytest.approx(
        10.0 * problem.attributes(problem.linear)["dispersion_"]
    )
    again = find_model(other, 3.5)
    assert again.value == pytest.approx(found.value, rel=1e-6)


def test_dispersion_is_the_variance_of_the_derivative():
    """Of rows with unequal weights, too: gains on noise are in proportion to it."""
    X, y, weights = numbers_of("poisson", 2000)
    problem = problem_of("poisson", X, y, weights)
    data = measured(problem.data, problem.linear)
    mean = np.exp(problem.fitted(problem.linear).predict(X))
    share = weights / weights.sum()
    ratio = (share**2) @ (y - mean) ** 2 / (share @ mean) / problem.units.loss
    kept = 1.0 - (1 + X.shape[1]) / len(X)
    assert data.dispersion == pytest.approx(ratio * problem.rows.n_effective / kept)


def test_scale_is_that_of_the_noise_without_outliers():
    X, y, weights = numbers_of("huber", 3000)
    problem = problem_of("huber", X, y, weights)
    scale = problem.attributes(problem.linear)["scale_"]
    assert scale == pytest.approx(3.0, rel=0.12)
    # It is that of the network which the search has found.
    residuals = np.abs(y - problem.fitted(problem.search.result.model).predict(X))
    order = np.argsort(residuals)
    half = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
    assert scale == pytest.approx(1.4826 * residuals[order][half], rel=0.02)
    again = rescaled(problem.data, problem.search.result.model)
    assert again.scale == pytest.approx(problem.data.scale, rel=0.01)


@LOSSES
def test_nothing_is_found_in_a_linear_model(loss):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((500, 4))
    if loss == "poisson":  # with a variance of three times the mean
        y = generator.poisson(np.exp(X[:, 0]) * generator.gamma(1.0, 1.0, 500))
    else:
        y = X[:, 0] + generator.standard_t(1.5, 500)
    problem = problem_of(loss, X, y.astype(float))
    assert find_model(problem, 3.5).n_neurons == 0


@LOSSES
def test_a_shrunk_linear_part_is_chosen_where_rows_are_few(loss):
    X, y, _ = numbers_of(loss, 60, 30)
    problem = problem_of(loss, X, y, linear_decay=None)
    assert problem.linear_decay > 0.0
    outputs = problem.fitted(problem.linear).predict(X)
    if loss == "poisson":
        assert 0.0 < np.std(outputs) < 3.0
    else:
        assert problem.data.scale > 0.05
    assert np.isfinite(outputs).all()


def test_zero_counts_that_a_line_separates_end_at_a_finite_model():
    generator = np.random.default_rng(0)
    X = np.column_stack([generator.standard_normal(300), np.arange(300) < 30])
    y = np.where(X[:, 1] == 1.0, 0, generator.poisson(2.0, 300)).astype(float)
    problem = problem_of("poisson", X, y)
    assert problem.is_separable
    assert problem.linear_decay > 0.0
    outputs = problem.fitted(problem.linear).predict(X)
    assert np.exp(outputs[:30]).max() < 0.3
    assert np.isfinite(outputs).all()
    assert np.abs(outputs).max() < 50.0


def test_row_losses_are_those_of_the_data():
    for loss in ("poisson", "huber"):
        X, y, weights = numbers_of(loss)
        problem = problem_of(loss, X, y, weights)
        outputs = problem.fitted(problem.linear).predict(X)
        np.testing.assert_allclose(
            problem.row_losses(y, outputs), losses_of(loss, problem, y, outputs),
            rtol=1e-9, atol=1e-12 * problem.units.loss,
        )  # fmt: skip
