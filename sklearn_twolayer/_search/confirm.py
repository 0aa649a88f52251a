"""Whether chosen neurons gain more than noise of the kind at hand would let them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._network.fixed_directions import AmplitudeFit
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._runtime.limits import limit_reached
from sklearn_twolayer._search.choose_neurons import Candidate, refit, smaller_networks
from sklearn_twolayer._search.criterion import select_stage
from sklearn_twolayer._search.sign_flips import (
    CAREFUL_FLIPS,
    QUICK_FLIPS,
    Flips,
    gains_on_noise,
)

if TYPE_CHECKING:
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.rows import Rows
    from sklearn_twolayer._search.criterion import Criterion
    from sklearn_twolayer._search.tuning import SearchTuning

# Neurons worth more than so many prices, by a quick measurement, are not measured
# again: a quick one finds lower gains on noise than a careful one, by up to a half.
# Measured on noise.py and nulls.py: 4 and 6 find the same and take longer.
CLEAR_TOGETHER = 3.0
CLEAR_ALONE = 3.0
# Neurons worth between one over this and this many prices are measured three times,
# since ten flips measure the mean gain with an error of some 10 % (convention).
CLOSE_CALL = 1.6
# Living directions that searches on noise begin at, beside random ones (convention).
MOST_STARTS = 3


def confirm_neurons(
    rows: Rows,
    criterion: Criterion,
    best: Candidate,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Candidate:
    """Drop the neurons that noise of the kind at hand would have paid for, too.

    All neurons together must gain as many prices as they are, where a price is what one
    neuron gains on noise like the residual of the linear model. The neuron that costs
    least must gain its price on noise like the residual of the network without it.
    Single neurons are dropped until both hold.
    """
    if best.network.n_neurons == 0 or limit_reached():
        return best
    linear, starts = Network.empty(rows), _most_valuable(rows, best.network)
    noise = _MeasuredNoise.quick(rows, linear, starts, generator)
    while best.network.n_neurons and not limit_reached():
        n_neurons = best.network.n_neurons
        left = residual_at(rows, best.network).squares
        worth = partial(_mean_worth, criterion, n_neurons, left)
        noise = noise.measured_for(worth, CLEAR_TOGETHER)
        if worth(noise.gains) < 1.0:
            fewer: Candidate | None = _without_one(rows, criterion, best, tuning)
        else:
            fewer = _without_worthless(rows, criterion, best, generator, tuning)
        if fewer is None:
            break
        best = fewer
    return best


def confirm_stage(
    rows: Rows,
    criterion: Criterion,
    stages: Sequence[Stage],
    generator: torch.Generator,
) -> Stage:
    """The stage with the least criterion at the prices that its own noise asks for.

    It is the stage with the fewest neurons, if noise like the residual of the linear
    model would have let as many neurons gain as much.
    """
    chosen, again = None, select_stage(stages, criterion)
    while again is not chosen and again.network.n_neurons:
        chosen, network = again, again.network
        starts = _most_valuable(rows, network)
        gains = gains_on_noise(rows, network, starts, generator)
        own = criterion.measured(gains, network.n_neurons)
        fewer = [one for one in stages if one.network.n_neurons <= network.n_neurons]
        again = select_stage(fewer, own)
    n_neurons = again.network.n_neurons
    if n_neurons == 0:
        return again
    starts = _most_valuable(rows, again.network)
    gains = gains_on_noise(rows, Network.empty(rows), starts, generator)
    own = criterion.measured(gains, n_neurons - 1)
    if own.value(again.loss, n_neurons) < own.value(0.5, 0):
        return again
    return min(stages, key=lambda stage: stage.network.n_neurons)


@dataclass(frozen=True, eq=False)
class _MeasuredNoise:
    """What noise like the residual of a network lets a neuron gain, as far as known.

    ``n_careful`` counts the careful measurements; without one, ``gains`` are those of a
    quick measurement.
    """

    rows: Rows
    network: Network
    starts: torch.Tensor
    generator: torch.Generator
    gains: np.ndarray
    n_careful: int = 0

    @classmethod
    def quick(
        cls,
        rows: Rows,
        network: Network,
        starts: torch.Tensor,
        generator: torch.Generator,
    ) -> _MeasuredNoise:
        gains = gains_on_noise(rows, network, starts, generator, QUICK_FLIPS)
        return cls(rows, network, starts, generator, gains)

    def measured_for(
        self, worth: Callable[[np.ndarray], float], clear: float
    ) -> _MeasuredNoise:
        """Measure with care up to ``clear`` prices, and close calls two times more.

        ``worth`` computes from gains how many prices the neurons in question are worth.
        """
        noise = self
        if noise.n_careful == 0 and worth(noise.gains) < clear:
            noise = replace(noise, gains=self._gains(CAREFUL_FLIPS), n_careful=1)
        is_close = 1.0 / CLOSE_CALL < worth(noise.gains) < CLOSE_CALL
        if noise.n_careful == 1 and is_close:
            twice = replace(CAREFUL_FLIPS, n_flips=2 * CAREFUL_FLIPS.n_flips)
            gains = np.concatenate([noise.gains, self._gains(twice)])
            noise = replace(noise, gains=gains, n_careful=3)
        return noise

    def _gains(self, flips: Flips) -> np.ndarray:
        return gains_on_noise(
            self.rows, self.network, self.starts, self.generator, flips
        )


def _mean_worth(
    criterion: Criterion, n_neurons: int, left: float, gains: np.ndarray
) -> float:
    """How many prices a neuron is worth, in the mean over all, if ``left`` is left."""
    own = criterion.measured(gains, n_neurons - 1)
    return own.prices(left, 1.0 - left) / n_neurons


def _most_valuable(rows: Rows, network: Network) -> torch.Tensor:
    """Directions of the neurons whose removal costs most."""
    fit = AmplitudeFit.of(rows, network.directions)
    order = np.argsort(-fit.costs(), kind="stable")[:MOST_STARTS]
    return fit.directions[torch.from_numpy(order)]


def _without_one(
    rows: Rows, criterion: Criterion, best: Candidate, tuning: SearchTuning
) -> Candidate:
    """The best of the refitted networks with one neuron less."""
    networks = smaller_networks(rows, criterion, best.network, tuning, np.inf)
    trials = [refit(rows, criterion, network, tuning) for network in networks]
    fewer = min(trials, key=lambda trial: trial.value)
    return replace(fewer, has_births=best.has_births)


def _without_worthless(
    rows: Rows,
    criterion: Criterion,
    best: Candidate,
    generator: torch.Generator,
    tuning: SearchTuning,
) -> Candidate | None:
    """The network without a neuron that is not worth its price; None if all are.

    A single neuron has already been compared with the linear model.
    """
    n_others = best.network.n_neurons - 1
    if n_others == 0:
        return None
    fit = AmplitudeFit.of(rows, best.network.directions)
    costs = fit.costs()
    cheapest = int(costs.argmin())
    starts = fit.directions[cheapest : cheapest + 1]
    without = fit.without(cheapest).network()
    noise = _MeasuredNoise.quick(rows, without, starts, generator)
    own = criterion.measured(noise.gains, n_others)
    if own.prices(fit.squares, costs[cheapest]) >= CLEAR_ALONE:
        return None
    fewer = _without_one(rows, criterion, best, tuning)
    left = residual_at(rows, best.network).squares
    rise = residual_at(rows, fewer.network).squares - left

    def worth(gains: np.ndarray) -> float:
        return criterion.measured(gains, n_others).prices(left, rise)

    noise = replace(noise, network=fewer.network).measured_for(worth, np.inf)
    return fewer if worth(noise.gains) < 1.0 else None
