"""The test of the number of directions: gains by their definition, size and power."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import DirectionCount, count_directions
from sklearn_twolayer.inspection._one_more import _gains_of_all, best_gains


def fitted(X, y, sample_weight=None, **options):
    model = RegularizedTwoLayerRegressor(random_state=0, **options)
    return model.fit(X, y, sample_weight=sample_weight)


def count(model, X, y, **options):
    return count_directions(model, X, y, n_flips=59, random_state=0, **options)


@pytest.mark.parametrize("n_directions", [0, 1, 3])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_the_number_of_teachers_is_found(n_directions, n_targets):
    X, y = make_two_layer_regression(
        500, 4, n_directions=max(n_directions, 1), n_targets=n_targets, noise=0.2,
        random_state=1,
    )  # fmt: skip
    if n_directions == 0:
        y = np.random.default_rng(0).standard_normal(y.shape) + X[:, :n_targets].sum()
    found = count(fitted(X, y), X, y)
    assert found.n_directions == n_directions
    assert found.is_enough
    assert np.all(found.pvalues[:-1] == 1 / 60)
    assert found.pvalues[-1] >= 0.05


def test_exact_teachers_leave_nothing_to_gain():
    X, y = make_two_layer_regression(300, 4, n_directions=2, random_state=0)
    found = count(fitted(X, y), X, y)
    assert found.n_directions == 2
    assert found.pvalues[-1] == 1.0


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_gains_are_those_of_least_squares(n_outputs, rng):
    """What a neuron with free amplitudes takes from the squares beside a basis."""
    n_rows, rank = 40, 3
    columns, roots = rng.standard_normal((n_rows, 2)), rng.uniform(0.5, 1, n_rows)
    basis = np.linalg.qr(rng.standard_normal((n_rows * n_outputs, rank)))[0]
    residuals = rng.standard_normal((n_rows * n_outputs, 4))
    residuals -= basis @ (basis.T @ residuals)
    directions = rng.standard_normal((5, 2))
    shaped = basis.reshape(n_rows, n_outputs, rank)
    found = _gains_of_all(
        columns, roots, shaped, residuals.reshape(n_rows, n_outputs, 4), directions
    )
    for j, direction in enumerate(directions):
        own = roots * np.maximum(columns @ direction, 0)
        new = np.kron(own[:, np.newaxis], np.eye(n_outputs))
        design = np.hstack([basis, new])
        fit = design @ np.linalg.lstsq(design, residuals)[0]
        np.testing.assert_allclose(found[j], np.sum(fit**2, axis=0))
    # The search in two dimensions finds about the best of all directions.
    best = best_gains(
        columns, roots, shaped, residuals.reshape(n_rows, n_outputs, 4),
        np.random.RandomState(0),
    )  # fmt: skip
    angles = np.linspace(0, 2 * np.pi, 5000)
    grid = np.column_stack([np.cos(angles), np.sin(angles)])
    every = _gains_of_all(
        columns, roots, shaped, residuals.reshape(n_rows, n_outputs, 4), grid
    )
    np.testing.assert_allclose(best, every.max(axis=0), rtol=1e-2)


def test_blocks_of_residuals_change_nothing(rng, monkeypatch):
    columns, roots = rng.standard_normal((30, 3)), np.ones(30)
    basis = np.linalg.qr(rng.standard_normal((30, 2)))[0][:, np.newaxis]
    residuals = rng.standard_normal((30, 1, 7))
    whole = best_gains(columns, roots, basis, residuals, np.random.RandomState(0))
    monkeypatch.setattr("sklearn_twolayer.inspection._one_more.MOST_ENTRIES", 180)
    parts = best_gains(columns, roots, basis, residuals, np.random.RandomState(0))
    np.testing.assert_allclose(parts, whole)


def test_units_groups_weights_and_pipelines():
    X, y = make_two_layer_regression(400, 3, n_directions=2, noise=0.2, random_state=0)
    weights = np.repeat([1.0, 0.0], 200)
    spoiled = y.copy()
    spoiled[200:] = 1e3
    model = fitted(X, spoiled, sample_weight=weights)
    found = count(model, X, spoiled, sample_weight=weights)
    assert found.n_directions == 2
    pipe = make_pipeline(StandardScaler(), RegularizedTwoLayerRegressor(random_state=0))
    table = pd.DataFrame(X * [1.0, 1e6, 1e-6] + [0.0, 1e3, 0.0], columns=[*"abc"])
    assert count(pipe.fit(table, 1e3 * y), table, 1e3 * y).n_directions == 2
    # Noise that groups share can look like a direction if rows count as independent.
    groups = np.repeat(np.arange(40), 10)
    assert count(fitted(X, y), X, y, groups=groups).n_directions <= 2


def test_the_record_is_readable():
    found = DirectionCount(np.array([0.01, 0.3]), 0.05)
    assert (found.n_directions, found.is_enough) == (1, True)
    assert "DirectionCount: 1 directions at level 0.05" in repr(found)
    assert repr(found).splitlines()[-1].split() == ["1", "0.3"]
    assert found.to_frame()["p"].tolist() == [0.01, 0.3]
    more = DirectionCount(np.array([0.01, 0.02]), 0.05)
    assert (more.n_directions, more.is_enough) == (2, False)
    assert "at least 2 directions" in repr(more)


def test_no_more_than_asked_for_are_tested():
    X, y = make_two_layer_regression(300, 3, n_directions=2, noise=0.1, random_state=0)
    found = count(fitted(X, y), X, y, max_directions=1)
    assert len(found.pvalues) == 2
    assert not found.is_enough
    assert found.n_directions == 2


def test_what_cannot_be_tested_is_refused():
    X, y = make_two_layer_regression(200, 3, n_directions=1, noise=0.1, random_state=0)
    model = fitted(X, y)
    for name, value in [("level", 0.0), ("n_flips", 0), ("max_directions", -1)]:
        with pytest.raises(ValueError, match=name):
            count_directions(model, X, y, **{name: value})
    with pytest.raises(ValueError, match="fitted with a decay"):
        count(fitted(X, y, schedule=GeometricSchedule(stop=0.3)), X, y)
    averaged = RegularizedTwoLayerRegressorCV(cv=2, lambdas=3, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match="must be a RegularizedTwoLayerRegressor, or"):
        count(averaged, X, y)


@pytest.mark.slow
def test_the_test_has_its_size():
    """On linear data: 100 sets, so that 0.11 is 2.8 standard deviations above 0.05."""
    n_too_many = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((300, 4))
        y = X[:, 0] + rng.standard_normal(300)
        n_too_many += count(fitted(X, y), X, y, max_directions=0).n_directions > 0
    assert n_too_many <= 11
