"""
=============================
Take a fitted model elsewhere
=============================

A fitted model is five NumPy arrays. It goes into a torch module, into JSON and back,
or into an ONNX graph.
"""

# %%
# Two inputs, so that the fitted function can be drawn.

import json

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression

X, y = make_two_layer_regression(1000, 2, n_directions=3, noise=0.1, random_state=3)
model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)

# %%
# A torch module has the derivatives with respect to the inputs: here the slope of the
# prediction, which is constant between the lines where a neuron bends.

module = model.to_torch()
grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 13)] * 2), axis=-1).reshape(-1, 2)
inputs = torch.tensor(grid, requires_grad=True)
outputs = module(inputs)
(slopes,) = torch.autograd.grad(outputs.sum(), inputs)
difference = np.abs(outputs.detach().numpy() - model.predict(grid)).max()
print(f"torch differs from predict by {difference:.1e}")

fine = np.stack(np.meshgrid(*[np.linspace(-3, 3, 200)] * 2), axis=-1)
surface = model.predict(fine.reshape(-1, 2)).reshape(200, 200)
figure, panel = plt.subplots(figsize=(5.4, 4.4), layout="constrained")
drawn = panel.pcolormesh(fine[0, :, 0], fine[:, 0, 1], surface, cmap="cividis")
panel.quiver(*grid.T, *slopes.numpy().T, color="white", width=0.004)
for direction, intercept in zip(
    model.features_, model.feature_intercepts_, strict=True
):
    panel.axline(
        -intercept * direction, slope=-direction[0] / direction[1], color="#D55E00"
    )
panel.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="x0", ylabel="x1")
figure.colorbar(drawn, label="prediction")
plt.show()

# %%
# JSON keeps every digit and executes nothing when it is read, unlike a pickle.

text = json.dumps(model.to_dict())
again = RegularizedTwoLayerRegressor.from_dict(json.loads(text))
equal = np.array_equal(again.predict(X), model.predict(X))
print(f"{len(text)} characters; predictions equal: {equal}")

# %%
# ONNX graphs run without Python. With the extra ``onnx`` installed, also within a
# pipeline::
#
#     import skl2onnx
#     from sklearn_twolayer.onnx import register_onnx_converters
#
#     register_onnx_converters()
#     graph = skl2onnx.to_onnx(pipeline, X)
