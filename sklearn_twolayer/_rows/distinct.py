"""How many different rows there are, where rows are few."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy import sparse

from sklearn_twolayer._rows.parts import Parts
from sklearn_twolayer._rows.raw import RawPart, weight_facts

# Rows for each input from which on the data are taken not to ask for a decay of the
# linear part: its coefficients then cost at most a tenth of the noise (convention).
# Repeated rows are looked for among fewer only.
ROWS_PER_INPUT = 10.0


def distinct_weights(raw: Parts[RawPart], n_columns: int) -> np.ndarray | None:
    """The sum of the weights of each different row; None if there are many.

    A row that is given twice is a row of twice the weight: it tells nothing new. The
    search ends at ROWS_PER_INPUT different rows for each column, so that it takes no
    time where rows are many.
    """
    most = int(ROWS_PER_INPUT * n_columns)
    found: dict[bytes, float] = {}
    largest, _ = zip(*raw.gather(weight_facts), strict=True)
    for weights in raw.gather(_weights_by_row, max(largest), most):
        for row, weight in weights.items():
            found[row] = found.get(row, 0.0) + weight
    return None if len(found) > most else np.array(list(found.values()))


def _weights_by_row(raw: RawPart, largest: float, most: int) -> dict[bytes, float]:
    """Sums of the weights by a digest of the row; of ``most + 1`` rows if there are."""
    found: dict[bytes, float] = {}
    for rows in raw.blocks():
        if sparse.issparse(raw.X):
            inputs = sparse.csr_array(raw.X[rows]).toarray().astype(np.float64)
        else:
            block = raw.X[rows] if raw.index is None else raw.X[raw.index[rows]]
            inputs = np.asarray(block, dtype=np.float64)
        # Adding zero makes the two floats that are zero the same one.
        values = np.hstack([inputs, raw.y[rows]]) + 0.0
        for row, weight in zip(values, raw.sample_weight[rows] / largest, strict=True):
            digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            found[digest] = found.get(digest, 0.0) + float(weight)
            if len(found) > most:
                return found
    return found
