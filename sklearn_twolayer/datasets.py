"""Data that depend on a few directions: a table, and networks to draw data from."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_twolayer._checks.parameters import (
    check_flag,
    check_generator,
    check_integer,
    check_option,
    check_real,
)

__all__ = ["Teacher", "load_deliveries", "make_two_layer_regression"]

# Draws for each direction before min_angle is reported as too large (convention).
MOST_DRAWS = 10_000
# Degrees of freedom of the heavy-tailed inputs (convention).
TAIL_DEGREES = 3.0


@dataclass(frozen=True, eq=False)
class Teacher:
    """The network behind a data set made by :func:`make_two_layer_regression`.

    Parameters
    ----------
    directions : ndarray of shape (n_directions, n_features)
        Unit directions.
    intercepts : ndarray of shape (n_directions,)
        Hidden biases.
    amplitudes : ndarray of shape (n_directions,) or (n_directions, n_targets)
        Output weights.
    """

    directions: np.ndarray
    intercepts: np.ndarray
    amplitudes: np.ndarray

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Noiseless targets, ``relu(X @ directions.T + intercepts) @ amplitudes``.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        """
        activations = np.maximum(X @ self.directions.T + self.intercepts, 0.0)
        return activations @ self.amplitudes


def make_two_layer_regression(
    n_samples: int = 1000,
    n_features: int = 10,
    *,
    n_directions: int = 4,
    subspace_dim: int | None = None,
    min_angle: float = 0.5,
    amplitude_range: tuple[float, float] = (0.5, 1.5),
    signs: str = "mixed",
    hidden_bias: float = 0.0,
    n_targets: int = 1,
    noise: float = 0.0,
    distribution: str = "normal",
    condition_number: float = 1.0,
    return_teacher: bool = False,
    random_state: object = None,
) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, Teacher]:
    """Generate a regression problem whose targets depend on a few directions.

    The targets are ``y = sum_j a_j relu(w_j . x + b_j) + noise``, with unit ``w_j``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows, at least 1.
    n_features : int, default=10
        Number of inputs, at least 1.
    n_directions : int, default=4
        Number of neurons of the teacher, at least 1.
    subspace_dim : int, default=None
        Dimension of the random subspace that the directions lie in, from 1 to
        `n_features`. None stands for the smaller of `n_directions` and `n_features`.
    min_angle : float, default=0.5
        Least angle between the lines of any two directions, in radians, in [0,
        pi/2].
    amplitude_range : tuple of two floats, default=(0.5, 1.5)
        Bounds of the uniform distribution of ``|a_j|``, positive.
    signs : {"mixed", "positive", "negative"}, default="mixed"
        Signs of the amplitudes; "mixed" draws them at random.
    hidden_bias : float, default=0.0
        Standard deviation of the biases ``b_j``.
    n_targets : int, default=1
        Number of targets, which share the directions; `y` is one-dimensional for 1.
    noise : float, default=0.0
        Standard deviation of the Gaussian noise.
    distribution : {"normal", "uniform", "heavy-tailed"}, default="normal"
        Distribution of the independent inputs, of mean 0 and variance 1.
        "heavy-tailed" is Student's t with 3 degrees of freedom.
    condition_number : float, default=1.0
        Condition number of the covariance of the inputs, at least 1. If it is above 1,
        the inputs are correlated: they are multiplied by a random symmetric matrix, and
        the eigenvalues of their covariance form a geometric sequence around 1.
    return_teacher : bool, default=False
        Whether to return the teacher as well.
    random_state : int, RandomState instance or None, default=None
        Determines the data. Pass an int for output that repeats.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Inputs.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Targets.
    teacher : Teacher
        The network behind the targets; only with ``return_teacher=True``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not as documented, or if no directions with the angle asked
        for were found.

    See Also
    --------
    sklearn_twolayer.metrics.match_directions : Compare directions with the teacher's.

    Examples
    --------
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> X, y, teacher = make_two_layer_regression(
    ...     100, 5, n_directions=2, return_teacher=True, random_state=0)
    >>> X.shape, y.shape, teacher.directions.shape
    ((100, 5), (100,), (2, 5))
    """
    n_samples = check_integer("n_samples", n_samples, min_val=1)
    n_features = check_integer("n_features", n_features, min_val=1)
    n_directions = check_integer("n_directions", n_directions, min_val=1)
    n_targets = check_integer("n_targets", n_targets, min_val=1)
    if subspace_dim is None:
        subspace_dim = min(n_directions, n_features)
    subspace_dim = check_integer("subspace_dim", subspace_dim, min_val=1)
    if subspace_dim > n_features:
        raise ValueError(
            f"subspace_dim == {subspace_dim}, must be <= n_features == {n_features}."
        )
    min_angle = check_real("min_angle", min_angle, min_val=0.0, max_val=math.pi / 2)
    low, high = _check_range(amplitude_range)
    check_option("signs", signs, ["mixed", "positive", "negative"])
    hidden_bias = check_real("hidden_bias", hidden_bias, min_val=0.0)
    noise = check_real("noise", noise, min_val=0.0)
    check_option("distribution", distribution, ["normal", "uniform", "heavy-tailed"])
    condition_number = check_real("condition_number", condition_number, min_val=1.0)
    return_teacher = check_flag("return_teacher", return_teacher)
    generator = check_generator(random_state)

    basis, _ = np.linalg.qr(generator.standard_normal((n_features, subspace_dim)))
    inside = _separated_directions(n_directions, subspace_dim, min_angle, generator)
    amplitudes = generator.uniform(low, high, (n_directions, n_targets))
    if signs == "mixed":
        amplitudes *= generator.choice([-1.0, 1.0], amplitudes.shape)
    elif signs == "negative":
        amplitudes *= -1.0
    teacher = Teacher(
        directions=inside @ basis.T,
        intercepts=hidden_bias * generator.standard_normal(n_directions),
        amplitudes=amplitudes[:, 0] if n_targets == 1 else amplitudes,
    )
    X = _draw_inputs(n_samples, n_features, distribution, generator)
    if condition_number > 1.0:
        X = X @ _mixing(n_features, condition_number, generator)
    y = teacher.predict(X)
    y = y + noise * generator.standard_normal(y.shape)
    return (X, y, teacher) if return_teacher else (X, y)


def _check_range(amplitude_range: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = amplitude_range
    except (TypeError, ValueError):
        raise ValueError(
            f"amplitude_range must be two numbers, got {amplitude_range!r}."
        ) from None
    low = check_real(
        "amplitude_range[0]", low, min_val=0.0, include_boundaries="neither"
    )
    return low, check_real("amplitude_range[1]", high, min_val=low)


def _separated_directions(
    n_directions: int,
    dimension: int,
    min_angle: float,
    generator: np.random.RandomState,
) -> np.ndarray:
    """Uniform random directions with at least ``min_angle`` between their lines.

    A direction that is too near to the ones before it is drawn again.
    """
    directions = np.empty((0, dimension))
    for _ in range(MOST_DRAWS * n_directions):
        candidate = generator.standard_normal(dimension)
        candidate /= np.linalg.norm(candidate)
        if (np.abs(directions @ candidate) <= math.cos(min_angle)).all():
            directions = np.vstack([directions, candidate])
            if len(directions) == n_directions:
                return directions
    raise ValueError(
        f"min_angle == {min_angle} is too large for n_directions == {n_directions} in "
        f"{dimension} dimensions: no such directions were found."
    )


def _draw_inputs(
    n_samples: int,
    n_features: int,
    distribution: str,
    generator: np.random.RandomState,
) -> np.ndarray:
    """Independent inputs of mean zero and variance one."""
    shape = (n_samples, n_features)
    if distribution == "normal":
        return generator.standard_normal(shape)
    if distribution == "uniform":
        return generator.uniform(-math.sqrt(3.0), math.sqrt(3.0), shape)
    variance = TAIL_DEGREES / (TAIL_DEGREES - 2.0)
    return generator.standard_t(TAIL_DEGREES, shape) / math.sqrt(variance)


def _mixing(
    n_features: int, condition_number: float, generator: np.random.RandomState
) -> np.ndarray:
    """A random symmetric matrix whose square has the given condition number."""
    rotation, _ = np.linalg.qr(generator.standard_normal((n_features, n_features)))
    exponents = np.linspace(-0.25, 0.25, n_features)
    return (rotation * condition_number**exponents) @ rotation.T


def load_deliveries(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the deliveries table: how many minutes a restaurant's orders take.

    3000 orders with 30 inputs: the time of the order in hours, the day of the week from
    0 (Monday) to 6, the distance in miles, and how often each of 27 items was ordered.
    The target is the time until the delivery, in minutes.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return the inputs and the target alone.
    as_frame : bool, default=False
        Whether inputs and target are pandas objects with names, which needs pandas.

    Returns
    -------
    deliveries : :class:`~sklearn.utils.Bunch` or tuple of (data, target)
        The bunch has ``data`` of shape (3000, 30), ``target`` of shape (3000,),
        ``feature_names``, ``target_names``, ``DESCR`` and ``frame``, which is None
        unless ``as_frame``.

    Notes
    -----
    A sample of the rows of ``deliveries`` in the R package modeldata [1]_, by its
    authors under the MIT licence.

    References
    ----------
    .. [1] M. Kuhn, "modeldata: Data Sets Useful for Modeling Examples",
       https://modeldata.tidymodels.org

    Examples
    --------
    >>> from sklearn_twolayer.datasets import load_deliveries
    >>> X, y = load_deliveries(return_X_y=True)
    >>> X.shape, y.shape
    ((3000, 30), (3000,))
    """
    check_flag("return_X_y", return_X_y)
    check_flag("as_frame", as_frame)
    source = files("sklearn_twolayer").joinpath("_data", "deliveries.csv.gz")
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    *feature_names, target_name = lines[0].split(",")
    table = np.loadtxt(lines[1:], delimiter=",")
    data: Any = table[:, :-1].copy()
    target: Any = table[:, -1].copy()
    frame = None
    if as_frame:
        from pandas import DataFrame  # Not a dependency.

        frame = DataFrame(table, columns=[*feature_names, target_name])
        data, target = frame[feature_names], frame[target_name]
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=[target_name],
        DESCR=load_deliveries.__doc__,
    )
