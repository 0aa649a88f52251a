"""Descents: ways to minimise the objective from a network at a fixed decay.

One file each, one protocol: ``descend(rows, network, lambda_, options, generator)``
returns a :class:`Descent` with a balanced network.
"""

from __future__ import annotations

from sklearn_twolayer._descent.fast import fast_descent, refine
from sklearn_twolayer._descent.gradient import gradient_descent
from sklearn_twolayer._descent.newton import newton_descent
from sklearn_twolayer._descent.result import Descent

DESCENTS = {"gd": gradient_descent, "newton": newton_descent, "fast": fast_descent}

__all__ = ["DESCENTS", "Descent", "newton_descent", "refine"]
