"""Quasi-Newton descent with births of neurons, certified by the duality gap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from sklearn_twolayer._certificate.certificate import certify
from sklearn_twolayer._certificate.peaks import BIRTHS, LAST, THOROUGH
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

FIRST_STEPS = 150  # most steps of the first quasi-Newton descent (convention)
NEXT_STEPS = 30  # most steps of each later one (convention)
# After so many rounds of births there is a quasi-Newton descent, later there is none.
# Measured on tables: descents after all rounds, or longer ones, take as long or longer
# in all, because each raises peaks that the births after it have to lower again.
SLIDES = 3
MOST_ROUNDS = 300  # rounds of births after which the descent stops (convention)
# With more parameters a Gauss-Newton step costs more than it gains (convention).
MOST_PARAMETERS = 2000
# Among peaks within this angle only the highest becomes a neuron. A peak this close to
# a living neuron becomes one too, since the optimum of the empirical problem may need
# several neurons close to each other (convention).
BIRTH_ANGLE = 1e-3


def newton_descent(
    rows: Rows,
    network: Network,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Descent:
    """Descend until the relative duality gap is at most ``options.tol``.

    This is a sliding Frank-Wolfe method (theory, "Births"). After a quasi-Newton
    descent on all parameters, each round adds neurons at the peaks of the certificate
    that are above one, and re-optimises all masses at once; after each of the first
    rounds there is another descent. The objective has kinks where rows leave
    half-spaces, so that descent alone stops above the minimum; the problem in the
    masses is smooth and convex and leads on. At the end neurons are merged as long as
    the gap stays within the tolerance.
    """
    if lambda_ == 0.0:
        network = descend_without_decay(rows, network, options.max_iter)
        return Descent(network, limit_reached() or "tol")
    tol = options.tol
    network = quasi_newton(rows, network, lambda_, max_iter=FIRST_STEPS, tol=1e-9)
    network = simplify(rows, network, lambda_, slack=tol)
    state = _certify(rows, network, lambda_, tol, generator)
    for k in range(MOST_ROUNDS):
        if state.relative_gap <= tol or limit_reached():
            break
        network = refit_masses(rows, give_birth(network, state.peaks, lambda_), lambda_)
        if k < SLIDES:
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
    """Certify by a short search and, only if its gap is small, by further searches.

    These are a thorough search and then searches for what others may have missed; the
    peaks of all are joined. The first search whose peaks make the gap too large is the
    last. The descent ends when no search finds such a peak, which can happen by chance;
    the more searches there are, the less likely that is.
    """
    state = certify(rows, network, lambda_, generator, BIRTHS)
    if state.relative_gap > tol:
        return state
    for effort in (THOROUGH, *[LAST] * _last_searches(tol)):
        again = certify(rows, network, lambda_, generator, effort, tol)
        state = state.joined_by(again)
        if state.relative_gap > tol or out_of_time():
            break
    return state


def _last_searches(tol: float) -> int:
    """Number of last searches that must find nothing.

    It is three at a tolerance of 1e-3 and five more for each further digit, because
    peaks above a smaller tolerance are more and rarer; the tolerance may be zero.
    Measured at 5000 x 30: at 1e-5 eight were too few in one stage of six, and twelve
    took no longer, since births take most of the time.
    """
    digits = -math.log10(max(tol, np.finfo(float).eps))
    return max(3, round(5.0 * digits) - 12)


def descend_without_decay(rows: Rows, network: Network, max_iter: int) -> Network:
    """Quasi-Newton descent; then Gauss-Newton if there are few parameters."""
    network = quasi_newton(rows, network, 0.0, max_iter=max_iter, tol=1e-9)
    if network.parameters.numel() <= MOST_PARAMETERS:
        network, _ = gauss_newton(rows, network, 0.0, max_iter=20, tol=1e-10)
    return network


def give_birth(network: Network, peaks: Peaks, lambda_: float) -> Network:
    """Add a neuron at each peak where the certificate is above one.

    Its output direction is ``v / ||v||``, along which it lowers the objective. The mass
    is provisional: ``refit_masses`` replaces it.
    """
    above = peaks.take(peaks.correlations.norm(dim=1) > lambda_)
    return network.joined_by(above.distinct(BIRTH_ANGLE).neurons(mass=lambda_))
