import numpy as np
import pytest

from sklearn_twolayer import RegularizedTwoLayerRegressorCV
from sklearn_twolayer._cross_validation.choice import (
    BEATS_FIRST,
    SAME_ERROR,
    SPARSE,
    Choice,
    ambiguity,
    choose,
)
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import (
    SHARES,
    Fold,
    follow_fold,
    path_options,
)
from sklearn_twolayer._cross_validation.held_out import HeldOut
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY
from sklearn_twolayer.datasets import make_two_layer_regression


def constant(value, n_features=0):
    """A network that predicts one value, with so many neurons that do nothing."""
    features = np.tile([1.0, 0.0], (n_features, 1))
    zeros = np.zeros(n_features)
    return FittedNetwork(features, zeros, zeros, np.zeros(2), value)


def folds_of(
    errors, debiased=None, weights=None, blended=None, averaged=None, found=None,
    sizes=None, squares=0.0,
):  # fmt: skip
    """One fold a column of ``errors``; ``blended`` has an even share.

    ``sizes`` are the numbers of features of the stages.
    """
    errors = np.array(errors, dtype=float)
    n_folds = errors.shape[1]
    every = np.full((*errors.shape, len(SHARES)), np.nan)
    every[:, :, 0] = errors
    if blended is not None:
        every[:, :, 2] = blended
    missing = np.full(n_folds, np.nan)
    debiased = missing if debiased is None else debiased
    averaged = missing if averaged is None else averaged
    weights = np.ones(n_folds) if weights is None else weights
    networks = [() for _ in range(n_folds)]
    if found is not None:
        networks = [(constant(0.0, k), constant(1.0), constant(0.5)) for k in found]
    sizes = np.zeros(len(errors)) if sizes is None else sizes
    n_features = np.where(np.isnan(errors), np.nan, np.transpose([sizes]))
    return [
        Fold(
            every[:, k], np.full_like(every[:, k], squares), n_features[:, k],
            networks[k], debiased[k], averaged[k], squares, squares, weights[k], 1,
        )
        for k in range(n_folds)
    ]  # fmt: skip


def test_the_least_mean_error_is_chosen():
    errors = [[5.0, 5.0, 5.1], [2.0, 1.0, 1.5], [1.0, 1.0, 1.2], [1.5, 1.1, 1.3]]
    assert choose(folds_of(errors), 0.0, False).index == 2
    assert choose(folds_of(errors, [0.9, 1.2, 0.9]), 0.0, False) == Choice(None, 1.0)
    assert choose(folds_of(errors, [1.2, 1.2, 1.2]), 0.0, False).index == 2
    # A fold's weight is that of its rows.
    heavy = folds_of(errors, [0.5, 2.0, 2.0], weights=[100.0, 1.0, 1.0])
    assert choose(heavy, 0.0, False) == Choice(None, 1.0)
    blended = [[3.0] * 3, [0.8, 0.9, 0.8], [1.0] * 3, [1.0] * 3]
    both = folds_of(errors, [0.9, 1.2, 0.9], blended=blended, found=[1, 1, 1])
    best = choose(both, 0.0, False)
    assert (best.index, best.debiased_share, len(best.others)) == (1, 0.5, 9)
    assert best.others == tuple(n for fold in both for n in fold.debiased)


def test_few_features_are_kept_unless_something_is_clearly_better():
    errors = [[5.0] * 3, [4.0] * 3]

    def best(debiased, averaged, gain):
        folds = folds_of(
            errors, [debiased] * 3, averaged=[averaged] * 3, found=[1, 2, 1]
        )
        return choose(folds, gain, False)

    assert best(1.0, 1.0, 0.0) == Choice(None, 1.0)
    assert best(1.0, 1.0, 0.9 * SPARSE) == Choice(None, 1.0)
    assert len(best(1.0, 1.0, 1.1 * SPARSE).others) == 9
    assert len(best(1.0, 1.0 - 1.1 * SPARSE, 0.0).others) == 9
    # Networks that are exact are not averaged, whatever rounding says.
    assert best(SAME_ERROR, 0.0, 2 * SAME_ERROR) == Choice(None, 1.0)
    # The share's square of the gain counts for a mean with a regularised network.
    blended = [[5.0] * 3, [1.1] * 3]
    folds = folds_of(
        errors, [2.0] * 3, blended=blended, averaged=[1.6] * 3, found=[1] * 3
    )
    assert choose(folds, 0.4, False).debiased_share == 0.5
    assert choose(folds, 0.8, False).debiased_share == 1.0


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_averaging_gains_the_variance_of_the_networks(offset):
    generator = np.random.default_rng(0)
    X, weights = generator.normal(size=(30, 2)), generator.random(30)
    y = offset + generator.normal(size=30)
    values = generator.normal(size=(4, 2))
    folds = [
        Fold(
            np.zeros((1, len(SHARES))), np.zeros((1, len(SHARES))), np.zeros(1),
            tuple(constant(offset + v) for v in pair), 0.0, 0.0, 0.0, 0.0, 1.0, 1,
        )
        for pair in values
    ]  # fmt: skip
    pairs = np.array([fold.averaged(X) for fold in folds])
    errors = np.average(np.square(pairs - y), axis=1, weights=weights)
    error = np.average(np.square(pairs.mean(axis=0) - y), weights=weights)
    gain = ambiguity(folds, X, weights)
    assert gain == pytest.approx(values.mean(axis=1).var(), rel=1e-6)
    assert gain == pytest.approx(errors.mean() - error, rel=1e-5)
    assert ambiguity(folds_of([[1.0]]), X, weights) == 0.0


def test_stages_that_a_fold_did_not_reach_are_not_chosen():
    errors = [[5.0, 5.0], [2.0, 2.1], [0.1, np.nan], [np.nan, np.nan]]
    assert choose(folds_of(errors), 0.0, False).index == 1


def test_one_standard_error_takes_the_fewest_features_within_it():
    errors = [[5.0, 5.0, 5.0], [1.3, 1.2, 1.2], [1.2, 0.8, 1.0], [1.1, 0.7, 1.0]]
    best = np.array([1.1, 0.7, 1.0])
    limit = best.mean() + best.std(ddof=1) / np.sqrt(3)
    within = np.mean(errors, axis=1) <= limit
    assert np.flatnonzero(within).tolist() == [2, 3]
    for sizes, expected in [
        ([0, 2, 3, 4], 2),
        ([0, 5, 4, 3], 3),  # A lower decay can have fewer features.
        ([0, 3, 3, 3], 3),  # Of as many, the one of the least error.
    ]:
        folds = folds_of(errors, sizes=np.array(sizes))
        assert choose(folds, 0.0, False).index == 3
        assert choose(folds, 0.0, True).index == expected


def test_one_standard_error_takes_the_smallest_of_all_that_are_compared():
    sizes = np.array([0, 3, 9])
    errors = [[5.0, 5.0, 5.1], [1.1, 1.2, 1.2], [1.0, 1.3, 1.0]]
    several = {"found": [2, 2, 2], "sizes": sizes}

    def best(debiased, averaged, errors=errors, one_standard_error=True):
        folds = folds_of(errors, [debiased] * 3, averaged=averaged, **several)
        return choose(folds, 0.0, one_standard_error)

    # The mean is best. It has the features of all folds; smaller are a stage of three
    # features, and the debiased network of two.
    averaged = [0.8, 1.3, 1.1]
    assert len(best(1.2, averaged, one_standard_error=False).others) == 9
    assert best(1.2, averaged) == Choice(None, 1.0)
    assert best(1.3, averaged) == Choice(1, 0.0)
    # Nothing else is near.
    far = [[5.0, 5.0, 5.1], [2.0] * 3, [2.0] * 3]
    assert len(best(2.0, averaged, far).others) == 9
    # Where the debiased network is kept for its few features, it stays.
    assert best(1.0, [0.99] * 3) == Choice(None, 1.0)
    # The linear model is one of them.
    near = [[1.1, 1.2, 1.2], [1.2] * 3, [1.2] * 3]
    assert best(1.2, averaged, near).index == 0


def test_gains_over_the_linear_model_must_be_clear():
    unclear = [[1.0, 1.0, 1.0], [0.6, 1.3, 1.0]]
    assert choose(folds_of(unclear), 0.0, False).index == 0
    assert choose(folds_of([[1.0] * 3, [0.9, 0.85, 0.9]]), 0.0, False).index == 1
    # Unless the criterion finds features in every fold.
    assert choose(folds_of(unclear, found=[2, 1, 3]), 0.0, False).index == 1
    assert choose(folds_of(unclear, found=[2, 0, 3]), 0.0, False).index == 0
    # Where searches of some folds missed what all paths found, the path is kept.
    errors = [[1.0, 1.1, 1.0], [0.5, 0.6, 0.5]]
    missed = folds_of(
        errors, [0.1, 1.1, 0.1], averaged=[0.1, 1.1, 0.1], found=[2, 0, 2]
    )
    assert choose(missed, 0.1, False) == Choice(1, 0.0)
    # One fold has no standard error: any gain will do.
    assert choose(folds_of([[1.0], [0.99]]), 0.0, False).index == 1


@pytest.mark.parametrize("seed", range(3))
def test_standard_errors_are_those_of_the_mean(seed):
    gains = np.random.default_rng(seed).normal(0.1, 0.2, 5)
    errors = np.stack([np.ones(5), 1.0 - gains])
    clear = gains.mean() > BEATS_FIRST * gains.std(ddof=1) / np.sqrt(5)
    assert choose(folds_of(errors), 0.0, False).index == int(clear)


def test_gains_must_be_clear_over_the_rows():
    errors = [[1.0] * 5, [0.9] * 5]
    # Five folds of a hundred rows of weight 0.01, whose errors fall by this on average.
    for spread in (0.5, 1.0, 1.2, 2.0):
        squares = 100 * (0.01 * spread) ** 2
        clear = BEATS_FIRST * spread / np.sqrt(500) < 0.1
        folds = folds_of(errors, squares=squares)
        assert choose(folds, 0.0, False).index == int(clear)


def test_falls_of_rows_are_from_the_first_network():
    generator = np.random.default_rng(2)
    y, weights = generator.normal(size=30), generator.random(30)
    held = HeldOut(y, weights)
    held.add(np.zeros(30))
    held.add(np.full(30, 0.1))
    fall = y**2 - (y - 0.3) ** 2
    expected = np.sum((weights * fall) ** 2)
    assert held.fall_squares(np.full(30, 0.3)) == pytest.approx(expected)


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
    np.testing.assert_allclose(held.errors, expected)
    several = HeldOut(y, weights)
    expected = np.average((y**2).mean(axis=1), weights=weights)
    np.testing.assert_allclose(several.add(np.zeros((20, 2))), expected)


@pytest.mark.parametrize(("noise", "n_networks"), [(0.05, 2), (1.0, 3)])
def test_a_fold_has_a_third_network_only_where_noise_is_left(noise, n_networks):
    X, y = make_two_layer_regression(
        400, 5, n_directions=2, noise=noise, random_state=0
    )
    options = RegularizedTwoLayerRegressorCV(random_state=0)._check_options()
    train, test = np.arange(300), np.arange(300, 400)
    fold = follow_fold(
        FoldLoss(), X, y, np.ones(400), train, test, path_options(options, [1.0]),
        DEFAULT_PENALTY, 1, with_importances=noise < 1.0,
    )  # fmt: skip
    assert len(fold.debiased) == n_networks
    # Importances take time, and are there if they are asked for.
    assert fold.importances.shape == (2, 5)
    assert np.isnan(fold.importances).all() == (noise == 1.0)
    assert np.isfinite(fold.importances).all() == (noise < 1.0)


def test_huber_losses_of_folds_are_for_the_scale_that_is_asked_for():
    """Otherwise a fit of smaller residuals would have another loss than the first."""
    X, y = make_two_layer_regression(120, 3, n_directions=1, noise=0.3, random_state=0)
    options = RegularizedTwoLayerRegressorCV(random_state=0)._check_options()
    data = FoldLoss("huber"), X, y, np.ones(120), np.arange(80), np.arange(80, 120)
    options = path_options(options, [1.0, 0.5])
    own = follow_fold(*data, options, None, 2)
    half, same = (
        follow_fold(*data, options, None, 2, scale=share * own.scale)
        for share in (0.5, 1.0)
    )
    np.testing.assert_array_equal(same.errors, own.errors)
    assert (half.errors[:, 0] < own.errors[:, 0]).all()
    # Far from the bound both losses are squares, and beyond it the one of half of the
    # scale is more than half of the other.
    assert (half.errors[:, 0] > 0.5 * own.errors[:, 0]).all()
