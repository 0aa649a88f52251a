"""
======================
More rows than memory
======================

Everything the fit needs is a sum over rows, taken block by block. A memory map is read
that way and never copied whole; the angles to the true directions fall as one over the
square root of the number of rows.
"""

# %%
# A file of 600,000 rows, written in pieces, of which more and more are used. Give one
# to ``fit`` as it is: no special estimator, no batches.

import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

*_, teacher = make_two_layer_regression(
    10, 20, n_directions=5, return_teacher=True, random_state=0
)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "inputs.npy"
written = np.lib.format.open_memmap(path, mode="w+", shape=(600_000, 20))
y = np.empty(len(written))
rng = np.random.default_rng(0)
for rows in np.array_split(np.arange(len(written)), 20):
    written[rows] = rng.standard_normal((len(rows), 20))
    noise = 0.3 * rng.standard_normal(len(rows))
    y[rows] = teacher.predict(written[rows]) + noise
written.flush()
X = np.load(path, mmap_mode="r")

RegularizedTwoLayerRegressor().fit(X[:100], y[:100])  # imports torch, before the clock
counts = np.array([6_000, 20_000, 60_000, 200_000, 600_000])
angles, seconds = [], []
print("   rows   features   largest angle   seconds")
for n_samples in counts:
    began = time.perf_counter()
    model = RegularizedTwoLayerRegressor(random_state=0)
    model.fit(X[:n_samples], y[:n_samples])
    seconds.append(time.perf_counter() - began)
    angles.append(match_directions(model.features_, teacher.directions).angles)
    print(
        f"{n_samples:7d} {len(model.features_):10d} {angles[-1].max():15.4f} "
        f"{seconds[-1]:9.1f}"
    )

# %%
# The other ways to keep rows out of memory have the same one-line use: a scipy sparse
# array stays sparse, and the rows of a Dask array or dataframe stay on the workers that
# hold them, with only the small network and sums of its derivatives sent around.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.loglog(counts, [found.max() for found in angles], "o-", label="largest")
left.loglog(counts, [np.median(found) for found in angles], "s-", label="median")
guide = angles[0].max() * np.sqrt(counts[0] / counts)
left.loglog(counts, guide, ":", color="gray", label="1 / sqrt(rows)")
left.set(xlabel="rows", ylabel="angle to the teacher (rad)")
left.legend(frameon=False)
right.loglog(counts, seconds, "o-")
right.set(xlabel="rows", ylabel="seconds a fit")
plt.show()
del X, written
folder.cleanup()
