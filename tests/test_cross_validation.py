import numpy as np
import pytest

from sklearn_twolayer._cross_validation import Choice, Fold, HeldOut, choose


def folds_of(errors, debiased=None, weights=None, blended=None, found=0.0):
    """One fold a column of ``errors``."""
    errors = np.array(errors, dtype=float)
    blended = np.full_like(errors, np.nan) if blended is None else np.array(blended)
    n_folds = errors.shape[1]
    debiased = np.full(n_folds, np.nan) if debiased is None else debiased
    weights = np.ones(n_folds) if weights is None else weights
    return [
        Fold(
            errors[:, k], 0 * errors[:, k], blended[:, k], debiased[k],
            np.broadcast_to(found, n_folds)[k], weights[k], 1,
        )
        for k in range(n_folds)
    ]  # fmt: skip


def test_the_least_mean_error_is_chosen():
    errors = [[5.0, 5.0, 5.1], [2.0, 1.0, 1.5], [1.0, 1.0, 1.2], [1.5, 1.1, 1.3]]
    assert choose(folds_of(errors), False).index == 2
    assert choose(folds_of(errors, [0.9, 1.2, 0.9]), False) == Choice(None, 1.0)
    assert choose(folds_of(errors, [1.2, 1.2, 1.2]), False).index == 2
    # A fold's weight is that of its rows.
    heavy = folds_of(errors, [0.5, 2.0, 2.0], weights=[100.0, 1.0, 1.0])
    assert choose(heavy, False) == Choice(None, 1.0)
    blended = [[3.0] * 3, [0.8, 0.9, 0.8], [1.0] * 3, [1.0] * 3]
    both = folds_of(errors, [0.9, 1.2, 0.9], blended=blended)
    assert choose(both, False) == Choice(1, 0.5)


def test_stages_that_a_fold_did_not_reach_are_not_chosen():
    errors = [[5.0, 5.0], [2.0, 2.1], [0.1, np.nan], [np.nan, np.nan]]
    assert choose(folds_of(errors), False).index == 1


def test_one_standard_error_takes_the_largest_decay_within_it():
    errors = [[5.0, 5.0, 5.0], [1.3, 1.2, 1.2], [1.2, 0.8, 1.0], [1.1, 0.7, 1.0]]
    best = np.array([1.1, 0.7, 1.0])
    assert choose(folds_of(errors), False).index == 3
    limit = best.mean() + best.std(ddof=1) / np.sqrt(3)
    within = np.mean(errors, axis=1) <= limit
    assert choose(folds_of(errors), True).index == int(np.flatnonzero(within)[0]) == 2


def test_gains_over_the_linear_model_must_be_clear():
    unclear = [[1.0, 1.0, 1.0], [0.5, 1.3, 1.1]]
    assert choose(folds_of(unclear), False).index == 0
    assert choose(folds_of([[1.0] * 3, [0.9, 0.85, 0.9]]), False).index == 1
    # Unless the criterion finds features in every fold.
    assert choose(folds_of(unclear, found=[2.0, 1.0, 3.0]), False).index == 1
    assert choose(folds_of(unclear, found=[2.0, 0.0, 3.0]), False).index == 0
    assert choose(folds_of(unclear, found=np.nan), False).index == 0
    # One fold has no standard error: any gain will do.
    assert choose(folds_of([[1.0], [0.99]]), False).index == 1


@pytest.mark.parametrize("seed", range(3))
def test_standard_errors_are_those_of_the_mean(seed):
    gains = np.random.default_rng(seed).normal(0.1, 0.2, 5)
    errors = np.stack([np.ones(5), 1.0 - gains])
    clear = gains.mean() > 2 * gains.std(ddof=1) / np.sqrt(5)
    assert choose(folds_of(errors), False).index == int(clear)


def held_out(*predictions, y, weights=None):
    held = HeldOut(y, np.ones(len(y)) if weights is None else weights)
    past = []
    for predicted in predictions:
        held.add(np.full(len(y), predicted))
        past.append(held.is_past)
    return held, past


def test_a_path_ends_some_stages_after_a_least_error_that_is_clearly_lower():
    y = np.random.default_rng(0).normal(size=200)
    y = (y - y.mean()) / y.std()
    _, past = held_out(0.6, 0.0, 0.2, 0.3, 0.4, y=y)
    assert past == [False, False, False, True, True]
    _, past = held_out(0.6, 0.3, 0.5, 0.6, 0.1, 0.3, 0.3, y=y)
    assert past == [False, False, False, True, False, False, True]
    # Rises of half a standard error are not clear: 0.05 * sqrt(200) / 2 of it.
    _, past = held_out(0.6, 0.0, 0.05, 0.05, 0.05, y=y)
    assert past == [False] * 5


def test_held_out_errors_are_weighted_means():
    generator = np.random.default_rng(1)
    y, weights = generator.normal(size=(20, 2)), generator.random(20)
    held, _ = held_out(0.3, -0.2, y=y[:, 0], weights=weights)
    expected = [np.average((y[:, 0] - p) ** 2, weights=weights) for p in (0.3, -0.2)]
    np.testing.assert_allclose(held.padded(3)[:2], expected)
    assert np.isnan(held.padded(3)[2])
    several = HeldOut(y, weights)
    expected = np.average((y**2).mean(axis=1), weights=weights)
    np.testing.assert_allclose(several.add(np.zeros((20, 2))), expected)
