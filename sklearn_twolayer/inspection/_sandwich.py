"""The sandwich covariance of least squares, in orthonormal coordinates. NumPy only.

The equations are those of theory.md. All sums are taken over blocks of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from sklearn_twolayer._rows.blocks import dense_blocks, row_blocks
from sklearn_twolayer.inspection._standardised import Block, StandardisedNetwork

# Singular values below this fraction of the largest are rounding: the data do not
# determine the combination of parameters that they belong to.
UNDETERMINED = 1e-11

# Leverages count as this much less than they are. A row with a leverage of one is
# fitted whatever its target is, and its residual of zero must not be divided by zero.
LEVERAGE = 1.0 - 1e-6

# Rows whose projection is more standard errors away from a kink do not cross it.
FAR = 6.0


@dataclass(frozen=True, eq=False)
class Data:
    """The rows of a fit; residuals and derivatives are multiplied by `roots`."""

    X: np.ndarray | sparse.csr_array
    targets: np.ndarray  # (n_rows, n_outputs), in the units of the data
    roots: np.ndarray  # square roots of the weights
    groups: np.ndarray | None  # of each row, as integers
    network: StandardisedNetwork

    def blocks(self) -> Iterator[tuple[slice, Block]]:
        """All rows, some at a time."""
        network = self.network
        n_outputs = network.amplitudes.shape[1]
        n_inner = len(network.directions) * network.neuron_size
        entries = n_outputs * (n_outputs * network.n_linear + n_inner)
        for rows, block in dense_blocks(self.X, entries):
            yield rows, Block.of(network, block)

    def block(self, rows: np.ndarray) -> Block:
        """The rows of some indices at once."""
        own = self.X[rows]
        own = own.toarray() if sparse.issparse(own) else own
        return Block.of(self.network, np.asarray(own, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal coordinates of what changes of the parameters do to the outputs.

    Amplitudes and linear part of every output see the same columns ``L``, and ``L @
    linear`` is orthonormal. Directions see ``S_k = S diag(shares_k)`` in output ``k``,
    and what ``L`` leaves of them, stacked over outputs and multiplied by `inner`, is
    orthonormal too. Each output is so solved for in its own units, and a target much
    smaller than the others loses no digits.
    """

    linear: np.ndarray  # (n_linear, rank)
    overlap: np.ndarray  # products of L @ linear and S, (rank, n_inner)
    inner: np.ndarray  # (n_inner, rank)
    shares: np.ndarray  # (n_outputs, n_inner)

    @classmethod
    def of(cls, data: Data) -> Basis:
        """By QR and singular value decompositions of blocks of rows."""
        network = data.network

        def linear_rows(rows: slice, block: Block) -> np.ndarray:
            return data.roots[rows, np.newaxis] * block.linear

        linear = _orthonormalising(_triangle(data, linear_rows, network.n_linear))
        n_inner = len(network.directions) * network.neuron_size
        overlap = np.zeros((linear.shape[1], n_inner))
        for rows, block in data.blocks():
            weights = data.roots[rows, np.newaxis] ** 2
            overlap += (block.linear @ linear).T @ (weights * block.slopes())

        def inner_rows(rows: slice, block: Block) -> np.ndarray:
            left = block.slopes() - block.linear @ linear @ overlap
            return data.roots[rows, np.newaxis] * left

        # The direction of a neuron is measured in units of one over its effect, which
        # makes light neurons as well determined as heavy ones.
        effects = network.amplitudes / effect_sizes(network)[:, np.newaxis]
        shares = np.repeat(effects.T, network.neuron_size, axis=1)
        triangle = _triangle(data, inner_rows, n_inner)
        stacked = np.vstack([triangle * share for share in shares])
        return cls(linear, overlap, _orthonormalising(stacked), shares)

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.shares)

    @property
    def rank(self) -> int:
        """Number of coordinates: the linear ones of each output, then directions."""
        return self.n_outputs * self.linear.shape[1] + self.inner.shape[1]

    def derivative(self, block: Block, roots: np.ndarray) -> np.ndarray:
        """Of the outputs by the coordinates: rows, outputs, coordinates."""
        own = block.linear @ self.linear
        left = block.slopes() - own @ self.overlap
        n_rows, n_linear = own.shape
        result = np.zeros((n_rows, self.n_outputs, self.rank))
        for k, shares in enumerate(self.shares):
            result[:, k, k * n_linear : (k + 1) * n_linear] = own
            result[:, k, self.n_outputs * n_linear :] = left * shares @ self.inner
        return result * roots[:, np.newaxis, np.newaxis]

    def linear_maps(self, column: int) -> np.ndarray:
        """What the coordinates do to the coefficients of a column, one output a row.

        The columns are those of ``L``: of each neuron, whose coefficients are its
        amplitudes, of each input, and ones.
        """
        n_linear = self.linear.shape[1]
        result = np.zeros((self.n_outputs, self.rank))
        own = self.linear[column]
        for k, shares in enumerate(self.shares):
            result[k, k * n_linear : (k + 1) * n_linear] = own
            turned = (own @ self.overlap * shares) @ self.inner
            result[k, self.n_outputs * n_linear :] = -turned
        return result

    def direction_map(self, network: StandardisedNetwork, neuron: int) -> np.ndarray:
        """What the coordinates do to tangent and bias of a neuron, one a row."""
        size = network.neuron_size
        result = np.zeros((size, self.rank))
        own = self.inner[neuron * size : (neuron + 1) * size]
        first = self.n_outputs * self.linear.shape[1]
        result[:, first:] = own / effect_sizes(network)[neuron]
        return result


def effect_sizes(network: StandardisedNetwork) -> np.ndarray:
    """Norm of the amplitudes of each neuron, one where they are zero."""
    sizes = np.linalg.norm(network.amplitudes, axis=1)
    return np.where(sizes > 0, sizes, 1.0)


def residuals(data: Data) -> np.ndarray:
    """Weighted residuals in units of the target scale."""
    result = data.targets / data.network.target_scale
    for rows, block in data.blocks():
        result[rows] -= block.outputs()
    return result * data.roots[:, np.newaxis]


def mean_squares(data: Data, basis: Basis, residual: np.ndarray) -> np.ndarray:
    """Mean products of the errors of the coordinates, (20) and (21)."""
    scores, gradient, errors, projections = _scores(data, basis, residual)
    # (21) needs the errors that it enlarges. It is evaluated once, at those of (20):
    # where directions are close to one another it would grow with every repetition.
    total = scores + np.outer(gradient, gradient)
    moved = crossings(data, basis, total, errors, projections)
    return total + moved + bends(data, basis, total, errors)


def jackknife(data: Data, basis: Basis, residual: np.ndarray) -> np.ndarray:
    """Mean products of the errors of the coordinates where rows are many, (20)."""
    scores, gradient, _, _ = _scores(data, basis, residual)
    return scores + np.outer(gradient, gradient)


def _scores(
    data: Data, basis: Basis, residual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sum of the squares of scores, their sum, errors, and pre-activations.

    The bread of the sandwich is the identity in orthonormal coordinates. The scores
    and errors are those of residuals corrected for their leverage, the sum of scores
    is not corrected: it is the step to least squares without decay.
    """
    total, gradient = np.zeros((basis.rank, basis.rank)), np.zeros(basis.rank)
    errors = np.empty_like(residual)
    projections = np.empty((len(residual), len(data.network.directions)))
    groups, sums = data.groups, None
    if groups is not None:
        sums = _group_scores(data, groups, basis, residual)
    for rows, block in data.blocks():
        derivative = basis.derivative(block, data.roots[rows])
        projections[rows] = block.projections
        gradient += np.einsum("nkp,nk->p", derivative, residual[rows])
        if groups is None or sums is None:
            leverage = derivative @ derivative.transpose(0, 2, 1)
            kept = np.eye(basis.n_outputs) - LEVERAGE * leverage
            own = np.linalg.solve(kept, residual[rows][:, :, np.newaxis])[:, :, 0]
            score = np.einsum("nkp,nk->np", derivative, own)
            total += score.T @ score
            errors[rows] = own
        else:
            fitted = np.einsum("nkp,np->nk", derivative, sums[groups[rows]])
            errors[rows] = residual[rows] + LEVERAGE * fitted
    if sums is not None:
        total = sums.T @ sums
    return total, gradient, errors, projections


def _group_scores(
    data: Data, groups: np.ndarray, basis: Basis, residual: np.ndarray
) -> np.ndarray:
    """Scores of the groups, as if each had been left out of the fit (CR3).

    With the derivatives ``Q`` of its rows, ``Q' (I - Q Q')^-1 r = (I - Q'Q)^-1 Q'r``,
    so that only sums over the rows of a group are needed.
    """
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    entries = basis.n_outputs * basis.rank
    scores = np.zeros((groups.max() + 1, basis.rank))
    for members in np.split(order, edges):
        leverage = np.zeros((basis.rank, basis.rank))
        score = np.zeros(basis.rank)
        for part in row_blocks(len(members), entries):
            own = members[part]
            block = data.block(own)
            flat = basis.derivative(block, data.roots[own]).reshape(-1, basis.rank)
            leverage += flat.T @ flat
            score += residual[own].ravel() @ flat
        kept = np.eye(basis.rank) - LEVERAGE * leverage
        scores[groups[members[0]]] = np.linalg.solve(kept, score)
    return scores


def crossings(
    data: Data,
    basis: Basis,
    total: np.ndarray,
    errors: np.ndarray,
    projections: np.ndarray,
) -> np.ndarray:
    """Variance of the scores, in (21), from rows on the wrong side of a kink."""
    result = np.zeros_like(total)
    groups = np.arange(len(errors)) if data.groups is None else data.groups
    for j, amplitude in enumerate(data.network.amplitudes):
        change = basis.direction_map(data.network, j)
        turn = change @ total @ change.T
        distances = np.full(len(errors), np.inf)
        for rows, block in data.blocks():
            inner = block.inner(j)
            variance = np.einsum("na,ab,nb->n", inner, turn, inner)
            deviation = np.sqrt(np.maximum(variance, 0.0))
            own = distances[rows]  # a view
            np.divide(projections[rows, j], deviation, out=own, where=deviation > 0)
        near = np.flatnonzero(np.abs(distances) < FAR)
        pull = data.roots[near] * (errors[near] @ amplitude)
        scores = pull[:, np.newaxis] * data.block(near).inner(j)
        squares = _joint_squares(scores, distances[near], groups[near])
        result += change.T @ squares @ change
    return result


def _joint_squares(
    scores: np.ndarray, distances: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Expected square of the sum of the scores of rows that cross a kink.

    Rows of a group on one side of the kink cross together, the nearest first, as if
    the kink moved in parallel; those of different groups and sides cross alone.
    """
    probability = ndtr(-np.abs(distances))
    order = np.lexsort((-probability, distances > 0, groups))
    scores, probability = scores[order], probability[order]
    part = 2 * groups[order] + (distances[order] > 0)
    ends = np.append(part[1:] != part[:-1], True)[: len(part)]
    # With probability p_1 - p_2 only the nearest row has crossed, with p_2 - p_3 the
    # two nearest have, and so on.
    exactly = probability - np.where(ends, 0.0, np.append(probability[1:], 0.0))
    sums = np.cumsum(scores, axis=0)
    starts = np.flatnonzero(np.append(True, ends[:-1])[: len(part)])
    before = np.zeros((len(starts), scores.shape[1]))
    before[1:] = sums[starts[1:] - 1]
    sums -= np.repeat(before, np.diff(np.append(starts, len(part))), axis=0)
    return sums.T @ (exactly[:, np.newaxis] * sums)


def bends(
    data: Data, basis: Basis, total: np.ndarray, errors: np.ndarray
) -> np.ndarray:
    """Variance of the scores, in (21), from amplitudes times directions.

    The derivative by an amplitude changes with the direction, and that by the direction
    with the amplitude.
    """
    network, n_outputs = data.network, basis.n_outputs
    shape = (len(network.directions), n_outputs, network.neuron_size)
    squares: dict[tuple[int, int], np.ndarray] = {}
    maps = [
        np.vstack([basis.linear_maps(j), basis.direction_map(network, j)])
        for j in range(shape[0])
    ]
    turns = {
        (j, k): maps[j] @ total @ maps[k].T
        for j in range(shape[0])
        for k in range(shape[0])
    }

    def add(products: np.ndarray) -> None:
        for (j, k), turn in turns.items():
            square = _bend_squares(products[:, j], products[:, k], turn)
            squares[j, k] = squares.get((j, k), 0.0) + square

    groups, sums = data.groups, None
    if groups is not None:
        sums = np.zeros((groups.max() + 1, *shape))
    for rows, block in data.blocks():
        pull = data.roots[rows, np.newaxis] * errors[rows]
        slopes = block.slopes().reshape(len(pull), shape[0], 1, shape[2])
        products = pull[:, np.newaxis, :, np.newaxis] * slopes
        if groups is None or sums is None:
            add(products)
        else:
            np.add.at(sums, groups[rows], products)
    if sums is not None:
        add(sums)
    return sum(maps[j].T @ square @ maps[k] for (j, k), square in squares.items())


def _bend_squares(
    first: np.ndarray, second: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """Covariance of the changes of the scores of two neurons, summed over groups.

    ``first`` and ``second`` hold for each group the products of errors and slopes of
    the neurons, (n_groups, n_outputs, neuron_size), ``turn`` the covariance of their
    parameters, amplitudes first.
    """
    n = first.shape[1]
    of_amplitudes = first @ turn[n:, n:]
    by_direction = first @ turn[n:, :n]
    of_directions = first.transpose(0, 2, 1) @ turn[:n, :n]
    by_amplitude = first.transpose(0, 2, 1) @ turn[:n, n:]
    by_output, by_turn = ([0, 2], [0, 2]), ([0, 2], [0, 1])
    return np.block(
        [
            [
                np.tensordot(of_amplitudes, second, by_output),
                np.tensordot(by_direction, second, by_turn),
            ],
            [
                np.tensordot(by_amplitude, second, by_output),
                np.tensordot(of_directions, second, by_turn),
            ],
        ]
    )


def _triangle(
    data: Data, columns: Callable[[slice, Block], np.ndarray], n_columns: int
) -> np.ndarray:
    """Triangular factor of the QR decomposition of columns, block by block."""
    triangle: np.ndarray = np.zeros((0, n_columns))
    for rows, block in data.blocks():
        stacked = np.vstack([triangle, columns(rows, block)])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    return triangle


def _orthonormalising(columns: np.ndarray) -> np.ndarray:
    """``B`` with ``columns @ B`` orthonormal, without what is rounding."""
    _, sizes, vectors = np.linalg.svd(columns, full_matrices=False)
    kept = sizes > UNDETERMINED * sizes.max(initial=0.0)
    return vectors[kept].T / sizes[kept]
