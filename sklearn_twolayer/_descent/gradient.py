"""Plain gradient descent on all neurons: the reference, Algorithm 1 as reconstructed.

By default the step size is one over the largest curvature (theory eq. 11), which is
computed anew every few steps by power iteration on Hessian products. So no step size
has to be chosen, and rescaled data lead to the same steps. A fixed step size is for
study: it shows what the curvature does when steps are too large for it.

Also tried: step sizes from the change of the gradient along the last step (Malitsky and
Mishchenko, arXiv:2308.02261). They are a quarter faster, but they mistake the kinks of
the empirical objective, where a row leaves a neuron's half-space, for curvature: steps
shrink, the descent stalls above the minimum, and rounding errors grow until equal
problems end in different places.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sklearn_twolayer._descent.hessian_product import curvature_product
from sklearn_twolayer._descent.result import Descent
from sklearn_twolayer._network.network import balance, merge, prune
from sklearn_twolayer._network.objective import evaluate
from sklearn_twolayer._runtime.limits import count_step, out_of_time

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._network.network import Network
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.rows import Rows

# Power iterations before the first step, and then every CURVATURE_STEPS steps, from the
# last eigenvector (convention).
FIRST_PRODUCTS = 10
NEXT_PRODUCTS = 2
CURVATURE_STEPS = 50
# Near a kink the objective goes up and down a little; a rise by more than this fraction
# means that the curvature has grown (convention).
OBJECTIVE_RISE = 1e-6
# At a minimum on a kink the gradient is not zero. So the descent ends if STALL_STEPS
# steps together lower the objective by less than STALL_FRACTION of it (convention).
STALL_STEPS = 200
STALL_FRACTION = 1e-9
# Steps of a fixed size have diverged if the objective is above this, where that of the
# linear model is 0.5. On the way to a flatter region it can rise far above 0.5 and
# fall again (convention).
DIVERGED = 1e6


def gradient_descent(
    rows: Rows,
    network: Network,
    lambda_: float,
    options: PathOptions,
    generator: torch.Generator,
) -> Descent:
    """Descend, balance, then merge and prune with the tolerances of the options."""
    descent = descend_plainly(
        rows, network, lambda_, max_iter=options.max_iter, tol=options.tol,
        step_size=options.step_size,
    )  # fmt: skip
    lines = rows.linear_decay is None
    merged = merge(balance(descent.network), options.merge_angle, lines=lines)
    return replace(descent, network=prune(merged, options.prune_tol))


def descend_plainly(
    rows: Rows,
    network: Network,
    lambda_: float,
    *,
    max_iter: int,
    tol: float,
    step_size: float | None = None,
) -> Descent:
    """Descend until ``||gradient|| <= tol * lambda * ||parameters||``.

    It also ends after ``max_iter`` steps or when the objective no longer falls. Steps
    of a fixed ``step_size`` are taken even if the objective rises.
    """
    start, current = network, evaluate(rows, network, lambda_)
    reference = current.objective
    vector, step = current.gradient, math.inf
    for n_iter in range(max_iter):
        size = lambda_ * math.sqrt(network.squared_norm())
        if float(current.gradient.norm()) <= tol * size:
            return Descent(network, "tol")
        if out_of_time():
            return Descent(network, "max_time")
        if n_iter > 0 and n_iter % STALL_STEPS == 0:
            if current.objective >= reference * (1.0 - STALL_FRACTION):
                return Descent(network, "stall")
            reference = current.objective
        if step_size is not None:
            step = step_size
        elif n_iter % CURVATURE_STEPS == 0:
            n_products = FIRST_PRODUCTS if n_iter == 0 else NEXT_PRODUCTS
            step, vector = _step(rows, network, lambda_, vector, n_products)
        count_step()
        candidate = network.moved_to(
            network.parameters.sub(current.gradient, alpha=step)
        )
        trial = evaluate(rows, candidate, lambda_)
        if step_size is not None:
            if not trial.objective <= DIVERGED:  # or it is not a number
                return Descent(start, "diverged")
        elif trial.objective > current.objective * (1.0 + OBJECTIVE_RISE):
            safe, vector = _step(rows, network, lambda_, vector, NEXT_PRODUCTS)
            step = min(step / 2.0, safe)
            continue
        network, current = candidate, trial
    return Descent(network, "max_iter")


def _step(
    rows: Rows,
    network: Network,
    lambda_: float,
    vector: torch.Tensor,
    n_products: int,
) -> tuple[float, torch.Tensor]:
    """One over the largest curvature, and its eigenvector, by power iteration.

    The eigenvector has the length of the curvature.
    """
    for _ in range(n_products):
        norm = float(vector.norm())
        if norm == 0.0:
            return 1.0, vector
        vector = curvature_product(rows, network, lambda_, vector / norm)
    curvature = float(vector.norm())
    return (1.0 / curvature if curvature > 0.0 else 1.0), vector
