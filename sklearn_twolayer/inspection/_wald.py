"""Wald tests of inputs and of directions."""

from __future__ import annotations

import numpy as np
from scipy.stats import f

from sklearn_twolayer.inspection._estimate import Estimate

# Combinations of restrictions of less variance than this fraction of the largest are
# rounding: they are not tested.
UNTESTED = 1e-10


def input_pvalues(estimate: Estimate) -> np.ndarray:
    """P-values of the hypotheses that the network does not depend on an input."""
    columns = estimate.standardised.columns
    result = np.full(len(columns.seen), np.nan)
    for j in np.flatnonzero(columns.seen).tolist():
        result[j] = wald_pvalue(*_restrictions(estimate, j))
    return result


def _restrictions(
    estimate: Estimate, column: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """What is zero if the input has no effect, its covariance, degrees of freedom.

    These are its loadings, whatever their units, and its linear coefficients.
    """
    network, basis = estimate.standardised, estimate.basis
    n_neurons = len(network.directions)
    maps = [basis.linear_maps(n_neurons + column)]
    for neuron, tangents in enumerate(network.tangents):
        change = basis.direction_map(network, neuron)[: tangents.shape[1]]
        maps.append(tangents[[column]] @ change)
    values = np.concatenate([network.linear[column], network.directions[:, column]])
    stacked = np.vstack(maps)
    return values, stacked @ estimate.covariance @ stacked.T, estimate.free


def wald_pvalue(values: np.ndarray, covariance: np.ndarray, free: float) -> float:
    """Of the hypothesis that the values are zero, by an F distribution.

    NaN if none of them has an error.
    """
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    varies = deviations > 0
    if not varies.any():
        return float("nan")
    values, deviations = values[varies], deviations[varies]
    correlation = covariance[np.ix_(varies, varies)] / np.outer(deviations, deviations)
    squares, vectors = np.linalg.eigh(correlation)
    tested = squares > UNTESTED * squares.max()
    scores = (values / deviations) @ vectors[:, tested] / np.sqrt(squares[tested])
    rank = np.count_nonzero(tested)
    return float(f.sf(np.sum(scores**2) / rank, rank, free))
