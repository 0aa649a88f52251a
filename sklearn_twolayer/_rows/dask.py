"""Rows in Dask collections: the small network is sent to them, sums come back.

The code uses Dask's public interface of collections only, so that it runs with any of
its schedulers. With the distributed one, kept results stay in the memory of the workers
and are computed again if a worker is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, cast

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_signs,
    check_targets,
    check_total,
    check_weights,
    is_dask,
)
from sklearn_twolayer._checks.types import as_data
from sklearn_twolayer._rows.parts import Parts

if TYPE_CHECKING:
    import dask.array as da
    import dask.dataframe as dd
    import pandas as pd
    from dask.delayed import Delayed
    from sklearn.base import BaseEstimator

    from sklearn_twolayer._rows.parts import Kept
    from sklearn_twolayer._rows.ranges import Ranges
    from sklearn_twolayer._rows.raw import RawPart, RawRows
    from sklearn_twolayer._rows.units import FittedNetwork

P = TypeVar("P")
R = TypeVar("R")
PartT = TypeVar("PartT", covariant=True)


@dataclass(frozen=True, eq=False)
class KeptParts:
    """One delayed result for each part, computed and left where the part is."""

    results: tuple[Delayed, ...]


class _Call:
    """A function and its arguments, without those that differ from part to part.

    This is not a dataclass because Dask would look for collections in its fields.
    """

    def __init__(
        self,
        function: Callable[..., object],
        arguments: tuple[object, ...],
        *,
        fetches: bool = False,
    ) -> None:
        self.function = function
        self.fetches = fetches  # whether the result leaves its device
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
        result = self.function(part, *arguments)
        if not self.fetches:
            return result
        from sklearn_twolayer._rows.sums import fetched

        return fetched(result)


@dataclass(frozen=True, eq=False)
class DaskParts(Parts[PartT]):
    """Parts of the rows as delayed objects; see :class:`_rows.parts.Parts`."""

    parts: tuple[Delayed, ...]

    def keep(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> Kept[R]:
        import dask

        return KeptParts(dask.persist(*self._calls(function, arguments)))

    def gather(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> list[R]:
        import dask

        return list(dask.compute(*self._calls(function, arguments, fetches=True)))

    def numbers(self) -> Kept[int]:
        import dask

        return KeptParts(tuple(map(dask.delayed, range(len(self.parts)))))

    def made(self, kept: Kept[P]) -> DaskParts[P]:
        return DaskParts(cast("KeptParts", kept).results)

    def joined(
        self,
        function: Callable[Concatenate[list[P], ...], R],
        kept: Kept[P],
        *arguments: object,
    ) -> R:
        import dask

        call = dask.delayed(_Call(function, arguments), pure=False, traverse=False)
        results = list(cast("KeptParts", kept).results)
        (result,) = dask.compute(call(results))
        return cast("R", result)

    def _calls(
        self,
        function: Callable[..., object],
        arguments: tuple[object, ...],
        *,
        fetches: bool = False,
    ) -> list[Delayed]:
        import dask

        own_call = _Call(function, arguments, fetches=fetches)
        call = dask.delayed(own_call, pure=False, traverse=False)
        own = [
            argument.results
            for argument in arguments
            if isinstance(argument, KeptParts)
        ]
        return [call(*part) for part in zip(self.parts, *own, strict=True)]


def dask_rows(
    estimator: BaseEstimator,
    X: da.Array | dd.DataFrame,
    y: da.Array | dd.Series | dd.DataFrame | np.ndarray,
    sample_weight: da.Array | dd.Series | np.ndarray | float | None,
) -> RawRows:
    """Raw rows of Dask collections, one part for each chunk.

    The chunks are read, checked and kept where they are.
    """
    import dask

    from sklearn_twolayer._rows.raw import RawRows

    check_columns(estimator, X, reset=True)
    n_chunks = len(_chunks("X", X))
    chunks = [_chunks("X", X), _aligned_chunks("y", y, X)]
    if isinstance(sample_weight, Real):
        check_weights(sample_weight, 1)  # One weight for all rows is none.
    elif sample_weight is not None:
        weights = cast("da.Array | np.ndarray", sample_weight)
        chunks.append(_aligned_chunks("sample_weight", weights, X))
    for name, own in zip(("X", "y", "sample_weight"), chunks, strict=False):
        if len(own) != n_chunks:
            raise ValueError(
                f"{name} must have as many chunks or partitions as X, {n_chunks}, got "
                f"{len(own)}: rechunk or repartition one of them."
            )
    raw = dask.delayed(_raw_part, pure=False)
    parts: DaskParts[RawPart] = DaskParts(
        dask.persist(*(raw(*own) for own in zip(*chunks, strict=True)))
    )
    lengths, totals = zip(*parts.gather(_size), strict=True)
    if len(chunks) == 3:
        check_total(sum(totals))
    if sum(lengths) < 2:
        raise ValueError(
            f"X has {sum(lengths)} rows of positive weight, at least 2 are needed."
        )
    # This process does little work itself, for which one thread is enough.
    return RawRows(parts, n_entries=0, target_shape=np.shape(y))


def check_columns(
    estimator: BaseEstimator, X: da.Array | dd.DataFrame, *, reset: bool
) -> None:
    """Check number and names of the columns, without computing anything."""
    if hasattr(X, "columns"):
        from dask.dataframe.utils import make_meta

        known = as_data("X", make_meta(X))
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
    network: FittedNetwork | Ranges,
    method: str,
    X: da.Array | dd.DataFrame,
    columns: tuple[int, ...],
) -> da.Array:
    """Lazy Dask array with what a method of the network makes of each chunk.

    The result for one row of ``X`` has the shape ``columns``.
    """
    import dask.array as da

    if hasattr(X, "columns"):
        X = X.to_dask_array()
    X = X.rechunk({1: -1})
    shape: dict[str, Any] = {"drop_axis": 1}
    if columns:
        shape = {"chunks": (X.chunks[0], columns)}
    return da.map_blocks(
        _apply, X, network=network, method=method, dtype=np.float64, **shape
    )


def _apply(
    block: np.ndarray, network: FittedNetwork | Ranges, method: str
) -> np.ndarray:
    apply: Callable[[np.ndarray], np.ndarray] = getattr(network, method)
    return apply(check_inputs(None, block, reset=False))


def _chunks(
    name: str, data: da.Array | dd.Series | dd.DataFrame | np.ndarray
) -> list[Delayed]:
    """Delayed chunks of rows."""
    if not hasattr(data, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask array or dataframe, got {type(data).__name__}."
        )
    if hasattr(data, "rechunk") and data.ndim == 2:
        data = data.rechunk({1: -1})
    return list(np.asarray(data.to_delayed(), dtype=object).ravel().tolist())


def _aligned_chunks(
    name: str,
    data: da.Array | dd.Series | dd.DataFrame | np.ndarray,
    X: da.Array | dd.DataFrame,
) -> list[Delayed]:
    """Delayed chunks that have the rows of the chunks of ``X``, if these are known."""
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


def _raw_part(
    X: np.ndarray | pd.DataFrame,
    y: np.ndarray | pd.Series | pd.DataFrame,
    sample_weight: np.ndarray | pd.Series | None = None,
) -> RawPart:
    """Check one chunk, on a worker."""
    from sklearn_twolayer._rows.raw import RawPart

    n_rows = X.shape[0]
    if n_rows == 0:  # A filter can empty a partition.
        X = X.astype(float) if sparse.issparse(X) else np.asarray(X, dtype=float)
        targets = np.asarray(y, dtype=float)
    else:
        X, targets = check_inputs(None, X, reset=False), check_targets(y, n_rows)
    weights = check_signs(sample_weight, n_rows)
    n_outputs = targets.shape[1] if targets.ndim == 2 else 1
    return RawPart.of(X, targets.reshape(n_rows, n_outputs), weights)
