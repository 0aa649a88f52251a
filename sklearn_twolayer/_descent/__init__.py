"""Descents: ways to minimise the objective from a network at a fixed decay.

One file each, one protocol: ``descend(rows, network, lambda_, max_iter=, tol=)``
returns a :class:`Descent`.
"""

from __future__ import annotations

from sklearn_twolayer._descent._gradient import gradient_descent
from sklearn_twolayer._descent._result import Descent

DESCENTS = {"gd": gradient_descent}

__all__ = ["DESCENTS", "Descent"]
