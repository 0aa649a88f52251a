"""
===================================
Recover the directions of a teacher
===================================

The data come from a network of four neurons in ten dimensions, the teacher, without
noise. The estimator finds its directions exactly. Gradient descent on a hundred neurons
shows how that is possible. As the weight decay, the penalty on the squared weights, is
lowered, the neurons gather on the teacher's directions: the loss falls as the square of
the decay, the angles in proportion to it. Without decay the loss falls too, but the
neurons stay at many directions.
"""

import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

X, y, teacher = make_two_layer_regression(
    n_samples=1000, n_features=10, n_directions=4, subspace_dim=3,
    return_teacher=True, random_state=1,
)  # fmt: skip

# %%
# The estimator: its features are the teacher's directions, to rounding.

began = time.perf_counter()
model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
seconds = time.perf_counter() - began
match = match_directions(model.features_, teacher.directions)
print(f"{len(model.features_)} features, {match.n_spurious} spurious: {seconds:.2f} s")
print("angle to each teacher direction:", *(f"{angle:.1e}" for angle in match.angles))

# %%
# How gradient descent gets near: a path, one network a stage. The table shows the
# decay as a fraction of the least one without neurons, the mean squared error, the
# number of neurons, the angle of each teacher direction to its feature, and the
# certificate, which is 1 at the optimum.

path = two_layer_path(X, y, solver="gd", max_iter=1000, random_state=0)
matches = [match_directions(net.features, teacher.directions) for net in path.networks]
angles = np.array([match.angles for match in matches])

print("\nlambda/max  error    neurons  angle to each teacher direction    certificate")
for k, fraction in enumerate(path.lambdas / path.lambda_max):
    print(
        f"{fraction:.1e}     {2 * path.history['loss'][k]:.1e}  "
        f"{path.history['n_neurons'][k]:5d}    "
        + " ".join(f"{angle:.1e}" for angle in angles[k])
        + f"    {path.history['certificate'][k]:.3f}"
    )

log_lambda = np.log(path.lambdas)
loss_slope = np.polyfit(log_lambda, np.log(path.history["loss"]), 1)[0]
angle_slope = np.polyfit(log_lambda, np.log(angles.max(axis=1)), 1)[0]
print(f"\nloss ~ lambda^{loss_slope:.2f}, largest angle ~ lambda^{angle_slope:.2f}")

# %%
# The same number of steps without decay, and at the decay of the first stage.

n_steps = int(path.history["n_iter"].sum())
baselines = {
    label: two_layer_path(
        X,
        y,
        solver="gd",
        schedule=ConstantSchedule(value),
        max_iter=n_steps,
        random_state=0,
    ).networks[0]
    for label, value in (("no decay", 0.0), ("fixed decay", 0.03))
}
networks = {"decreasing decay": path.networks[-1], **baselines}
for label, network in networks.items():
    largest = match_directions(network.features, teacher.directions).angles.max()
    error = np.mean((y - network.predict(X)) ** 2)
    print(f"{label:17s} largest angle {largest:.1e}, mean squared error {error:.1e}")

# %%
# Left: loss and angles against the decay, with the slopes 2 and 1. Right: where the
# mass of the neurons lies, by the angle to the nearest teacher direction.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
fractions = path.lambdas / path.lambda_max
left.loglog(fractions, path.history["loss"], "o-", color="#0072B2", label="loss")
left.loglog(fractions, angles.max(axis=1), "s-", color="#D55E00", label="largest angle")
guide = fractions / fractions[-1]
for values, power, name in (
    (path.history["loss"], 2, r"$\propto \lambda^2$"),
    (angles.max(axis=1), 1, r"$\propto \lambda$"),
):
    left.loglog(fractions, values[-1] * guide**power, ":", color="gray", zorder=0)
    left.annotate(
        name, (fractions[1], values[-1] * guide[1] ** power), color="gray",
        xytext=(-30, -24), textcoords="offset points",
    )  # fmt: skip
left.set(
    xlabel=r"decay / largest decay, $\lambda / \lambda_{\max}$",
    ylabel="loss; angle in radians",
    title="Decreasing decay",
)
left.invert_xaxis()
left.legend()

colors = ("#0072B2", "#999999", "#E69F00")
for (label, network), color in zip(networks.items(), colors, strict=True):
    cosines = np.abs(network.features @ teacher.directions.T).max(axis=1)
    nearest = np.degrees(np.arccos(np.clip(cosines, 0, 1)))
    share = np.abs(network.amplitudes) / np.abs(network.amplitudes).sum()
    order = np.argsort(nearest)
    right.step(
        np.r_[0, nearest[order], 60], np.r_[0, np.cumsum(share[order]), 1],
        where="post", color=color, label=label,
    )  # fmt: skip
right.set(
    xlabel="angle to the nearest teacher direction (degrees)",
    ylabel="share of the amplitudes within",
    title="Where the neurons are, at equal steps",
)
right.legend(loc="lower right")
fig.savefig("recover_teacher.png", dpi=120)
print("\nfigure: recover_teacher.png")
