"""Second-order descent with births, certified by the duality gap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import LAST, QUICK, THOROUGH
from sklearn_twolayer._descent.gauss_newton import gauss_newton
from sklearn_twolayer._descent.quasi_newton import quasi_newton
from sklearn_twolayer._descent.result import Descent
from sklearn_twolayer._descent.simplify import simplify
from sklearn_twolayer._network.fixed_directions import refit_masses
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._runtime.limits import count_step, limit_reached, out_of_time

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.certificate import Certificate
    from sklearn_twolayer._certificate.peaks import Peaks
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

FIRST_STEPS = 150
NEXT_STEPS = 60
SLIDE_EVERY = 3  # rounds of births between two quasi-Newton descents
# Fall of the objective from one of them to the next, in tolerances, below which births
# alone are faster: each descent raises the peaks, which the births after it take down.
LEAST_FALL = 0.3
# Gap, if above the tolerance, that a quick search is enough to go on from. Below it the
# peaks that are left are many, and those that a thorough one finds at once save rounds.
LARGE_GAP = 1e-3
MOST_ROUNDS = 300
MOST_PARAMETERS = 2000  # above it a Gauss-Newton step costs more than it gains
# Births closer to one another than this are one; closer to a living neuron they are
# not, since the optimum of the empirical problem may need several nearby atoms.
BIRTH_ANGLE = 1e-3


def newton_descent(
    rows: Rows,
    network: Network,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Descent:
    """Descend until the relative duality gap is at most ``options.tol``.

    A sliding Frank-Wolfe method (theory, "Births"): quasi-Newton descent on all
    parameters, then in turn new neurons where the certificate peaks above one, all
    masses re-optimised at once, and every few rounds, while it helps, another descent.
    The objective is rough where rows leave half-spaces, so that descent alone stops
    above the minimum; the re-optimisation of the masses is smooth and convex and goes
    on. At the end neurons are merged as far as the gap stays within the tolerance.
    """
    if lambda_ == 0.0:
        network = descend_without_decay(rows, network, options.max_iter)
        return Descent(network, limit_reached() or "tol")
    tol = options.tol
    network = quasi_newton(rows, network, lambda_, max_iter=FIRST_STEPS, tol=1e-9)
    network = simplify(rows, network, lambda_, slack=tol)
    state = _certify(rows, network, lambda_, tol, generator)
    slides, objective = True, math.inf
    for k in range(1, MOST_ROUNDS + 1):
        if state.relative_gap <= tol or limit_reached():
            break
        network = refit_masses(rows, give_birth(network, state.peaks, lambda_), lambda_)
        if slides and k % SLIDE_EVERY == 0:
            slides = state.objective < objective * (1.0 - LEAST_FALL * tol)
            objective = state.objective
            network = quasi_newton(
                rows, network, lambda_, max_iter=NEXT_STEPS, tol=1e-12
            )
        count_step()
        state = _certify(rows, network, lambda_, tol, generator)
    if state.relative_gap <= tol:
        lean = simplify(rows, network, lambda_, slack=0.5 * tol)
        if lean.n_neurons < network.n_neurons:
            lean_state = _certify(rows, lean, lambda_, tol, generator)
            if lean_state.relative_gap <= tol:
                network, state = lean, lean_state
    stopped_by = limit_reached() or "stall" if state.relative_gap > tol else "tol"
    return Descent(network, stopped_by, state)


def _certify(
    rows: Rows, network: Network, lambda_: float, tol: float, generator: torch.Generator
) -> Certificate:
    """Look quickly while the gap is large; before believing a small one, thoroughly.

    Then for what others have not found, with the peaks of all: descent goes on until
    the searches find nothing, so that what ends it is in part luck, the less the more
    of them there are.
    """
    state = certify(rows, network, lambda_, generator, QUICK)
    if state.relative_gap > max(tol, LARGE_GAP):
        return state
    for effort in (THOROUGH, *[LAST] * _last_searches(tol)):
        again = certify(rows, network, lambda_, generator, effort, tol)
        state = state.joined_by(again)
        if state.relative_gap > tol or out_of_time():
            break
    return state


def _last_searches(tol: float) -> int:
    """Searches in a row that must find nothing: three at 1e-3, five more a digit.

    The smaller the tolerance, which may be zero, the more and the rarer are the peaks
    above it. Measured at 5000 x 30: at 1e-5 eight were too few in one stage of six; the
    births take the time, and twelve took no longer.
    """
    digits = -math.log10(max(tol, np.finfo(float).eps))
    return max(3, round(5.0 * digits) - 12)


def descend_without_decay(rows: Rows, network: Network, max_iter: int) -> Network:
    """Quasi-Newton while the neurons are many, Gauss-Newton when they are few."""
    network = quasi_newton(rows, network, 0.0, max_iter=max_iter, tol=1e-9)
    if network.parameters.numel() <= MOST_PARAMETERS:
        network, _ = gauss_newton(rows, network, 0.0, max_iter=20, tol=1e-10)
    return network


def give_birth(network: Network, peaks: Peaks, lambda_: float) -> Network:
    """Add neurons where the certificate is above one; ``refit_masses`` gives them mass.

    They carry the output direction ``v / ||v||`` along which they lower the objective.
    """
    above = peaks.take(peaks.correlations.norm(dim=1) > lambda_)
    return network.joined_by(above.distinct(BIRTH_ANGLE).neurons(mass=lambda_))
