"""What inspection makes of classifiers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
)
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    TwoLayerPathDisplay,
    active_subspace,
    direction_errors,
)

N_FEATURES = 3
DIRECTIONS = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, -0.8]])


def classes_of(n_samples=2000, n_classes=2, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_samples, N_FEATURES))
    classes, directions = np.arange(n_classes), np.arange(2)[:, None]
    amplitudes = 4.0 * np.cos(2.0 * np.pi * classes / n_classes + directions)
    scores = np.maximum(X @ DIRECTIONS.T, 0.0) @ amplitudes
    noise = generator.gumbel(size=scores.shape)
    return X, np.array(["no", "yes", "maybe"])[(scores + noise).argmax(axis=1)]


def fitted(X, y):
    return RegularizedTwoLayerClassifier(random_state=0).fit(X, y)


def test_standard_errors_are_of_the_size_of_the_errors():
    """Over data sets, errors over standard errors are about normal."""
    ratios = []
    for seed in range(6):
        X, y = classes_of(seed=seed)
        model = fitted(X, y)
        assert model.features_.shape == (2, N_FEATURES)
        errors = direction_errors(model, X, y, confidence=0.9)
        cosines = model.features_ @ DIRECTIONS.T
        order = np.abs(cosines).argmax(axis=1)
        truth = DIRECTIONS[order] * np.sign(cosines[[0, 1], order])[:, None]
        half = 0.5 * np.diff(errors.features_interval, axis=0)[0]
        ratios.append((model.features_ - truth) / half * norm.ppf(0.95))
    size = np.sqrt(np.mean(np.square(ratios)))
    assert 0.6 < size < 1.5


def test_errors_of_more_than_two_classes_are_refused():
    X, y = classes_of(n_classes=3)
    with pytest.raises(ValueError, match="3 classes"):
        direction_errors(fitted(X, y), X, y)


def test_labels_of_the_fit_are_asked_for():
    X, y = classes_of(500)
    with pytest.raises(ValueError, match="was not fitted on"):
        direction_errors(fitted(X, y), X, np.where(y == "no", "no", "never"))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_are_drawn_on_the_scale_of_the_scores(n_classes):
    X, y = classes_of(800, n_classes=n_classes)
    model = fitted(X, y)
    target = n_classes - 2
    display = RidgeFunctionDisplay.from_estimator(
        model, X, y, target=target, subsample=800
    )
    share = model.predict_proba(X)
    number = target + (n_classes == 2)
    own = (y == model.classes_[number]) - share[:, number]
    steps = own / (share[:, number] * (1.0 - share[:, number]))
    function = (
        display.offsets
        + display.slopes * display.projections
        + display.amplitudes * np.maximum(display.projections, 0.0)
    )
    left = display.partial_residuals - function
    np.testing.assert_allclose(left, np.repeat(steps[:, None], left.shape[1], axis=1))
    assert str(model.classes_[number]) in display.target_name
    plt.close("all")


def test_intervals_are_drawn_and_paths_too():
    X, y = classes_of(600)
    display = RidgeFunctionDisplay.from_estimator(fitted(X, y), X, y, confidence=0.9)
    assert display.loading_errors.shape[0] == 2
    cv = RegularizedTwoLayerClassifierCV(random_state=0, lambdas=[1.0, 0.3], cv=2)
    TwoLayerPathDisplay.from_estimator(cv.fit(X, y))
    plt.close("all")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_subspace_has_the_dimension_of_the_directions(n_classes):
    X, y = classes_of(n_classes=n_classes)
    assert active_subspace(fitted(X, y), X).directions.shape == (2, N_FEATURES)


def test_the_subspace_of_a_logistic_regression_is_one_direction():
    X, _ = classes_of()
    y = X[:, 0] + np.random.default_rng(0).logistic(size=len(X)) > 0.0
    model = RegularizedTwoLayerClassifier(schedule=ConstantSchedule(2.0)).fit(X, y)
    found = active_subspace(model, X)
    peer = LogisticRegression(C=np.inf).fit(X, y).coef_[0]
    assert found.directions.shape == (1, N_FEATURES)
    cosine = found.directions[0] @ peer / np.linalg.norm(peer)
    assert abs(cosine) == pytest.approx(1.0, abs=1e-3)
