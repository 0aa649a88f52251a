from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Definition, random_problem, seeded
from scipy.optimize import lsq_linear

from sklearn_twolayer._certificate import ascent
from sklearn_twolayer._certificate.ascent import bfgs_ascent
from sklearn_twolayer._certificate.peaks import early_directions
from sklearn_twolayer._network.objective import correlations, in_single, residual_at


def ascents(seed, n_starts=40, **parameters):
    X, y, weights, rows, network = random_problem(seed, **parameters)
    residual = residual_at(rows, network)
    defined = Definition(X, y / rows.units.target_scale, weights)
    values = defined.residual(network.weights.numpy(), network.amplitudes.numpy())
    starts = early_directions(rows, residual, n_starts, seeded(seed))
    starts = starts[starts.norm(dim=1) > 0.5]  # zero where no row is on its side
    return rows, residual, starts, defined, values


def heights_of(rows, residual, directions):
    return correlations(rows, residual, directions)[0].norm(dim=1)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_ascents_end_where_no_direction_leads_up(seed, n_outputs):
    rows, residual, starts, defined, values = ascents(seed, n_outputs=n_outputs)
    ends, index = bfgs_ascent(rows, residual, starts, 150, len(starts))
    assert sorted(index.tolist()) == list(range(len(starts)))
    heights = heights_of(rows, residual, ends)
    assert (heights >= heights_of(rows, residual, starts[index])).all()
    torch.testing.assert_close(ends.norm(dim=1), torch.ones(len(ends)).double())
    # Clarke's derivative holds zero: rows on a kink may count as much as they need to.
    steepness = []
    for direction, height in zip(ends.numpy(), heights.numpy(), strict=True):
        slopes = values @ defined.correlation(values, direction[None])[0] / height
        pulls = defined.share[:, None] * slopes[:, None] * defined.inputs
        pulls -= np.outer(pulls @ direction, direction)
        sides = defined.inputs @ direction
        on_kink = np.abs(sides) < 1e-5
        smooth = pulls[(sides > 0) & ~on_kink].sum(axis=0)
        left = np.linalg.norm(smooth)
        if on_kink.any():
            fit = lsq_linear(pulls[on_kink].T, -smooth, bounds=(0, 1))
            left = np.sqrt(2 * fit.cost)
        steepness.append(left / height)
    assert np.median(steepness) < 1e-4
    assert np.quantile(steepness, 0.9) < 1e-2


def test_ascents_in_groups_are_those_of_one_group(monkeypatch):
    rows, residual, starts, *_ = ascents(0)
    together, order = bfgs_ascent(rows, residual, starts, 6, len(starts))
    monkeypatch.setattr(ascent, "MOST_MATRIX_ENTRIES", 7 * rows.n_inputs**2)
    apart, group_order = bfgs_ascent(rows, residual, starts, 6, len(starts))
    sorted_apart = apart[group_order.argsort()]
    torch.testing.assert_close(sorted_apart, together[order.argsort()])
    # Of each group, its share of the highest goes on.
    kept, index = bfgs_ascent(rows, residual, starts, 6, 10)
    assert 10 <= len(kept) <= 12
    assert len(set(index.tolist())) == len(kept)


@pytest.mark.parametrize("most_inputs", [1, 100])
@pytest.mark.parametrize("scale", [1e-12, 1e-19, 1e-30])
def test_a_residual_may_be_tiny_in_single_precision(scale, most_inputs, monkeypatch):
    monkeypatch.setattr(ascent, "MOST_INPUTS", most_inputs)
    rows, residual, starts, *_ = ascents(0)
    left = residual.values
    tiny = replace(residual, values=replace(left, values=left.values * scale))
    single = rows.in_single(), in_single(rows, tiny), starts.float()
    ends, index = bfgs_ascent(*single, 60, len(starts))
    assert ends.isfinite().all()
    heights = heights_of(rows, residual, ends)
    begun = heights_of(rows, residual, starts[index])
    assert (heights >= begun * (1 - 1e-5)).all()
    if scale > 1e-15:
        assert heights.median() > 1.02 * begun.median()


def test_with_many_inputs_gradient_steps_climb_too(monkeypatch):
    rows, residual, starts, *_ = ascents(0)
    highest, _ = bfgs_ascent(rows, residual, starts, 40, len(starts))
    monkeypatch.setattr(ascent, "MOST_INPUTS", rows.n_inputs - 1)
    ends, index = bfgs_ascent(rows, residual, starts, 40, len(starts))
    heights = heights_of(rows, residual, ends)
    assert (heights >= heights_of(rows, residual, starts[index])).all()
    best = float(heights_of(rows, residual, highest).max())
    assert float(heights.max()) == pytest.approx(best, rel=1e-2)
    assert heights.median() > heights_of(rows, residual, starts).median() * 1.02


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_with_a_goal_only_what_may_reach_it_goes_on(seed, n_outputs, monkeypatch):
    rows, residual, starts, *_ = ascents(seed, n_outputs=n_outputs, n_features=12)
    n_looks = []

    def counted(rows, residual, directions):
        n_looks.append(len(directions))
        return correlations(rows, residual, directions)

    monkeypatch.setattr(ascent, "correlations", counted)

    def ends(goal):
        n_looks.clear()
        found, index = bfgs_ascent(rows, residual, starts, 100, len(starts), goal)
        heights = heights_of(rows, residual, found)
        assert (heights >= heights_of(rows, residual, starts[index])).all()
        return heights, sum(n_looks)

    everything, n_everything = ends(None)
    best = float(everything.max())
    # In reach of some, and of none: then the highest still get to their end.
    for goal, share in ((float(everything.quantile(0.8)), 1.0), (2.0 * best, 0.8)):
        heights, n_all = ends(goal)
        assert n_all < share * n_everything
        assert float(heights.max()) == pytest.approx(best, rel=1e-5)
        reached = (everything >= goal).sum()
        assert (heights >= goal * (1 - 1e-6)).sum() >= 2 / 3 * reached
    # Where all are above the goal, none is given up before its end.
    heights, n_all = ends(0.5 * float(everything.min()))
    torch.testing.assert_close(heights.median(), everything.median(), rtol=1e-6, atol=0)


def test_the_curvature_is_not_updated_by_endless_steps():
    """Their squares would overflow, of which NumPy would warn."""
    curvature = ascent._Curvature(np.ones((2, 1)), 3)
    steps = np.array([[1e150, 1.0, 1.0], [0.1, 0.2, 0.0]])
    changes, accepted = np.array([[1e-3, 0.0, 1e-3], [0.1, 0.1, 0.0]]), np.ones((2, 1))
    products = (steps * changes).sum(axis=1, keepdims=True)
    gradients = np.eye(3)[:2]
    moves = curvature.update(steps, changes, products, gradients, accepted > 0.0)
    assert np.isfinite(moves).all()
    np.testing.assert_array_equal(curvature.matrices[0], np.eye(3))
    # The secant condition of the other.
    np.testing.assert_allclose(curvature.matrices[1] @ changes[1], steps[1])
