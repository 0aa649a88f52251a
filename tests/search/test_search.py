import numpy as np
import pytest
import torch
from conftest import (
    Definition,
    at_truth,
    make_rows,
    random_problem,
    residual_values,
    seeded,
    teacher_rows,
    true_network,
)

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._path.path import start_path
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._search.bold_start import bold_start
from sklearn_twolayer._search.choose_neurons import descend, refit
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion
from sklearn_twolayer._search.search import (
    certify_result,
    restart_from_combinations,
    search,
    shrink,
)
from sklearn_twolayer._search.tuning import DEFAULT_TUNING as TUNING
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def searched(rows, seed=0, penalty=DEFAULT_PENALTY):
    generator = seeded(seed)
    start = start_path(rows, 32, generator)
    with step_limit(2000) as progress:
        begin = bold_start(rows, start, generator, TUNING)
        result = search(rows, start, penalty, generator, begin, TUNING)
        return certify_result(rows, result, progress, generator, TUNING)


@pytest.mark.parametrize("seed", range(5))
def test_noisy_teachers_are_found_with_their_number_of_neurons(seed):
    rows, teacher = teacher_rows(seed)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    network = searched(rows).result
    assert network.n_neurons == 3
    found = criterion.value(objective_at(rows, network, 0.0)[0], 3)
    truth = at_truth(rows, criterion, teacher)
    # Least squares has local minima: not always quite as low as the truth.
    assert found < truth.value + 0.5 * criterion.price
    assert mean_excess(rows, network, teacher) < 2 * mean_excess(
        rows, truth.network, teacher
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("speed", "n_samples"), [(3.0, 1200), (4.0, 3000)])
def test_a_wave_is_found_though_few_directions_see_it(speed, n_samples, seed):
    generator = np.random.default_rng(seed)
    direction = generator.standard_normal(10)
    direction /= np.linalg.norm(direction)
    X = generator.standard_normal((n_samples + 2000, 10))
    wave = np.sin(speed * X @ direction)
    y = wave + 0.3 * generator.standard_normal(len(X))
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(X[:n_samples], y[:n_samples])
    assert model.score(X[n_samples:], wave[n_samples:]) > 0.9
    cosines = model.features_ @ direction / np.linalg.norm(model.features_, axis=1)
    assert (np.abs(cosines) > 0.9).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_stage_certifies_the_network_that_is_kept(seed):
    X, y, weights, rows, _ = random_problem(seed, n_samples=200)
    y = y + 3.0 * np.abs(X[:, :1])
    rows = make_rows(X, y, weights)
    stage = searched(rows)
    assert stage.network is stage.result
    definition = Definition(X, y, weights)
    scale = rows.units.target_scale
    first, second = stage.network.weights.numpy(), stage.network.amplitudes.numpy()
    np.testing.assert_allclose(
        stage.loss * scale**2, definition.loss(first, second * scale)
    )
    residual = definition.residual(first, second * scale)
    peak = definition.peak(residual, np.random.default_rng(0), first)
    found = stage.certificate * stage.lambda_ * scale
    np.testing.assert_allclose(found, peak, rtol=0.02)
    assert stage.dual_gap >= 0.0


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_linear_targets_get_no_neurons(noise):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((300, 5))
    y = X.sum(axis=1) + noise * generator.standard_normal(300)
    assert searched(make_rows(X, y)).result.n_neurons == 0


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_one_over_the_variance_make_the_most_of_clean_rows(seed):
    X, y, teacher = make_two_layer_regression(
        1000, 8, n_directions=3, return_teacher=True, random_state=seed
    )
    generator = np.random.default_rng(seed)
    scale = np.exp(generator.normal(-1, 1, len(y)))
    y = y + scale * generator.standard_normal(len(y))
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(X, y, sample_weight=scale**-2)
    match = match_directions(model.features_, teacher.directions)
    assert len(model.features_) == 3
    assert match.angles.max() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_unequal_weights_on_equal_noise_are_no_features(seed):
    generator = np.random.default_rng(seed)
    X, y = generator.standard_normal((1000, 8)), generator.standard_normal(1000)
    weights = np.exp(generator.normal(0, 0.7, len(y)))
    model = RegularizedTwoLayerRegressor(random_state=0)
    assert len(model.fit(X, y, sample_weight=weights).features_) == 0


def mean_excess(rows, network, teacher):
    """Mean squared distance to the teacher on the rows, in the fit's coordinates."""
    truth = residual_values(rows, true_network(rows, teacher))
    return float((truth - residual_values(rows, network)).square().sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_last_decay_is_that_of_the_masses_and_the_noise(seed, n_targets):
    X, y = make_two_layer_regression(
        400, 4, n_directions=2, noise=0.3, n_targets=n_targets, random_state=seed
    )
    rows = make_rows(X, y)
    network = searched(rows, penalty=3.5).network
    plain = descend(rows, network, 0.0, TUNING.final)
    smaller = shrink(rows, plain, TUNING)
    assert smaller.masses.sum() < plain.masses.sum()
    # Theory eq. (17), from the definition of each of its symbols.
    squares = residual_at(rows, plain).squares / n_targets
    masses = plain.weights.norm(dim=1) * plain.amplitudes.norm(dim=1)
    n_parameters = plain.n_neurons * (5 + n_targets - 1)
    lambda_ = squares * n_parameters / (400 * float(masses.sum()))
    expected, _ = gauss_newton(rows, plain, lambda_, max_iter=6, tol=1e-6)
    torch.testing.assert_close(smaller.parameters, expected.parameters)
    before, after = (objective_at(rows, n, lambda_)[1] for n in (plain, smaller))
    assert after < before


def test_the_last_decay_lowers_the_error_on_average():
    ratios = []
    for seed in range(8):
        rows, teacher = teacher_rows(seed, n_samples=300, noise=0.5)
        network = true_network(rows, teacher)
        plain = descend(rows, network, 0.0, TUNING.final)
        smaller = shrink(rows, plain, TUNING)
        before = mean_excess(rows, plain, teacher)
        ratios.append(mean_excess(rows, smaller, teacher) / before)
    assert np.mean(ratios) < 0.97


def test_an_exact_network_is_not_shrunk():
    rows, teacher = teacher_rows(0, noise=0.0)
    network = shrink(rows, true_network(rows, teacher), TUNING)
    assert residual_at(rows, network).squares < rows.exact
    assert shrink(rows, Network.empty(rows), TUNING).n_neurons == 0


@pytest.mark.parametrize("seed", [2, 3])
def test_directions_that_are_close_are_told_apart_without_noise(seed):
    X, y, teacher = make_two_layer_regression(
        3000, 20, subspace_dim=2, n_directions=5, min_angle=0.2, return_teacher=True,
        random_state=seed,
    )  # fmt: skip
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "problem",
    [
        {"n_samples": 300, "n_features": 10, "subspace_dim": 3, "n_directions": 4},
        {
            "n_samples": 1000, "n_features": 10, "subspace_dim": 2, "n_directions": 6,
            "min_angle": 0.2,
        },
        # Where the search ends nearly exact, with so many parameters that no
        # refit was tried before it.
        {
            "n_samples": 5000, "n_features": 30, "subspace_dim": 2, "n_directions": 5,
            "min_angle": 0.2,
        },
        {
            "n_samples": 3000, "n_features": 20, "subspace_dim": 3, "n_directions": 8,
            "min_angle": 0.3, "distribution": "heavy-tailed",
        },
    ],
)  # fmt: skip
def test_few_rows_and_many_close_directions_are_exact_too(problem, seed):
    X, y, teacher = make_two_layer_regression(
        **problem, return_teacher=True, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert (match.n_missed, match.n_spurious) == (0, 0)
    assert match.angles.max() < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_what_the_choice_misses_in_the_span_is_found(seed):
    rows, teacher = teacher_rows(
        seed, noise=0.03, n_samples=3000, n_features=20, subspace_dim=2,
        n_directions=5, min_angle=0.2,
    )  # fmt: skip
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    start = start_path(rows, 32, seeded())
    truth = true_network(rows, teacher)
    few = refit(rows, criterion, truth.take([0, 2, 4]), TUNING)

    def restarted(best):
        return restart_from_combinations(rows, start, criterion, best, seeded(), TUNING)

    found = restarted(few)
    assert found.network.n_neurons == 5
    assert found.value < few.value
    assert found.has_births
    # All of it has no more to give, and one direction has no span to look in.
    best = refit(rows, criterion, truth, TUNING)
    assert restarted(best) is best
    one = refit(rows, criterion, truth.take([0]), TUNING)
    assert restarted(one) is one
    with step_limit(0):
        assert restarted(few) is few
