"""Standard errors against plain formulas with numerical derivatives."""

import numpy as np
import pytest
from scipy.stats import f, norm, t

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import direction_errors

NAMES = ["features", "feature_intercepts", "amplitudes"]


class Plain:
    """Derivatives and errors by finite differences, in the units of the data."""

    def __init__(self, model, X, y, weights, groups, step=1e-6):
        self.shapes = [
            model.features_, model.feature_intercepts_, model.amplitudes_,
            model.linear_coef_, np.atleast_1d(model.linear_intercept_),
        ]  # fmt: skip
        self.X, self.sizes = X, [v.size for v in self.shapes]
        self.n_targets = len(np.atleast_2d(model.linear_coef_))
        self.ends = np.cumsum(self.sizes)
        theta = np.concatenate([v.ravel() for v in self.shapes])
        self.J = np.stack(
            [
                (self.predict(theta + h) - self.predict(theta - h)) / (2 * step)
                for h in step * np.eye(len(theta))
            ],
            axis=-1,
        )
        n, k, size = self.J.shape
        n_out, n_in = model.features_.shape
        # Directions move along the sphere, and absent biases not at all.
        free = np.eye(size)
        for j, u in enumerate(model.features_):
            own = slice(j * n_in, (j + 1) * n_in)
            free[own, own] -= np.outer(u, u)
        if not model.hidden_bias:
            own = np.arange(n_out * n_in, n_out * (n_in + 1))
            free[own, own] = 0.0
        self.free = free
        weights = weights / weights.max()
        J = self.J @ free * np.sqrt(weights)[:, None, None]
        r = (y - model.predict(X)).reshape(n, k) * np.sqrt(weights)[:, None]
        bread = np.linalg.pinv(np.einsum("nkp,nkq->pq", J, J), rcond=1e-11)
        e = np.empty_like(r)
        for group in np.unique(groups):
            own = groups == group
            Q = J[own].reshape(-1, size)
            e[own] = np.linalg.solve(
                np.eye(len(Q)) - Q @ bread @ Q.T, r[own].ravel()
            ).reshape(-1, k)
        scores = np.einsum("nkp,nk->np", J, e)
        g = np.einsum("nkp,nk->p", J, r)
        B = np.outer(g, g)
        for group in np.unique(groups):
            own = scores[groups == group].sum(axis=0)
            B += np.outer(own, own)
        C = bread @ B @ bread
        B = B + self.moved(model, C, e * np.sqrt(weights)[:, None], groups)
        self.covariance = bread @ B @ bread

    def predict(self, theta):
        w, b, a, coef, constant = (
            v.reshape(s.shape)
            for v, s in zip(np.split(theta, self.ends[:-1]), self.shapes, strict=True)
        )
        hidden = np.maximum(self.X @ w.T + b, 0) @ a.reshape(len(w), -1)
        return hidden + self.X @ np.atleast_2d(coef).T + constant

    def moved(self, model, C, e, groups):
        """Variance of what a change of the parameters does to the scores."""
        X, free, q = self.X, self.free, self.n_targets
        n_out, n_in = model.features_.shape
        z = X @ model.features_.T + model.feature_intercepts_
        size = len(C)
        total = np.zeros_like(C)
        inputs = np.hstack([X, np.ones((len(X), 1))])
        amplitudes = model.amplitudes_.reshape(n_out, q)
        places = [
            np.append(np.arange(j * n_in, (j + 1) * n_in), n_out * n_in + j)
            for j in range(n_out)
        ]
        first = n_out * (n_in + 1)
        for group in np.unique(groups):
            own = np.flatnonzero(groups == group)
            bend = np.zeros((size, size))
            for i in own:
                for j, place in enumerate(places):
                    if z[i, j] > 0:
                        for k in range(q):
                            at = first + j * q + k
                            bend[at, place] += e[i, k] * inputs[i]
                            bend[place, at] += e[i, k] * inputs[i]
            bend = free @ bend @ free
            total += bend @ C @ bend.T
            for j, place in enumerate(places):
                turn = (free @ C @ free)[np.ix_(place, place)]
                sd = np.sqrt(np.einsum("na,ab,nb->n", inputs, turn, inputs))
                p = norm.cdf(-np.abs(z[:, j]) / sd)
                pull = np.zeros((len(X), size))
                pull[:, place] = (e @ amplitudes[j])[:, None] * inputs
                pull = pull @ free
                for i in own:
                    for k in own:
                        if (z[i, j] > 0) == (z[k, j] > 0):
                            total += min(p[i], p[k]) * np.outer(pull[i], pull[k])
        return total

    def pvalue(self, column, free):
        """Wald's test of the loadings and linear coefficients of an input."""
        n_out, n_in = self.shapes[0].shape
        coefs = self.ends[2] + np.arange(self.n_targets) * n_in
        places = np.append(coefs, np.arange(n_out) * n_in) + column
        values = np.concatenate([v.ravel() for v in self.shapes])[places]
        covariance = self.covariance[np.ix_(places, places)]
        statistic = values @ np.linalg.solve(covariance, values)
        return f.sf(statistic / len(places), len(places), free)

    def errors(self):
        found = np.split(
            np.sqrt(np.maximum(self.covariance.diagonal(), 0)), self.ends[:3]
        )
        return [
            v.reshape(s.shape) for v, s in zip(found[:3], self.shapes[:3], strict=True)
        ]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("grouped", [False, True])
def test_errors_are_those_of_plain_formulas(seed, n_targets, hidden_bias, grouped):
    """Theory eq. 20 and 21, of standardised columns with numerical derivatives."""
    rng = np.random.default_rng(seed)
    X, y = make_two_layer_regression(
        150, 3, n_directions=2, n_targets=n_targets, noise=0.3, min_angle=0.8,
        random_state=seed,
    )  # fmt: skip
    weights = rng.uniform(0.5, 2.0, len(y))
    X -= np.average(X, axis=0, weights=weights)
    X /= np.sqrt(np.average(X**2, axis=0, weights=weights))
    model = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    model.fit(X, y, sample_weight=weights)
    groups = rng.permutation(np.arange(len(y)) // 5) if grouped else np.arange(len(y))
    errors = direction_errors(
        model, X, y, sample_weight=weights, groups=groups if grouped else None
    )
    plain = Plain(model, X, y, weights, groups)
    for name, values in zip(NAMES, plain.errors(), strict=True):
        np.testing.assert_allclose(
            getattr(errors, name), values, rtol=2e-4, atol=1e-9, err_msg=name
        )
    free = degrees_of_freedom(model, X, y, weights)
    free = len(np.unique(groups)) - 1 if grouped else free
    for column in range(3):
        np.testing.assert_allclose(
            errors.input_pvalues[column], plain.pvalue(column, free),
            rtol=0.05, atol=1e-12,
        )  # fmt: skip
    z = errors.loadings / errors.loading_errors
    np.testing.assert_allclose(errors.loading_pvalues, 2 * t.sf(np.abs(z), free))


def degrees_of_freedom(model, X, y, weights):
    """Rows by their noise (16), less the parameters of one output."""
    squares = (y - model.predict(X)).reshape(len(y), -1) ** 2
    weighted = weights * squares.sum(axis=1)
    n_rows = min(len(y), weighted.sum() * weights.sum() / np.sum(weights * weighted))
    n_out, n_in = model.features_.shape
    inner = n_out * (n_in - 1 + model.hidden_bias)
    return n_rows - (n_out + n_in + 1) - inner / squares.shape[1]
