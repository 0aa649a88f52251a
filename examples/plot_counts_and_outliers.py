"""
===================
Counts and outliers
===================

Two losses of the regressor: the deviance of counts, with a logarithmic link, and
Huber's loss, which outliers hardly change.
"""

# %%
# Visits to shops that were open for different times. The rate is the exponential of a
# function of one direction in four inputs, and visits vary twice as much as Poisson's
# distribution says. The rates, visits over hours, are the targets; the hours are the
# weights.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import HuberRegressor, PoissonRegressor

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.metrics import match_directions

rng = np.random.default_rng(0)
X = rng.standard_normal((12_000, 4))
direction = np.array([0.6, 0.6, -0.5, 0.2])
direction /= np.linalg.norm(direction)
along = X @ direction
rate = np.exp(0.3 + 1.2 * np.abs(along))
hours = rng.uniform(0.5, 8.0, len(X))
# Negative binomial counts with this mean, and a variance of twice the mean.
visits = rng.negative_binomial(rate * hours, 0.5)
train, test = slice(2000), slice(2000, None)

# %%
# The share of the deviance that is explained on fresh rows. `dispersion_` is the
# variance over the mean.

models = {
    "two-layer": RegularizedTwoLayerRegressor(loss="poisson", random_state=0),
    "PoissonRegressor": PoissonRegressor(alpha=0.0),
    "boosting": HistGradientBoostingRegressor(loss="poisson", random_state=0),
}
least = 2.0 * hours[test] @ rate[test]
for name, model in models.items():
    model.fit(X[train], (visits / hours)[train], sample_weight=hours[train])
    excess = np.log(model.predict(X[test]) / rate[test])
    deviance = 2.0 * (hours * rate)[test] @ (np.expm1(excess) - excess) / least
    print(f"{name:17s} deviance to the true rates {deviance:.4f} of a visit")
counts = models["two-layer"]
match = match_directions(counts.features_, direction[np.newaxis])
print(f"{len(counts.features_)} direction, {match.angles.max():.3f} rad from the truth")
print(f"variance over mean: {counts.dispersion_:.2f}")

# %%
# Now numbers, of which one of twenty is far off. Squares follow these; the threshold of
# Huber's loss is in units of the scale of all others, which the fit finds.

signal = np.maximum(along, 0.0) + 0.5 * np.maximum(X[:, 3] - X[:, 0], 0.0)
noise = 0.2 * rng.standard_normal(len(X))
noise[rng.random(len(X)) < 0.05] *= 30.0
y = signal + noise
fits = {
    "squared error": RegularizedTwoLayerRegressor(random_state=0),
    "Huber": RegularizedTwoLayerRegressor(loss="huber", random_state=0),
    "HuberRegressor": HuberRegressor(alpha=0.0),
}
for name, model in fits.items():
    model.fit(X[train], y[train])
    error = np.sqrt(np.mean((model.predict(X[test]) - signal[test]) ** 2))
    found = len(getattr(model, "features_", ()))
    print(f"{name:15s} root mean square error {error:.3f}, {found} directions of 2")
print(f"scale of the residuals: {fits['Huber'].scale_:.3f}")

# %%
# Left, the rates along the direction that was found; right, the errors of both losses
# on fresh rows.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
shown = slice(600)
projection = counts.transform(X)[:, 0]
axes[0].scatter(
    projection[shown], (visits / hours)[shown], s=hours[shown] * 2, alpha=0.4,
    label="visits in an hour (area: hours)",
)  # fmt: skip
line = np.argsort(projection[test])
axes[0].plot(projection[test][line], counts.predict(X[test])[line], "k", label="fitted")
axes[0].plot(
    projection[test][line], rate[test][line], "C1--", linewidth=1, label="truth"
)
axes[0].set(xlabel="projection on the direction", ylabel="rate")
axes[0].set_yscale("symlog", linthresh=0.5)
axes[0].legend()
for name in ("squared error", "Huber"):
    error = fits[name].predict(X[test]) - signal[test]
    axes[1].hist(error, bins=np.linspace(-0.4, 0.4, 81), alpha=0.6, label=name)
axes[1].set(xlabel="error of the prediction", ylabel="fresh rows")
axes[1].legend()
plt.show()
