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
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay,
    active_subspace,
    direction_errors,
)

X, y = make_friedman1(2000, noise=1.0, random_state=0)
X = pd.DataFrame(X, columns=[f"x{i}" for i in range(10)])
model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
print(f"R^2 {model.score(X, y):.3f}; the noise leaves at most {1 - 1 / y.var():.3f}")

# %%
# In words and numbers. Loadings are those of standardised inputs. Shares are absolute
# covariances with the predictions, of the bend of each feature and of the linear part,
# for which all straight lines count; they add up to one. A feature marked by ``~`` has
# nearly the direction of the last one without.

print(model.summary(X))

# %%
# In pictures. Points are partial residuals: the function of the feature, with the
# straight line of the predictions along its direction, plus what is left of the target.
# Bars are loadings of the direction, with 95 % intervals. The quadratic in ``x2`` shows
# as neurons that bend at different places, the product of ``x0`` and ``x1`` as several
# directions in their plane.

RidgeFunctionDisplay.from_estimator(model, X, y, confidence=0.95)
plt.show()

# %%
# The same intervals as numbers: those of the loadings that are more than three standard
# errors from zero. They hold for the number of neurons that was chosen: the choice
# itself is not accounted for.

errors = direction_errors(model, X, y).to_frame()
print(errors[errors["z"].abs() > 3].round(3).to_string(index=False))

# %%
# The subspace in which the function changes, from the gradients over the rows. Nearly
# all change is along four directions: ``x3`` and ``x4`` matter through one sum only.
# Other fits may divide this subspace among other features.

print(active_subspace(model, X))
