"""The result that every descent returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_twolayer._certificate.certificate import Certificate
    from sklearn_twolayer._network.network import Network


# Values of ``Descent.stopped_by``.
ENDINGS = ("tol", "max_iter", "max_time", "stall", "steps", "diverged")


@dataclass(frozen=True, eq=False)
class Descent:
    """Outcome of a descent at one decay.

    Parameters
    ----------
    network : Network
        Network at the end of the descent. Up to the tolerances of the descent and of
        its merges, its objective is at most that at the start, unless the size of the
        steps is fixed.
    stopped_by : {"tol", "max_iter", "max_time", "stall", "steps", "diverged"}
        Why the descent ended: it reached its tolerance, the limit on steps or the limit
        on time; the objective no longer fell; a rough descent had taken its steps; or
        the steps of a fixed size led away, and the network is that at the start.
    certificate : Certificate or None
        Certificate of the network, if the descent has computed it.
    """

    network: Network
    stopped_by: str
    certificate: Certificate | None = None
