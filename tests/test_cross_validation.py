import numpy as np
import pytest

from sklearn_twolayer._cross_validation import Choice, Fold, choose


def folds_of(errors, debiased=None, weights=None, blended=None):
    """One fold a column of ``errors``."""
    errors = np.array(errors, dtype=float)
    blended = np.full_like(errors, np.nan) if blended is None else np.array(blended)
    n_folds = errors.shape[1]
    debiased = np.full(n_folds, np.nan) if debiased is None else debiased
    weights = np.ones(n_folds) if weights is None else weights
    return [
        Fold(
            errors[:, k], 0 * errors[:, k], blended[:, k], debiased[k], 0.0, weights[k],
            1,
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
    # One fold has no standard error: any gain will do.
    assert choose(folds_of([[1.0], [0.99]]), False).index == 1


@pytest.mark.parametrize("seed", range(3))
def test_standard_errors_are_those_of_the_mean(seed):
    gains = np.random.default_rng(seed).normal(0.1, 0.2, 5)
    errors = np.stack([np.ones(5), 1.0 - gains])
    clear = gains.mean() > 2 * gains.std(ddof=1) / np.sqrt(5)
    assert choose(folds_of(errors), False).index == int(clear)
