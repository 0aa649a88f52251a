"""
How much decay?
===============

The weight decay is a penalty on the size of the network. With noisy data there are
three ways to choose it: an information criterion, which is the default and takes one
fit; cross-validation along one path of decays; and any search of scikit-learn over
schedules.
"""

# %%
# The data come from a network of four directions in ten inputs, the teacher, with
# noise. Each model is compared with the teacher: its directions, and its predictions on
# fresh rows, whose mean squared distance is called the excess risk.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

X, y, teacher = make_two_layer_regression(
    2000, 10, subspace_dim=3, n_directions=4, noise=0.3, return_teacher=True,
    random_state=0,
)  # fmt: skip
X_fresh = np.random.default_rng(1).standard_normal((10_000, 10))
truth = teacher.predict(X_fresh)


def excess_risk(model):
    return np.mean((model.predict(X_fresh) - truth) ** 2)


def report(name, model, seconds):
    match = match_directions(model.features_, teacher.directions)
    print(
        f"{name:22s} {len(model.features_):3d} features, {match.n_spurious:2d} "
        f"spurious, largest angle {match.angles.max():.3f}, "
        f"excess risk {excess_risk(model):.1e}, {seconds:.2f} s"
    )


models = {
    "criterion (default)": RegularizedTwoLayerRegressor(random_state=0),
    "cross-validation": RegularizedTwoLayerRegressorCV(random_state=0),
    "  regularised only": RegularizedTwoLayerRegressorCV(debias=False, random_state=0),
    "grid search": GridSearchCV(
        RegularizedTwoLayerRegressor(
            schedule=GeometricSchedule(), solver="fast", random_state=0
        ),
        {"schedule__stop": [0.3, 0.1, 0.03, 0.01], "schedule__ratio": [0.5, 0.7]},
    ),
}
for name, model in models.items():
    began = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - began
    report(name, getattr(model, "best_estimator_", model), seconds)

# %%
# The path of the regularised networks: with too large a decay, directions are lost and
# the neurons are too small; with too small a decay, neurons fit noise. "Debiased"
# networks are refitted without decay, and their neurons merged and dropped as the
# criterion says. They have hardly any bias at any decay.

cv = models["  regularised only"]
fractions = cv.lambdas_ / cv.lambda_max_
path = two_layer_path(
    X, y, schedule=GeometricSchedule(ratio=0.6, stop=0.01), solver="fast", debias=True,
    random_state=0,
)  # fmt: skip
risks = [excess_risk(network) for network in path.networks]
debiased_risks = [excess_risk(network) for network in path.debiased]

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9.5, 3.8), layout="constrained", sharex=True
)
errors, spread = cv.mse_path_.mean(axis=1), cv.mse_path_.std(axis=1, ddof=1)
left.errorbar(fractions, errors, spread / np.sqrt(5), capsize=2, label="held out")
left.axvline(
    cv.lambda_ / cv.lambda_max_, color="0.6", linestyle="--", label="least error"
)
left.axhline(0.3**2, color="0.3", linestyle=":", label="noise")
left.set(xscale="log", xlabel="decay / largest decay", ylabel="mean squared error")
left.invert_xaxis()
left.legend(frameon=False)
relative = path.lambdas / path.lambda_max
right.plot(relative, risks, "o-", label="regularised")
right.plot(relative, debiased_risks, "s-", label="debiased")
right.axhline(
    excess_risk(models["criterion (default)"]), color="0.3", linestyle=":",
    label="criterion (default)",
)  # fmt: skip
right.set(
    xscale="log", yscale="log", xlabel="decay / largest decay", ylabel="excess risk"
)
right.legend(frameon=False)
plt.show()
