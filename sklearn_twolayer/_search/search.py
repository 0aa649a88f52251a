"""The number of neurons by an information criterion, without a schedule.

A bold start instead of the way down from ``lambda_max``: early features and output
layer at one decay near the noise level, then none. Neurons are dropped, merged and
added as long as the criterion falls; last comes a little decay, in proportion to the
noise. Noiseless data get an exact network if there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import QUICK, Effort
from sklearn_twolayer._descent import Descent, ended
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import counted, noise_level
from sklearn_twolayer._network.objective import objective_at, residual_at
from sklearn_twolayer._path.stage import Stage, finish_stage
from sklearn_twolayer._search.bold_start import FIRST_DECAY, BoldStart
from sklearn_twolayer._search.choose_neurons import (
    Candidate,
    Steps,
    choose_neurons,
    descended,
    drop_cheap,
    thinned,
)
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.exact import LAST_ENTRIES, shoot, spread_in_span

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._path.stage import PathStart
    from sklearn_twolayer._rows.rows import Rows

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
    exact, best = exact_near(rows, best, max_iter, generator)
    if exact is None and births:
        wider = spread(rows, start, criterion, best, max_iter, generator)
        if wider.network is not best.network:
            exact, wider = exact_near(rows, wider, max_iter, generator)
        best = wider
    if exact is not None:
        return Found(
            exact, lambda_, best.n_iter, is_exact=True, has_grown=best.has_grown
        )
    stopped_by, n_iter = ended(best.n_iter, max_iter) or "tol", best.n_iter
    network = best.network
    if stopped_by == "tol":
        network, used = shrunk(rows, network)
        n_iter += used
    return Found(network, lambda_, n_iter, stopped_by, has_grown=best.has_grown)


def exact_near(
    rows: Rows, best: Candidate, max_iter: int, generator: torch.Generator
) -> tuple[Network | None, Candidate]:
    """An exact network near one that leaves little; it with the steps used, too."""
    if ended(best.n_iter, max_iter):
        return None, best
    if residual_at(rows, best.network).squares > NEARLY_EXACT:
        return None, best
    shot = shoot(rows, best.network, generator, LAST_ENTRIES)
    best = replace(best, n_iter=best.n_iter + shot.n_iter)
    return shot.network if shot.is_exact else None, best


def spread(
    rows: Rows,
    start: PathStart,
    criterion: Criterion,
    best: Candidate,
    max_iter: int,
    generator: torch.Generator,
) -> Candidate:
    """Choose again from many neurons in the span of those that were chosen."""
    if best.network.n_neurons < 2 or ended(best.n_iter, max_iter):
        return best
    network, used = spread_in_span(rows, start, best.network, generator)
    if network is None:
        return best
    network, n_iter = drop_cheap(rows, network, criterion), best.n_iter + used
    again = choose_neurons(rows, criterion, network, n_iter, max_iter, generator)
    if again.value < best.value:
        return replace(again, has_grown=True)
    return replace(best, n_iter=again.n_iter)


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
