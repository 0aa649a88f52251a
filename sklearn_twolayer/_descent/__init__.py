"""Descents: methods that minimise the objective from a network at a fixed decay.

Each method has its own file, and all have the same signature: ``descend(rows, network,
lambda_, options, generator)`` returns a :class:`Descent` with a balanced network.
"""

from __future__ import annotations

from sklearn_twolayer._descent.fast import fast_descent, refine
from sklearn_twolayer._descent.gradient import gradient_descent
from sklearn_twolayer._descent.newton import newton_descent
from sklearn_twolayer._descent.result import Descent

# The descent for each value of ``PathOptions.solver``.
DESCENTS = {"gd": gradient_descent, "newton": newton_descent, "fast": fast_descent}

__all__ = ["DESCENTS", "Descent", "newton_descent", "refine"]
