"""
==============================
Classes along a few directions
==============================

Three species prefer different conditions, which six measurements depend on through two
oblique directions. The classifier finds both, with probabilities that are nearly right.
"""

# %%
# The scores of the species are functions of two directions in six correlated inputs.
# The third species lives where both are small in absolute value.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, log_loss

from sklearn_twolayer import RegularizedTwoLayerClassifier
from sklearn_twolayer.metrics import match_directions

rng = np.random.default_rng(0)
mixing = np.eye(6) + 0.3 * rng.standard_normal((6, 6))
X = rng.standard_normal((13_000, 6)) @ mixing
directions = np.array(
    [[1.0, -1.0, 0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 1.0, 1.0, -0.5]]
)
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
moist, warm = (X @ directions.T).T
scores = np.column_stack(
    [3.0 * np.maximum(moist, 0.0), 3.0 * np.maximum(warm, 0.0), np.full(len(X), 1.5)]
)
names = np.array(["fern", "palm", "moss"])
y = names[(scores + rng.gumbel(size=scores.shape)).argmax(axis=1)]
train, test = slice(3000), slice(3000, None)

# %%
# The log loss on fresh rows is nearly that of the true probabilities. A logistic
# regression is linear in the inputs, and trees cut along single ones.

model = RegularizedTwoLayerClassifier(random_state=0).fit(X[train], y[train])
peers = {
    "two-layer": model,
    "logistic regression": LogisticRegressionCV(
        l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
    ),
    "boosting": HistGradientBoostingClassifier(random_state=0),
}
order = np.argsort(names)
truth = softmax(scores[test], axis=1)[:, order]
print(f"{'the truth':20s} log loss {log_loss(y[test], truth):.3f}")
for name, peer in peers.items():
    if peer is not model:
        peer.fit(X[train], y[train])
    loss = log_loss(y[test], peer.predict_proba(X[test]))
    accuracy = accuracy_score(y[test], peer.predict(X[test]))
    print(f"{name:20s} log loss {loss:.3f}, accuracy {accuracy:.3f}")

# %%
# The directions, and each species' amplitudes on them. The scores of a row have a sum
# of zero: no species is another's reference.

match = match_directions(model.features_, directions)
print(
    f"{len(model.features_)} directions, the largest error {match.angles.max():.3f} rad"
)
print(model.classes_)
print(model.amplitudes_.round(2))
print(model.summary(X[train]))

# %%
# The probabilities in the plane of the two directions: what was fitted, and the truth.

grid = np.linspace(-3.5, 3.5, 201)
first, second = np.meshgrid(grid, grid)
plane = np.column_stack([first.ravel(), second.ravel()])
at = plane @ np.linalg.pinv(directions).T
true_scores = np.column_stack(
    [3.0 * np.maximum(plane[:, 0], 0.0), 3.0 * np.maximum(plane[:, 1], 0.0)]
)
true_scores = np.column_stack([true_scores, np.full(len(plane), 1.5)])
pictures = {
    "fitted": model.predict_proba(at),
    "truth": softmax(true_scores, axis=1)[:, order],
}
palette = np.array([[0.9, 0.62, 0.0], [0.34, 0.71, 0.91], [0.0, 0.62, 0.45]])
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
for axis, (title, probabilities) in zip(axes, pictures.items(), strict=True):
    colours = (probabilities @ palette).reshape(201, 201, 3)
    axis.imshow(colours, origin="lower", extent=(-3.5, 3.5, -3.5, 3.5))
    shown = slice(250)
    for number, kind in enumerate(model.classes_):
        own = y[shown] == kind
        axis.scatter(
            moist[shown][own], warm[shown][own], s=18, color=palette[number],
            edgecolor="black", linewidth=0.4, label=kind,
        )  # fmt: skip
    axis.set(title=title, xlabel="first direction", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
axes[0].set_ylabel("second direction")
axes[1].legend(loc="upper right")
plt.show()
