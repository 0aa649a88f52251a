"""What every descent returns."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_twolayer._network import Network


@dataclass(frozen=True, eq=False)
class Descent:
    """Outcome of a descent at one decay.

    Parameters
    ----------
    network : Network
        Where the descent ended; the objective there is at most the one it began at.
    n_iter : int
        Steps taken.
    converged : bool
        Whether the stationarity residual came below the tolerance.
    """

    network: Network
    n_iter: int
    converged: bool
