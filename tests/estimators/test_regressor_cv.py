import copy
import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions


def noisy(seed=0, n_samples=400, noise=0.3, **parameters):
    return make_two_layer_regression(
        n_samples, 4, n_directions=2, noise=noise, random_state=seed, **parameters
    )


def quick(**parameters):
    defaults = {"lambdas": [1.0, 0.5, 0.25, 0.12], "cv": 3, "random_state": 0}
    return RegularizedTwoLayerRegressorCV(**{**defaults, **parameters})


@pytest.mark.parametrize("seed", range(3))
def test_noisy_teachers_are_found(seed):
    X, y, teacher = noisy(seed, n_samples=1000, return_teacher=True)
    model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
    fresh = np.random.default_rng(seed).standard_normal((2000, 4))
    risk = np.mean((model.predict(fresh) - teacher.predict(fresh)) ** 2)
    # Two directions of five parameters: least squares from the truth has about this.
    assert risk < 4 * 0.3**2 * 10 / 1000
    if model.n_averaged_ == 1 and model.debiased_share_ == 1.0:
        match = match_directions(model.features_, teacher.directions)
        assert match.n_missed == match.n_spurious == 0


@pytest.mark.parametrize(
    "weighted", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_errors_are_those_of_fits_by_hand_on_the_same_folds(weighted):
    X, y = noisy()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X)) if weighted else None
    folds = KFold(3, shuffle=True, random_state=1)
    model = quick(cv=folds).fit(X, y, weights)
    fractions = np.array(model.lambdas)
    np.testing.assert_allclose(model.lambdas_, model.lambda_max_ * fractions)
    n_compared = 0
    for k, (train, test) in enumerate(folds.split(X)):
        share = None if weights is None else weights[test]
        of_train = None if weights is None else weights[train]

        def error(fitted, test=test, share=share):
            return np.average((y[test] - fitted.predict(X[test])) ** 2, weights=share)

        for i in range(len(fractions)):
            by_hand = RegularizedTwoLayerRegressor(
                schedule=StagedSchedule(fractions[: i + 1]), solver="fast",
                random_state=0,
            ).fit(X[train], y[train], of_train)  # fmt: skip
            if np.isfinite(model.mse_path_[i, k]):
                n_compared += 1
                # Rounding decides which kinks unfinished descents stop at.
                np.testing.assert_allclose(
                    model.mse_path_[i, k], error(by_hand), rtol=0.02
                )
                n_features = model.n_features_path_[i, k]
                assert abs(n_features - len(by_hand.features_)) <= 3
        # Solved to a small gap, a stage is another network, but not a much better one.
        exact = by_hand.set_params(solver="newton").fit(X[train], y[train], of_train)
        if np.isfinite(model.mse_path_[-1, k]):
            assert model.mse_path_[-1, k] == pytest.approx(error(exact), rel=0.05)
        plain = RegularizedTwoLayerRegressor(random_state=0)
        plain.fit(X[train], y[train], of_train)
        assert model.debiased_mse_[k] == pytest.approx(error(plain), rel=0.05)

    assert n_compared >= 9
    # The error of a mean is quadratic in its share: three shares, one cross term.
    shares = np.array([0.25, 0.5, 0.75])
    rest = 1.0 - shares
    alone = model.mse_path_[:, :, np.newaxis]
    averaged = (model.averaged_mse_ + model.ambiguity_)[:, np.newaxis]
    blended = model.blended_mse_path_ + shares**2 * model.ambiguity_
    cross = (blended - rest**2 * alone - shares**2 * averaged) / (2 * shares * rest)
    assert np.isfinite(cross[0]).all()
    np.testing.assert_allclose(cross, cross[:, :, :1].repeat(3, axis=2), rtol=1e-9)


@pytest.mark.slow
def test_the_kept_network_is_the_one_that_the_errors_speak_for():
    X, y = noisy()
    model = quick(debias=False).fit(X, y)
    assert model.debiased_share_ == 0.0
    assert model.n_averaged_ == model.ambiguity_ == 0
    assert np.isnan(model.debiased_mse_).all()
    assert np.isnan(model.averaged_mse_).all()
    assert np.isnan(model.blended_mse_path_).all()
    best = np.nanargmin(model.mse_path_.mean(axis=1))
    assert model.lambda_ == pytest.approx(model.lambdas_[best])
    path = two_layer_path(
        X, y, schedule=StagedSchedule(model.lambdas[: best + 1]), tol=1e-3,
        random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(
        model.predict(X), path.networks[-1].predict(X), atol=0.1 * y.std()
    )
    strict = quick(debias=False, tol=1e-3).fit(X, y)
    np.testing.assert_array_equal(strict.mse_path_, model.mse_path_)
    assert strict.dual_gap_ <= 1e-3 * strict.history_["objective"][-1]
    assert strict.certificate_ < 1.02


@pytest.mark.slow
def test_the_mean_with_the_least_error_has_the_neurons_of_all():
    shares = set()
    for noise, seed in [(0.5, 0), (1.0, 0), (1.0, 1), (1.0, 2)]:
        X, y = make_two_layer_regression(
            400, 10, subspace_dim=3, n_directions=3, noise=noise, random_state=seed
        )
        model = RegularizedTwoLayerRegressorCV(lambdas=8, random_state=0).fit(X, y)
        share = model.debiased_share_
        shares.add((share, model.n_averaged_ > 1))
        blended = np.nanmin(model.blended_mse_path_.mean(axis=1), axis=0)
        averaged = [np.nanmin(model.mse_path_.mean(axis=1)), *blended]
        least = min(*averaged, model.averaged_mse_.mean())
        errors = dict(zip([0.0, 0.25, 0.5, 0.75], averaged, strict=True))
        errors[1.0] = model.averaged_mse_.mean()
        if share == 1.0 and model.n_averaged_ == 1:
            assert model.debiased_mse_.mean() <= 1.02 * least
            continue
        assert errors[share] == least < model.debiased_mse_.mean() / 1.02
        assert model.n_averaged_ == (18 if share else 0)
        if share:
            plain = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
            match = match_directions(model.features_, plain.features_)
            np.testing.assert_allclose(match.angles, 0.0, atol=1e-6)
            n_regularized = model.history_["n_neurons"][-1] if share < 1 else 0
            assert len(model.features_) > n_regularized + len(plain.features_)
            assert len(model.features_) >= n_regularized + sum(
                model.debiased_n_features_
            )
    assert len(shares) > 1
    assert any(averaged for _, averaged in shares)


@pytest.mark.slow
def test_a_mean_predicts_the_mean_of_its_networks():
    """Of fits on the folds and on all rows, at all penalties; about, by its linear
    part, which is fitted anew."""
    X, y = make_two_layer_regression(
        400, 10, subspace_dim=3, n_directions=3, noise=0.5, random_state=2
    )
    folds = KFold(3)
    model = quick(cv=folds, lambdas=[1.0]).fit(X, y)
    assert (model.debiased_share_, model.n_averaged_) == (1.0, 12)
    first = [
        RegularizedTwoLayerRegressor(random_state=0).fit(X[train], y[train])
        for train, _ in [*folds.split(X), (slice(None), None)]
    ]
    predictions = np.array([fitted.predict(X) for fitted in first])
    scale = (model.predict(X) - predictions.mean(axis=0)).std()
    assert scale < 0.5 * predictions.std(axis=0).mean()
    of_folds = predictions[:-1].var(axis=0).mean()
    assert 0.5 * of_folds < model.ambiguity_ < 2.0 * of_folds


@pytest.mark.parametrize("hidden_bias", [False, True])
def test_exact_networks_are_not_averaged(hidden_bias):
    X, y, teacher = noisy(noise=0.0, return_teacher=True)
    model = quick(hidden_bias=hidden_bias).fit(X, y)
    assert (model.debiased_share_, model.n_averaged_) == (1.0, 1)
    match = match_directions(model.features_, teacher.directions)
    assert match.n_missed == match.n_spurious == 0
    assert match.angles.max() < 1e-6


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))]
)
@pytest.mark.parametrize("linear", [False, True])
def test_without_structure_there_are_no_features(seed, linear):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((300, 4))
    y = generator.standard_normal(300) + (X.sum(axis=1) if linear else 0.0)
    model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
    assert model.features_.shape == (0, 4)
    assert model.lambda_ == pytest.approx(model.lambda_max_)


def test_paths_end_when_the_error_has_stopped_falling():
    X, y = noisy(n_samples=150, noise=2.0)
    model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
    n_stages = np.isfinite(model.mse_path_).sum(axis=0)
    # All are as long as the shortest, whose last two stages lowered no error.
    count = n_stages[0]
    assert (n_stages == count).all()
    assert count < 16
    even = model.blended_mse_path_[:count, :, 1]
    ended = [
        count >= max(np.argmin(column) for column in pair) + 3
        for pair in zip(model.mse_path_[:count].T, even.T, strict=True)
    ]
    assert any(ended)
    np.testing.assert_array_equal(
        np.isfinite(model.blended_mse_path_),
        np.isfinite(model.mse_path_)[:, :, np.newaxis].repeat(3, axis=2),
    )


def test_n_jobs_changes_nothing():
    X, y = noisy()
    serial, parallel = (quick(n_jobs=n).fit(X, y) for n in (None, 2))
    np.testing.assert_array_equal(serial.mse_path_, parallel.mse_path_)
    np.testing.assert_array_equal(serial.features_, parallel.features_)


def test_groups_reach_the_splitter():
    X, y = noisy()
    groups = np.arange(len(X)) % 4
    explicit = list(GroupKFold(4).split(X, y, groups))
    expected = quick(cv=explicit, debias=False).fit(X, y)
    found = quick(cv=GroupKFold(4), debias=False).fit(X, y, groups=groups)
    np.testing.assert_array_equal(found.mse_path_, expected.mse_path_)
    with pytest.raises(TypeError, match="group"):
        quick().fit(X, y, group=groups)


@pytest.mark.slow
def test_metadata_is_routed():
    X, y = noisy()
    groups = np.arange(len(X)) % 4
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    expected = quick(cv=GroupKFold(4), debias=False)
    expected.fit(X, y, weights, groups=groups)
    with config_context(enable_metadata_routing=True):
        inner = clone(expected).set_fit_request(sample_weight=True)
        inner.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, inner)
        pipeline.fit(X, y, sample_weight=weights, groups=groups)
        scores = cross_validate(
            inner, X, y, cv=3, params={"sample_weight": weights, "groups": groups},
            error_score="raise",
        )  # fmt: skip
    np.testing.assert_allclose(
        pipeline[-1].mse_path_, expected.mse_path_, rtol=0.05, equal_nan=True
    )
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize("n_targets", [1, 2])
def test_shapes_pickle_and_clone(n_targets):
    X, y = noisy(n_targets=n_targets)
    model = quick().fit(X, y)
    assert model.mse_path_.shape == model.n_features_path_.shape == (4, 3)
    assert model.debiased_mse_.shape == model.debiased_n_features_.shape == (3,)
    assert model.predict(X).shape == y.shape
    assert model.transform(X).shape == (len(X), len(model.features_))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))


def test_verbose_prints_a_line_a_stage(capsys):
    X, y = noisy()
    model = quick(verbose=1, debias=False).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    stages = [line for line in lines if line.startswith("lambda/lambda_max")]
    assert len(stages) == len(model.history_["lambda_"])


BAD = [
    ("lambdas", 0), ("lambdas", []), ("lambdas", [0.1, 0.5]), ("lambdas", [1.0, 0.0]),
    ("lambdas", "many"), ("lambdas", True), ("eps", 0.0), ("eps", 1.0), ("cv", "five"),
    ("debias", True), ("debias", "yes"), ("one_standard_error", 1), ("tol", -1.0),
    ("max_features", 0),
    ("criterion", "hqic"), ("n_neurons", 0), ("hidden_bias", None), ("max_iter", 0),
    ("device", "abacus"), ("dtype", "int"), ("random_state", "x"), ("verbose", -1),
    ("feature_output", "all"),
]  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    X, y = noisy(n_samples=100)
    return X, y, quick(lambdas=2, eps=0.3).fit(X, y)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_errors_name_the_parameter_and_leave_the_model(name, value, fitted):
    X, y, model = copy.deepcopy(fitted)
    before = model.predict(X)
    model.set_params(**{name: value})
    with pytest.raises((TypeError, ValueError), match=f"{name}|cross-validation"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_weights_that_empty_a_fold_are_refused():
    X, y = noisy(n_samples=90)
    weights = np.ones(90)
    weights[:30] = 0.0
    with pytest.raises(ValueError, match="sample_weight"):
        quick(cv=KFold(3)).fit(X, y, weights)
    with pytest.raises(ValueError, match="cv"):
        quick(cv=[]).fit(X, y)


def test_folds_are_shuffled_by_the_random_state():
    X, y = noisy(n_samples=90)
    order = np.argsort(X[:, 0])
    X, y = X[order], y[order]

    def errors(cv, random_state=0):
        model = quick(
            cv=cv, random_state=random_state, lambdas=[1.0, 0.5], debias=False,
            direction_penalty="l2",
        )  # fmt: skip
        return model.fit(X, y).mse_path_

    for cv, n_splits in ((None, 5), (3, 3)):
        found = errors(cv)
        assert found.shape[1] == n_splits
        np.testing.assert_array_equal(found, errors(cv))
        other, sorted_folds = errors(cv, random_state=1), errors(KFold(n_splits))
        assert not np.allclose(found[0], other[0])
        assert not np.allclose(found[0], sorted_folds[0])
