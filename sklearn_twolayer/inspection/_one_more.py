"""What the best further neuron would gain on each of many residuals. NumPy only."""

from __future__ import annotations

import numpy as np

from sklearn_twolayer._rows.loadings import unit_rows

# Random directions, those of them that are turned, and by which angles, each this much
# smaller than the one before. Measured on noisy teachers of 5 to 10 inputs: twice as
# many find hardly more.
N_RANDOM = 500
N_TURNED = 3
N_TURNS = 15
FIRST_TURN = 0.4
TURN_RATIO = 0.8
# A neuron of which the network's derivatives leave a smaller share of the squares is
# one of the network (convention).
LEAST_SHARE = 1e-4
# Entries of activations at a time, so that they fit in memory (convention).
MOST_ENTRIES = 4_000_000


def best_gains(
    columns: np.ndarray,
    roots: np.ndarray,
    derivative: np.ndarray,
    residuals: np.ndarray,
    generator: np.random.RandomState,
) -> np.ndarray:
    """The largest fall of the squares of each residual by a neuron that is found.

    ``columns`` are what neurons see, (n_rows, n_columns), ``roots`` those of the
    weights, ``derivative`` orthonormal derivatives of the outputs, (n_rows, n_outputs,
    rank), and ``residuals`` are orthogonal to these, (n_rows, n_outputs, n_residuals).
    The search is the same for all: it turns the best of some random directions.
    """
    normal = generator.standard_normal((N_RANDOM, columns.shape[1]))
    directions, _ = unit_rows(normal)
    n_residuals = residuals.shape[2]
    step = max(1, MOST_ENTRIES // (len(columns) * N_TURNED))
    gains = np.empty(n_residuals)
    for first in range(0, n_residuals, step):
        part = residuals[:, :, first : first + step]
        found = _gains_of_all(columns, roots, derivative, part, directions)
        turned = directions[np.argsort(-found, axis=0)[:N_TURNED].T.ravel()]
        own = np.repeat(part, N_TURNED, axis=2)
        best = _turned_gains(columns, roots, derivative, own, turned)
        gains[first : first + step] = best.reshape(-1, N_TURNED).max(axis=1)
    return gains


def _gains_of_all(
    columns: np.ndarray,
    roots: np.ndarray,
    derivative: np.ndarray,
    residuals: np.ndarray,
    directions: np.ndarray,
) -> np.ndarray:
    """Gains of all directions on all residuals, (n_directions, n_residuals)."""
    activations = roots[:, np.newaxis] * np.maximum(columns @ directions.T, 0.0)
    inverse, _ = _inverse_squares(activations, derivative)
    values = np.einsum("nd,nkb->dbk", activations, residuals, optimize=True)
    return np.einsum("dbk,dkl,dbl->db", values, inverse, values, optimize=True)


def _turned_gains(
    columns: np.ndarray,
    roots: np.ndarray,
    derivative: np.ndarray,
    residuals: np.ndarray,
    directions: np.ndarray,
) -> np.ndarray:
    """Largest gain of each direction on its own residual while it ascends."""
    best, angle = np.zeros(len(directions)), FIRST_TURN
    for _ in range(N_TURNS):
        projections = columns @ directions.T
        activations = roots[:, np.newaxis] * np.maximum(projections, 0.0)
        inverse, overlaps = _inverse_squares(activations, derivative)
        values = np.einsum("nb,nkb->bk", activations, residuals)
        amplitudes = np.einsum("bkl,bl->bk", inverse, values)
        best = np.maximum(best, np.sum(values * amplitudes, axis=1))
        # Of half the gain by the activations: what the best amplitudes leave of the
        # residual, times the amplitudes.
        pull = np.einsum("bk,nkb->nb", amplitudes, residuals)
        pull -= np.sum(amplitudes**2, axis=1) * activations
        fitted = np.einsum("kpb,bk->pb", overlaps, amplitudes)
        for k, of_output in enumerate(derivative.transpose(1, 0, 2)):
            pull += amplitudes[:, k] * (of_output @ fitted)
        pull *= roots[:, np.newaxis] * (projections > 0.0)
        ascent = pull.T @ columns
        ascent -= np.sum(ascent * directions, axis=1, keepdims=True) * directions
        ascent, _ = unit_rows(ascent)
        directions = np.cos(angle) * directions + np.sin(angle) * ascent
        directions, _ = unit_rows(directions)
        angle *= TURN_RATIO
    return best


def _inverse_squares(
    activations: np.ndarray, derivative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse products of the neurons' columns, one for each output, beside the basis.

    Zero for neurons that are nearly those of the network. Second, the products of the
    columns with the basis, (n_outputs, rank, n_neurons).
    """
    overlaps = np.stack([of.T @ activations for of in derivative.transpose(1, 0, 2)])
    squares = np.sum(activations**2, axis=0)
    left = -np.einsum("kpb,lpb->bkl", overlaps, overlaps, optimize=True)
    left += squares[:, np.newaxis, np.newaxis] * np.eye(len(overlaps))
    values, vectors = np.linalg.eigh(left)
    kept = values > LEAST_SHARE * np.maximum(squares, np.finfo(float).tiny)[:, None]
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return np.einsum("bki,bi,bli->bkl", vectors, inverse, vectors), overlaps
