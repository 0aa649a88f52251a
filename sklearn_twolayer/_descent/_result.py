"""What every descent returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._certificate import Certificate
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
    stopped_by : {"tol", "max_iter", "stall", "steps"}
        What ended the descent: its tolerance, the limit on its steps, that the
        objective no longer fell, or that a rough descent had taken its steps.
    certificate : Certificate or None
        What is known of the network, if the descent found out.
    """

    network: Network
    n_iter: int
    stopped_by: str
    certificate: Certificate | None = None
