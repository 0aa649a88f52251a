"""Standardisation of raw rows: means and scales of the columns, then the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_twolayer._checks.data import check_magnitude, check_single
from sklearn_twolayer._rows.blocks import row_blocks
from sklearn_twolayer._rows.dense import Standardization, raw_rows
from sklearn_twolayer._rows.devices import CPU, block_entries, has_room, home_of, moved
from sklearn_twolayer._rows.inputs import (
    ArrayInputs,
    DenseInputs,
    SparseInputs,
)
from sklearn_twolayer._rows.linear_basis import CONSTANT
from sklearn_twolayer._rows.part import Part
from sklearn_twolayer._rows.parts import Parts
from sklearn_twolayer._rows.raw import RawPart, Shares, is_mapped
from sklearn_twolayer._rows.sums import add, added_up, as_arrays, product

# Entries of the inputs up to which a standardised copy is kept, of arrays in memory and
# of memory maps. Of more entries, standardisation is folded into the products.
# Measured at 1,000,000 x 20, 5 and 30 neurons: these take 3 to 15 % more time then.
KEPT_ENTRIES = 2**24
KEPT_MAPPED_ENTRIES = 2**20
# Entries that go to an accelerator at once (convention).
SENT_ENTRIES = 2**22
# Largest mean of a column, in standard deviations, with which products are made of rows
# that are not shifted (convention: they lose one digit).
NEAR = 10.0


def relative_weight_sums(raw: RawPart, largest: float) -> tuple[float, float]:
    """Sum of the weights divided by the largest, and sum of the squares of these."""
    relative = raw.sample_weight / largest
    return relative.sum(), np.square(relative).sum()


def column_sums(
    raw: RawPart, shares: Shares
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contribution of the part to the weighted means; least and largest of columns.

    The results are the means of the columns of ``X`` and of ``y``, which need to be
    added up over the parts, then the minimum and maximum of each column of ``X``.
    """
    share = shares.of(raw.sample_weight)
    target_mean = share @ raw.y
    if sparse.issparse(raw.X):
        X: Any = raw.X  # whose least and largest are sparse, 1-d or 2-d
        first, last = X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()
        return share @ X, target_mean, first.astype(float), last.astype(float)
    mean = low = high = None
    for rows, block in _raw_blocks(raw):
        mean = add(mean, product(_there(share[rows], block), block))
        if len(block) == 0:  # A part without rows has no least row.
            continue
        least, most = block.amin(dim=0), block.amax(dim=0)
        low = least if low is None else torch.minimum(low, least)
        high = most if high is None else torch.maximum(high, most)
    assert mean is not None  # There is at least one block.
    if low is None or high is None:
        infinite = np.full(raw.X.shape[1], np.inf)
        return mean.numpy(), target_mean, infinite, -infinite
    own_mean, own_low, own_high = as_arrays(mean, low, high)
    return own_mean, target_mean, own_low, own_high


def centred_sums(
    raw: RawPart, shares: Shares, mean: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of ``(X - mean) / size`` and of its square."""
    share = shares.of(raw.sample_weight)
    if sparse.issparse(raw.X):
        return _sparse_centred_sums(raw.X, share, mean, size)
    first = second = None
    for rows, block in _raw_blocks(raw):
        own = _there(share[rows], block)
        centred = (block - _there(mean, block)).div_(_there(size, block))
        first = add(first, product(own, centred))
        second = add(second, product(own, centred.square_()))
    assert first is not None  # There is at least one block.
    assert second is not None
    own_first, own_second = as_arrays(first, second)
    return own_first, own_second


def on_device(raw: RawPart, device: torch.device) -> RawPart:
    """The part with its dense ``X`` on an accelerator, for all sums over its rows.

    It stays where it is if the accelerator has no float64, or no room for it and for
    two copies in double precision.
    """
    n_entries = len(raw.y) * (raw.X.shape[1] + 1)
    stays = sparse.issparse(raw.X) or home_of(device).type == "cpu"
    if stays or not has_room(device, 3 * torch.float64.itemsize * n_entries):
        return raw
    is_single = raw.X.dtype == np.float32
    dtype = torch.float32 if is_single else torch.float64
    X = torch.empty(len(raw.y), raw.X.shape[1], dtype=dtype, device=device)
    for rows in row_blocks(len(X), X.shape[1], SENT_ENTRIES):
        X[rows] = raw_rows(raw.X, raw.index, rows, device)
    return replace(raw, X=X, index=None)


def _raw_blocks(raw: RawPart) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows as float64 where ``X`` is, some at a time."""
    device = raw.X.device if isinstance(raw.X, torch.Tensor) else CPU
    limit = block_entries(device)
    for rows in row_blocks(len(raw.y), raw.X.shape[1] + 1, limit):
        yield rows, raw_rows(raw.X, raw.index, rows, device)


def _there(values: np.ndarray, block: torch.Tensor) -> torch.Tensor:
    return moved(torch.from_numpy(values), block.device, torch.float64)


def spread_and_spacing(
    raw: RawPart, shares: Shares, target_mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of squares of centred targets, and of their floats' spacing."""
    share = shares.of(raw.sample_weight)
    spread = share @ np.square(raw.y - target_mean)
    return spread, share @ np.square(_spacing(raw.y))


def _spacing(y: np.ndarray) -> np.ndarray:
    """Distance from each number to the next that its target could have had.

    A target all of whose numbers are numbers of single precision was rounded to it
    earlier, although the array now holds double precision. Whole numbers may be exact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        single = y.astype(np.float32)
        rounded = (single == y).all(axis=0) & (y != np.rint(y)).any(axis=0)
        return np.where(rounded, np.spacing(single), np.spacing(y))


def _sparse_centred_sums(
    X: sparse.csr_array, share: np.ndarray, mean: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    columns, n_features = X.indices, X.shape[1]
    entry_share = np.repeat(share, np.diff(X.indptr))

    def by_column(values: np.ndarray) -> np.ndarray:
        return np.bincount(columns, weights=values, minlength=n_features)

    centred = (X.data - mean[columns]) / size[columns]
    zeros = share.sum() - by_column(entry_share)  # weight of the entries not stored
    # In a column without a zero this difference is rounding, which the square of a mean
    # far from zero would magnify.
    zeros[_has_no_zero(X)] = 0.0
    first = by_column(entry_share * centred) - zeros * mean / size
    second = by_column(entry_share * np.square(centred))
    return first, second + zeros * np.square(mean / size)


def _has_no_zero(X: sparse.csr_array) -> np.ndarray:
    """Whether each column has a stored entry on each row."""
    n_rows, n_features = X.shape
    return np.bincount(X.indices, minlength=n_features) == n_rows


def standardized_inputs(
    raw: RawPart, shares: Shares, standardization: Standardization
) -> DenseInputs | ArrayInputs | SparseInputs:
    """The standardised inputs of the part, in float64.

    They are where its ``X`` is: kept on a CPU if they are few, on an accelerator if it
    has room.
    """
    root = np.sqrt(shares.of(raw.sample_weight))
    if sparse.issparse(raw.X):
        return _sparse_inputs(raw.X, root, standardization)
    inputs = ArrayInputs(raw.X, raw.index, root, standardization)
    if isinstance(raw.X, torch.Tensor):
        return inputs.to(raw.X.device, torch.float64)
    n_entries = len(root) * inputs.n_columns
    most = KEPT_MAPPED_ENTRIES if is_mapped(raw.X) else KEPT_ENTRIES
    return inputs.kept() if n_entries <= most else inputs


def _sparse_inputs(
    X: sparse.csr_array, root: np.ndarray, standardization: Standardization
) -> SparseInputs:
    """Inputs with the shift of columns without a zero applied to the stored entries.

    Only such columns can be far from zero. If their shift were applied in the products
    by ``offset``, cancellation would leave no correct digit.
    """
    full = _has_no_zero(X)
    shift = np.where(full, standardization.shift, 0.0)
    values = (X.data - shift[X.indices]) / standardization.scale[X.indices]
    values *= np.repeat(root, np.diff(X.indptr))
    offset = standardization.offset
    return SparseInputs(
        sparse.csr_array((values, X.indices, X.indptr), shape=X.shape),
        np.where(full, 0.0, offset),
        np.where(full, offset, 0.0),
        root,
    )


def find_standardization(
    raw: Parts[RawPart],
    shares: Shares,
    dtype: torch.dtype,
    *,
    standardize: bool,
    hidden_bias: bool,
) -> tuple[Standardization, np.ndarray]:
    """Weighted means and standard deviations, and the mean of the targets.

    Without hidden biases the scale is the root of the mean square. The scale of a
    constant column is one, or the size of its rounding if that is larger. The second
    pass, over centred columns, makes the means exact for columns that are far from
    zero. They are divided by their largest absolute value, so that their squares do not
    overflow.
    """
    means, target_means, low, high = zip(*raw.gather(column_sums, shares), strict=True)
    mean, target_mean = np.asarray(sum(means)), np.asarray(sum(target_means))
    largest = np.maximum(np.max(high, axis=0) - mean, mean - np.min(low, axis=0))
    rounding = np.minimum(CONSTANT * np.abs(mean), 1.0)
    for j, value in enumerate(np.where(largest > rounding, largest, 0.0)):
        check_magnitude(f"Column {j} of X, less its mean,", value)
    size = np.where(largest > 0, largest, 1.0)
    first, second = added_up(raw.gather(centred_sums, shares, mean, size))
    scale = size * np.sqrt(np.maximum(second - np.square(first), 0.0))
    mean = mean + first * size
    scale = np.where(scale > CONSTANT * np.abs(mean), scale, 0.0)
    is_near = bool(((np.abs(mean) <= NEAR * scale) | (scale == 0.0)).all())
    if not hidden_bias:
        scale = np.hypot(mean, scale)
    if dtype == torch.float32 and not standardize:
        for j, value in enumerate(scale):
            check_single(j, value)
    divisor = np.where(standardize, scale, 1.0)
    divisor = np.where(scale > 0, divisor, np.maximum(size, 1.0))
    return Standardization(mean, divisor, is_near), target_mean


def standardized_part(
    raw: RawPart,
    shares: Shares,
    standardization: Standardization,
    target_mean: np.ndarray,
) -> Part:
    """A part with standardised inputs, and targets that are centred and weighted."""
    root = np.sqrt(shares.of(raw.sample_weight))[:, None]
    targets = torch.from_numpy((raw.y - target_mean) * root)
    inputs = standardized_inputs(raw, shares, standardization)
    device = raw.X.device if isinstance(raw.X, torch.Tensor) else CPU
    return Part(inputs, moved(targets, device, torch.float64))
