"""
=====================================
Directions in a real table: diabetes
=====================================

Ten measurements of 442 patients and the progress of their disease a year later. The
estimator sits in a pipeline behind a scaler, and a grid search chooses where its
decay schedule ends. The result is a linear part and a few directions, each with the
names of the measurements that make it up.
"""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
folds = KFold(5, shuffle=True, random_state=0)

# %%
# Schedules are parameters: the search goes over their ends, and over single decays.

network = RegularizedTwoLayerRegressor(tol=0.01, random_state=0)
pipeline = make_pipeline(StandardScaler(), network)
schedules = [GeometricSchedule(start=0.9, stop=end) for end in (0.8, 0.45, 0.2, 0.1)]
schedules += [ConstantSchedule(value) for value in (0.6, 0.3)]
search = GridSearchCV(
    pipeline, {"regularizedtwolayerregressor__schedule": schedules}, cv=folds
)
search.fit(X, y)
for schedule, score in zip(
    schedules, search.cv_results_["mean_test_score"], strict=True
):
    print(f"R^2 {score:.3f}  {schedule}")

# %%
# Against a linear model and scikit-learn's network, with the search inside each fold.

peers = {
    "RidgeCV": RidgeCV(np.logspace(-3, 3, 13)),
    "MLPRegressor": MLPRegressor(max_iter=1000, random_state=0),
    "MLPRegressor, tuned": GridSearchCV(
        MLPRegressor(solver="lbfgs", max_iter=300, random_state=0),
        {"alpha": [1.0, 10.0, 100.0], "hidden_layer_sizes": [(10,), (50,)]},
        cv=folds,
    ),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # of MLPRegressor
    print("\n5-fold R^2")
    for name, peer in peers.items():
        score = cross_val_score(make_pipeline(StandardScaler(), peer), X, y, cv=folds)
        print(f"{name:24s} {score.mean():.3f}")
score = cross_val_score(search, X, y, cv=folds)
print(f"{'two-layer, searched':24s} {score.mean():.3f}")
ours = RegularizedTwoLayerRegressorCV(cv=folds, random_state=0)
score = cross_val_score(make_pipeline(StandardScaler(), ours), X, y, cv=folds)
print(f"{'two-layer, CV':24s} {score.mean():.3f}")

# %%
# The directions found on all rows, by decreasing mass, with their largest loadings.

best = search.best_estimator_
model = best[-1]
names = np.array(X.columns)
print(f"\n{len(model.features_)} features at {search.best_params_}")
for j, direction in enumerate(model.features_):
    largest = np.argsort(-np.abs(direction))[:4]
    loadings = ", ".join(f"{names[i]} {direction[i]:+.2f}" for i in largest)
    print(f"feature {j} (amplitude {model.amplitudes_[j]:+.1f}): {loadings}")

# %%
# One row a feature: the loadings, and what is left of the target when everything but
# the feature is taken away, against the projection on it.

n_shown = min(3, len(model.features_))
scaled = best[:-1].transform(X)
projection = model.transform(scaled)
residual = y.to_numpy() - model.predict(scaled)
fig, axes = plt.subplots(
    n_shown, 2, figsize=(9, 3 * n_shown), layout="constrained", squeeze=False
)
for j, (bars, curve) in enumerate(axes):
    bars.barh(names, model.features_[j], color="#0072B2")
    bars.axvline(0, color="black", linewidth=0.8)
    bars.invert_yaxis()
    bars.set(title=f"feature {j}: loadings")
    ridge = np.maximum(projection[:, j], 0) * model.amplitudes_[j]
    order = np.argsort(projection[:, j])
    curve.plot(projection[:, j], ridge + residual, ".", color="#999999", markersize=3)
    curve.plot(projection[order, j], ridge[order], color="#D55E00", linewidth=2)
    curve.set(
        title="ridge function and partial residuals",
        xlabel="projection on the feature",
        ylabel="effect on the target",
    )
fig.savefig("real_data.png", dpi=120)
print("\nfigure: real_data.png")
