"""The choice of neurons by the deviance, through searches on least-squares problems."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sklearn_twolayer._certificate.peaks import QUICK
from sklearn_twolayer._descent.fast import fast_descent
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    from_working_units,
    in_working_units,
    mean_loss,
    outputs_of,
    working_rows,
)
from sklearn_twolayer._losses.newton import minimize_at
from sklearn_twolayer._losses.noise import adapted, has_settled, measured
from sklearn_twolayer._losses.polish import polish
from sklearn_twolayer._network.noise import noise_level
from sklearn_twolayer._path.stage import PathStart
from sklearn_twolayer._runtime.limits import count_step, limit_reached
from sklearn_twolayer._search.bold_start import BoldStart, bold_start
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.search import search
from sklearn_twolayer._search.tuning import SearchTuning

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._options.path_options import PathOptions

# Searches around the best model, after those around the linear model and a rough
# minimum, at most (convention; one or two are usual).
MOST_SEARCHES = 5
# Steps to the rough minimum, each a fast descent. Measured on three classes: around the
# linear model alone, searches find no neuron where the classes are nearly certain.
ROUGH_STEPS = 3
# The most that the decay of the rough minimum is, as a share of lambda_max
# (convention). Where most classes are nearly certain, the noise level may be above it.
MOST_ROUGH_DECAY = 0.3
# The searches end when one lowers the criterion by less than this many prices of a
# neuron (convention).
LEAST_GAIN = 0.1


@dataclass(frozen=True, eq=False)
class LossSearchResult:
    """The result of a search.

    Parameters
    ----------
    data : LossRows
        The rows, with the scale and the dispersion of the residuals of the model where
        the loss does not know them.
    model : Model
        The model.
    value : float
        Its criterion: deviance and price.
    lambda_ : float
        The decay that the search began at.
    price : float, default=0.0
        The price of a neuron.
    stopped_by : str, default="tol"
        What ended the search, as in ``Stage.stopped_by``.
    """

    data: LossRows
    model: Model
    value: float
    lambda_: float
    price: float = 0.0
    stopped_by: str = "tol"

    @property
    def n_neurons(self) -> int:
        return self.model.network.n_neurons

    def valued(self, data: LossRows) -> LossSearchResult:
        """The same with its criterion on these rows."""
        value = deviance(data, self.model) + self.price * self.n_neurons
        return replace(self, data=data, value=value)


def search_model(
    data: LossRows,
    linear: Model,
    start: PathStart,
    penalty: float | str,
    options: PathOptions,
    generator: torch.Generator,
    tuning: SearchTuning,
    initial: Model | None = None,
) -> LossSearchResult:
    """Find the model whose deviance and price are lowest (theory eq. 31).

    A search on the least-squares problem around a model proposes neurons, and the
    proposed network is polished on the loss itself. This is done around the linear
    model, ``linear``, around a rough minimum with decay, and then around the best model
    as long as its criterion falls. A model of an earlier fit, ``initial``, takes the
    place of the first two. A loss that depends on the scale of the residuals gets that
    of the best model each time.
    """
    best = LossSearchResult(data, linear, 0.0, start.lambda_max).valued(data)
    if start.lambda_max == 0.0:
        return best
    task = _Task(data, start, penalty, options, generator, tuning)
    proposed = [best, task.proposal(initial or linear, None)]
    if initial is None and not limit_reached():
        level = noise_level_of(data, linear) / start.lambda_max
        level = start.lambda_max * min(max(level, tuning.first_decay), MOST_ROUGH_DECAY)
        rough = minimize_at(
            data, linear, level, fast_descent, options, generator, ROUGH_STEPS, QUICK
        )
        proposed.append(task.proposal(rough.model, level))
    best = _best(data, proposed)
    for _ in range(MOST_SEARCHES):
        if best.n_neurons == 0 or limit_reached():
            break
        before, data = data, adapted(data, best.model)
        again = replace(task, data=data).proposal(best.model, None)
        old, new = _compared(data, [best, again])
        best = min(old, new, key=lambda result: result.value)
        gain = old.value - new.value
        if gain < LEAST_GAIN * best.price and has_settled(before, data):
            break
    best = _settled(data, best)
    return replace(best, stopped_by=limit_reached() or "tol")


def _compared(
    data: LossRows, results: list[LossSearchResult]
) -> list[LossSearchResult]:
    """The results with criteria for the dispersion that the largest model leaves."""
    largest = max(results, key=lambda result: result.n_neurons)
    data = measured(data, largest.model)
    return [result.valued(data) for result in results]


def _best(data: LossRows, results: list[LossSearchResult]) -> LossSearchResult:
    return min(_compared(data, results), key=lambda result: result.value)


def _settled(data: LossRows, result: LossSearchResult) -> LossSearchResult:
    """The model descended until the scale of its residuals is that of the loss."""
    if data.loss.dispersion is not None:
        return result
    for _ in range(MOST_SEARCHES):
        before, data = data, adapted(data, result.model)
        if has_settled(before, data) or limit_reached():
            break
        model = polish(data, result.model, partial(likely_decay, data))
        result = replace(result, model=model)
    return result.valued(data)


@dataclass(frozen=True, eq=False)
class _Task:
    """What all searches of a fit have in common."""

    data: LossRows
    start: PathStart
    penalty: float | str
    options: PathOptions
    generator: torch.Generator
    tuning: SearchTuning

    def proposal(self, around: Model, level: float | None) -> LossSearchResult:
        """The polished result of a search around a model, whose criterion is not set.

        With a ``level``, the decay that it was found at, its neurons are first merged
        and dropped; without neurons the search has a bold start.
        """
        count_step()
        working = working_rows(self.data, outputs_of(self.data, around))
        rows, unit = working.rows, working.decay_of(1.0)
        start = replace(self.start, lambda_max=unit * self.start.lambda_max)
        begin: Network | BoldStart = in_working_units(working, around.network)
        if around.network.n_neurons == 0:
            begin = bold_start(rows, start, self.generator, self.tuning)
        elif level is not None:
            begin = BoldStart(in_working_units(working, around.network), unit * level)
        result = search(
            rows,
            start,
            self.penalty,
            self.generator,
            begin,
            self.tuning,
            most_neurons=self.options.n_neurons,
        )
        proposed = from_working_units(working, result.network)
        data = measured(self.data, proposed)
        model = polish(data, proposed, partial(likely_decay, data))
        price = Criterion.of(rows, self.penalty).price
        return LossSearchResult(data, model, math.inf, result.lambda_ / unit, price)


def noise_level_of(data: LossRows, linear: Model) -> float:
    """The decay below which neurons fit noise, in the units of the loss."""
    working = working_rows(data, outputs_of(data, linear))
    noise = working.dispersion_of(data.dispersion)
    level = noise_level(replace(working.rows, dispersion=noise), 1.0)
    return level / working.decay_of(1.0)


def deviance(data: LossRows, model: Model) -> float:
    """Twice the loss of all rows, in units of the dispersion."""
    loss = mean_loss(data, outputs_of(data, model))
    return 2.0 * data.rows.n_effective * loss / data.dispersion


def likely_decay(data: LossRows, model: Model) -> float:
    """The decay under which the masses of the model are the most likely ones.

    Theory eq. (17), with the dispersion of the loss in place of the variance.
    """
    rows = data.rows
    masses = float(model.network.masses.sum())
    n_parameters = model.network.n_neurons * (rows.rank + rows.n_outputs - 1)
    return data.dispersion * n_parameters / (rows.n_effective * masses)
