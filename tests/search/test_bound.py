"""Without a schedule, `n_neurons` bounds the features of a fit."""

import numpy as np
import pytest

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(X, y, n_neurons, **options):
    model = RegularizedTwoLayerRegressor(n_neurons=n_neurons, random_state=0, **options)
    return model.fit(X, y)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_fit_has_no_more_features_than_neurons(noise, standardize):
    X, y = make_two_layer_regression(
        1000, 6, n_directions=4, noise=noise, random_state=1
    )
    plain = RegularizedTwoLayerRegressor(random_state=0, standardize=standardize)
    expected = plain.fit(X, y)
    assert len(expected.features_) == 4
    scores = []
    for n_neurons in (1, 2, 3):
        model = fitted(X, y, n_neurons, standardize=standardize)
        assert len(model.features_) == n_neurons
        assert 0.0 < model.lambda_ <= model.lambda_max_  # It is not exact.
        assert np.isfinite(model.certificate_)
        scores.append(model.score(X, y))
    assert 0.5 < scores[0] < scores[1] < scores[2] < expected.score(X, y)
    # More than are needed change nothing.
    for n_neurons in (100, 400):
        model = fitted(X, y, n_neurons, standardize=standardize)
        np.testing.assert_array_equal(model.features_, expected.features_)


def test_a_warm_start_is_bounded_too():
    X, y = make_two_layer_regression(500, 5, n_directions=3, noise=0.2, random_state=0)
    model = fitted(X, y, 100, warm_start=True)
    assert len(model.features_) == 3
    assert len(model.set_params(n_neurons=2).fit(X, y).features_) == 2


def test_networks_of_folds_are_bounded():
    X, y = make_two_layer_regression(300, 4, n_directions=3, noise=0.2, random_state=0)
    model = RegularizedTwoLayerRegressorCV(
        n_neurons=2, lambdas=3, cv=3, random_state=0
    ).fit(X, y)
    assert (model.debiased_n_features_ <= 2).all()
