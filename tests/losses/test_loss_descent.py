"""Linear part, stages, certificate and search, recomputed from the definition."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from sklearn_twolayer._certificate.peaks import QUICK
from sklearn_twolayer._descent import DESCENTS
from sklearn_twolayer._fit.loss_problem import LossProblem, find_model
from sklearn_twolayer._losses.certificate import certify_model
from sklearn_twolayer._losses.linear_decay import with_likely_decay
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.loss import class_loss, class_targets
from sklearn_twolayer._losses.model import Model, objective_of
from sklearn_twolayer._losses.newton import minimize_at
from sklearn_twolayer._losses.polish import polish
from sklearn_twolayer._losses.search import deviance, likely_decay
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.raw import RawRows
from sklearn_twolayer.datasets import make_two_layer_regression

OPTIONS = check_path_options(
    schedule=None, solver="newton", n_neurons=50, hidden_bias=True, standardize=True,
    max_iter=2000, max_time=None, tol=1e-3, prune_tol=0.0, merge_angle=0.0, device=None,
    dtype="float64", random_state=0, checkpoint=None, linear_decay=0.0,
)  # fmt: skip
CLASSES = pytest.mark.parametrize("n_classes", [2, 3])


def classes_of(n_samples=300, n_features=3, n_classes=2, seed=0, size=2.0):
    """Inputs, and classes drawn by the outputs of a teacher of two directions."""
    X, scores = make_two_layer_regression(
        n_samples, n_features, n_directions=2, n_targets=n_classes, random_state=seed
    )
    scores = size * (scores - scores.mean(axis=0)) / scores.std(axis=0)
    noise = np.random.default_rng(seed).gumbel(size=scores.shape)
    return X * 2.0 + 1.0, (scores + noise).argmax(axis=1)


def problem_of(X, y, weights=None, **options):
    n_classes = int(y.max()) + 1
    raw = RawRows.local(
        X, class_targets(y, n_classes), np.ones(len(y)) if weights is None else weights
    )
    return LossProblem.of(raw, class_loss(n_classes), replace(OPTIONS, **options))


def scores_of(problem, model, X):
    """Scores of two classes or more, by the network in the units of X."""
    scores = problem.fitted(model).predict(X)
    if scores.ndim == 1:
        return np.column_stack([np.zeros_like(scores), scores])
    return scores


def log_losses(scores, y):
    return logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]


@CLASSES
@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_linear_model_is_that_of_scikit_learn(n_classes, rho):
    X, y = classes_of(n_classes=n_classes)
    weights = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    problem = problem_of(X, y, weights, linear_decay=rho)
    scale = np.sqrt(np.cov(X.T, aweights=weights, ddof=0).diagonal())
    inverse = np.inf if rho == 0.0 else 1.0 / (rho * weights.sum())
    peer = LogisticRegression(C=inverse, solver="newton-cg", tol=1e-10, max_iter=1000)
    peer.fit(X / scale, y, weights)
    scores = scores_of(problem, problem.linear, X)
    if n_classes == 2:  # Our score is of one class, and so is the penalty.
        np.testing.assert_allclose(
            scores[:, 1], peer.decision_function(X / scale), atol=1e-6
        )
    else:
        expected = peer.decision_function(X / scale)
        expected = expected - expected.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert not problem.is_separable


@CLASSES
def test_separable_classes_have_no_best_linear_part(n_classes):
    X = np.random.default_rng(0).standard_normal((100, 3))
    y = np.digitize(X[:, 0], [-0.5, 0.5][: n_classes - 1])
    problem = problem_of(X, y)
    free = problem.data.decayed(0.0)
    assert not fit_linear_part(free, Model.zero(free.rows)).has_minimum
    assert problem.is_separable
    assert problem.linear_decay > 0.0
    assert np.abs(scores_of(problem, problem.linear, X)).max() < 2000.0


def test_likely_decay_is_that_of_laplace():
    """Minus twice the log evidence, with the second derivative as one matrix."""
    X, y = classes_of(60, 5)
    problem = problem_of(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    ones = np.column_stack([Z, np.ones(len(Z))])

    def surprise(rho):
        def objective(coef):
            margin = np.where(y == 1, -1.0, 1.0) * (ones @ coef)
            penalty = 0.5 * rho * np.square(coef[:-1]).sum()
            return np.logaddexp(0.0, margin).mean() + penalty

        found = minimize(objective, np.zeros(6), tol=1e-12)
        share = 1.0 / (1.0 + np.exp(-ones @ found.x))
        curvature = ones.T @ ((share * (1.0 - share))[:, None] * ones) / len(Z)
        last = curvature[-1, :-1]
        schur = curvature[:-1, :-1] - np.outer(last, last) / curvature[-1, -1]
        determinant = np.linalg.slogdet(np.eye(5) + schur / rho)[1]
        return 2.0 * len(Z) * found.fun + determinant

    chosen = with_likely_decay(problem.data).linear_decay
    grid = chosen * 10.0 ** np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
    values = [surprise(rho) for rho in grid]
    assert min(values[0], values[4]) > values[2]
    assert values[2] - min(values) < 0.02


@CLASSES
@pytest.mark.parametrize("rho", [0.0, 0.02])
def test_stage_is_near_the_optimum_and_its_gap_bounds_the_distance(n_classes, rho):
    X, y = classes_of(n_classes=n_classes)
    problem = problem_of(X, y, linear_decay=rho)
    lambda_ = 0.3 * problem.lambda_max
    found = minimize_at(
        problem.data, problem.linear, lambda_, DESCENTS["newton"], problem.options,
        problem.generator,
    )  # fmt: skip
    assert found.stopped_by == "tol"
    assert 0.0 <= found.certificate.relative_gap <= 1e-3
    objective = found.certificate.objective
    assert objective < objective_of(problem.data, problem.linear, lambda_)
    # The objective from its definition.
    network = found.model.network
    masses = float(network.masses.sum())
    loss = log_losses(scores_of(problem, found.model, X), y).mean()
    linear = 0.5 * rho * float(found.model.linear[:-1].square().sum())
    assert objective == pytest.approx(loss + lambda_ * masses + linear, rel=1e-9)
    # No descent from it, and from it with more neurons, gets lower than the gap says.
    lower = minimize_at(
        problem.data, found.model, lambda_, DESCENTS["newton"],
        replace(problem.options, tol=1e-4), problem.generator, 2,
    )  # fmt: skip
    assert lower.certificate.objective >= objective - found.certificate.dual_gap
    assert lower.certificate.objective <= objective + 1e-12


@CLASSES
def test_certificate_is_that_of_the_definition(n_classes):
    """v(u) is the mean of what is left of the class times relu(u.x), in each score."""
    X, y = classes_of(n_classes=n_classes)
    problem = problem_of(X, y)
    found = find_model(problem, 3.5)
    lambda_ = 0.05 * problem.lambda_max
    state = certify_model(problem.data, found.model, lambda_, problem.generator, QUICK)
    scores = scores_of(problem, found.model, X)
    share = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    left = (y[:, None] == np.arange(n_classes)) - share
    left = left[:, [1]] if n_classes == 2 else left
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    # The linear part leaves nothing linear.
    np.testing.assert_allclose(Z.T @ left / len(Z), 0.0, atol=1e-7)
    directions = state.peaks.directions.numpy()
    values = np.maximum(Z @ directions.T, 0.0).T @ left / len(Z)
    heights = np.linalg.norm(values, axis=1)
    assert state.peaks.height == pytest.approx(heights.max(), rel=1e-9)
    random = np.random.default_rng(0).standard_normal((3000, Z.shape[1]))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    values = np.maximum(Z @ random.T, 0.0).T @ left / len(Z)
    assert np.linalg.norm(values, axis=1).max() <= state.peaks.height * (1 + 1e-9)
    # The dual value of the derivative, shrunk, is what the gap says.
    shrink = min(1.0, lambda_ / state.peaks.height)
    own = (y[:, None] == np.arange(n_classes)).astype(float)
    dual = shrink * share + (1.0 - shrink) * own
    entropy = -np.where(dual > 0.0, dual * np.log(np.maximum(dual, 1e-300)), 0.0)
    expected = state.objective - entropy.sum(axis=1).mean()
    assert state.dual_gap == pytest.approx(expected, rel=1e-6)


@CLASSES
def test_from_lambda_max_on_the_linear_model_is_optimal(n_classes):
    problem = problem_of(*classes_of(n_classes=n_classes))
    for factor, is_optimal in [(1.001, True), (0.9, False)]:
        state = certify_model(
            problem.data, problem.linear, factor * problem.lambda_max, problem.generator
        )
        assert (state.relative_gap < 1e-9) == is_optimal


def test_means_of_models_have_the_mean_of_the_scores():
    problem = problem_of(*classes_of())
    X = classes_of()[0]
    found = find_model(problem, 3.5).model
    other = problem.linear
    both = found.scaled(0.3).plus(other.scaled(0.7))
    first, second, mean = (
        problem.fitted(model).predict(X) for model in (found, other, both)
    )
    np.testing.assert_allclose(mean, 0.3 * first + 0.7 * second, atol=1e-10)
    assert both.network.n_neurons == found.network.n_neurons > 0


@CLASSES
def test_polishing_ends_where_the_objective_has_no_slope(n_classes):
    X, y = classes_of(600, n_classes=n_classes)
    problem = problem_of(X, y)
    data = problem.data
    begin = find_model(problem, 3.5).model
    shaken = Network(begin.network.parameters * 1.2, begin.network.n_outputs)
    model = fit_linear_part(data, Model(shaken, begin.linear)).model
    polished = polish(data, model, partial(likely_decay, data))
    lambda_ = likely_decay(data, polished)
    value = objective_of(data, polished, lambda_)
    assert value < objective_of(data, model, lambda_)
    # Steps along random directions gain no more than a rounding of the deviance.
    generator = np.random.default_rng(0)
    for size in (1e-2, 1e-3):
        for _ in range(20):
            change = generator.standard_normal(polished.network.parameters.shape)
            trial = polished.network.parameters + size * torch.from_numpy(change)
            trial = fit_linear_part(
                data, Model(polished.network.moved_to(trial), polished.linear)
            ).model
            gain = value - objective_of(data, trial, lambda_)
            assert 2.0 * len(y) * gain < 0.05


def test_search_lowers_deviance_and_price():
    X, y = classes_of(1500, 4)
    problem = problem_of(X, y)
    found = find_model(problem, 3.5)
    n_neurons = found.model.network.n_neurons
    assert n_neurons == 2
    price = 3.5 * 5
    assert found.value == pytest.approx(
        deviance(problem.data, found.model) + price * n_neurons
    )
    assert found.value < deviance(problem.data, problem.linear)
    losses = log_losses(scores_of(problem, found.model, X), y)
    assert deviance(problem.data, found.model) == pytest.approx(2.0 * losses.sum())


def test_nothing_is_found_in_a_linear_model():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((500, 4))
    y = (X[:, 0] + generator.logistic(size=500) > 0.0).astype(int)
    assert find_model(problem_of(X, y), 3.5).model.network.n_neurons == 0


def test_a_network_that_separates_the_classes_stays_finite():
    """Exclusive or without noise: the decay is the fixed point of theory eq. (17)."""
    X = np.random.default_rng(0).standard_normal((400, 2))
    y = (X[:, 0] * X[:, 1] > 0.0).astype(int)
    problem = problem_of(X, y)
    found = find_model(problem, 3.5)
    scores = scores_of(problem, found.model, X)
    assert found.model.network.n_neurons >= 2
    assert (scores.argmax(axis=1) == y).mean() > 0.97
    assert 5.0 < np.abs(scores).max() < 500.0
