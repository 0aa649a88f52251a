"""The columns that a fit keeps, and the eigenvalues of their Gram matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sklearn_twolayer._rows.columns import Columns
from sklearn_twolayer._rows.spectrum import Spectrum
from sklearn_twolayer._rows.sums import add, added_up, fetched

if TYPE_CHECKING:
    from sklearn_twolayer._rows.dense import Standardization
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.parts import Parts


def by_their_gram(
    parts: Parts[Part], standardization: Standardization, *, hidden_bias: bool
) -> tuple[Parts[Part], Columns, Spectrum]:
    """Leave out constant columns and copies; the Gram matrix is that of columns."""
    gram = added_up(parts.gather(inputs_gram))
    offset = standardization.offset
    columns = Columns.of(parts, gram, offset, hidden_bias=hidden_bias)
    if not columns.are_all:
        parts = parts.made(parts.keep(_with_columns, columns.kept))
        index = np.append(columns.kept, len(gram) - 1)
        gram = gram[np.ix_(index, index)]
    return parts, columns, Spectrum(gram)


def by_their_sizes(
    parts: Parts[Part],
    n_samples: int,
    standardization: Standardization,
    *,
    hidden_bias: bool,
) -> tuple[Parts[Part], Columns, Spectrum]:
    """Leave out constant columns only: nothing as large as columns squared is formed.

    The Gram matrix is that of the rows, unless they outnumber the columns that are
    left.
    """
    spectrum = Spectrum.of_rows(parts)
    squares = spectrum.column_squares()[:-1]
    columns = Columns.varying(squares, standardization.offset, hidden_bias=hidden_bias)
    if not columns.are_all:
        parts = parts.made(parts.keep(_with_columns, columns.kept))
        if n_samples < len(columns.kept):
            spectrum = Spectrum.of_rows(parts)
        else:
            spectrum = Spectrum(added_up(parts.gather(inputs_gram)))
    return parts, columns, spectrum


def inputs_gram(part: Part) -> np.ndarray:
    gram = None
    for rows in part.blocks(1):
        gram = add(gram, part.inputs.block(rows).gram())
    assert gram is not None  # There is at least one block.
    return fetched(gram).numpy()


def _with_columns(part: Part, columns: np.ndarray) -> Part:
    return replace(part, inputs=part.inputs.take(columns))
