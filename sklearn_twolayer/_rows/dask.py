"""Rows in Dask collections: the small network travels to them, sums come back.

Only Dask's public collections interface is used, so any of its schedulers will do. With
a distributed one, what is kept stays in the memory of the workers and is computed anew
if one of them is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import validate_data

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_signs,
    check_targets,
    check_total,
    is_dask,
)

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from sklearn_twolayer._rows.raw import RawPart, RawRows
    from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class KeptParts:
    """One delayed result a part, being computed where the part is."""

    results: tuple[object, ...]


class _Call:
    """A function and its arguments, but for what belongs to a part.

    Not a dataclass: Dask would look for collections in its fields.
    """

    def __init__(self, function: Callable, arguments: tuple[object, ...]) -> None:
        self.function = function
        self.arguments = [
            None if isinstance(argument, KeptParts) else argument
            for argument in arguments
        ]
        self.own = [
            index
            for index, argument in enumerate(arguments)
            if isinstance(argument, KeptParts)
        ]

    def __call__(self, part: object, *own: object) -> object:
        arguments = list(self.arguments)
        for index, argument in zip(self.own, own, strict=True):
            arguments[index] = argument
        return self.function(part, *arguments)


@dataclass(frozen=True, eq=False)
class DaskParts:
    """Parts of the rows as delayed objects; see ``_rows.Parts``."""

    parts: tuple[object, ...]

    def keep(self, function: Callable, *arguments: object) -> KeptParts:
        import dask

        return KeptParts(dask.persist(*self._calls(function, arguments)))

    def gather(self, function: Callable, *arguments: object) -> list:
        import dask

        return list(dask.compute(*self._calls(function, arguments)))

    def made(self, kept: KeptParts) -> DaskParts:
        return DaskParts(kept.results)

    def joined(self, function: Callable, kept: KeptParts, *arguments: object) -> object:
        import dask

        call = dask.delayed(_Call(function, arguments), pure=False, traverse=False)
        (result,) = dask.compute(call(list(kept.results)))
        return result

    def _calls(self, function: Callable, arguments: tuple[object, ...]) -> list:
        import dask

        call = dask.delayed(_Call(function, arguments), pure=False, traverse=False)
        own = [
            argument.results
            for argument in arguments
            if isinstance(argument, KeptParts)
        ]
        return [call(*part) for part in zip(self.parts, *own, strict=True)]


def dask_rows(
    estimator: BaseEstimator, X: object, y: object, sample_weight: object
) -> RawRows:
    """Raw rows of Dask collections, one part a chunk.

    The chunks are read, checked and kept where they are.
    """
    import dask

    from sklearn_twolayer._rows.raw import RawRows

    check_columns(estimator, X, reset=True)
    n_chunks = len(_chunks("X", X))
    chunks = [_chunks("X", X), _aligned_chunks("y", y, X)]
    if sample_weight is not None:
        chunks.append(_aligned_chunks("sample_weight", sample_weight, X))
    for name, own in zip(("X", "y", "sample_weight"), chunks, strict=False):
        if len(own) != n_chunks:
            raise ValueError(
                f"{name} must have as many chunks or partitions as X, {n_chunks}, got "
                f"{len(own)}: rechunk or repartition one of them."
            )
    raw = dask.delayed(_raw_part, pure=False)
    parts = dask.persist(*(raw(*own) for own in zip(*chunks, strict=True)))
    lengths, totals = zip(*DaskParts(parts).gather(_size), strict=True)
    if sample_weight is not None:
        check_total(sum(totals))
    if sum(lengths) < 2:
        raise ValueError(
            f"X has {sum(lengths)} rows of positive weight, at least 2 are needed."
        )
    # The client's own work is small.
    return RawRows(DaskParts(parts), n_entries=0, target_shape=np.shape(y))


def check_columns(estimator: BaseEstimator, X: object, *, reset: bool) -> None:
    """Number and names of the columns, from what is known without computing."""
    if hasattr(X, "columns"):
        from dask.dataframe.utils import make_meta

        known = make_meta(X)
    elif getattr(X, "ndim", None) == 2 and not np.isnan(X.shape[1]):
        known = np.empty((0, X.shape[1]))
    else:
        raise ValueError(
            "X must be a two-dimensional Dask array or a Dask dataframe with a known "
            f"number of columns, got {type(X).__name__} of shape "
            f"{getattr(X, 'shape', None)}."
        )
    validate_data(estimator, X=known, reset=reset, skip_check_array=True)


def dask_apply(
    network: FittedNetwork, method: str, X: object, columns: tuple[int, ...]
) -> object:
    """A lazy Dask array of what a method of the network makes of each chunk.

    Each row of ``X`` gives a result of shape ``columns``.
    """
    import dask.array as da

    if hasattr(X, "columns"):
        X = X.to_dask_array()
    X = X.rechunk({1: -1})
    shape = {"chunks": (X.chunks[0], columns)} if columns else {"drop_axis": 1}
    return da.map_blocks(
        _apply, X, network=network, method=method, dtype=np.float64, **shape
    )


def _apply(block: np.ndarray, network: FittedNetwork, method: str) -> np.ndarray:
    return getattr(network, method)(check_inputs(None, block, reset=False))


def _chunks(name: str, data: object) -> list[object]:
    """Delayed chunks of rows."""
    if not hasattr(data, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask array or dataframe, got {type(data).__name__}."
        )
    if hasattr(data, "rechunk") and data.ndim == 2:
        data = data.rechunk({1: -1})
    return np.asarray(data.to_delayed(), dtype=object).ravel().tolist()


def _aligned_chunks(name: str, data: object, X: object) -> list[object]:
    """Delayed chunks with the rows of those of ``X``, as far as can be known."""
    import dask.array as da

    lengths = X.chunks[0] if hasattr(X, "chunks") else (np.nan,)
    known = not np.isnan(lengths).any()
    if not is_dask(data):
        if not known:
            raise TypeError(
                f"{name} must be a Dask collection with the partitions of X, got "
                f"{type(data).__name__}: the lengths of the partitions of X are not "
                "known."
            )
        data = np.asarray(data)
        if data.shape[:1] != X.shape[:1]:
            raise ValueError(
                f"X and {name} have inconsistent numbers of samples: "
                f"[{X.shape[0]}, {len(data)}]."
            )
        data = da.from_array(data, chunks=(lengths, *data.shape[1:]))
    elif known and hasattr(data, "rechunk") and data.shape[0] == X.shape[0]:
        data = data.rechunk({0: lengths})
    return _chunks(name, data)


def _size(raw: RawPart) -> tuple[int, float]:
    """Number of rows and sum of their weights."""
    return len(raw.y), float(raw.sample_weight.sum())


def _raw_part(X: object, y: object, sample_weight: object = None) -> RawPart:
    """Check one chunk, on a worker."""
    from sklearn_twolayer._rows.raw import RawPart

    n_rows = len(X)
    if n_rows == 0:  # as partitions that a filter has emptied
        X, targets = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    else:
        X, targets = check_inputs(None, X, reset=False), check_targets(y, n_rows)
    weights = check_signs(sample_weight, n_rows)
    n_outputs = targets.shape[1] if targets.ndim == 2 else 1
    return RawPart.of(X, targets.reshape(n_rows, n_outputs), weights)
