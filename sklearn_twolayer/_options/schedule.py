"""Schedules: the sequence of weight decays, stage by stage."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_twolayer._checks.data import check_magnitude, check_numbers
from sklearn_twolayer._checks.parameters import (
    check_decay,
    check_flag,
    check_integer,
    check_option,
    check_real,
)

__all__ = ["ConstantSchedule", "GeometricSchedule", "StagedSchedule"]

# Fraction of lambda_max at which stop="auto" ends at the latest (convention).
LATEST_STOP = 1e-4


# More stages than these are a mistake: each takes a descent (convention).
MOST_STAGES = 10_000


class Schedule(Protocol):
    """A schedule of this module or an object of the user with the same method."""

    def stages(self, lambda_max: float) -> ArrayLike:
        """Decay of each stage, in decreasing order."""


class GeometricSchedule(BaseEstimator):
    """Weight decay that falls by a constant factor from stage to stage.

    Stage ``k`` has ``lambda_k = lambda_max * start * ratio**k``, as long as it is not
    below ``lambda_max * stop`` and there are at most ``n_stages`` of them.

    Parameters
    ----------
    ratio : float, default=0.5
        Factor from one stage to the next, in (0, 1).
    start : float, default=0.5
        First decay, as a fraction of ``lambda_max``, the least decay at which the
        optimal network has no neuron. From 1e-150 to 1e150.
    stop : float or "auto", default="auto"
        No stage lies below this fraction of ``lambda_max``. In [1e-150, start]. With
        "auto" the data decide where to end: where the next decay would lie below the
        noise level ``0.35 sigma sqrt(n_inputs / n_samples)`` and the last stage
        lowered the loss by no more than its neurons can gain by fitting noise, or where
        the residual is rounding, and at 1e-4 at the latest. ``sigma**2`` is the mean
        squared residual extrapolated to a decay of zero by a straight line through the
        last two stages. While stages reach the dual gap asked for with no more neurons
        than the stage before, decays are left out, up to three in a row.
    n_stages : int, default=None
        Most stages; None means that only ``stop`` ends the schedule.

    See Also
    --------
    StagedSchedule : Decays written out one by one.
    ConstantSchedule : A single decay.

    Examples
    --------
    >>> from sklearn_twolayer import GeometricSchedule
    >>> GeometricSchedule(start=0.4, stop=0.05).stages(10.0)
    array([4. , 2. , 1. , 0.5])
    """

    def __init__(
        self,
        *,
        ratio: float = 0.5,
        start: float = 0.5,
        stop: float | str = "auto",
        n_stages: int | None = None,
    ) -> None:
        self.ratio = ratio
        self.start = start
        self.stop = stop
        self.n_stages = n_stages

    @property
    def is_adaptive(self) -> bool:
        """Whether the data may end the schedule early."""
        return isinstance(self.stop, str)

    def stages(self, lambda_max: float) -> np.ndarray:
        """Decay of each stage, as far as the data do not end the schedule.

        Parameters
        ----------
        lambda_max : float
            The least decay at which the optimal network has no neuron.

        Returns
        -------
        lambdas : ndarray of shape (n_stages,)
            Decays, in decreasing order.

        Raises
        ------
        TypeError, ValueError
            If a parameter of the schedule is not as documented.
        """
        inside = {"min_val": 0.0, "include_boundaries": "neither"}
        ratio = check_real(_name(self, "ratio"), self.ratio, max_val=1.0, **inside)
        start = check_decay(_name(self, "start"), self.start, **inside)
        if isinstance(self.stop, str):
            check_option(_name(self, "stop"), self.stop, ["auto"])
            stop = min(LATEST_STOP, start)
        else:
            stop = check_decay(
                _name(self, "stop"),
                self.stop,
                max_val=start,
                include_boundaries="right",
            )
        # The summand 1e-9 includes a stage at stop = start * ratio**k despite rounding.
        fall = np.log(stop) - np.log(start)
        possible = int(np.floor(fall / np.log(ratio) + 1e-9)) + 1
        if self.n_stages is not None:
            n_stages = check_integer(_name(self, "n_stages"), self.n_stages, min_val=1)
            possible = min(possible, n_stages)
        if possible > MOST_STAGES:
            raise ValueError(
                f"{_name(self, 'ratio')} = {ratio} has {possible:.3g} stages from "
                f"{start:g} to {stop:g}, more than {MOST_STAGES}: lower ratio, raise "
                "stop, or set n_stages."
            )
        return lambda_max * start * ratio ** np.arange(possible)


class StagedSchedule(BaseEstimator):
    """Weight decays written out, one for each stage.

    Parameters
    ----------
    lambdas : array-like of shape (n_stages,)
        Decays, each at least 0 and none above the one before it.
    relative : bool, default=True
        Whether ``lambdas`` are fractions of ``lambda_max``, the least decay at which
        the optimal network has no neuron, or decays as they are.

    See Also
    --------
    GeometricSchedule : Decays that fall by a constant factor.

    Examples
    --------
    >>> from sklearn_twolayer import StagedSchedule
    >>> StagedSchedule([0.1, 0.01]).stages(5.0)
    array([0.5 , 0.05])
    """

    def __init__(self, lambdas: object, *, relative: bool = True) -> None:
        self.lambdas = lambdas
        self.relative = relative

    def stages(self, lambda_max: float) -> np.ndarray:
        """Decay of each stage.

        Parameters
        ----------
        lambda_max : float
            The least decay at which the optimal network has no neuron.

        Returns
        -------
        lambdas : ndarray of shape (n_stages,)
            Decays, in decreasing order.

        Raises
        ------
        TypeError, ValueError
            If a parameter of the schedule is not as documented.
        """
        name = _name(self, "lambdas")
        lambdas = check_numbers(name, self.lambdas, ensure_2d=False)
        if lambdas.ndim != 1 or (lambdas < 0).any() or (np.diff(lambdas) > 0).any():
            raise ValueError(
                f"{name} must be a sequence of numbers, each at least 0 and none "
                f"above the one before it, got {self.lambdas!r}."
            )
        for lambda_ in lambdas:
            check_magnitude(name, lambda_)
        return lambdas * _unit(self, lambda_max)


class ConstantSchedule(BaseEstimator):
    """A single stage at one weight decay.

    Parameters
    ----------
    value : float
        The decay, at least 0. With a decay of 0 the loss falls, but neurons do not
        gather on few directions: this is a baseline for the decreasing schedules.
    relative : bool, default=True
        Whether ``value`` is a fraction of ``lambda_max``, the least decay at which the
        optimal network has no neuron, or a decay as it is.

    See Also
    --------
    GeometricSchedule : Decays that fall by a constant factor.

    Examples
    --------
    >>> from sklearn_twolayer import ConstantSchedule
    >>> ConstantSchedule(0.01).stages(5.0)
    array([0.05])
    """

    def __init__(self, value: float, *, relative: bool = True) -> None:
        self.value = value
        self.relative = relative

    def stages(self, lambda_max: float) -> np.ndarray:
        """Decay of the only stage.

        Parameters
        ----------
        lambda_max : float
            The least decay at which the optimal network has no neuron.

        Returns
        -------
        lambdas : ndarray of shape (1,)
            The decay.

        Raises
        ------
        TypeError, ValueError
            If a parameter of the schedule is not as documented.
        """
        value = check_decay(_name(self, "value"), self.value)
        return np.array([value]) * _unit(self, lambda_max)


def _name(schedule: BaseEstimator, parameter: str) -> str:
    return f"{type(schedule).__name__}.{parameter}"


def _unit(schedule: StagedSchedule | ConstantSchedule, lambda_max: float) -> float:
    """The factor of decays: ``lambda_max`` if they are relative to it, else one."""
    relative = check_flag(_name(schedule, "relative"), schedule.relative)
    return lambda_max if relative else 1.0
