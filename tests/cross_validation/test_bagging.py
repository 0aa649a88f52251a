"""Means of the regularised networks of repeated folds."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, RepeatedKFold

from sklearn_twolayer import RegularizedTwoLayerRegressorCV
from sklearn_twolayer._cross_validation.bagging import (
    follow_regularised,
    mean_product,
    with_mean_of_folds,
)
from sklearn_twolayer._cross_validation.choice import Choice
from sklearn_twolayer._cross_validation.compare import compare
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import check_folds, path_options
from sklearn_twolayer._cross_validation.refit import fit_choice
from sklearn_twolayer._rows.units import FittedNetwork

FRACTIONS = np.geomspace(1.0, 1e-3, 8)


def smooth(n_samples, seed=0, noise=0.1):
    """Rows of a function that no few neurons are equal to."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n_samples, 2))
    y = np.sin(2 * X[:, 0]) + np.cos(2 * X[:, 1])
    return X, y + noise * generator.normal(size=n_samples)


@pytest.mark.parametrize("outputs", [(), (2,)])
def test_products_are_of_pairs_of_networks_of_different_folds(outputs):
    generator = np.random.default_rng(0)
    splits = RepeatedKFold(n_splits=3, n_repeats=3, random_state=0)
    tests = [test for _, test in splits.split(np.zeros((12, 1)))]
    weights = generator.random(12)
    first = [generator.normal(size=(len(test), *outputs)) for test in tests]
    second = [generator.normal(size=(len(test), *outputs)) for test in tests[:6]]
    each = np.zeros(12)
    for row in range(12):
        products = [
            np.mean(first[i][tests[i] == row] * second[j][tests[j] == row])
            for i in range(9)
            for j in range(6)
            if i != j and row in tests[i] and row in tests[j]
        ]
        each[row] = np.mean(products)
    expected = np.average(each, weights=weights)
    assert mean_product(first, second, tests, weights) == pytest.approx(expected)


def test_products_are_the_error_of_a_mean_of_many_networks():
    # Predictions are the truth plus independent errors, which a mean cancels.
    generator = np.random.default_rng(1)
    splits = RepeatedKFold(n_splits=2, n_repeats=4, random_state=0)
    tests = [test for _, test in splits.split(np.zeros((4000, 1)))]
    noise = generator.normal(size=4000)
    residuals = [
        noise[test] - 0.5 - 2.0 * generator.normal(size=len(test)) for test in tests
    ]
    error = mean_product(residuals, residuals, tests, np.ones(4000))
    assert error == pytest.approx(np.mean((noise - 0.5) ** 2), abs=0.1)


def compared_on(X, y, cv, **parameters):
    model = RegularizedTwoLayerRegressorCV(random_state=0, debias=False, **parameters)
    options = model._check_options()
    weights = np.ones(len(X))
    splits = list(check_folds(cv, options.seed).split(X))
    compared = compare(
        FoldLoss(), X, y, weights, splits, path_options(options, FRACTIONS), None, None,
        one_standard_error=False, direction_penalty="l2",
    )  # fmt: skip
    data = X, y, weights, splits, cv, options, FRACTIONS, None
    return compared, options, with_mean_of_folds(FoldLoss(), compared, *data)


def test_the_network_is_the_mean_of_those_of_all_folds_and_of_all_rows():
    X, y = smooth(200, noise=0.0)
    compared, options, repeated = compared_on(X, y, 3)
    choice = repeated.choice
    assert len(choice.regularised) == 6
    assert choice.error < compared.choice.error
    assert repeated.n_iter > compared.n_iter
    weights = np.ones(len(X))
    fit = fit_choice(
        FoldLoss(), X, y, weights, options, FRACTIONS, choice, 3.5, to_tolerance=False
    )
    assert fit.n_averaged == 7
    own = fit.problem.fitted(fit.stages[-1].network)
    mean = np.mean([one.predict(X) for one in (own, *choice.regularised)], axis=0)
    np.testing.assert_allclose(predicted(fit, X), mean, atol=1e-10 * np.ptp(mean))


def predicted(fit, X):
    names = FittedNetwork.attribute_names()
    network = FittedNetwork(*(fit.attributes[name] for name in names))
    return network.predict(X)


def test_a_mean_of_fewer_rows_than_columns_has_all_columns():
    generator = np.random.default_rng(1)
    X, weights = generator.normal(size=(30, 50)), np.ones(30)
    X[:, 7] = X[:, 6]
    y = np.abs(X[:, 0]) + X @ generator.normal(size=50)
    options = RegularizedTwoLayerRegressorCV(random_state=0)._check_options()
    other = FittedNetwork(
        np.eye(50)[:2], np.zeros(2), np.array([1.0, -2.0]),
        generator.normal(size=50), 0.5,
    )  # fmt: skip

    def fitted(**others):
        data = FoldLoss(), X, y, weights, options, FRACTIONS
        choice = Choice(2, 0.0, **others)
        return predicted(fit_choice(*data, choice, 3.5, to_tolerance=False), X)

    mean = 0.5 * (fitted() + other.predict(X))
    np.testing.assert_allclose(fitted(regularised=(other,)), mean, atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_mean_keeps_linear_parts_that_its_own_fit_would_shrink(share):
    # The targets have no linear signal and one of the columns has weight zero: the
    # linear part of all rows is shrunk to zero, those of the folds are not.
    generator = np.random.default_rng(0)
    X = generator.normal(size=(300, 6))
    y = np.abs(X[:, 0] + X[:, 1]) + 0.1 * generator.normal(size=300)
    options = RegularizedTwoLayerRegressorCV(random_state=0)._check_options()
    features = generator.normal(size=(3, 6))
    other = FittedNetwork(
        features / np.linalg.norm(features, axis=1, keepdims=True),
        *generator.normal(size=(2, 3)), generator.normal(size=6), 1.5,
    )  # fmt: skip

    def fitted(**others):
        choice = Choice(3, share, before=(Choice(2, 0.0),), **others)
        data = FoldLoss(), X, y, np.ones(300), options, FRACTIONS
        return fit_choice(*data, choice, 3.5, to_tolerance=False)

    alone = fitted()
    assert alone.problem.linear_decay > 1.0
    assert (alone.problem.options.column_weights == 0.0).any()
    own = alone.problem.fitted(alone.stages[-1].network).predict(X)
    expected = predicted(alone, X) + 0.5 * (1.0 - share) * (other.predict(X) - own)
    fit = fitted(regularised=(other,))
    np.testing.assert_allclose(predicted(fit, X), expected, atol=1e-9)


def test_a_splitter_is_not_repeated():
    X, y = smooth(150)
    once = KFold(3, shuffle=True, random_state=0)
    compared, _, repeated = compared_on(X, y, once)
    assert repeated is compared
    twice = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    _, _, repeated = compared_on(X, y, twice)
    assert len(repeated.choice.regularised) == 6


def test_linear_models_are_not_averaged():
    X, y = smooth(150)
    compared, _, repeated = compared_on(X, X[:, 0] + 0 * y, 3)
    assert compared.choice.index == 0
    assert repeated is compared


def test_weights_of_columns_are_those_of_the_training_rows():
    X, y = smooth(120)
    X = np.column_stack([X, np.random.default_rng(3).normal(size=(120, 3))])
    options = RegularizedTwoLayerRegressorCV(random_state=0)._check_options()
    weights = np.ones(120)
    train, test = np.arange(80), np.arange(80, 120)
    choice = Choice(4, 0.0, before=(Choice(4, 0.0),))
    data = train, test, options, FRACTIONS, choice
    path = follow_regularised(FoldLoss(), X, y, weights, *data)
    other = y.copy()
    other[test] += np.random.default_rng(4).normal(size=40)
    again = follow_regularised(FoldLoss(), X, other, weights, *data)
    for network, same in zip(path.networks, again.networks, strict=True):
        np.testing.assert_array_equal(network.features, same.features)
    plain = follow_regularised(FoldLoss(), X, y, weights, *data[:-1], Choice(4, 0.0))
    least = [np.abs(p.networks[4].features[:, 2:]).max() for p in (path, plain)]
    assert least[0] < 0.5 * least[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_means_are_better_than_one_network(seed):
    X, y = smooth(200, seed)
    fresh, truth = smooth(2000, seed + 10, noise=0.0)
    parameters = {"random_state": seed, "debias": False, "direction_penalty": "l2"}
    many = RegularizedTwoLayerRegressorCV(cv=5, **parameters).fit(X, y)
    split = KFold(5, shuffle=True, random_state=seed)
    one = RegularizedTwoLayerRegressorCV(cv=split, **parameters).fit(X, y)
    assert many.n_averaged_ == 11
    assert one.n_averaged_ == 0
    assert many.score(fresh, truth) > one.score(fresh, truth)
