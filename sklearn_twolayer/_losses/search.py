"""The choice of neurons by the deviance, through searches on least-squares problems."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    from_working_units,
    in_working_units,
    mean_loss,
    outputs_of,
    working_rows,
)
from sklearn_twolayer._losses.newton import polish
from sklearn_twolayer._path.stage import PathStart
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.bold_start import bold_start
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.search import search
from sklearn_twolayer._search.tuning import SearchTuning

# Searches, each on the least-squares problem around the model of the one before, at
# most (convention; two or three are usual).
MOST_SEARCHES = 6
# The searches end when one lowers the criterion by less than this many prices of a
# neuron (convention).
LEAST_GAIN = 0.1


@dataclass(frozen=True, eq=False)
class LossSearchResult:
    """A model, its criterion, the decay that its search began at, and what ended it."""

    model: Model
    value: float
    lambda_: float
    stopped_by: str = "tol"


def search_model(
    data: LossRows,
    linear: Model,
    start: PathStart,
    penalty: float | str,
    generator: torch.Generator,
    tuning: SearchTuning,
    *,
    fraction: float = 1.0,
    most_neurons: float,
    begin: Model | None = None,
) -> LossSearchResult:
    """Find the model whose deviance and price are lowest (theory eq. 30).

    A search on the least-squares problem around the present model proposes neurons; the
    proposed network is polished on the loss itself and replaces the present one if its
    criterion is lower. ``linear`` is the best model without neurons, and ``begin`` the
    first model, in place of it.
    """
    best = LossSearchResult(linear, deviance(data, linear), start.lambda_max)
    if begin is not None and begin.network.n_neurons:
        best = replace(best, model=begin)
    for number in range(MOST_SEARCHES):
        if start.lambda_max == 0.0 or limit_reached():
            break
        working = working_rows(data, outputs_of(data, best.model))
        rows = working.rows
        own_start = replace(start, lambda_max=working.decay_of(start.lambda_max))
        network = in_working_units(working, best.model.network)
        first = network if network.n_neurons else None
        result = search(
            rows,
            own_start,
            penalty,
            generator,
            first or bold_start(rows, own_start, generator, tuning),
            tuning,
            fraction=fraction,
            most_neurons=most_neurons,
        )
        criterion = Criterion.of(rows, penalty, fraction)
        model = polish(
            data,
            from_working_units(working, result.network),
            lambda model: likely_decay(data, model),
            tuning,
        )
        if number == 0 and first is not None:  # The first model was not polished.
            begun = polish(
                data, best.model, lambda model: likely_decay(data, model), tuning
            )
            best = replace(best, model=begun, value=_value(data, begun, criterion))
        value = _value(data, model, criterion)
        lambda_ = result.lambda_ * working.mean_weight * rows.units.target_scale
        gain = best.value - value
        if gain > 0.0:
            best = LossSearchResult(model, value, lambda_)
        if gain < LEAST_GAIN * criterion.price:
            break
    linear_value = deviance(data, linear)
    if best.value > linear_value:
        best = replace(best, model=linear, value=linear_value)
    return replace(best, stopped_by=limit_reached() or "tol")


def deviance(data: LossRows, model: Model) -> float:
    """Twice the loss of all rows, in units of the dispersion."""
    loss = mean_loss(data, outputs_of(data, model))
    return 2.0 * data.rows.n_effective * loss / (data.loss.dispersion or 1.0)


def _value(data: LossRows, model: Model, criterion: Criterion) -> float:
    return deviance(data, model) + criterion.price * model.network.n_neurons


def likely_decay(data: LossRows, model: Model) -> float:
    """The decay under which the masses of the model are the most likely ones.

    Theory eq. (17), with the dispersion of the loss in place of the variance.
    """
    rows = data.rows
    masses = float(model.network.masses.sum())
    n_parameters = model.network.n_neurons * (rows.rank + rows.n_outputs - 1)
    return (data.loss.dispersion or 1.0) * n_parameters / (rows.n_effective * masses)
