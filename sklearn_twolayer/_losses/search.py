"""The choice of neurons by the deviance, through searches on least-squares problems."""

from __future__ import annotations

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

    model: Model
    value: float
    lambda_: float
    price: float = 0.0
    stopped_by: str = "tol"


def search_model(
    data: LossRows,
    linear: Model,
    start: PathStart,
    penalty: float | str,
    options: PathOptions,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> LossSearchResult:
    """Find the model whose deviance and price are lowest (theory eq. 31).

    A search on the least-squares problem around a model proposes neurons, and the
    proposed network is polished on the loss itself. This is done around the linear
    model, ``linear``, around a rough minimum with decay, and then around the best model
    as long as its criterion falls.
    """
    best = LossSearchResult(linear, deviance(data, linear), start.lambda_max)
    if start.lambda_max == 0.0:
        return best
    task = _Task(data, start, penalty, options, generator, tuning)
    proposed = [best, task.proposal(linear, None)]
    if not limit_reached():
        level = noise_level_of(data, linear) / start.lambda_max
        level = start.lambda_max * min(max(level, tuning.first_decay), MOST_ROUGH_DECAY)
        rough = minimize_at(
            data, linear, level, fast_descent, options, generator, ROUGH_STEPS, QUICK
        )
        proposed.append(task.proposal(rough.model, level))
    best = min(proposed, key=lambda result: result.value)
    for _ in range(MOST_SEARCHES):
        if best.model.network.n_neurons == 0 or limit_reached():
            break
        again = task.proposal(best.model, None)
        gain = best.value - again.value
        if gain > 0.0:
            best = again
        if gain < LEAST_GAIN * best.price:
            break
    return replace(best, stopped_by=limit_reached() or "tol")


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
        """The polished result of a search around a model.

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
        model = polish(
            self.data,
            from_working_units(working, result.network),
            partial(likely_decay, self.data),
        )
        price = Criterion.of(rows, self.penalty).price
        value = deviance(self.data, model) + price * model.network.n_neurons
        return LossSearchResult(model, value, result.lambda_ / unit, price)


def noise_level_of(data: LossRows, linear: Model) -> float:
    """The decay below which neurons fit noise, in the units of the loss."""
    working = working_rows(data, outputs_of(data, linear))
    return noise_level(working.rows, 1.0) / working.decay_of(1.0)


def deviance(data: LossRows, model: Model) -> float:
    """Twice the loss of all rows, in units of the dispersion."""
    loss = mean_loss(data, outputs_of(data, model))
    return 2.0 * data.rows.n_effective * loss / data.loss.dispersion


def likely_decay(data: LossRows, model: Model) -> float:
    """The decay under which the masses of the model are the most likely ones.

    Theory eq. (17), with the dispersion of the loss in place of the variance.
    """
    rows = data.rows
    masses = float(model.network.masses.sum())
    n_parameters = model.network.n_neurons * (rows.rank + rows.n_outputs - 1)
    return data.loss.dispersion * n_parameters / (rows.n_effective * masses)
