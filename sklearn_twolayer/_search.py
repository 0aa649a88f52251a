"""The number of neurons by an information criterion, without a schedule.

A bold start instead of the way down from ``lambda_max``: early features and output
layer at one decay near the noise level, then none. Neurons are dropped, merged and
added as long as the criterion falls; last comes a little decay, in proportion to the
noise. Noiseless data get an exact network if there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sklearn_twolayer._bold_start import FIRST_DECAY, BoldStart
from sklearn_twolayer._certificate import QUICK, Effort, certify
from sklearn_twolayer._choose_neurons import Steps, choose_neurons, descended, thinned
from sklearn_twolayer._descent import Descent, ended
from sklearn_twolayer._network import Network
from sklearn_twolayer._objective import counted, objective_at, residual_at
from sklearn_twolayer._path import Stage, finish_stage
from sklearn_twolayer._recovery import shoot
from sklearn_twolayer._selection import Criterion, noise_level

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._path import PathStart
    from sklearn_twolayer._rows import Rows

NEARLY_EXACT = 1e-2  # share that is left after the search, and may be no noise
# A residual that is rounding has no peak worth a search.
OF_ROUNDING = Effort(n_random=8, n_nearby=0, n_refined=4, n_steps=0)
# From where a trial ended, with a little decay: more steps lower no error.
SHRINK = Steps(1e8, gauss_newton=(6, 1e-6), scaled=(60, 1e-8), quasi_newton=(150, 1e-9))


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found: a network, the decay it began at, and how it ended."""

    network: Network
    lambda_: float
    n_iter: int
    stopped_by: str = "tol"
    is_exact: bool = False
    has_grown: bool = False


def found_stage(
    rows: Rows, found: Found, began: float, generator: torch.Generator
) -> Stage:
    """What was found as a stage, certified at the decay that the search began at."""
    effort = OF_ROUNDING if found.is_exact else QUICK
    known = certify(rows, found.network, found.lambda_, generator, effort)
    descent = Descent(found.network, found.n_iter, found.stopped_by, known)
    return finish_stage(
        rows, descent, found.lambda_, began, generator, refitted=found.network
    )


def search(
    rows: Rows,
    start: PathStart,
    penalty: str | float,
    max_iter: int,
    generator: torch.Generator,
    begin: Network | BoldStart,
    *,
    removals: bool = True,
    births: bool = True,
) -> Found:
    """The network that the criterion chooses, from a network or a bold start.

    ``removals`` and ``births`` are those of ``choose_neurons``.
    """
    if start.lambda_max == 0.0:
        return Found(Network.empty(rows), 0.0, 0, is_exact=True)
    if isinstance(begin, BoldStart):
        network, lambda_, n_iter = begin.network, begin.lambda_, begin.n_iter
        if begin.is_exact:
            return Found(network, lambda_, n_iter, is_exact=True)
        rows = counted(rows, network)
        criterion = Criterion.of(rows, penalty)
        network = thinned(rows, criterion, network)
    else:
        rows = counted(rows, begin)
        criterion = Criterion.of(rows, penalty)
        level = noise_level(rows, 2.0 * objective_at(rows, begin, 0.0)[0])
        lambda_ = max(FIRST_DECAY * start.lambda_max, level)
        network, n_iter = begin, 0
    best = choose_neurons(
        rows,
        criterion,
        network,
        n_iter,
        max_iter,
        generator,
        removals=removals,
        births=births,
    )
    found = Found(
        best.network,
        lambda_,
        best.n_iter,
        ended(best.n_iter, max_iter) or "tol",
        has_grown=best.has_grown,
    )
    if found.stopped_by != "tol":
        return found
    if residual_at(rows, found.network).squares <= NEARLY_EXACT:
        exact, used = shoot(rows, found.network, generator)
        found = replace(found, n_iter=found.n_iter + used)
        if exact is not None:
            return replace(found, network=exact, is_exact=True)
    network, used = shrunk(rows, found.network)
    return replace(found, network=network, n_iter=found.n_iter + used)


def shrunk(rows: Rows, network: Network) -> tuple[Network, int]:
    """The network refitted with the little decay that its own size and noise ask for.

    Theory eq. (17). It lowers the error where parameters are many for the noise, and
    vanishes with it.
    """
    if network.n_neurons == 0:
        return network, 0
    n_parameters = network.n_neurons * (rows.n_inputs + rows.n_outputs - 1)
    noise = residual_at(rows, network).squares / (rows.n_effective * rows.n_outputs)
    lambda_ = noise * n_parameters / float(network.masses.sum())
    return descended(rows, network, lambda_, SHRINK)
