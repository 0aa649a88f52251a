"""Monotone functions of single columns."""

import numpy as np
import pytest
from scipy import sparse, stats

from sklearn_twolayer._rows.column_transform import (
    CLIP_AT,
    EXPONENTS,
    FEWEST_VALUES,
    ColumnTransform,
    yeo_johnson,
)

KINDS = ["power", "clip"]


def skewed(n_rows=300, seed=0):
    """Columns with a tail to the right, to the left, to both, and of a normal."""
    normal = np.random.default_rng(seed).standard_normal((n_rows, 4))
    return np.column_stack(
        [np.exp(normal[:, 0]), -np.exp(normal[:, 1]), normal[:, 2] ** 3, normal[:, 3]]
    )


def fitted(kind, X, weights=None):
    return ColumnTransform.fit(kind, X, np.ones(len(X)) if weights is None else weights)


@pytest.mark.parametrize("exponent", [-2.0, -0.31, 0.0, 0.7, 1.0, 2.0, 3.5])
def test_the_power_is_that_of_scipy(exponent):
    z = np.linspace(-20.0, 20.0, 101)
    expected = stats.yeojohnson(z, exponent)
    np.testing.assert_allclose(yeo_johnson(z, exponent), expected, rtol=1e-12)


def test_the_exponent_is_the_most_likely_one():
    X = skewed()
    transform = fitted("power", X)
    for j in range(X.shape[1]):
        z = (X[:, j] - transform.centre[j]) / transform.scale[j]
        best = np.clip(stats.yeojohnson_normmax(z), *EXPONENTS)
        assert transform.exponent[j] == pytest.approx(best, abs=0.01)


def test_columns_are_centred_at_their_medians_and_scaled_robustly():
    X = skewed(301)
    X[:30] *= 1e6  # a tenth of the rows is far out
    transform = fitted("clip", X)
    np.testing.assert_array_equal(transform.centre, np.median(X, axis=0))
    spread = stats.iqr(X, axis=0, scale="normal")
    np.testing.assert_allclose(transform.scale, spread, rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_functions_increase_and_touch_the_identity_at_the_centre(kind):
    X = skewed()
    transform = fitted(kind, X)
    ordered = transform(np.sort(X, axis=0))
    assert (np.diff(ordered, axis=0) >= 0.0).all()
    centre, step = transform.centre, 1e-5 * transform.scale
    np.testing.assert_allclose(transform(centre[None]), centre[None])
    rise = transform((centre + step)[None]) - centre
    np.testing.assert_allclose(rise[0], step, rtol=1e-4)


def test_clipped_columns_are_within_their_scales():
    X = skewed()
    transform = fitted("clip", X)
    distance = np.abs(transform(X) - transform.centre) / transform.scale
    assert distance.max() < CLIP_AT
    assert distance.max() > 0.8 * CLIP_AT


def test_clipped_columns_end_at_the_range_of_rows_with_a_weight():
    X, weights = skewed(), np.ones(300)
    X[:, 3] = X[:, 3] > 0.0  # Few values keep their shape, but have a range too.
    weights[:100] = 0.0
    transform = fitted("clip", X, weights)
    seen = transform(X[100:])
    for far in (1e6, 1e150, 1e300):
        moved = transform(np.array([np.full(4, -far), np.full(4, far)]))
        np.testing.assert_array_equal(moved, [seen.min(axis=0), seen.max(axis=0)])
    np.testing.assert_array_equal(seen[:, 3], X[100:, 3])


def test_powers_of_any_number_are_finite():
    transform = fitted("power", skewed())
    assert np.isfinite(transform(np.array([[1e300] * 4, [-1e300] * 4]))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_few_values_stay_as_they_are(kind):
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            rng.integers(0, 2, 200),
            np.ones(200),
            rng.integers(0, FEWEST_VALUES - 1, 200) ** 3,
            rng.integers(0, 1000, 200) ** 3,
        ]
    ).astype(float)
    transform = fitted(kind, X)
    np.testing.assert_array_equal(transform.changes, [False, False, False, True])
    np.testing.assert_array_equal(transform(X)[:, :3], X[:, :3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [0.7, 0.85, 0.97])
def test_columns_with_many_equal_values_have_a_scale(kind, tied):
    x = np.random.default_rng(0).exponential(size=2000)
    x[: int(tied * 2000)] = 0.0
    transform = fitted(kind, x[:, None])
    assert transform.scale[0] > 0.05
    assert np.isfinite(transform(x[:, None])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_as_repetitions(kind):
    X = skewed(200)
    counts = np.random.default_rng(1).integers(0, 4, 200)
    weighted = fitted(kind, X, counts.astype(float))
    repeated = fitted(kind, X.repeat(counts, axis=0))
    for name, values in weighted.attributes().items():
        np.testing.assert_allclose(values, repeated.attributes()[name], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_the_columns_do_not_matter(kind):
    X, shift, scale = (
        skewed(),
        np.array([5.0, -3.0, 0.0, 1e3]),
        np.array([1e-8, 3, 1e9, 1]),
    )
    before = fitted(kind, X)(X)
    moved = X * scale + shift * scale
    after = fitted(kind, moved)(moved)
    np.testing.assert_allclose(after, before * scale + shift * scale, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_inputs_are_read(kind):
    X = skewed()
    transform, single = fitted(kind, X), X.astype(np.float32)
    for inputs in (sparse.csr_array(X), sparse.csr_matrix(X)):
        np.testing.assert_array_equal(transform(inputs), transform(X))
    assert transform(single).dtype == np.float64
    np.testing.assert_array_equal(single, X.astype(np.float32))
