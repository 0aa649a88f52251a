import numpy as np
import pytest

from sklearn_twolayer.metrics import match_directions


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-4, 0.1, 1.5])
def test_angles_are_accurate_for_small_and_large(angle, rng):
    true = unit(rng.standard_normal((1, 6)))
    other = rng.standard_normal((1, 6))
    other = unit(other - (other @ true.T) * true)
    turned = np.cos(angle) * true + np.sin(angle) * other
    for features in (turned, -3.0 * turned, 1e-200 * turned, 1e200 * turned):
        match = match_directions(features, true)
        assert match.angles[0] == pytest.approx(angle, rel=1e-3, abs=1e-15)


def test_order_sign_and_length_do_not_matter(rng):
    true = unit(rng.standard_normal((4, 7)))
    order = np.array([2, 0, 3, 1])
    features = true[order] * [[2.0], [-1.0], [0.1], [-5.0]]
    match = match_directions(features, true)
    np.testing.assert_array_equal(order[match.indices], np.arange(4))
    np.testing.assert_allclose(match.angles, 0.0, atol=1e-15)
    assert (match.n_missed, match.n_spurious) == (0, 0)


def test_matching_is_one_to_one_and_best_in_total():
    true = np.array([[1.0, 0.0], [np.cos(0.3), np.sin(0.3)]])
    # The first feature is nearest to both; only one can have it.
    features = np.array([[np.cos(0.2), np.sin(0.2)], [1.0, -0.2]])
    match = match_directions(features, true, max_angle=1.0)
    assert sorted(match.indices) == [0, 1]
    assert match.indices[1] == 0


def test_missed_and_spurious_are_counted(rng):
    true = np.eye(3)
    features = np.vstack([np.eye(3)[:1], [[0.0, 1.0, 0.1]], [[0.0, 1.0, 1.0]]])
    match = match_directions(features, true)
    assert (match.n_missed, match.n_spurious) == (1, 1)
    match = match_directions(np.empty((0, 3)), true)
    assert (match.n_missed, match.n_spurious) == (3, 0)
    np.testing.assert_array_equal(match.indices, -1)
    np.testing.assert_allclose(match.angles, np.pi / 2)
    assert match_directions(features, true[:0].reshape(0, 3)).n_spurious == 3


@pytest.mark.parametrize(
    ("features", "true", "message"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0, 3.0]], "features has 2 columns"),
        ([[0.0, 0.0]], [[1.0, 2.0]], "features has a row of zeros"),
        ([[1.0, 0.0]], [[0.0, 0.0]], "true_directions has a row of zeros"),
        ([[np.nan, 0.0]], [[1.0, 0.0]], "features"),
        ([1.0, 0.0], [[1.0, 0.0]], "features"),
    ],
)
def test_errors_name_the_argument(features, true, message):
    with pytest.raises(ValueError, match=message):
        match_directions(features, true)
