"""Descents: ways to minimise the objective from a network at a fixed decay.

One file each, one protocol: ``descend(rows, network, lambda_, options, generator)``
returns a :class:`Descent` with a balanced network. Beside it stands a refit without
decay, ``refit(rows, network, lambda_, options)``, of a network found at ``lambda_``.
"""

from __future__ import annotations

from sklearn_twolayer._descent._gradient import gradient_descent, gradient_refit
from sklearn_twolayer._descent._newton import newton_descent, newton_refit
from sklearn_twolayer._descent._result import Descent

DESCENTS = {"gd": gradient_descent, "newton": newton_descent}
REFITS = {"gd": gradient_refit, "newton": newton_refit}

__all__ = ["DESCENTS", "REFITS", "Descent"]
