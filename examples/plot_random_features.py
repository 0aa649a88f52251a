"""
Random features, the tangent kernel, and features that are learned
==================================================================

A wide network can be fitted without moving its hidden weights. They stay random, and
only the output layer is fitted: *random features*. One can also let all weights move by
so little that the network is linear in the change: the *tangent kernel*. Both are ridge
regressions on fixed features, and scikit-learn fits them. Here they are compared with a
network of the same width whose directions are found.
"""

# %%
# The data come from a network of four neurons in twenty inputs, the teacher, with a
# little noise. The test error is the mean squared distance to the teacher on fresh
# rows, as a share of the teacher's variance.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression

X, y, teacher = make_two_layer_regression(
    2000, 20, n_directions=4, subspace_dim=3, noise=0.1, return_teacher=True,
    random_state=0,
)  # fmt: skip
rng = np.random.default_rng(1)
X_fresh = rng.standard_normal((2000, 20))
truth = teacher.predict(X_fresh)

# %%
# A neuron with the weights ``w`` is ``a * max(0, w @ x)``. Its derivative by ``a`` is
# the activation ``max(0, w @ x)``, a random feature. Its derivatives by ``w`` are the
# inputs where the neuron is active, and zero elsewhere. The tangent kernel has both
# kinds of feature, 21 for each neuron. All models have the inputs besides, as a linear
# part.


def random_features(inputs, weights):
    return np.hstack([inputs, np.maximum(inputs @ weights.T, 0)])


def tangent_features(inputs, weights):
    is_active = inputs @ weights.T > 0
    slopes = (is_active[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
    return np.hstack([random_features(inputs, weights), slopes / np.sqrt(20)])


def test_errors(n_rows, n_neurons):
    """Of random features, of the tangent kernel, and of the estimator."""
    predictions = []
    weights = rng.standard_normal((n_neurons, 20))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    for features in (random_features, tangent_features):
        ridge = RidgeCV(np.logspace(-2, 4, 13))
        ridge.fit(features(X[:n_rows], weights), y[:n_rows])
        predictions.append(ridge.predict(features(X_fresh, weights)))
    model = RegularizedTwoLayerRegressor(n_neurons=n_neurons, random_state=0)
    predictions.append(model.fit(X[:n_rows], y[:n_rows]).predict(X_fresh))
    return [np.mean((f - truth) ** 2) / truth.var() for f in predictions]


# %%
# First the width changes, at 1000 rows; then the number of rows, at 64 neurons. The
# estimator keeps at most as many neurons as it is given.

names = ("random features", "tangent kernel", "learned directions")
widths = [2, 4, 8, 16, 32, 64, 128, 256]
numbers_of_rows = [250, 500, 1000, 2000]
by_width = np.array([test_errors(1000, width) for width in widths])
by_rows = np.array([test_errors(n_rows, 64) for n_rows in numbers_of_rows])
for title, sizes, errors in (
    ("neurons, 1000 rows", widths, by_width),
    ("rows, 64 neurons", numbers_of_rows, by_rows),
):
    print(f"{title:20s}" + "".join(f"{name:>20s}" for name in names))
    for size, row in zip(sizes, errors, strict=True):
        print(f"{size:18d}  " + "".join(f"{error:20.4f}" for error in row))

# %%
# With fixed features the error falls slowly, with the width as with the rows: they are
# spread over all twenty inputs, and only three directions count. The tangent kernel is
# better than random features at the same width, because it has twenty-one features for
# each of theirs. Where directions are learned, four neurons are enough. More of them do
# not help, and more rows do: the error halves from 1000 rows to 2000.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True
)
colors = ("#999999", "#E69F00", "#0072B2")
for panel, sizes, errors, label in (
    (left, widths, by_width, "neurons (of 1000 rows)"),
    (right, numbers_of_rows, by_rows, "rows (of 64 neurons)"),
):
    for name, values, color in zip(names, errors.T, colors, strict=True):
        panel.loglog(sizes, values, "o-", color=color, label=name)
    panel.set(xlabel=label)
    panel.set_xticks(sizes, labels=sizes)
    panel.minorticks_off()
left.set(ylabel="test error / variance")
right.legend(frameon=False, loc="center right")
plt.show()
