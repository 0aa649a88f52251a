"""Repeated rows count once where rows are few."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer._rows.distinct import ROWS_PER_INPUT, distinct_weights
from sklearn_twolayer._rows.parts import LocalParts
from sklearn_twolayer._rows.raw import RawPart


def drawn(n_rows=30, n_columns=12, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows, n_columns))
    return X, X[:, 0] + generator.standard_normal(n_rows)


def weights_of(X, y, weights):
    return distinct_weights(LocalParts(RawPart.of(X, y[:, None], weights)), X.shape[1])


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_of_repeated_rows_are_added_up(container, seed):
    X, y = drawn(seed=seed)
    X[X < -1.0] = 0.0
    counts = np.random.default_rng(seed).integers(0, 4, len(X))
    weighted = weights_of(container(X), y, counts.astype(float))
    repeated = weights_of(
        container(X.repeat(counts, axis=0)), y.repeat(counts), np.ones(counts.sum())
    )
    expected = counts[counts > 0]
    np.testing.assert_allclose(np.sort(weighted) * counts.max(), np.sort(expected))
    np.testing.assert_allclose(np.sort(repeated), np.sort(expected))


def test_a_target_or_an_entry_makes_a_row_different_but_the_sign_of_zero_does_not():
    X, y = np.zeros((4, 3)), np.zeros(4)
    X[1, 0] = -0.0
    X[2, 1] = 1e-300
    y[3] = 1e-300
    assert len(weights_of(X, y, np.ones(4))) == 3


def test_many_different_rows_are_not_counted():
    X, y = drawn(n_rows=int(ROWS_PER_INPUT) * 2 + 1, n_columns=2)
    assert weights_of(X, y, np.ones(len(X))) is None
    assert len(weights_of(X[:-1], y[:-1], np.ones(len(X) - 1))) == len(X) - 1
    # Whether there are many does not depend on how often each is given.
    assert len(weights_of(X[:3].repeat(20, axis=0), y[:3].repeat(20), np.ones(60))) == 3


def test_a_row_given_twice_is_a_row_of_weight_two():
    X, y = drawn()
    counts = np.random.default_rng(1).integers(0, 4, len(X))
    fit = RegularizedTwoLayerRegressor(random_state=0).fit
    weighted = fit(X, y, sample_weight=counts).linear_decay_, fit(X, y, counts)
    repeated = fit(X.repeat(counts, axis=0), y.repeat(counts))
    assert weighted[0] == pytest.approx(repeated.linear_decay_, rel=1e-9)
    assert weighted[0] > 0.0
    np.testing.assert_allclose(weighted[1].predict(X), repeated.predict(X), rtol=1e-9)
