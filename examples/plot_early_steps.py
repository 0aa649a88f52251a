"""
Two early steps, on the same rows and on new ones
=================================================

One gradient step turns random directions towards those that the target depends on. A
second step turns them further. Does it matter whether it sees the same rows again, or
new ones? For many targets it does not. For those that a single step hardly sees, it
does.
"""

# %%
# Three targets of fifty inputs. In *ReLUs* each of three directions has a term that one
# step sees. The other two are harder. Their *information exponent* is 3: no polynomial
# of a lower degree correlates with them. A step from random directions then moves less
# the more inputs there are.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

n_samples, n_features, n_neurons, n_draws = 5000, 50, 60, 12
targets = {
    "ReLUs": (3, lambda z: np.maximum(z, 0.0).sum(axis=1)),
    "product of three": (3, lambda z: z[:, 0] * z[:, 1] * z[:, 2]),
    "cubic of one": (1, lambda z: z[:, 0] ** 3 - 3.0 * z[:, 0]),
}

# %%
# The target depends on the first inputs only, and the linear part is subtracted, as in
# the fit of a network. A step with a decay of one over the step size removes the old
# weights and leaves the gradient. Its length does not matter.


def draw(rng, n_relevant, function):
    X = rng.standard_normal((n_samples, n_features))
    y = function(X[:, :n_relevant])
    return X, y - LinearRegression().fit(X, y).predict(X)


def early_step(X, residual, directions):
    gradients = ((X @ directions.T > 0) * residual[:, None]).T @ X
    return gradients / np.linalg.norm(gradients, axis=1, keepdims=True)


# %%
# The share of a direction that lies in the relevant inputs is the sum of its squares
# there. The table and the picture show its mean over neurons and draws of the data.


def shares(n_relevant, function, n_steps, *, reuse, seed):
    """The mean share after each step, with the same rows in all steps or new ones."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n_neurons, n_features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    means, rows = [], None
    for _ in range(n_steps + 1):
        means.append((directions[:, :n_relevant] ** 2).sum(axis=1).mean())
        if rows is None or not reuse:
            rows = draw(rng, n_relevant, function)
        directions = early_step(*rows, directions)
    return means


n_steps = 6
curves = {
    (name, reuse): np.mean(
        [shares(*target, n_steps, reuse=reuse, seed=k) for k in range(n_draws)], axis=0
    )
    for name, target in targets.items()
    for reuse in (True, False)
}
print("target            rows     start   one step   two steps   six steps")
for (name, reuse), means in curves.items():
    start, one, two, last = (means[k] for k in (0, 1, 2, n_steps))
    rows = "same" if reuse else "new"
    print(f"{name:17s} {rows:4s} {start:9.3f} {one:10.3f} {two:11.3f} {last:11.3f}")

# %%
# For ReLUs two steps go most of the way, and it does not matter which rows they see. On
# the harder targets, steps on new rows lead no further than the first, although they
# see six times as many rows in all. Steps on the same rows go on. The reason: after the
# first step, a direction contains the targets of these very rows. So the second step
# sees products of targets, and these correlate with polynomials of a lower degree.
#
# The estimator takes one early step only, because its search goes on from there: it
# looks for the directions that correlate most with what is left, by ascents from many
# starts. Whether it should begin in another way is told on the page *Feature learning*.

figure, panels = plt.subplots(
    1, 3, figsize=(9.5, 3.4), layout="constrained", sharey=True
)
for panel, name in zip(panels, targets, strict=True):
    for reuse, color, label in (
        (True, "#0072B2", "the same rows"),
        (False, "#E69F00", "new rows"),
    ):
        panel.plot(curves[name, reuse], "o-", color=color, label=label)
    panel.set(title=name, xlabel="early steps", ylim=(0, 1))
panels[0].set(ylabel="share in the relevant inputs")
panels[1].legend(frameon=False, loc="upper left")
plt.show()
