"""
Few rows, many columns
======================

A table of 150 rows and 200 columns, of which three matter: a kink along the sum of the
first two, and the third. With so few rows the linear part is shrunk, and the
cross-validated estimator weighs the columns by their importances in the fit before, as
long as the error on held-out rows falls.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV

from sklearn_twolayer import RegularizedTwoLayerRegressorCV

generator = np.random.default_rng(0)
X = generator.standard_normal((1150, 200))
clean = 2.0 * np.maximum(X[:, 0] + X[:, 1], 0.0) + X[:, 2]
y = clean + 0.3 * clean.std() * generator.standard_normal(len(X))
X_train, y_train, X_new, y_new = X[:150], y[:150], X[150:], clean[150:]

# %%
# Weights help here: without them, no model can tell the three columns from the others.
ridge = RidgeCV(np.logspace(-2, 5, 29)).fit(X_train, y_train)
plain = RegularizedTwoLayerRegressorCV(direction_penalty="l2", random_state=0)
plain.fit(X_train, y_train)
model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X_train, y_train)
print(f"ridge regression     R2 {ridge.score(X_new, y_new):.3f}")
print(f"without weights      R2 {plain.score(X_new, y_new):.3f}")
print(f"with column weights  R2 {model.score(X_new, y_new):.3f}")
print(f"columns left in: {(model.column_weights_ > 0).sum()} of {X.shape[1]}")

# %%
# The weights, largest first. The three columns that matter are orange.
order = np.argsort(-model.column_weights_)[:12]
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
colors = ["C1" if column < 3 else "C0" for column in order]
axes.bar(range(len(order)), model.column_weights_[order], color=colors)
axes.set_xticks(range(len(order)), [f"x{column}" for column in order])
axes.set(xlabel="column", ylabel="weight")
plt.show()
