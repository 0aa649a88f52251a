"""A rough descent: close to the optimum of a stage in a tenth of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import QUICK, Effort
from sklearn_twolayer._descent.newton import give_birth
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._descent.result import Descent
from sklearn_twolayer._network.fixed_directions import refit_masses
from sklearn_twolayer._runtime.limits import limit_reached

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

# Quasi-Newton steps before the first round of births and after each (convention).
STEPS_PER_ROUND = 15
ROUNDS = 2  # rounds of births in a stage of a path (convention)
# If the relative gap that a short search shows is at most this, there are no further
# births (convention).
TOLERANCE = 0.05
# The search for peaks between two rounds (convention).
SHORTEST = Effort(n_random=32, n_nearby=0, n_refined=16, n_steps=4)
# Rounds for the one network that is kept. Measured on tables with little noise: they
# raise R2 by about 0.003 in half a second; 25 raise it no more.
KEPT_ROUNDS = 15


def fast_descent(
    rows: Rows,
    network: Network,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Descent:
    """A few quasi-Newton steps and two rounds of births, whatever the gap is then.

    This is for paths whose stages are compared with each other on held-out rows. When
    a stage starts from the network of the stage before, its gap is a few percent, more
    at small decays. ``options.tol`` is not used.
    """
    network = _descend(rows, network, lambda_)
    if lambda_ == 0.0:
        return Descent(network, limit_reached() or "tol")
    # L-BFGS brings masses near zero but not to it; this drops such neurons.
    network = refit_masses(rows, network, lambda_)
    return _alternate(rows, network, lambda_, generator, ROUNDS, SHORTEST)


def refine(
    rows: Rows,
    network: Network,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Descent:
    """Continue a fast descent with more rounds and a larger effort in the search."""
    return _alternate(rows, network, lambda_, generator, KEPT_ROUNDS, QUICK)


def _alternate(
    rows: Rows,
    network: Network,
    lambda_: float,
    generator: torch.Generator,
    n_rounds: int,
    effort: Effort,
) -> Descent:
    """Alternate births and descents until a search shows a small gap."""
    state = certify(rows, network, lambda_, generator, effort)
    for _ in range(n_rounds):
        if state.relative_gap <= TOLERANCE or limit_reached():
            break
        born = refit_masses(rows, give_birth(network, state.peaks, lambda_), lambda_)
        network = _descend(rows, born, lambda_)
        state = certify(rows, network, lambda_, generator, effort)
    return Descent(network, limit_reached() or "steps", state)


def _descend(rows: Rows, network: Network, lambda_: float) -> Network:
    return quasi_newton(rows, network, lambda_, max_iter=STEPS_PER_ROUND, tol=1e-6)
