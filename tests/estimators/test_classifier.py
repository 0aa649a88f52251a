"""The classifier and its cross-validated twin."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerClassifierCV,
    StagedSchedule,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import SeparableWarning
from sklearn_twolayer.metrics import match_directions

QUICK_CV = {"lambdas": [1.0, 0.3, 0.1], "cv": 3}


def classes_of(n_samples=600, n_features=4, n_classes=2, seed=0, n_directions=2):
    """Inputs, classes by the outputs of a teacher, and the teacher."""
    X, _, teacher = make_two_layer_regression(
        n_samples, n_features, n_directions=n_directions, return_teacher=True,
        random_state=seed,
    )  # fmt: skip
    classes, directions = np.arange(n_classes), np.arange(n_directions)[:, None]
    amplitudes = np.cos(2.0 * np.pi * classes / n_classes + directions)
    scores = 4.0 * np.maximum(X @ teacher.directions.T, 0.0) @ amplitudes
    scores -= scores.mean(axis=0)
    noise = np.random.default_rng(seed).gumbel(size=scores.shape)
    return X * 2.0 + 1.0, (scores + noise).argmax(axis=1), teacher


def fitted(X, y, sample_weight=None, **parameters):
    model = RegularizedTwoLayerClassifier(random_state=0, **parameters)
    return model.fit(X, y, sample_weight)


BOTH = pytest.mark.parametrize(
    "model",
    [
        RegularizedTwoLayerClassifier(random_state=0),
        RegularizedTwoLayerClassifierCV(random_state=0, **QUICK_CV),
    ],
    ids=["plain", "cv"],
)
CLASSES = pytest.mark.parametrize("n_classes", [2, 3])


@CLASSES
def test_directions_and_their_number_are_found(n_classes):
    X, y, teacher = classes_of(2500, n_classes=n_classes)
    model = fitted(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert match.n_missed == match.n_spurious == 0
    assert match.angles.max() < 0.3


@CLASSES
def test_from_lambda_max_on_it_is_logistic_regression(n_classes):
    X, y, _ = classes_of(n_classes=n_classes)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    model = fitted(X, y, weights, schedule=ConstantSchedule(1.5))
    assert len(model.features_) == 0
    peer = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-12, max_iter=1000)
    peer.fit(X, y, weights)
    mean = peer.coef_.mean(axis=0) if n_classes > 2 else 0.0
    np.testing.assert_allclose(
        np.atleast_2d(model.linear_coef_), peer.coef_ - mean, atol=1e-6
    )
    np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-6)


@BOTH
@CLASSES
def test_probabilities_scores_and_classes_agree(model, n_classes):
    X, y, _ = classes_of(n_classes=n_classes)
    names = np.array(["b", "a", "c"])[y]
    model = clone(model).fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"][:n_classes]
    scores, share = model.decision_function(X), model.predict_proba(X)
    if n_classes == 2:
        assert scores.shape == (len(X),)
        np.testing.assert_allclose(share[:, 1], expit(scores))
    else:
        assert scores.shape == (len(X), 3)
        np.testing.assert_allclose(scores.sum(axis=1), 0.0, atol=1e-9)
        np.testing.assert_allclose(share, softmax(scores, axis=1))
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), share)
    predicted = model.predict(X)
    np.testing.assert_array_equal(predicted, model.classes_[share.argmax(axis=1)])
    assert model.score(X, names) == np.mean(predicted == names) > 0.6
    # The network as it is documented.
    hidden = np.maximum(X @ model.features_.T + model.feature_intercepts_, 0.0)
    own = (
        model.linear_intercept_
        + X @ model.linear_coef_.T
        + hidden @ (model.amplitudes_)
    )
    np.testing.assert_allclose(own, scores, atol=1e-9)


def test_names_and_order_of_classes_do_not_matter():
    X, y, _ = classes_of(n_classes=3)
    first = fitted(X, y)
    order = np.array([2, 0, 1])
    second = fitted(X, order[y])
    np.testing.assert_allclose(
        first.predict_proba(X), second.predict_proba(X)[:, order], atol=1e-3
    )
    assert len(first.features_) == len(second.features_)
    truth = fitted(X, y > 0)
    assert truth.classes_.dtype == bool
    np.testing.assert_array_equal(truth.predict(X[:3]), fitted(X, y > 0).predict(X[:3]))


@pytest.mark.parametrize(
    "model",
    [
        RegularizedTwoLayerClassifier(random_state=0),
        pytest.param(
            RegularizedTwoLayerClassifierCV(random_state=0, **QUICK_CV),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["plain", "cv"],
)
def test_class_weights_are_sample_weights(model):
    X, y, _ = classes_of(300)
    given = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    weighted = clone(model).set_params(class_weight={0: 3.0, 1: 1.0}).fit(X, y, given)
    plain = clone(model).fit(X, y, given * np.where(y == 0, 3.0, 1.0))
    np.testing.assert_allclose(
        weighted.predict_proba(X), plain.predict_proba(X), atol=1e-8
    )
    sums = np.bincount(y, weights=given)
    balanced = clone(model).set_params(class_weight="balanced").fit(X, y, given)
    plain = clone(model).fit(X, y, given / sums[y])
    np.testing.assert_allclose(
        balanced.predict_proba(X), plain.predict_proba(X), atol=1e-8
    )


def test_only_ratios_of_weights_matter():
    X, y, _ = classes_of(300)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    first, second = fitted(X, y, weights), fitted(X, y, 1000.0 * weights)
    np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X))


def test_rows_without_weight_are_left_out():
    X, y, _ = classes_of(300)
    weights = np.ones(len(y))
    weights[::3] = 0.0
    first, second = fitted(X, y, weights), fitted(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(
        first.predict_proba(X), second.predict_proba(X), atol=1e-10
    )


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
def test_sparse_inputs_give_the_same_model(kind):
    generator = np.random.default_rng(0)
    X = np.maximum(generator.standard_normal((500, 5)), 0.0)
    score = 5.0 * np.abs(X[:, 0] - X[:, 1]) - 3.0 + X[:, 2]
    y = score + generator.logistic(size=500) > 0.0
    dense, thin = fitted(X, y), fitted(kind(X), y)
    np.testing.assert_allclose(
        thin.predict_proba(kind(X)), dense.predict_proba(X), atol=1e-4
    )
    assert len(dense.features_) == len(thin.features_) == 1


def test_memory_maps_are_read(tmp_path):
    X, y, _ = classes_of(300)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_allclose(
        fitted(mapped, y).predict_proba(X), fitted(X, y).predict_proba(X), atol=1e-8
    )


def test_single_precision_gives_nearly_the_same_model():
    X, y, _ = classes_of()
    double, single = fitted(X, y), fitted(X, y, dtype="float32")
    assert len(double.features_) == len(single.features_)
    np.testing.assert_allclose(
        double.predict_proba(X), single.predict_proba(X), atol=1e-2
    )


def test_units_of_columns_do_not_matter():
    X, y, _ = classes_of()
    scales = np.array([1e-3, 1.0, 1e4, 10.0])
    first, second = fitted(X, y), fitted(X * scales + 5.0, y)
    np.testing.assert_allclose(
        first.predict_proba(X), second.predict_proba(X * scales + 5.0), atol=1e-3
    )


@pytest.mark.slow
@CLASSES
def test_stages_of_a_schedule_are_certified(n_classes):
    X, y, _ = classes_of(300, 3, n_classes)
    model = fitted(X, y, schedule=StagedSchedule([0.5, 0.2]))
    history = model.history_
    assert (history["dual_gap"] <= 1e-3 * history["objective"]).all()
    assert (history["certificate"] < 1.05).all()
    assert (np.diff(history["loss"]) < 0.0).all()
    share = model.predict_proba(X)
    assert history["loss"][-1] == pytest.approx(log_loss(y, share), rel=1e-8)
    assert model.lambda_ == pytest.approx(0.2 * model.lambda_max_)
    assert "certificate" in model.summary(X)


def test_the_criterion_chooses_a_stage():
    X, y, _ = classes_of(300, 3)
    schedule = StagedSchedule([0.8, 0.4, 0.15])
    model = fitted(X, y, schedule=schedule, criterion=5.0)
    history = model.history_
    values = 2.0 * len(y) * history["loss"] + 5.0 * 4 * history["n_neurons"]
    assert model.lambda_ == history["lambda_"][values.argmin()]
    many = fitted(X, y, criterion=1e6)
    assert len(many.features_) == 0


def test_an_adaptive_schedule_ends_at_the_noise():
    X, y, _ = classes_of(300, 3)
    model = fitted(X, y, schedule=GeometricSchedule(), tol=0.05)
    assert 2 <= len(model.lambdas_) < 12
    assert len(model.features_) > 0


@BOTH
@pytest.mark.parametrize("n_classes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_separable_classes_have_a_finite_model_and_a_warning(model, n_classes):
    X = np.random.default_rng(0).standard_normal((200, 3))
    y = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5][: n_classes - 1])
    with pytest.warns(SeparableWarning, match="linear_decay_ = "):
        model = clone(model).fit(X, y)
    assert model.linear_decay_ > 0.0
    fresh = np.random.default_rng(1).standard_normal((2000, 3))
    truth = np.digitize(fresh[:, 0] + fresh[:, 1], [-0.5, 0.5][: n_classes - 1])
    assert np.isfinite(model.predict_log_proba(fresh)).all()
    assert log_loss(truth, model.predict_proba(fresh)) < 0.1
    assert model.score(fresh, truth) > 0.95


def test_separable_classes_are_shrunk_without_a_decay_too():
    X = np.random.default_rng(0).standard_normal((200, 3))
    y = X[:, 0] > 0.0
    with pytest.warns(SeparableWarning):
        model = fitted(X, y, linear_decay=0.0)
    assert model.linear_decay_ > 0.0
    own = fitted(X, y, linear_decay=0.1)  # no warning
    assert own.linear_decay_ == 0.1


def test_few_rows_shrink_the_linear_part_silently():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((60, 100))
    y = X[:, 0] > 0.0
    model = fitted(X, y)
    assert model.linear_decay_ > 0.0
    assert np.isfinite(model.decision_function(X)).all()


@BOTH
def test_a_fit_can_be_repeated_pickled_and_written_to_json(model):
    X, y, _ = classes_of(300, n_classes=3)
    names = np.array(["no", "maybe", "yes"])[y]
    model = clone(model).fit(X, names)
    again = clone(model).fit(X, names)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    read = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict(X), read.predict(X))
    plain = json.loads(json.dumps(model.to_dict()))
    made = type(model).from_dict(plain)
    np.testing.assert_array_equal(model.predict_proba(X), made.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), made.predict(X))
    assert type(model).__name__ in model.summary(X)
    assert model.feature_importances_.sum() == pytest.approx(1.0)
    plain["fitted"]["classes_"] = {"array": [0, 1], "shape": [2], "dtype": "int64"}
    with pytest.raises(ValueError, match="2 classes_"):
        type(model).from_dict(plain)


def test_features_are_transformed_and_named():
    X, y, _ = classes_of()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = fitted(frame, pd.Series(y), feature_output="activation")
    assert (model.transform(frame) >= 0.0).all()
    assert model.get_feature_names_out().tolist() == [
        f"regularizedtwolayerclassifier{j}" for j in range(len(model.features_))
    ]
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(X, y)
    assert pipeline.score(X, y) > 0.6


def test_limits_end_a_fit_with_a_usable_model():
    X, y, _ = classes_of()
    with pytest.warns(ConvergenceWarning, match="max_time"):
        model = fitted(X, y, max_time=1e-6)
    assert np.isfinite(model.predict_proba(X)).all()
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = fitted(X, y, max_iter=5)
    assert model.score(X, y) > 0.5


def test_stages_are_printed(capsys):
    X, y, _ = classes_of(200, 3)
    fitted(X, y, verbose=1)
    line = capsys.readouterr().out
    assert "neurons" in line
    assert "variance" not in line


@BOTH
@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.zeros(40), "at least two classes"),
        (np.linspace(0.0, 1.0, 40), "y"),
        (np.zeros((40, 2)), "y"),
        (np.r_[np.nan, np.zeros(20), np.ones(19)], "y contains NaN"),
        (np.arange(39) % 2, "inconsistent numbers of samples"),
        (None, "requires y to be passed"),
    ],
)
def test_labels_that_are_none_are_refused(model, y, told):
    X = np.random.default_rng(0).standard_normal((40, 2))
    with pytest.raises(ValueError, match=told):
        clone(model).fit(X, y)


@BOTH
@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"class_weight": "equal"}, "class_weight must be 'balanced'"),
        ({"class_weight": [1.0, 2.0]}, "class_weight must be 'balanced'"),
        ({"class_weight": {0: -1.0}}, "class_weight must have finite weights"),
        ({"class_weight": {0: 0.0}}, "these have none: \\[0\\]"),
        ({"class_weight": {"other": 2.0}}, "class_weight"),
        ({"criterion": "best"}, "criterion"),
        ({"linear_decay": -1.0}, "linear_decay"),
        ({"feature_output": "all"}, "feature_output"),
    ],
)
def test_parameters_are_validated(model, parameters, told):
    X, y, _ = classes_of(40, 2)
    model = clone(model).set_params(**parameters)
    with pytest.raises(ValueError, match=told):
        model.fit(X, y)
    assert not hasattr(model, "classes_")


def test_a_decay_of_zero_is_refused():
    X, y, _ = classes_of(100, 2)
    with pytest.raises(ValueError, match="decay of zero"):
        fitted(X, y, schedule=StagedSchedule([0.5, 0.0]))


@pytest.mark.slow
def test_cross_validation_keeps_what_has_the_least_log_loss():
    X, y, _ = classes_of(1500)
    model = RegularizedTwoLayerClassifierCV(random_state=0, lambdas=6).fit(X, y)
    assert model.log_loss_path_.shape == model.n_features_path_.shape == (6, 5)
    assert model.blended_log_loss_path_.shape == (6, 5, 3)
    assert model.debiased_share_ == 1.0
    assert len(model.features_) == 2
    least = np.nanmin(model.log_loss_path_.mean(axis=1))
    assert model.debiased_log_loss_.mean() <= least * 1.015
    assert model.n_iter_ > 0


def test_held_out_errors_are_log_losses():
    X, y, _ = classes_of(240, 3, 3)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    model = RegularizedTwoLayerClassifierCV(
        lambdas=[2.0], cv=folds, debias=False, random_state=0
    ).fit(X, y)
    expected = []
    for train, test in folds.split(X, y):
        peer = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cg")
        share = peer.fit(X[train], y[train]).predict_proba(X[test])
        expected.append(log_loss(y[test], share))
    np.testing.assert_allclose(model.log_loss_path_[0], expected, rtol=1e-6)
    assert np.isnan(model.debiased_log_loss_).all()


@pytest.mark.slow
def test_smooth_classes_keep_a_share_of_the_path():
    """Classes of a function that few directions do not make."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((600, 4))
    score = 4.0 * (np.sin(2.0 * X[:, 0]) * X[:, 1] + X[:, 2] * X[:, 3])
    y = score + generator.logistic(size=600) > 0.0
    model = RegularizedTwoLayerClassifierCV(random_state=0, lambdas=8, cv=3).fit(X, y)
    assert model.debiased_share_ < 1.0
    assert "certificate" in model.summary()
    linear = model.log_loss_path_[0].mean()
    assert np.nanmin(model.log_loss_path_.mean(axis=1)) < 0.9 * linear


def test_folds_need_each_class_in_training_rows():
    X, y, _ = classes_of(90, 3, 3)
    order = np.argsort(y, kind="stable")
    model = RegularizedTwoLayerClassifierCV(cv=KFold(3), lambdas=[1.0])
    with pytest.raises(ValueError, match="fold 0 of cv has none of: \\[0\\]"):
        model.fit(X[order], np.sort(np.repeat([0, 1, 2], 30)))


def test_groups_go_to_the_splitter():
    X, y, _ = classes_of(200, 3)
    groups = np.arange(200) // 10
    model = RegularizedTwoLayerClassifierCV(
        cv=GroupKFold(3), lambdas=[1.0, 0.2], random_state=0
    )
    assert model.fit(X, y, groups=groups).log_loss_path_.shape == (2, 3)
    with pytest.raises(TypeError, match="unexpected arguments"):
        model.fit(X, y, other=groups)
