"""
=========================
Watch the decay come down
=========================

A schedule lowers the weight decay, the penalty on the size of the network, in stages.
Where the targets are not a few directions, the best network lies somewhere along the
way, and cross-validation finds out where.
"""

# %%
# Noisy data from four directions. Each stage, the fit at one decay, is solved until its
# duality gap is small. The gap says how good it is: no network of any width has an
# objective that is lower by more than the gap.

import matplotlib.pyplot as plt
from sklearn.datasets import make_friedman2
from sklearn.preprocessing import StandardScaler

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import TwoLayerPathDisplay

X, y = make_two_layer_regression(2000, 10, n_directions=4, noise=0.3, random_state=0)
model = RegularizedTwoLayerRegressor(
    schedule=GeometricSchedule(ratio=0.7), verbose=1, random_state=0
).fit(X, y)

# %%
# As the decay falls, more neurons have a mass, their size, and the loss falls. The
# optimum has several close neurons for each true direction. Where only the directions
# are wanted, refit without decay (``debias=True``), or give no schedule. The path ended
# by itself at the noise level; below it, neurons would be spent on noise.

TwoLayerPathDisplay.from_estimator(model)
plt.show()

# %%
# The same with cross-validation: the last panel has the error on held-out rows, of the
# regularised networks, of the debiased network that the information criterion
# chooses, of the mean of such networks of all folds, and of means of both.

X, y = make_friedman2(600, noise=125.0, random_state=0)
X = StandardScaler().fit_transform(X)
model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
print(f"decay {model.lambda_ / model.lambda_max_:.3f} of the largest")
print(f"share of debiased networks {model.debiased_share_:.2f}")
print(f"number of debiased networks averaged {model.n_averaged_}")
TwoLayerPathDisplay.from_estimator(model)
plt.show()
