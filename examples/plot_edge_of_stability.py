"""
The edge of stability
=====================

How large may the steps of gradient descent be? On a bowl of curvature ``c`` they settle
as long as they are below ``2 / c``, and grow without end above. Training a network is
different. Its curvature changes from place to place, and with too large steps the
descent leaves for a place where the curvature allows them.
"""

# %%
# The data come from a network of three neurons, the teacher, without noise. Thirty
# neurons are fitted to them by gradient descent, ``solver="gd"``. By default a step is
# one over the largest curvature, the largest eigenvalue of the Hessian of what is
# minimised. Here ``step_size`` sets it. Weights are not penalised: the weight decay is
# zero.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import ConstantSchedule, two_layer_path
from sklearn_twolayer.datasets import make_two_layer_regression

X, y = make_two_layer_regression(300, 5, n_directions=3, random_state=0)


def after(n_steps, step_size):
    """The loss and the largest curvature after so many steps."""
    history = two_layer_path(
        X, y, solver="gd", n_neurons=30, schedule=ConstantSchedule(0.0), tol=0.0,
        prune_tol=0.0, merge_angle=0.0, max_iter=n_steps, step_size=step_size,
        random_state=0,
    ).history  # fmt: skip
    if history["n_neurons"][0] == 0 or history["n_iter"][0] < n_steps:
        return np.nan, np.nan
    return history["loss"][0], history["curvature"][0]


# %%
# Each fit begins at the same network and takes one of these numbers of steps. Where the
# error is above that of a linear model, or has grown without end, the fit has not kept
# the network, and there is no value.

numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 20, 26, 36, 60, 120, 300, 700]
step_sizes = [0.3, 0.7, 0.9, 1.2]
traces = {
    step_size: np.array([after(n_steps, step_size) for n_steps in numbers]).T
    for step_size in step_sizes
}
print("step   2 / step   curvature: first   last   1 - R2 after all steps")
for step_size, (losses, curvatures) in traces.items():
    print(
        f"{step_size:4.1f} {2 / step_size:10.2f} {curvatures[0]:18.2f} "
        f"{curvatures[-1]:6.2f} {2 * losses[-1] / y.var():24.1e}"
    )
steep = two_layer_path(
    X, y, solver="gd", n_neurons=30, schedule=ConstantSchedule(0.0), step_size=2.0,
    random_state=0,
).history  # fmt: skip
print(f"A step of 2 diverges after {steep['n_iter'][0]} steps.")

# %%
# Left: the loss. Right: the largest curvature, and two over the step size as a dashed
# line of the same colour; for steps of 0.3 it is at 6.7, outside the panel.
#
# * Steps of 0.3 are below two over the curvature. The loss falls at every step.
# * Steps of 0.7 are a little too large. The loss rises on the way and falls again. The
#   curvature moves to two over the step size and stays close to it: the descent goes on
#   at the edge of stability.
# * Steps of 0.9 and 1.2 are much too large. The loss grows tenfold within a few steps.
#   But the descent ends up where the curvature is well below two over the step size.
#   From there on the loss falls, and faster than with small steps, because a step leads
#   further.
# * A step of 2 is too large for that. The loss grows without end, and the fit keeps the
#   network that it began with.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
colors = ("#999999", "#E69F00", "#0072B2", "#D55E00")
for (step_size, (losses, curvatures)), color in zip(
    traces.items(), colors, strict=True
):
    left.loglog(numbers, losses, ".-", color=color, label=f"step {step_size}")
    right.semilogx(numbers, curvatures, ".-", color=color)
    if 2 / step_size < 4:
        right.axhline(2 / step_size, color=color, linestyle="--", linewidth=1)
left.set(xlabel="steps", ylabel="half the mean squared error")
left.legend(frameon=False)
right.set(xlabel="steps", ylabel="largest curvature", ylim=(0, 3.4))
plt.show()
