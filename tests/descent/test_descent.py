from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import (
    make_rows,
    random_problem,
    residual_values,
    seeded,
    true_network,
)
from scipy.optimize import minimize

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import BIRTHS, LAST, QUICK, THOROUGH
from sklearn_twolayer._descent import DESCENTS, newton, refine
from sklearn_twolayer._descent.gauss_newton import (
    gauss_newton,
    gauss_newton_matrix,
    next_step,
)
from sklearn_twolayer._descent.gradient import descend_plainly
from sklearn_twolayer._descent.newton import give_birth
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._descent.simplify import simplify
from sklearn_twolayer._network.fixed_directions import refit_masses
from sklearn_twolayer._network.network import Network, balance
from sklearn_twolayer._network.objective import evaluate, objective_at, residual_at
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._runtime.limits import step_limit, time_limit
from sklearn_twolayer.datasets import make_two_layer_regression

GRID = [(name, seed, q) for name in DESCENTS for seed in range(2) for q in (1, 2)]

# The single descents: (rows, network, lambda_, max_iter=, tol=) -> network.
STEPPERS = {
    "gradient": lambda *a, **k: descend_plainly(*a, **k).network,
    "quasi-newton": quasi_newton,
    "scaled quasi-newton": partial(quasi_newton, scaled=True),
    "gauss-newton": lambda *a, **k: gauss_newton(*a, **k)[0],
}


def options(**changes):
    defaults = check_path_options(
        schedule=None, solver="auto", n_neurons=20, hidden_bias=True,
        standardize=True, max_iter=2000, max_time=None, tol=1e-3, prune_tol=1e-6,
        merge_angle=0.05,
        device=None, dtype="float64", random_state=0, checkpoint=None,
    )  # fmt: skip
    return replace(defaults, **changes)


def teacher_rows(seed, n_outputs=1, n_samples=1000, noise=0.0):
    X, y = make_two_layer_regression(
        n_samples, 4, n_directions=2, n_targets=n_outputs, noise=noise,
        random_state=seed,
    )  # fmt: skip
    return make_rows(X, y)


@pytest.mark.parametrize(("name", "seed", "n_outputs"), GRID)
def test_descents_lower_the_objective_and_end(name, seed, n_outputs):
    rows, lambda_ = teacher_rows(seed, n_outputs), 0.02
    start = random_problem(seed, n_outputs=n_outputs)[-1]
    with step_limit(4000) as progress:
        descent = DESCENTS[name](rows, start, lambda_, options(max_iter=4000), seeded())
    assert 0 < progress.n_iter < 4000
    network = descent.network
    torch.testing.assert_close(
        network.weights.norm(dim=1), network.amplitudes.norm(dim=1)
    )
    before, after = (objective_at(rows, n, lambda_)[1] for n in (start, network))
    assert after < before
    # Two very different methods agree on the minimum up to the tolerance.
    certificate = certify(rows, network, lambda_, seeded(1))
    assert certificate.relative_gap < (2e-3 if name == "newton" else 0.05)


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_newton_reaches_the_gap_it_is_asked_for(seed, n_outputs, tol):
    rows, lambda_ = teacher_rows(seed, n_outputs, noise=0.2), 0.02
    start = random_problem(seed, n_outputs=n_outputs)[-1]
    descent = DESCENTS["newton"](
        rows, start, lambda_, options(tol=tol, max_iter=10**4), seeded()
    )
    assert descent.stopped_by == "tol"
    known = descent.certificate
    assert known.relative_gap <= tol
    again = certify(rows, descent.network, lambda_, seeded(1))
    assert again.objective == pytest.approx(known.objective, rel=1e-12)
    assert again.relative_gap <= 2 * tol


@pytest.mark.parametrize(
    ("tol", "n_searches"), [(1e-2, 3), (1e-3, 3), (1e-4, 8), (1e-5, 13)]
)
@pytest.mark.parametrize("wait", [0, 1, 2, 3, 8, 13])
def test_newton_believes_what_many_searches_in_a_row_confirm(
    monkeypatch, tol, n_searches, wait
):
    """The finer the tolerance, the more; what any of them finds makes it go on."""
    rows, lambda_ = teacher_rows(0, noise=0.2, n_samples=100), 0.2
    efforts, found = [], False

    def recorded(rows, network, lambda_, generator, effort, tol=None):
        nonlocal found
        efforts.append(effort)
        known = certify(rows, network, lambda_, generator, QUICK)
        if wait and not found and efforts[-wait - 1 :] == [THOROUGH, *[LAST] * wait]:
            found = True
            return replace(known, dual_gap=2 * tol * known.objective)
        return replace(known, dual_gap=0.0)

    monkeypatch.setattr(newton, "certify", recorded)
    start = random_problem(0)[-1]
    descent = DESCENTS["newton"](rows, start, lambda_, options(tol=tol), seeded())
    assert descent.stopped_by == "tol"
    assert found == (0 < wait <= n_searches)
    series = [BIRTHS, THOROUGH, *[LAST] * n_searches]
    if found:
        series = [*series[: wait + 2], *series]
    assert efforts[: len(series)] == series


def test_newton_believes_what_it_has_when_time_is_over(monkeypatch):
    rows, efforts = teacher_rows(0, noise=0.2, n_samples=100), []

    def recorded(rows, network, lambda_, generator, effort, tol=None):
        efforts.append(effort)
        return replace(certify(rows, network, lambda_, generator, QUICK), dual_gap=0.0)

    monkeypatch.setattr(newton, "certify", recorded)
    with time_limit(1e-9):
        DESCENTS["newton"](rows, random_problem(0)[-1], 0.2, options(), seeded())
    assert BIRTHS in efforts
    assert LAST not in efforts


def test_newton_ends_at_its_limit():
    rows = teacher_rows(0, noise=0.2)
    start = random_problem(0)[-1]
    with step_limit(300) as progress:
        descent = DESCENTS["newton"](rows, start, 0.001, options(tol=0.0), seeded())
    assert descent.stopped_by == "max_iter"
    assert 300 <= progress.n_iter <= 320  # a line search takes at most 20


def test_newton_goes_on_below_any_gap_at_a_tolerance_of_zero():
    rows = teacher_rows(0, noise=0.2)
    start = random_problem(0)[-1]
    with step_limit(400):
        descent = DESCENTS["newton"](rows, start, 0.02, options(tol=0.0), seeded())
    assert descent.certificate.relative_gap < 1e-3


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("max_iter", [1, 2, 5, 40])
def test_objective_never_rises(stepper, max_iter):
    *_, rows, network = random_problem(1)
    network = balance(network)
    values = [objective_at(rows, network, 0.1)[1]]
    for _ in range(5):
        with step_limit() as progress:
            network = STEPPERS[stepper](rows, network, 0.1, max_iter=max_iter, tol=0.0)
        assert progress.n_iter <= 21 * (max_iter + 1)  # a line search takes at most 20
        values.append(objective_at(rows, network, 0.1)[1])
    assert (np.diff(values) <= 1e-15).all()
    assert values[-1] < values[0]


@pytest.mark.parametrize("stepper", STEPPERS)
def test_no_neurons_and_no_gradient_are_left_alone(stepper):
    *_, rows, network = random_problem(0)
    for start in (
        network.moved_to(torch.zeros_like(network.parameters)),
        Network.empty(rows),
    ):
        ended = STEPPERS[stepper](rows, start, 0.1, max_iter=10, tol=1e-3)
        assert ended.n_neurons == start.n_neurons
        assert not ended.parameters.any()


@pytest.mark.parametrize("stepper", STEPPERS)
def test_steps_do_not_depend_on_scales(stepper):
    X, y, weights, rows, network = random_problem(2)
    scaled = make_rows(X * 1e9, y * 1e-7, weights)
    ends = [
        STEPPERS[stepper](r, network, 0.05, max_iter=20, tol=0.0).parameters
        for r in (rows, scaled)
    ]
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8)


def test_gradient_descent_ends_at_a_small_gradient():
    rows, start = teacher_rows(0), random_problem(0)[-1]
    descent = descend_plainly(rows, start, 0.02, max_iter=5000, tol=1e-4)
    size = 0.02 * float(descent.network.parameters.norm())
    gradient = float(evaluate(rows, descent.network, 0.02).gradient.norm())
    # One row's kink can keep the gradient of a minimum from zero, by its weight.
    assert gradient < 0.05 * size
    assert float(evaluate(rows, start, 0.02).gradient.norm()) > size


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_gauss_newton_matrix_is_the_product_of_the_jacobian(n_outputs, hidden_bias):
    *_, rows, network = random_problem(
        3, n_samples=15, n_outputs=n_outputs, n_neurons=3, hidden_bias=hidden_bias
    )
    columns, step = [], 1e-6
    for flat in torch.eye(network.parameters.numel(), dtype=torch.float64):
        direction = step * flat.reshape_as(network.parameters)
        ends = [
            residual_values(
                rows, network.moved_to(network.parameters + sign * direction)
            )
            for sign in (1, -1)
        ]
        columns.append(((ends[1] - ends[0]) / (2 * step)).ravel())
    jacobian = torch.stack(columns, dim=1)
    torch.testing.assert_close(
        gauss_newton_matrix(rows, network), jacobian.T @ jacobian, rtol=1e-6, atol=1e-8
    )


def test_gauss_newton_converges_quadratically_without_residual():
    X, y, teacher = make_two_layer_regression(
        1000, 4, n_directions=2, return_teacher=True, random_state=0
    )
    rows = make_rows(X, y)
    truth = true_network(rows, teacher)
    noise = 0.02 * np.random.default_rng(0).standard_normal(truth.weights.shape)
    start = Network.from_parts(
        truth.weights + torch.from_numpy(noise), truth.amplitudes
    )
    network, n_iter = gauss_newton(rows, start, 0.0, max_iter=20, tol=0.3)
    assert n_iter <= 8
    assert residual_at(rows, network).squares < 1e-24


def test_scaled_quasi_newton_needs_half_of_the_evaluations():
    counts = {False: [], True: []}
    for seed in range(8):
        X, y, teacher = make_two_layer_regression(
            1000, 6, n_directions=3, noise=0.2, min_angle=0.5, condition_number=100.0,
            return_teacher=True, random_state=seed,
        )  # fmt: skip
        rows = make_rows(X, y)
        truth = balance(true_network(rows, teacher))
        change = 0.05 * torch.randn(truth.parameters.shape, generator=seeded(seed))
        start = truth.moved_to(truth.parameters + change.double())
        least, _ = gauss_newton(rows, start, 0.0, max_iter=100, tol=1e-12)
        enough = (1.0 + 1e-4) * objective_at(rows, least, 0.0)[0]
        for scaled in counts:
            with step_limit() as progress:
                quasi_newton(
                    rows, start, 0.0, max_iter=200, tol=0.0, enough=enough,
                    scaled=scaled,
                )  # fmt: skip
            counts[scaled].append(progress.n_iter)
    # In the median, since some starts lead to another minimum.
    assert np.median(counts[True]) <= 0.5 * np.median(counts[False])


@pytest.mark.parametrize("seed", range(3))
def test_damped_steps_promise_what_the_model_says_and_differ_when_refused(seed):
    generator = np.random.default_rng(seed)
    factor = torch.from_numpy(generator.standard_normal((6, 4)))
    curvature = factor @ factor.T  # singular
    gradient = torch.from_numpy(generator.standard_normal((2, 3)))
    step, slopes = None, []
    while (step := next_step(curvature, gradient, 1e-6, step)) is not None:
        change, slope = step.change.ravel(), gradient.ravel() @ step.change.ravel()
        model = slope - 0.5 * change @ curvature @ change
        assert step.promise == pytest.approx(float(model), rel=1e-6)
        slopes.append(float(slope))
    assert len(slopes) > 2
    assert all(b <= 0.8 * a for a, b in pairwise(slopes))
    assert next_step(curvature, torch.zeros_like(gradient), 1e-6, None) is None


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_refit_masses_is_the_best_over_masses(n_outputs):
    *_, rows, network = random_problem(4, n_outputs=n_outputs, n_samples=100)
    lambda_, network = 0.02, balance(network)
    refitted = refit_masses(rows, network, lambda_)
    value = objective_at(rows, refitted, lambda_)[1]
    directions = network.directions
    outputs = network.amplitudes / network.amplitudes.norm(dim=1, keepdim=True)

    def objective(masses):
        scaled = Network.from_parts(directions, outputs * torch.tensor(masses)[:, None])
        return objective_at(rows, scaled, 0.0)[0] + lambda_ * masses.sum()

    reference = minimize(
        objective, np.ones(5), bounds=[(0, None)] * 5, options={"ftol": 1e-15}
    )
    assert value <= reference.fun + 1e-9
    assert value == pytest.approx(reference.fun, rel=1e-6)


def test_masses_are_refitted_where_non_negative_least_squares_go_in_circles(
    monkeypatch,
):
    *_, rows, network = random_problem(1)
    expected = refit_masses(rows, network, 0.02)

    def in_circles(*arguments):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("sklearn_twolayer._network.fixed_directions.nnls", in_circles)
    refitted = refit_masses(rows, network, 0.02)
    assert 0 < refitted.n_neurons <= network.n_neurons
    torch.testing.assert_close(
        refitted.parameters, expected.parameters, rtol=0.0, atol=1e-8
    )


def test_births_lower_the_objective_where_the_certificate_is_above_one():
    rows, lambda_ = teacher_rows(0), 0.02
    empty = Network.empty(rows)
    state = certify(rows, empty, lambda_, seeded())
    assert state.peaks.height > lambda_
    born = give_birth(empty, state.peaks, lambda_)
    alive = refit_masses(rows, born, lambda_)
    assert 0 < alive.n_neurons <= born.n_neurons
    assert objective_at(rows, alive, lambda_)[1] < state.objective
    # Where the decay is larger than the peak, none is born.
    assert give_birth(empty, state.peaks, 2 * state.peaks.height).n_neurons == 0


@pytest.mark.parametrize("seed", range(3))
def test_simplify_keeps_the_objective_within_the_slack(seed):
    rows, lambda_ = teacher_rows(seed), 0.01
    start = random_problem(seed, n_neurons=20)[-1]
    wide = quasi_newton(rows, start, lambda_, max_iter=60, tol=1e-9)
    lean = simplify(rows, wide, lambda_, slack=0.01)
    assert lean.n_neurons < wide.n_neurons
    before, after = (objective_at(rows, n, lambda_)[1] for n in (wide, lean))
    assert after <= 1.01 * before
    # A network that cannot do with fewer is returned as it is.
    kept = simplify(rows, lean, lambda_, slack=-0.5)
    assert kept is lean


@pytest.mark.parametrize("name", ["newton", "fast"])
def test_descents_begin_from_nothing(name):
    rows, lambda_ = teacher_rows(0), 0.02
    empty = Network.empty(rows)
    descent = DESCENTS[name](rows, empty, lambda_, options(), seeded())
    assert descent.network.n_neurons > 0
    assert refit_masses(rows, empty, lambda_) is empty


@pytest.mark.parametrize("seed", range(3))
def test_refine_goes_on_where_fast_ended(seed):
    rows, lambda_ = teacher_rows(seed, noise=0.3), 0.01
    start = random_problem(seed, n_neurons=20)[-1]
    rough = DESCENTS["fast"](rows, start, lambda_, options(), seeded())
    better = refine(rows, rough.network, lambda_, options(), seeded())
    before, after = (
        objective_at(rows, descent.network, lambda_)[1] for descent in (rough, better)
    )
    assert after <= before * (1.0 + 1e-12)
    assert better.certificate.relative_gap < 0.2
