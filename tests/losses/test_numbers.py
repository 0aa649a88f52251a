"""Losses of numbers against automatic derivatives, SciPy and their conjugates."""

import numpy as np
import pytest
import torch
from scipy.special import huber
from sklearn.metrics import mean_poisson_deviance

from sklearn_twolayer._losses.numbers import POISSON, huber_loss
from sklearn_twolayer._losses.units import THRESHOLD, LossUnits, weighted_median

SCALE = 0.7
LOSSES = pytest.mark.parametrize("name", ["poisson", "huber"])


def problem(name, seed=0):
    """A loss, outputs and targets of some rows."""
    generator = np.random.default_rng(seed)
    outputs = 2.0 * generator.standard_normal((20, 1))
    if name == "poisson":
        targets, loss = generator.poisson(2.0, (20, 1)).astype(float), POISSON
        assert (targets == 0.0).any()
    else:
        targets, loss = 2.0 * generator.standard_normal((20, 1)), huber_loss(SCALE)
        sizes = np.abs(targets - outputs)
        assert (sizes < SCALE).any()
        assert (sizes > 2.0 * SCALE).any()
    return loss, torch.from_numpy(outputs), torch.from_numpy(targets)


def test_values_are_those_of_scikit_learn_and_scipy():
    loss, outputs, targets = problem("poisson")
    for output, target, value in zip(
        outputs, targets, loss.value(outputs, targets), strict=True
    ):
        deviance = mean_poisson_deviance(target.numpy(), output.exp().numpy())
        assert float(value) == pytest.approx(0.5 * deviance, rel=1e-12)
    loss, outputs, targets = problem("huber")
    expected = huber(THRESHOLD * SCALE, (targets - outputs).numpy()[:, 0])
    np.testing.assert_allclose(loss.value(outputs, targets), expected, rtol=1e-12)


@LOSSES
def test_derivatives_are_those_of_the_value(name):
    loss, outputs, targets = problem(name)
    outputs.requires_grad_()
    total = loss.value(outputs, targets).sum()
    (gradient,) = torch.autograd.grad(total, outputs, create_graph=True)
    torch.testing.assert_close(loss.gradient(outputs, targets), gradient)
    changes = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64)[:, None]
    (product,) = torch.autograd.grad(gradient, outputs, changes)
    torch.testing.assert_close(loss.product(outputs, targets, changes), product)
    bends = loss.product(outputs, targets, torch.ones_like(outputs))[:, 0]
    curvature = loss.curvature(outputs, targets)
    assert (curvature >= bends).all()
    if name == "poisson":
        torch.testing.assert_close(curvature, bends)


@LOSSES
def test_conjugate_meets_the_loss_where_the_slope_is_its_derivative(name):
    loss, outputs, targets = problem(name)
    slopes = loss.gradient(outputs, targets)
    both = loss.value(outputs, targets) + loss.conjugate(slopes, targets)
    torch.testing.assert_close(both, (outputs * slopes).sum(dim=1))
    for shrink in (0.0, 0.3, 0.9):
        conjugate = loss.conjugate(shrink * slopes, targets)
        assert torch.isfinite(conjugate).all()
        for shift in np.linspace(-5.0, 5.0, 41):
            others = outputs + shift
            below = (shrink * others * slopes).sum(dim=1) - loss.value(others, targets)
            assert (conjugate >= below - 1e-12).all()


def test_working_squares_bound_the_loss_of_residuals():
    """Weights of one: a step to the minimum of the squares never overshoots."""
    loss, outputs, targets = problem("huber")
    weights, steps = loss.working(outputs, targets)
    for share in (0.5, 1.0, 1.7):
        moved = outputs + share * steps
        fall = loss.value(outputs, targets) - loss.value(moved, targets)
        promised = 0.5 * weights * (1.0 - (1.0 - share) ** 2) * steps[:, 0] ** 2
        assert (fall >= promised - 1e-12).all()


def test_median_has_half_of_the_weight_on_either_side():
    generator = np.random.default_rng(0)
    values, weights = generator.standard_normal(101), generator.uniform(0, 2, 101)
    median = weighted_median(values, weights)
    half = 0.5 * weights.sum()
    assert weights[values < median].sum() < half <= weights[values <= median].sum()
    assert weighted_median(values, np.ones(101)) == np.median(values)


def test_units_make_targets_of_size_one():
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.1, 2.0, 400)
    counts = 1e6 * generator.poisson(3.0, 400)
    units = LossUnits.of_counts(counts, weights)
    scaled = (counts - units.centre) / units.scale
    assert np.average(scaled, weights=weights) == pytest.approx(1.0)
    # The deviance of scaled targets and means, in the units of the data.
    mean = generator.uniform(0.5, 2.0, 400)
    inner = mean_poisson_deviance(scaled, mean)
    assert units.loss * inner == pytest.approx(
        mean_poisson_deviance(counts, np.exp(np.log(mean) + units.shift))
    )
    numbers = 1e-6 * generator.standard_normal(400) + 5.0
    units = LossUnits.of_numbers(numbers, np.ones(400))
    assert np.std((numbers - units.centre) / units.scale) == pytest.approx(1.0, rel=0.2)
    assert LossUnits.of_numbers(np.full(5, 3.0), np.ones(5)).scale == 1.0
