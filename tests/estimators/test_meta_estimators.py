"""The estimators inside scikit-learn's own: the right result, or what to do instead."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.experimental import (  # noqa: F401
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFromModel,
    SequentialFeatureSelector,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.inspection import (
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LinearRegression, RANSACRegressor, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingRandomSearchCV,
    KFold,
    LearningCurveDisplay,
    LeaveOneGroupOut,
    RandomizedSearchCV,
    ShuffleSplit,
    TimeSeriesSplit,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)


@pytest.fixture(scope="module")
def data():
    """Columns 0 and 1 bend the target, 2 is linear, 3 and 4 are noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5))
    y = 2 * np.maximum(X[:, 0], 0) + np.abs(X[:, 1]) + 0.3 * X[:, 2]
    y += 0.1 * rng.standard_normal(300)
    return X, y, np.column_stack([y, np.abs(X[:, 0] - X[:, 1])])


def regressor(**parameters):
    return RegularizedTwoLayerRegressor(random_state=0, **parameters)


def kept(selector):
    return selector.get_support(indices=True).tolist()


@pytest.mark.parametrize(
    ("model", "least"),
    [
        (StackingRegressor([("a", regressor()), ("b", Ridge())], Ridge(), cv=3), 0.99),
        (StackingRegressor([("a", regressor())], regressor(), cv=3), 0.99),
        (VotingRegressor([("a", regressor()), ("b", regressor(criterion=2))]), 0.99),
        (BaggingRegressor(regressor(), 3, max_samples=0.7, random_state=0), 0.99),
        (AdaBoostRegressor(regressor(), n_estimators=3, random_state=0), 0.99),
        (RANSACRegressor(regressor(), min_samples=100, random_state=0), 0.99),
        (make_pipeline(PolynomialFeatures(2, include_bias=False), regressor()), 0.95),
        (
            make_pipeline(
                FeatureUnion(
                    [
                        ("bent", regressor(feature_output="activation")),
                        ("linear", StandardScaler()),
                    ]
                ),
                LinearRegression(),
            ),
            0.99,
        ),
    ],
    ids=["stacking", "final", "voting", "bagging", "ada", "ransac", "poly", "union"],
)
def test_ensembles_and_pipelines_fit_as_well_as_their_estimator(data, model, least):
    X, y, _ = data
    assert clone(model).fit(X[:200], y[:200]).score(X[200:], y[200:]) > least


def test_columns_that_a_bag_lacks_are_left_out(data):
    X, y, _ = data
    bag = BaggingRegressor(regressor(), 4, max_features=3, random_state=0).fit(X, y)
    single = np.mean(
        [
            one.predict(X[:, columns])
            for one, columns in zip(
                bag.estimators_, bag.estimators_features_, strict=True
            )
        ],
        axis=0,
    )
    np.testing.assert_allclose(bag.predict(X), single)


def test_out_of_bag_scores_are_those_of_new_rows(data):
    X, y, _ = data
    bag = BaggingRegressor(regressor(), 15, oob_score=True, random_state=0)
    assert bag.fit(X, y).oob_score_ > 0.98


@pytest.mark.parametrize("wrap", [MultiOutputRegressor, RegressorChain])
def test_targets_one_at_a_time(data, wrap):
    X, _, Y = data
    model = wrap(regressor()).fit(X, Y)
    assert model.score(X, Y) > 0.99
    alone = regressor().fit(X, Y[:, 0])
    np.testing.assert_array_equal(model.predict(X)[:, 0], alone.predict(X))


def test_transformed_targets_come_back(data):
    X, y, _ = data
    model = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp)
    predicted = model.fit(X, np.exp(y)).predict(X)
    expected = np.exp(regressor().fit(X, y).predict(X))
    np.testing.assert_allclose(predicted, expected, rtol=1e-10)
    quantiles = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    ranked = TransformedTargetRegressor(regressor(), transformer=quantiles)
    assert ranked.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(
    "estimator",
    ["one target", "two targets", pytest.param("cv", marks=pytest.mark.slow)],
)
def test_selectors_keep_the_columns_that_matter(data, estimator):
    X, y, Y = data
    model = regressor()
    if estimator == "cv":
        model = RegularizedTwoLayerRegressorCV(lambdas=2, cv=2, random_state=0)
    target = Y if estimator == "two targets" else y
    assert kept(SelectFromModel(model).fit(X, target)) == [0, 1]
    assert kept(RFE(model, n_features_to_select=2).fit(X, target)) == [0, 1]
    best = SelectFromModel(model, threshold=-np.inf, max_features=3).fit(X, target)
    assert kept(best) == [0, 1, 2]


def test_selectors_that_refit_keep_the_columns_that_matter(data):
    X, y, _ = data
    assert kept(RFECV(regressor(), cv=3).fit(X, y)) == [0, 1, 2]
    forward = SequentialFeatureSelector(regressor(), n_features_to_select=2, cv=2)
    assert kept(forward.fit(X, y)) == [0, 1]


def test_selectors_look_into_pipelines_where_they_are_told(data):
    X, y, _ = data
    pipe = make_pipeline(StandardScaler(), regressor())
    with pytest.raises(ValueError, match="importance_getter"):
        kept(SelectFromModel(pipe).fit(X, y))
    path = "named_steps.regularizedtwolayerregressor.feature_importances_"
    assert kept(SelectFromModel(pipe, importance_getter=path).fit(X, y)) == [0, 1]
    target = TransformedTargetRegressor(regressor())
    path = "regressor_.feature_importances_"
    assert kept(SelectFromModel(target, importance_getter=path).fit(X, y)) == [0, 1]
    fitted = SelectFromModel(regressor().fit(X, y), prefit=True)
    np.testing.assert_array_equal(fitted.transform(X), X[:, :2])


def test_importances_rank_as_permutations_do(data):
    X, y, _ = data
    model = regressor().fit(X, y)
    lost = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    largest = [0, 1, 2]
    assert np.argsort(-lost.importances_mean)[:3].tolist() == largest
    assert np.argsort(-model.feature_importances_)[:3].tolist() == largest


def test_partial_dependence_is_that_of_the_function(data):
    X, y, Y = data
    model = regressor().fit(X, y)
    curve = partial_dependence(model, X, [0], grid_resolution=5)
    moved = X.copy()
    for value, average in zip(
        curve["grid_values"][0], curve["average"][0], strict=True
    ):
        moved[:, 0] = value
        assert average == pytest.approx(model.predict(moved).mean())
    pytest.importorskip("matplotlib").use("Agg")
    with pytest.raises(ValueError, match="target must be specified"):
        PartialDependenceDisplay.from_estimator(regressor().fit(X, Y), X, [0])
    display = PartialDependenceDisplay.from_estimator(
        regressor().fit(X, Y), X, [0, (0, 1)], target=1, grid_resolution=4
    )
    assert display.axes_.shape == (1, 2)


@pytest.mark.slow
def test_learning_and_validation_curves(data):
    X, y, _ = data
    sizes, _, held_out = learning_curve(regressor(), X, y, train_sizes=[0.2, 1.0], cv=3)
    assert sizes.tolist() == [40, 200]
    assert held_out[1].mean() > held_out[0].mean()
    scores = validation_curve(
        regressor(), X, y, param_name="criterion", param_range=[3.5, 1e6], cv=3
    )[1].mean(axis=1)
    assert scores[0] > scores[1] + 0.1  # no neuron is worth a price of a million
    pytest.importorskip("matplotlib").use("Agg")
    LearningCurveDisplay.from_estimator(regressor(), X, y, train_sizes=[0.5, 1.0], cv=2)
    ValidationCurveDisplay.from_estimator(
        regressor(), X, y, param_name="criterion", param_range=[3.5, 7.0], cv=2
    )


@pytest.mark.parametrize(
    "cv", [KFold(3), TimeSeriesSplit(2), ShuffleSplit(2, test_size=0.3, random_state=0)]
)
def test_splitters_of_any_kind(data, cv):
    X, y, _ = data
    assert cross_val_score(regressor(), X, y, cv=cv).min() > 0.95


def test_predictions_of_held_out_rows(data):
    X, y, Y = data
    assert cross_val_predict(regressor(), X, Y, cv=2).shape == Y.shape
    result = cross_validate(
        regressor(), X, y, cv=2, scoring=["r2", "neg_mean_absolute_error"],
        return_estimator=True,
    )  # fmt: skip
    assert result["test_r2"].min() > 0.95
    assert all(one.feature_importances_.argmax() == 0 for one in result["estimator"])


def test_permuted_targets_are_not_predicted(data):
    X, y, _ = data
    score, permuted, _ = permutation_test_score(
        regressor(), X, y, cv=2, n_permutations=3, random_state=0
    )
    assert score > 0.95
    assert permuted.max() < 0.1


@pytest.mark.parametrize("resource", ["n_samples", "max_iter"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_halving_searches(data, resource):
    """Bad prices are dropped with few rows, or few steps."""
    X, y, _ = data
    limits = {"min_resources": 100} if resource == "n_samples" else {
        "min_resources": 20, "max_resources": 200
    }  # fmt: skip
    search = HalvingRandomSearchCV(
        regressor(), {"criterion": [3.5, 1e5, 1e6]}, n_candidates=3, cv=2,
        resource=resource, random_state=0, **limits,
    ).fit(X, y)  # fmt: skip
    assert search.best_params_["criterion"] == 3.5


def test_randomized_searches_inside_cross_validation(data):
    X, y, _ = data
    search = RandomizedSearchCV(
        regressor(), {"criterion": [3.5, 1e6]}, n_iter=2, cv=2, random_state=0
    )
    assert cross_val_score(search, X, y, cv=2).min() > 0.95


def test_parameters_of_no_schedule_are_refused(data):
    X, y, _ = data
    grid = {"schedule__stop": [0.3, 0.1]}
    with pytest.raises(ValueError, match=r"schedule=GeometricSchedule\(stop"):
        GridSearchCV(regressor(), grid, cv=2).fit(X, y)
    with pytest.raises(ValueError, match=r"schedule__stop .* schedule is None"):
        regressor(schedule=GeometricSchedule()).set_params(
            schedule=None, schedule__stop=0.1
        )
    both = regressor().set_params(schedule=GeometricSchedule(), schedule__stop=0.25)
    assert both.schedule.stop == 0.25
    with pytest.raises(ValueError, match="Invalid parameter 'schedule'"):
        RegularizedTwoLayerRegressorCV().set_params(schedule__stop=0.1)


def test_frozen_estimators_are_not_fitted_again(data):
    X, y, _ = data
    frozen = FrozenEstimator(regressor().fit(X, y))
    stack = StackingRegressor([("a", frozen)], LinearRegression(), cv="prefit")
    stack.fit(X[:50], y[:50])
    assert stack.estimators_[0] is frozen
    assert SelectFromModel(frozen, prefit=True).transform(X).shape == (300, 2)


@pytest.mark.filterwarnings("ignore:.*Early stopping criterion not reached")
def test_missing_values_are_refused_or_imputed(data):
    X, y, _ = data
    holes = X.copy()
    holes[::7, 4] = np.nan
    with pytest.raises(ValueError, match="does not accept missing values"):
        regressor().fit(holes, y)
    imputed = make_pipeline(SimpleImputer(add_indicator=True), regressor())
    assert imputed.fit(holes, y).score(holes, y) > 0.98
    copied = np.column_stack([holes, X[:, 4] + 1])
    filled = IterativeImputer(regressor(), max_iter=2).fit_transform(copied)
    np.testing.assert_allclose(filled[:, 4], X[:, 4], atol=1e-6)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
@pytest.mark.parametrize("sparse_threshold", [0.0, 1.0])
def test_words_are_encoded(data, encoder, sparse_threshold):
    X, y, _ = data
    words = np.resize(["u", "v", "w"], len(X))
    frame = pd.DataFrame(X, columns=list("abcde")).assign(kind=words)
    target = y + (words == "v")
    with pytest.raises(ValueError, match="kind"):
        regressor().fit(frame, target)
    encoded = ColumnTransformer(
        [("words", encoder, ["kind"])], remainder="passthrough",
        sparse_threshold=sparse_threshold,
    )  # fmt: skip
    model = make_pipeline(encoded, regressor()).fit(frame, target)
    assert model.score(frame, target) > 0.98


def test_frames_come_out_of_pipelines(data):
    X, y, _ = data
    frame = pd.DataFrame(X, columns=list("abcde"))
    pipe = make_pipeline(StandardScaler(), regressor()).set_output(transform="pandas")
    features = pipe.fit(frame, y).transform(frame)
    assert list(features.columns) == list(pipe.get_feature_names_out())
    assert pipe[-1].feature_names_in_.tolist() == list("abcde")


def test_weights_and_groups_are_routed(data):
    X, y, _ = data
    groups, weights = np.arange(300) // 10, np.ones(300)
    weights[:100] = 0.0
    noisy = y.copy()
    noisy[:100] = 1e3  # rows of weight zero
    with sklearn.config_context(enable_metadata_routing=True):
        asks = regressor().set_fit_request(sample_weight=True)
        result = cross_validate(
            asks.set_score_request(sample_weight=True), X, noisy, cv=GroupKFold(3),
            params={"groups": groups, "sample_weight": weights},
        )  # fmt: skip
        assert result["test_score"].min() > 0.95
        bag = BaggingRegressor(asks, 2, random_state=0)
        bag.fit(X, noisy, sample_weight=weights)
        assert bag.score(X[100:], y[100:]) > 0.95
        inner = RegularizedTwoLayerRegressorCV(
            cv=LeaveOneGroupOut(), lambdas=3, random_state=0
        )
        scores = cross_val_score(
            inner, X, y, cv=GroupKFold(2), params={"groups": groups // 5}
        )
        assert scores.min() > 0.95
