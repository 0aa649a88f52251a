"""
======================================
Several targets, rows of unequal worth
======================================

Targets that depend on the same directions help each other: a neuron has one direction
and an amplitude for each target. Weights tell which rows to trust.
"""

# %%
# Five targets made from three directions. The same teacher is fitted on the first
# target alone and on more of them, over ten data sets.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

counts = [1, 2, 3, 5]
angles = {count: [] for count in counts}
for seed in range(10):
    X, Y, teacher = make_two_layer_regression(
        1000, 10, n_directions=3, n_targets=5, noise=0.5, return_teacher=True,
        random_state=seed,
    )  # fmt: skip
    for count in counts:
        model = RegularizedTwoLayerRegressor(random_state=0).fit(X, Y[:, :count])
        match = match_directions(model.features_, teacher.directions)
        angles[count].extend(match.angles)
for count in counts:
    median = np.median(angles[count])
    print(f"{count} targets: median angle to the teacher {median:.3f} rad")

# %%
# Rows with very different noise, and known to be so. Weights of one over the variance
# make the most of them; the shape of the weights matters, their sum does not.

rng = np.random.default_rng(0)
weighted, unweighted = [], []
for seed in range(10):
    X, y, teacher = make_two_layer_regression(
        1000, 10, n_directions=3, return_teacher=True, random_state=seed
    )
    scale = np.exp(rng.normal(-1, 1, size=1000))
    y = y + scale * rng.standard_normal(1000)
    model = RegularizedTwoLayerRegressor(random_state=0)
    for weights, found in ((None, unweighted), (scale**-2, weighted)):
        model.fit(X, y, sample_weight=weights)
        found.extend(match_directions(model.features_, teacher.directions).angles)
print(f"without weights: median angle {np.median(unweighted):.3f} rad")
print(f"with weights:    median angle {np.median(weighted):.3f} rad")

# %%
# Angles of all directions over all data sets.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained", sharey=True
)
style = {"medianprops": {"color": "#D55E00"}, "showfliers": False}
left.boxplot(list(angles.values()), tick_labels=counts, **style)
left.set(xlabel="number of targets", ylabel="angle to the teacher (rad)")
left.set_yscale("log")
names = ["no weights", "1 / variance"]
right.boxplot([unweighted, weighted], tick_labels=names, **style)
plt.show()
