"""What every descent returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.certificate import Certificate
    from sklearn_twolayer._network.network import Network


@dataclass(frozen=True, eq=False)
class Descent:
    """Outcome of a descent at one decay.

    Parameters
    ----------
    network : Network
        Where the descent ended; the objective there is at most the one it began at.
    stopped_by : {"tol", "max_iter", "max_time", "stall", "steps"}
        What ended the descent: its tolerance, the limits on its steps or its time, that
        the objective no longer fell, or that a rough descent had taken its steps.
    certificate : Certificate or None
        What is known of the network, if the descent found out.
    """

    network: Network
    stopped_by: str
    certificate: Certificate | None = None
