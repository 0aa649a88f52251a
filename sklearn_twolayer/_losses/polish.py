"""Descent on the loss itself, for the neurons that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize

from sklearn_twolayer._descent.gauss_newton import gauss_newton_parts
from sklearn_twolayer._descent.quasi_newton import DAMPING, MEMORY
from sklearn_twolayer._losses.linear_fit import fit_linear_part, linear_gradient
from sklearn_twolayer._losses.model import (
    LossRows,
    Model,
    loss_residual,
    mean_loss,
    objective_of,
    outputs_of,
    working_rows,
)
from sklearn_twolayer._network.network import balance, prune
from sklearn_twolayer._network.objective import pulled_back
from sklearn_twolayer._runtime.limits import count_step, limit_reached

# Quasi-Newton descents, each with the decay that the masses of the one before ask for
# and in new coordinates, and steps of each, at most (convention).
MOST_DESCENTS = 6
DESCENT_STEPS = 40
# A descent ends, and so does the polish, when a step or a descent lowers the deviance
# by less than these: small parts of the price of a parameter (convention).
LEAST_FALL_OF_STEP = 1e-3
LEAST_FALL_OF_DESCENT = 1e-2
# Neurons with less than this share of the largest mass are dropped (convention).
LEAST_SHARE_OF_MASS = 1e-6


def polish(data: LossRows, model: Model, decay_of: Callable[[Model], float]) -> Model:
    """Descend on amplitudes, directions and linear part of the neurons that there are.

    ``decay_of`` is the decay that belongs to a model. Scaled quasi-Newton steps as in
    theory eq. (19), on the loss itself.
    """
    # The unit of the tolerances: a deviance of one.
    unit = 0.5 * data.dispersion / data.rows.n_effective
    for _ in range(MOST_DESCENTS):
        model = replace(model, network=prune(model.network, LEAST_SHARE_OF_MASS))
        if model.network.n_neurons == 0 or limit_reached():
            break
        lambda_ = decay_of(model)
        before = objective_of(data, model, lambda_)
        model = descend_on_loss(data, model, lambda_, LEAST_FALL_OF_STEP * unit)
        if before - objective_of(data, model, lambda_) < LEAST_FALL_OF_DESCENT * unit:
            break
    return fit_linear_part(data, model).model


def descend_on_loss(
    data: LossRows, model: Model, lambda_: float, least_fall: float
) -> Model:
    """Quasi-Newton steps at a fixed decay; returns the balanced model.

    Ends when a step lowers the objective by less than ``least_fall``.
    """
    coordinates = _Coordinates.of(data, model, lambda_)

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        count_step()
        moved = coordinates.model_at(point)
        outputs = outputs_of(data, moved)
        parameters = moved.network.parameters
        value = mean_loss(data, outputs) + _penalty(data, moved, lambda_)
        pulled = pulled_back(data.rows, loss_residual(data, outputs), moved.network)
        by_linear = linear_gradient(data, moved.linear, outputs)
        return value, coordinates.gradient(lambda_ * parameters - pulled, by_linear)

    def stop(intermediate_result: OptimizeResult) -> None:
        if limit_reached():
            raise StopIteration

    result = minimize(
        value_and_gradient,
        np.zeros(coordinates.size),
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={
            "maxiter": DESCENT_STEPS,
            "maxcor": MEMORY,
            # SciPy's tolerance is relative to values above one, or else absolute.
            "ftol": least_fall,
            "gtol": 0.0,
        },
    )
    moved = coordinates.model_at(result.x)
    return replace(moved, network=balance(moved.network))


def _penalty(data: LossRows, model: Model, lambda_: float) -> float:
    """The weight decay, which is that of the masses for balanced neurons."""
    squares = float(model.linear[:-1].square().sum())
    return 0.5 * (lambda_ * model.network.squared_norm() + data.linear_decay * squares)


@dataclass(frozen=True, eq=False)
class _Coordinates:
    """Coordinates around a model in which the second derivative is near the identity.

    The neurons move as ``scaling.T @ u``, and the linear part as ``basis @ z`` less
    what the linear fit to the change of the neurons' outputs is, ``response``.
    """

    model: Model
    scaling: torch.Tensor
    response: torch.Tensor
    basis: torch.Tensor

    @classmethod
    def of(cls, data: LossRows, model: Model, lambda_: float) -> _Coordinates:
        working = working_rows(data, outputs_of(data, model))
        matrix, fits = gauss_newton_parts(working.rows, model.network)
        matrix = working.mean_weight * matrix
        matrix.diagonal().add_(lambda_ + DAMPING * float(matrix.diagonal().mean()))
        factor = torch.linalg.cholesky(matrix)
        identity = torch.eye(len(factor), dtype=factor.dtype, device="cpu")
        scaling = torch.linalg.solve_triangular(factor, identity, upper=False)
        response = torch.stack(fits, dim=1)  # (n_columns, n_outputs, n_parameters)
        basis = working.rows.linear_basis / working.mean_weight**0.5
        return cls(model, scaling, response, basis)

    @property
    def size(self) -> int:
        return len(self.scaling) + self.basis.shape[1] * self.model.linear.shape[1]

    def model_at(self, point: np.ndarray) -> Model:
        # The solver overwrites its array, so the model needs a copy of it.
        own = torch.from_numpy(point.copy())
        change = own[: len(self.scaling)] @ self.scaling
        network, linear = self.model.network, self.model.linear
        parameters = network.parameters + change.reshape(network.parameters.shape)
        along = own[len(self.scaling) :].reshape(-1, linear.shape[1])
        moved = linear + self.basis @ along - self.response @ change
        return Model(network.moved_to(parameters), moved)

    def gradient(self, by_neurons: torch.Tensor, by_linear: torch.Tensor) -> np.ndarray:
        """The gradient by the coordinates."""
        reached = torch.einsum("cqk,cq->k", self.response, by_linear)
        into_neurons = self.scaling @ (by_neurons.ravel() - reached)
        into_linear = (self.basis.T @ by_linear).ravel()
        return torch.cat([into_neurons, into_linear]).numpy()
