"""
============================
Directions for the next step
============================

Many methods suffer from inputs that do not matter. The estimator is also a transformer:
any other method can be given its few projections in place of the inputs. The target
need not be a sum of ReLUs for that; it is enough that the directions are found.
"""

# %%
# A wave along one direction times a slope along another, among thirty inputs. The
# nearest neighbours in thirty dimensions are hardly near. In the plane of the two
# directions they are. Principal components do not look at the target and are no help.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from sklearn_twolayer import RegularizedTwoLayerRegressor

rng = np.random.default_rng(0)
X = rng.standard_normal((2000, 30))
plane = np.linalg.qr(rng.standard_normal((30, 2)))[0].T
first, second = X @ plane.T[:, 0], X @ plane.T[:, 1]
y = np.sin(1.5 * first) + np.abs(second) + 0.1 * rng.standard_normal(2000)

network = RegularizedTwoLayerRegressor(random_state=0)
steps = {
    "all inputs": [],
    "PCA(5)": [PCA(5)],
    "two-layer": [network],
}
methods = {
    "k nearest neighbours": KNeighborsRegressor(10, weights="distance"),
    "gradient boosting": HistGradientBoostingRegressor(random_state=0),
}
print(f"{'5-fold R^2':22s}" + "".join(f"{name:>12s}" for name in steps))
for name, method in methods.items():
    scores = [
        cross_val_score(make_pipeline(*before, method), X, y).mean()
        for before in steps.values()
    ]
    print(f"{name:22s}" + "".join(f"{score:12.3f}" for score in scores))
print(f"the network itself {cross_val_score(network, X, y).mean():15.3f}")

# %%
# The projections are on several directions in one plane. Their principal components
# show that it is two-dimensional, and give axes to draw the target over.

network.fit(X, y)
values = np.linalg.svd(network.features_, compute_uv=False)
print("singular values of the directions:", values.round(3))
axes_found = np.linalg.svd(network.features_)[2][:2]
outside = np.linalg.norm(axes_found - axes_found @ plane.T @ plane, 2)
print(f"largest angle to the true plane: {np.arcsin(outside):.3f} rad")

figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
shown = {"two of the inputs": X[:, :2], "the plane found": X @ axes_found.T}
for panel, (title, points) in zip(panels, shown.items(), strict=True):
    drawn = panel.scatter(*points.T, c=y, s=6, cmap="cividis")
    panel.set(title=title, aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
figure.colorbar(drawn, ax=panels, label="target")
plt.show()
