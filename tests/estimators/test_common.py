"""scikit-learn's own checks of an estimator."""

import pydoc

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

# Checks fit data with hardly more rows than columns, which a linear model fits.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_twolayer.exceptions.NoFeaturesWarning",
    "ignore::sklearn_twolayer.exceptions.SeparableWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

SMALL = RegularizedTwoLayerRegressor(
    n_neurons=10,
    max_iter=50,
    schedule=GeometricSchedule(start=0.3, stop=0.02, ratio=0.25),
)

# Most of the time of a default fit goes into weights of columns.
SMALL_CV = RegularizedTwoLayerRegressorCV(
    lambdas=[1.0, 0.3, 0.1], cv=2, n_neurons=5, direction_penalty="l2"
)

# What may go wrong with weights of columns, too; the slow checks are with all defaults.
WITH_COLUMN_WEIGHTS = [
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_fit2d_1feature",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_estimators_nan_inf",
    "check_transformer_general",
    "check_sample_weight_equivalence_on_dense_data",
    "check_n_features_in_after_fitting",
]

CLASSIFIER = RegularizedTwoLayerClassifier(n_neurons=10)

CLASSIFIER_CV = RegularizedTwoLayerClassifierCV(lambdas=[1.0, 0.2], cv=2, debias=False)

# Checks that scikit-learn runs on its own estimators but does not yield to others.
BY_HAND = [
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_readonly_memmap_input",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
    "check_n_features_in_after_fitting",
]


@parametrize_with_checks([SMALL, SMALL_CV, CLASSIFIER])
def test_estimator_checks(estimator, check):
    check(estimator)


# These checks fit on a dataframe and transform an array, among others.
@pytest.mark.filterwarnings("ignore:X (has|does not have):UserWarning")
@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        *((one, name) for one in (SMALL, CLASSIFIER) for name in BY_HAND),
        *(
            pytest.param(SMALL_CV, name, marks=pytest.mark.slow)
            if "set_output_transform_" in name  # dozens of fits
            else (SMALL_CV, name)
            for name in BY_HAND
        ),
    ],
)
def test_checks_not_yielded_to_third_parties(estimator, name):
    getattr(estimator_checks, name)(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("name", WITH_COLUMN_WEIGHTS)
def test_checks_with_column_weights(name):
    estimator = clone(SMALL_CV).set_params(direction_penalty="auto")
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [RegularizedTwoLayerRegressor(), RegularizedTwoLayerRegressorCV(), CLASSIFIER_CV]
)
def test_estimator_checks_with_defaults(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "kind",
    [
        RegularizedTwoLayerRegressor, RegularizedTwoLayerRegressorCV,
        RegularizedTwoLayerClassifier, RegularizedTwoLayerClassifierCV,
    ],
)  # fmt: skip
def test_help_reaches_the_parameters_within_two_screens(kind):
    lines = pydoc.render_doc(kind, renderer=pydoc.plaintext).splitlines()
    first = next(k for k, line in enumerate(lines) if line.endswith(" Parameters"))
    assert first < 48


def test_read_only_input():
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((40, 3)), generator.standard_normal(40)
    expected = clone(SMALL).set_params(random_state=0).fit(X, y).predict(X)
    X.setflags(write=False)
    y.setflags(write=False)
    model = clone(SMALL).set_params(random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_dataframe_column_order_is_checked():
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((30, 2)))
    frame.columns = ["a", "b"]
    model = clone(SMALL).fit(frame, frame["a"] ** 2)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a"]])
