"""
More neurons than the teacher, and no decay
===========================================

A network of three neurons, the teacher, makes data without noise. Networks of three
neurons and of more are fitted to them by gradient descent, without a weight decay, the
penalty on squared weights. How fast does the loss fall, and does every neuron end on a
direction of the teacher?

Zhou, Ge and Jin (`2021 <https://arxiv.org/abs/2102.02410>`_) prove that once the loss
is small enough every neuron converges to a teacher's, at a rate that does not depend on
the number of neurons. Here we look at what happens from an ordinary start.
"""

# %%
# Five inputs, three orthogonal directions, no biases.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import ConstantSchedule, StagedSchedule, two_layer_path

rng = np.random.default_rng(0)
X = rng.standard_normal((1000, 5))
teacher = np.linalg.qr(rng.standard_normal((5, 5)))[0][:3]
y = np.maximum(X @ teacher.T, 0.0).sum(axis=1)


def fitted(n_neurons, **parameters):
    """The loss, and the angle of each neuron to the nearest teacher direction.

    Neurons of less than a hundredth of the largest amplitude are left out.
    """
    path = two_layer_path(
        X, y, solver="gd", n_neurons=n_neurons, hidden_bias=False, random_state=0,
        **parameters,
    )  # fmt: skip
    sizes = np.abs(path.networks[-1].amplitudes)
    features = path.networks[-1].features[sizes > 0.01 * sizes.max()]
    cosines = np.abs(features @ teacher.T).max(axis=1)
    return path.history["loss"][-1], np.degrees(np.arccos(cosines.clip(max=1.0)))


# %%
# All networks take steps of one size, and neurons are neither merged nor removed.

plain = {
    "schedule": ConstantSchedule(0.0), "step_size": 0.5, "tol": 0.0,
    "merge_angle": 0.0, "prune_tol": 0.0,
}  # fmt: skip
numbers = [10, 30, 100, 300, 1000, 3000]
widths = [3, 4, 6, 12, 24]
losses, angles = {}, {}
for width in widths:
    ends = [fitted(width, max_iter=n_steps, **plain) for n_steps in numbers]
    losses[width], angles[width] = zip(*ends, strict=True)

print("neurons   loss after 100, 1000 and 3000 steps   median and largest angle")
for width in widths:
    shown = "   ".join(f"{losses[width][k]:.0e}" for k in (2, 4, 5))
    last = angles[width][-1]
    print(f"{width:7d}   {shown:35s}   {np.median(last):6.1f} {last.max():10.1f}")

# %%
# With a decay that falls in three stages of 1000 steps, and neurons of one direction
# merged:

loss, last = fitted(24, max_iter=1000, schedule=StagedSchedule([0.03, 0.003, 3e-4]))
print(f"24 neurons, decay: {len(last)} are left, largest angle {last.max():.2f}")

# %%
# Left: three neurons reach the teacher at an exponential rate, to rounding. With even
# one neuron more than needed the loss falls as a power of the number of steps instead,
# and for six, twelve and twenty-four neurons at about the same rate.
#
# Right: the angle of the neuron that is furthest from the teacher. In the networks of
# four and six neurons, every neuron moves to a teacher's direction. In the wide ones
# some stay where they are. Together the neurons predict well, so that there is hardly a
# gradient left to move them: this start is not near enough for the theorem. A decay
# does move them, because it makes every neuron that is not needed smaller.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
colors = plt.colormaps["viridis"](np.linspace(0.0, 0.9, len(widths)))
for width, color in zip(widths, colors, strict=True):
    left.loglog(numbers, losses[width], "o-", color=color, label=f"{width} neurons")
    largest = [values.max() for values in angles[width]]
    right.semilogx(numbers, largest, "o-", color=color)
right.semilogx(
    numbers[-1], last.max(), "X", color="#D55E00", markersize=9, clip_on=False,
    label="24 neurons, falling decay",
)  # fmt: skip
left.set(xlabel="steps", ylabel="half the mean squared error", ylim=(1e-14, 1))
left.legend(frameon=False)
right.set(xlabel="steps", ylabel="largest angle (degrees)", ylim=(0, 62))
right.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.84))
plt.show()
