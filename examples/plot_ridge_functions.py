"""
==========================
Read what has been learned
==========================

A fitted network is a linear part and a few functions of one variable each. They can be
drawn, with the inputs that make up each direction and how sure its loadings are.
"""

# %%
# Friedman's first problem: five of ten inputs matter,
# ``10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + noise``. Names of columns are
# kept throughout.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import make_friedman1

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.inspection import RidgeFunctionDisplay, direction_errors

X, y = make_friedman1(2000, noise=1.0, random_state=0)
X = pd.DataFrame(X, columns=[f"x{i}" for i in range(10)])
model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
print(f"R^2 {model.score(X, y):.3f}; the noise leaves at most {1 - 1 / y.var():.3f}")

# %%
# In words and numbers. The share of a feature is what it adds to the variance of the
# predictions beyond the linear part; the shares add up to one.

print(model.summary(X))

# %%
# In pictures. Points are partial residuals: what is left of the target when all but the
# feature is taken away. Bars are loadings of the direction, with 95 % intervals. The
# quadratic in ``x2`` shows as three neurons that bend at different places, the product
# of ``x0`` and ``x1`` as several directions in their plane.

RidgeFunctionDisplay.from_estimator(model, X, y, confidence=0.95)
plt.show()

# %%
# The same intervals as numbers. They hold for the number of neurons that was chosen:
# the choice itself is not accounted for.

errors = direction_errors(model, X, y)
for j, feature in enumerate(model.features_):
    sure = [
        f"{name} {loading:+.2f} +- {1.96 * error:.2f}"
        for name, loading, error in zip(
            X.columns, feature, errors.features[j], strict=True
        )
        if abs(loading) > 3 * error
    ]
    print(f"feature {j}: {', '.join(sure)}")
