"""The test of whether directions are the same."""

import numpy as np
import pytest
from scipy.stats import f

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors, direction_pvalue


def fitted(X, y):
    return RegularizedTwoLayerRegressor(random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def noisy():
    X, y, teacher = make_two_layer_regression(
        500, 3, n_directions=2, noise=0.3, return_teacher=True, random_state=0
    )
    scales = np.array([1e3, 1.0, 1e-4])
    X = X * scales
    model = fitted(X, y)
    assert len(model.features_) == 2
    return X, y, model, teacher.directions / scales


def of_one_direction(seed):
    """A network of one direction that bends at two places, with noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((600, 3))
    z = X @ np.array([0.6, 0.8, 0.0])
    y = np.maximum(z - 0.5, 0.0) + 1.5 * np.maximum(-z - 0.5, 0.0)
    return X, y + 0.1 * rng.standard_normal(600)


def test_it_is_wald_s_statistic_in_two_inputs():
    X, y = make_two_layer_regression(300, 2, n_directions=1, noise=0.3, random_state=1)
    model = fitted(X, y)
    errors = direction_errors(model, X, y)
    # In a plane one coordinate of a direction says all.
    loading, error = errors.loadings[0], errors.loading_errors[0]
    turned = loading + 0.03 * np.array([-loading[1], loading[0]])
    unit = turned / np.linalg.norm(turned)
    column = int(error.argmax())
    free = len(X) - 5  # two turned by one angle, amplitude, bias and a linear part
    squared = ((loading - unit)[column] / error[column]) ** 2
    pvalue = direction_pvalue(model, X, y, 0, turned / model.feature_scales_)
    assert pvalue == pytest.approx(f.sf(squared, 1, free), rel=0.05)


def test_true_directions_pass_and_others_do_not(noisy):
    X, y, model, truth = noisy
    scaled = model.features_ * model.feature_scales_, truth * model.feature_scales_
    own, true = (each / np.linalg.norm(each, axis=1)[:, None] for each in scaled)
    match = np.abs(own @ true.T).argmax(axis=1)
    for j in range(2):
        assert direction_pvalue(model, X, y, j, truth[match[j]]) > 1e-3
        assert direction_pvalue(model, X, y, j, -7.0 * model.features_[j]) > 0.999
        assert direction_pvalue(model, X, y, j, truth[1 - match[j]]) < 1e-6
    first = direction_pvalue(model, X, y, 0, 1)
    assert first == pytest.approx(direction_pvalue(model, X, y, 1, 0), rel=1e-6)
    assert first < 1e-6


def test_two_bends_of_one_direction_are_not_told_apart():
    pvalues = []
    for seed in range(5):
        X, y = of_one_direction(seed)
        model = fitted(X, y)
        assert len(model.features_) == 2
        pvalues.append(direction_pvalue(model, X, y, 0, 1))
    assert min(pvalues) > 1e-3
    assert max(pvalues) > 0.1


@pytest.mark.slow
def test_the_size_is_as_asked_for():
    pvalues = []
    for seed in range(300):
        X, y = of_one_direction(1000 + seed)
        model = fitted(X, y)
        if len(model.features_) == 2:
            pvalues.append(direction_pvalue(model, X, y, 0, 1))
    assert len(pvalues) > 250
    assert 0.02 < np.mean(np.array(pvalues) < 0.05) < 0.08


@pytest.mark.parametrize(
    ("feature", "other", "message"),
    [
        (2, 0, "feature must be the number of one of the 2 features"),
        (True, 0, "feature must be the number"),
        (0, 0, "other must be another feature than feature=0"),
        (0, -1, "other must be the number of one of the 2 features"),
        (0, [1.0, 2.0], "other must be a feature's number or a direction of 3"),
        (0, [np.nan, 2.0, 1.0], "of 3 finite numbers"),
        (0, np.zeros(3), "direction along which the inputs vary"),
        (0, "pressure", "other must be a feature's number or a direction"),
        (0, {"a": 1.0}, "other must be a feature's number or a direction"),
    ],
)
def test_what_is_no_direction_is_refused(noisy, feature, other, message):
    X, y, model, _ = noisy
    with pytest.raises(ValueError, match=message):
        direction_pvalue(model, X, y, feature, other)


def test_labels_of_a_series_are_names_of_inputs(noisy):
    pd = pytest.importorskip("pandas")
    X, y, model, truth = noisy
    names = ["a", "b", "c"]
    frame = pd.DataFrame(X, columns=names)
    model = fitted(frame, y)
    series = pd.Series(truth[0], index=names)
    expected = direction_pvalue(model, frame, y, 0, truth[0])
    for own in (series, series[::-1]):
        assert direction_pvalue(model, frame, y, 0, own) == expected
    with pytest.raises(ValueError, match="other must have the labels"):
        direction_pvalue(model, frame, y, 0, pd.Series(truth[0]))
