"""Columns weighted by what an earlier network makes of them."""

import numpy as np
import pytest
from conftest import make_rows
from sklearn.base import clone

from sklearn_twolayer import (
    RegularizedTwoLayerClassifierCV,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer._cross_validation import compare as compare_module
from sklearn_twolayer._cross_validation.column_weights import column_weights
from sklearn_twolayer.datasets import make_two_layer_regression

QUICK = RegularizedTwoLayerRegressorCV(lambdas=6, eps=1e-2, cv=3, random_state=0)


def three_columns(n_rows=150, n_columns=60, seed=0):
    """Three relevant columns, two of them in one kink, and fresh rows."""
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows + 1000, n_columns))
    clean = 2.0 * np.maximum(X[:, 0] + X[:, 1], 0.0) + X[:, 2]
    y = clean + 0.3 * clean.std() * generator.standard_normal(len(X))
    return X[:n_rows], y[:n_rows], X[n_rows:], clean[n_rows:]


def test_weights_are_importances_without_the_small_ones():
    weights = column_weights(np.array([0.5, 0.25, 0.004, 0.0]))
    np.testing.assert_array_equal(weights, [1.0, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(column_weights(np.zeros(3)), np.ones(3))


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("n_columns", [6, 30])
def test_weighted_columns_are_columns_times_their_weights(hidden_bias, n_columns):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((20, n_columns))
    y = generator.standard_normal(20)
    weights = generator.uniform(0.1, 1.0, n_columns)
    weights[::3] = 0.0
    size = X.std(axis=0) if hidden_bias else np.sqrt(np.square(X).mean(axis=0))
    shared = {"hidden_bias": hidden_bias, "linear_decay": 0.4}
    rows = make_rows(X, y, column_weights=weights, **shared)
    kept = weights > 0.0
    scaled = X[:, kept] / size[kept] * weights[kept]
    by_hand = make_rows(scaled, y, standardize=False, **shared)
    np.testing.assert_array_equal(rows.units.columns.kept, np.flatnonzero(kept))
    np.testing.assert_allclose(rows.spectrum.squares, by_hand.spectrum.squares)
    assert rows.units.target_scale == pytest.approx(by_hand.units.target_scale)
    hidden, amplitudes = generator.standard_normal((2, rows.n_inputs)), np.ones((2, 1))
    linear = np.zeros((kept.sum() + 1, 1))
    fitted, expected = (
        one.units.to_user(hidden, amplitudes, linear, single_output=True)
        for one in (rows, by_hand)
    )
    np.testing.assert_allclose(fitted.predict(X), expected.predict(scaled), atol=1e-10)
    assert not fitted.features[:, ~kept].any()
    back, effects = rows.units.from_user(fitted)
    order = np.argsort(-np.linalg.norm(hidden, axis=1))
    np.testing.assert_allclose(np.abs(back * effects), np.abs(hidden[order]))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_few_columns_are_found_among_many(seed):
    X, y, X_new, y_new = three_columns(seed=seed)
    plain = clone(QUICK).set_params(direction_penalty="l2").fit(X, y)
    model = clone(QUICK).fit(X, y)
    assert (plain.column_weights_ == 1.0).all()
    assert set(np.argsort(-model.column_weights_)[:3]) == {0, 1, 2}
    assert (model.column_weights_ == 0.0).sum() >= 20
    assert not model.features_[:, model.column_weights_ == 0.0].any()
    # The error is at most a third of that without weights.
    assert 1.0 - model.score(X_new, y_new) < (1.0 - plain.score(X_new, y_new)) / 3.0


@pytest.mark.parametrize(
    "loss", ["log_loss", pytest.param("poisson", marks=pytest.mark.slow)]
)
def test_few_columns_are_found_among_many_with_a_loss(loss, capsys):
    X, _, X_new, _ = three_columns(300, 20)
    score = 4.0 * np.maximum(X[:, 0] + X[:, 1], 0.0) + X[:, 2] - 2.0
    generator = np.random.default_rng(0)
    shared = {"cv": 2, "random_state": 0, "debias": False, "column_transform": None}
    shared |= {"lambdas": [1.0, 0.3], "direction_penalty": "adaptive", "verbose": 1}
    if loss == "log_loss":
        y = score + generator.logistic(size=300) > 0.0
        model = RegularizedTwoLayerClassifierCV(**shared).fit(X, y)
    else:
        y = generator.poisson(np.exp(0.3 * score))
        model = RegularizedTwoLayerRegressorCV(loss=loss, **shared).fit(X, y)
    assert model.column_weights_[:2].min() > 1.5 * model.column_weights_[3:].max()
    told = [line.split(" of ")[0] for line in capsys.readouterr().out.splitlines()]
    told = [line for line in told if line.startswith("folds")]
    assert len(set(told)) == len(told)  # Each fold of each round has its own line.
    rounds = ["folds", "folds, column weights 1"]
    rounds += [f"{name}, linear decay x 10" for name in rounds]
    assert {f"{name}: {k}" for name in rounds for k in (1, 2)} <= set(told)
    outputs = model.decision_function if loss == "log_loss" else model.predict_link
    score = 4.0 * np.maximum(X_new[:, 0] + X_new[:, 1], 0.0) + X_new[:, 2]
    plain = clone(model).set_params(direction_penalty="l2").fit(X, y)
    assert (plain.column_weights_ == 1.0).all()
    of_plain = plain.decision_function if loss == "log_loss" else plain.predict_link
    fits = [np.corrcoef(f(X_new), score)[0, 1] for f in (outputs, of_plain)]
    assert fits[0] > fits[1]


def test_noise_and_few_directions_have_no_weights():
    generator = np.random.default_rng(0)
    X, noise = generator.standard_normal((90, 30)), generator.standard_normal(90)
    assert (clone(QUICK).fit(X, noise).column_weights_ == 1.0).all()
    X, y = make_two_layer_regression(600, 5, n_directions=2, noise=0.3, random_state=0)
    model = clone(QUICK).fit(X, y)
    assert model.debiased_share_ == 1.0
    assert (model.column_weights_ == 1.0).all()


def test_columns_that_do_not_matter_weigh_little_where_rows_are_many():
    X, y, X_new, y_new = three_columns(n_rows=200, n_columns=5)
    model = clone(QUICK).fit(X, y)
    plain = clone(QUICK).set_params(direction_penalty="l2").fit(X, y)
    assert model.column_weights_[3:].max() < 0.3 * model.column_weights_[:3].min()
    assert model.score(X_new, y_new) > plain.score(X_new, y_new)


@pytest.mark.slow
def test_weights_of_a_fold_do_not_depend_on_its_held_out_rows(monkeypatch):
    """Held-out rows that are changed change no weights of their own fold."""
    X, y, *_ = three_columns()
    halves = [(np.arange(75), np.arange(75, 150)), (np.arange(75, 150), np.arange(75))]

    def weights_of_first_fold(y):
        seen = []
        follow = compare_module.follow_folds

        def recorded(kind, X, y, weights, splits, options, *others, **named):
            seen.append(options[0].column_weights)
            return follow(kind, X, y, weights, splits, options, *others, **named)

        with monkeypatch.context() as patch:
            patch.setattr(compare_module, "follow_folds", recorded)
            patch.setattr(compare_module, "MOST_REWEIGHTINGS", 1)
            choice = {"lambdas": [1.0, 0.5], "debias": False, "cv": halves}
            model = clone(QUICK).set_params(direction_penalty="adaptive", **choice)
            model.fit(X, y)
        return next(weights for weights in seen if weights is not None), model

    changed = y.copy()
    changed[75:] += 1e-3 * np.sin(np.arange(75))
    (first, model), (second, again) = map(weights_of_first_fold, (y, changed))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(model.predict(X), again.predict(X))


def test_an_unknown_penalty_is_refused():
    X, y, *_ = three_columns(n_rows=30, n_columns=4)
    with pytest.raises(ValueError, match="direction_penalty must be"):
        clone(QUICK).set_params(direction_penalty="l1").fit(X, y)
