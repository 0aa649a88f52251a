"""
The certificate over the circle
===============================

How can one know that a network is the best of all networks, whatever their width? There
is a function of a direction, the dual certificate, that tells. With two inputs all
directions lie on a circle, and the whole function can be drawn.
"""

# %%
# The data come from a network of four directions in the plane, the teacher, without
# noise or biases. A path of networks is fitted. Their weight decay, the penalty on the
# squared weights, falls from stage to stage. Decays are fractions of the largest: the
# least one whose best network has no neuron.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import StagedSchedule, two_layer_path

rng = np.random.default_rng(0)
X = rng.standard_normal((2000, 2))
teacher = np.radians([15.0, 60.0, 105.0, 150.0])
amplitudes = np.array([1.0, -1.5, 1.2, -0.8])
lines = np.stack([np.cos(teacher), np.sin(teacher)])
y = np.maximum(X @ lines, 0.0) @ amplitudes

path = two_layer_path(
    X, y, hidden_bias=False, schedule=StagedSchedule([0.8, 0.4, 0.2, 0.01]),
    tol=1e-4, random_state=0,
)  # fmt: skip

# %%
# The certificate of a network is the mean product of its residuals and the activations
# along a direction, divided by the decay. It refers to columns of unit mean square. A
# direction and its opposite have the same value, because the residuals have no linear
# part; half of the circle shows all.

degrees = np.linspace(0.0, 180.0, 721)
directions = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
scaled = X / np.sqrt(np.mean(X**2, axis=0))
activations = np.maximum(scaled @ directions, 0.0)


def certificate(network, decay):
    return (y - network.predict(X)) @ activations / len(y) / decay


curves = [
    certificate(network, decay)
    for network, decay in zip(path.networks, path.lambdas, strict=True)
]
print("decay / largest   neurons   largest |certificate|   neurons at (degrees)")
for network, decay, curve in zip(path.networks, path.lambdas, curves, strict=True):
    found = np.degrees(np.arctan2(*network.features.T[::-1])) % 180
    angles = " ".join(f"{angle:.1f}" for angle in np.sort(found))
    largest = np.abs(curve).max()
    print(f"{decay / path.lambda_max:15.2f} {len(found):9d} {largest:23.4f}   {angles}")

# %%
# Left: up to the tolerance of the fit, the certificate is nowhere larger than one in
# size, so that no network has a lower objective. It touches one at the directions of
# the neurons, with the sign of their amplitudes. With a large decay there are few
# neurons, beside the teacher's directions (dotted). As the decay falls, there are more,
# and the peaks move to the teacher's directions.
#
# Right: what the certificate of the second stage becomes when the decay is lowered to
# that of the third, before anything is fitted. Where it is above one in size, shaded, a
# neuron in this direction would lower the objective: there the solver adds neurons.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained", sharex=True
)
colors = plt.colormaps["viridis"](np.linspace(0.0, 0.85, len(curves)))
for curve, decay, color in zip(curves, path.lambdas, colors, strict=True):
    left.plot(degrees, curve, color=color, label=f"{decay / path.lambda_max:g}")
figure.legend(title="decay / largest", loc="outside right center", frameon=False)
before = certificate(path.networks[1], path.lambdas[2])
right.plot(degrees, before, color=colors[1])
right.fill_between(
    degrees, before, np.sign(before), where=np.abs(before) > 1, color="#E69F00",
    alpha=0.5,
)  # fmt: skip
for panel, title in ((left, "at the optimum"), (right, "before the next stage")):
    for angle in np.degrees(teacher):
        panel.axvline(angle, color="0.5", linestyle=":", zorder=0)
    for level in (-1.0, 1.0):
        panel.axhline(level, color="0.3", linestyle="--", linewidth=0.8, zorder=0)
    panel.set(title=title, xlabel="direction (degrees)", ylabel="certificate")
    panel.set(xlim=(0.0, 180.0), xticks=range(0, 181, 30))
plt.show()
