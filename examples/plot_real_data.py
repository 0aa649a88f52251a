"""
=====================================
Directions in a real table: diabetes
=====================================

Ten measurements of 442 patients and the progress of their disease a year later. The
estimator sits in a pipeline behind a scaler, and a grid search chooses where its
schedule of weight decays, penalties on the size of the network, ends. The result is a
linear part and few directions, each with the names of the measurements that make it up.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
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
from sklearn_twolayer.inspection import RidgeFunctionDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
folds = KFold(5, shuffle=True, random_state=0)

# %%
# Schedules are parameters: the search goes over their ends, and over single decays. The
# solver "fast" solves each stage roughly, which is enough to compare them.

network = RegularizedTwoLayerRegressor(solver="fast", random_state=0)
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
# The directions found on all rows, in words and numbers. Nearly all of the prediction
# is linear: on this table the network gains a little over a linear model, and says how
# little. A schedule keeps the decay, so there are no standard errors.

best = search.best_estimator_
scaled = best[:-1].set_output(transform="pandas").transform(X)
model = clone(best[-1]).fit(scaled, y)  # anew, for the names of the columns
print(search.best_params_)
print(model.summary(scaled))

# %%
# What is left of the target when everything but a feature is taken away, against the
# projection on it, and the measurements that make it up.

first = list(range(min(4, len(model.features_))))
RidgeFunctionDisplay.from_estimator(model, scaled, y, features=first)
plt.show()
