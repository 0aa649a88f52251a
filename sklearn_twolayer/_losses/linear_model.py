"""The best model without neurons, with the decay, scale and noise that belong to it."""

from __future__ import annotations

from sklearn_twolayer._losses.linear_decay import with_likely_decay
from sklearn_twolayer._losses.linear_fit import fit_linear_part
from sklearn_twolayer._losses.model import LossRows, Model
from sklearn_twolayer._losses.noise import adapted, has_settled
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._rows.distinct import ROWS_PER_INPUT

# Linear fits, each for the scale and the dispersion that the one before leaves, at most
# (convention; two to five are usual).
MOST_LINEAR_FITS = 10


def settled_linear_model(
    data: LossRows, options: PathOptions
) -> tuple[LossRows, Model, bool]:
    """The best linear model, and rows that know scale and dispersion beside it."""
    free, model = data.linear_decay, Model.zero(data.rows)
    for _ in range(MOST_LINEAR_FITS):
        before, data = data, adapted(data.decayed(data.linear_decay), model)
        data, model, is_separable = _linear_model(data.decayed(free), model, options)
        if has_settled(before, data):
            break
    return data, model, is_separable


def _linear_model(
    data: LossRows, begin: Model, options: PathOptions
) -> tuple[LossRows, Model, bool]:
    """The rows with the decay that the linear part needs, and the best linear model.

    Without a decay the loss of classes that a linear function separates has no minimum.
    """
    rows = data.rows
    is_free = data.linear_decay == 0.0
    # Columns that were chosen by the same rows fit them too well.
    are_few = rows.n_effective < ROWS_PER_INPUT * len(rows.linear_basis)
    are_few = are_few or options.column_weights is not None
    is_tried = is_free and (options.linear_decay == 0.0 or not are_few)
    if is_tried:
        fit = fit_linear_part(data, begin)
        if fit.has_minimum:
            return data, fit.model, False
    if is_free:
        data = with_likely_decay(data)
        data = data.decayed(data.linear_decay * options.linear_decay_factor)
    return data, fit_linear_part(data, begin).model, is_tried
