"""
=================================
Where it wins, and where it loses
=================================

Four problems, each made for another kind of model, and what the others make of them.
All estimators have their defaults or are tuned over a few settings; scores are on fresh
rows.
"""

# %%
# Few oblique directions; a smooth function of single inputs; steps along single inputs,
# with interactions; a wave along one direction.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR

from sklearn_twolayer import RegularizedTwoLayerRegressor

rng = np.random.default_rng(0)
X = rng.standard_normal((5000, 10))
train, test = slice(1200), slice(1200, None)
oblique = rng.standard_normal((3, 10)) / np.sqrt(10)
wave = rng.standard_normal(10) / np.sqrt(10)
noise = 0.3 * rng.standard_normal(5000)
signals = {
    "few directions": np.abs(X @ oblique.T).sum(axis=1),
    "smooth, additive": np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 2 + np.tanh(X[:, 2]),
    "steps": (X[:, 0] > 0) * (1.0 + 2.0 * (X[:, 1] > 0.5)) + 2.0 * (X[:, 2] < -0.5),
    "wave": np.sin(4 * X @ wave),
}
estimators = {
    "two-layer": RegularizedTwoLayerRegressor(random_state=0),
    "RidgeCV": RidgeCV(np.logspace(-3, 3, 13)),
    "SVR, tuned": GridSearchCV(SVR(), {"C": [1.0, 10.0]}, cv=3),
    "MLP, tuned": GridSearchCV(
        MLPRegressor(
            hidden_layer_sizes=(50,), solver="lbfgs", max_iter=300, random_state=0
        ),
        {"alpha": [1.0, 10.0]},
        cv=3,
    ),
    "random forest": RandomForestRegressor(random_state=0),
    "gradient boosting": HistGradientBoostingRegressor(random_state=0),
}

scores = np.zeros((len(estimators), len(signals)))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # of MLPRegressor
    for k, signal in enumerate(signals.values()):
        y = signal / signal.std() + noise
        for j, estimator in enumerate(estimators.values()):
            estimator.fit(X[train], y[train])
            scores[j, k] = estimator.score(X[test], y[test])

print(f"{'R^2':20s}" + "".join(f"{name:>18s}" for name in signals))
for name, row in zip(estimators, scores, strict=True):
    print(f"{name:20s}" + "".join(f"{score:18.3f}" for score in row))

# %%
# Trees are at home where the target jumps along single inputs: a ReLU network needs two
# neurons for each step and blurs it. Where the directions are few, trees need more rows
# than there are.

figure, panel = plt.subplots(figsize=(8, 4), layout="constrained")
drawn = panel.imshow(scores.clip(0, 1), cmap="cividis", vmin=0, vmax=1, aspect="auto")
panel.set_xticks(range(len(signals)), signals)
panel.set_yticks(range(len(estimators)), estimators)
for (j, k), score in np.ndenumerate(scores):
    color = "white" if score < 0.6 else "black"
    panel.text(k, j, f"{score:.2f}", ha="center", va="center", color=color)
figure.colorbar(drawn, label="R^2")
plt.show()
