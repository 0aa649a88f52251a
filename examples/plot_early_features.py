"""
=======================================
Early features against all three stages
=======================================

One gradient step turns random directions towards the span of those that matter. This is
early feature learning, and it alone makes a good random-features model. But the
directions themselves are found only at the end of training, as the weight decay falls.
"""

# %%
# A teacher of four directions in a three-dimensional subspace of twenty inputs.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression, RidgeCV

from sklearn_twolayer import GeometricSchedule, RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

X, y, teacher = make_two_layer_regression(
    2000, 20, n_directions=4, subspace_dim=3, noise=0.1, return_teacher=True,
    random_state=0,
)  # fmt: skip
rng = np.random.default_rng(1)
X_fresh = rng.standard_normal((5000, 20))
truth = teacher.predict(X_fresh)

# %%
# Stage 1, early feature learning, written out. At the start the network is zero, so the
# residual is the target less its linear part. A step with a decay of one over the step
# size removes the initial weights and leaves this gradient, whose length does not
# matter. Doing it again from there is a second step.

residual = y - LinearRegression().fit(X, y).predict(X)


def early_step(directions):
    gradients = ((X @ directions.T > 0) * residual[:, None]).T @ X
    return gradients / np.linalg.norm(gradients, axis=1, keepdims=True)


# %%
# Stage 2, the output layer: a ridge regression on the activations, with the inputs
# themselves as its linear part.


def excess_risk(directions):
    def activations(inputs):
        return np.hstack([inputs, np.maximum(inputs @ directions.T, 0)])

    ridge = RidgeCV(np.logspace(-3, 4, 15)).fit(activations(X), y)
    return np.mean((ridge.predict(activations(X_fresh)) - truth) ** 2)


basis = np.linalg.svd(teacher.directions)[2][:3]
sizes = [10, 30, 100, 300, 600]
risks = {name: [] for name in ("random directions", "one step", "two steps")}
alignments, networks = {}, {}
for n_neurons in sizes:
    directions = rng.standard_normal((n_neurons, 20))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for name in risks:
        risks[name].append(excess_risk(directions))
        alignments[name] = np.linalg.norm(directions @ basis.T, axis=1)
        networks[name] = directions
        directions = early_step(directions)

# %%
# Stage 3, decreasing decay, ends with a few neurons on the teacher's directions.

model = RegularizedTwoLayerRegressor(
    schedule=GeometricSchedule(), debias=True, random_state=0
).fit(X, y)
three_stages = np.mean((model.predict(X_fresh) - truth) ** 2)
networks["all three stages"] = model.features_
alignments["all three stages"] = np.linalg.norm(model.features_ @ basis.T, axis=1)

print("features             number   share in the subspace   excess risk")
for name, directions in networks.items():
    risk = risks[name][-1] if name in risks else three_stages
    share = np.median(alignments[name] ** 2)
    print(f"{name:20s} {len(directions):6d} {share:23.3f} {risk:13.1e}")
match = match_directions(model.features_, teacher.directions)
print("angles to the teacher after all three stages:", match.angles.round(3))

# %%
# Left: early features have a lower error than random ones, and it falls as the network
# gets wider, but stays far above that of a few neurons in the right places. A second
# step brings the features nearer to the subspace, but also nearer to each other: the
# network gets no better. Right: no early feature is on a direction of the teacher;
# they surround them.

colors = ("#999999", "#E69F00", "#0072B2", "#D55E00")
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for (name, values), color in zip(risks.items(), colors, strict=False):
    left.loglog(sizes, values, "o-", color=color, label=name)
left.axhline(three_stages, color=colors[3], linestyle="--", label="all three stages")
left.set(xlabel="number of neurons", ylabel="excess risk")
left.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.08))
for (name, directions), color in zip(networks.items(), colors, strict=True):
    cosines = np.abs(directions @ teacher.directions.T).max(axis=1).clip(max=1)
    right.ecdf(np.degrees(np.arccos(cosines)), color=color, label=name)
right.set(
    xlabel="angle to the nearest teacher direction (degrees)",
    ylabel="share of the features within",
    xlim=(0, 90),
)
plt.show()
