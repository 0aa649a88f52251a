import numpy as np
import pytest
import torch
from conftest import Definition, random_problem, seeded
from scipy.optimize import lsq_linear

from sklearn_twolayer import _ascent
from sklearn_twolayer._ascent import climb
from sklearn_twolayer._certificate import early_directions
from sklearn_twolayer._objective import correlations, residual_at


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
    ends, index = climb(rows, residual, starts, 150, len(starts))
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
    together, order = climb(rows, residual, starts, 6, len(starts))
    monkeypatch.setattr(_ascent, "MOST_REMEMBERED", 7 * rows.n_inputs**2)
    apart, group_order = climb(rows, residual, starts, 6, len(starts))
    sorted_apart = apart[group_order.argsort()]
    torch.testing.assert_close(sorted_apart, together[order.argsort()])
    # Of each group, its share of the highest goes on.
    kept, index = climb(rows, residual, starts, 6, 10)
    assert 10 <= len(kept) <= 12
    assert len(set(index.tolist())) == len(kept)


def test_with_many_inputs_gradient_steps_climb_too(monkeypatch):
    rows, residual, starts, *_ = ascents(0)
    highest, _ = climb(rows, residual, starts, 40, len(starts))
    monkeypatch.setattr(_ascent, "MOST_INPUTS", rows.n_inputs - 1)
    ends, index = climb(rows, residual, starts, 40, len(starts))
    heights = heights_of(rows, residual, ends)
    assert (heights >= heights_of(rows, residual, starts[index])).all()
    best = float(heights_of(rows, residual, highest).max())
    assert float(heights.max()) == pytest.approx(best, rel=1e-2)
    assert heights.median() > heights_of(rows, residual, starts).median() * 1.02
