"""A fitted network as an estimate: what it was fitted to, and its covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklearn_twolayer._checks.data import check_groups
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer.inspection._inputs import model_inputs, model_targets
from sklearn_twolayer.inspection._sandwich import (
    Basis,
    Data,
    jackknife,
    mean_squares,
    residuals,
)
from sklearn_twolayer.inspection._standardised import Columns, StandardisedNetwork


@dataclass(frozen=True, eq=False)
class Estimate:
    """A network with hardly any decay, and the rows that it was fitted to."""

    network: FittedNetwork  # of transformed columns, if there is a transform
    standardised: StandardisedNetwork
    data: Data
    basis: Basis
    residual: np.ndarray  # weighted, in units of the target scale
    scales: np.ndarray  # standard deviations of the inputs in the fit
    names: list[str]

    @cached_property
    def covariance(self) -> np.ndarray:
        """Mean products of the errors of the coordinates in the basis."""
        return mean_squares(self.data, self.basis, self.residual)

    @cached_property
    def linearised_covariance(self) -> np.ndarray:
        """The same without what the errors do to the derivatives."""
        return jackknife(self.data, self.basis, self.residual)

    @property
    def free(self) -> float:
        """Degrees of freedom of Student's distribution."""
        roots, groups = self.data.roots, self.data.groups
        return _degrees_of_freedom(self.residual, roots, groups, self.basis.rank)


def estimate_of(
    estimator: object, X: object, y: object, *, sample_weight: object, groups: object
) -> Estimate:
    """The estimate of a fitted estimator, or pipeline, and the data of its fit."""
    model, X, names = model_inputs(estimator, X)
    if model._keeps_decay or getattr(model, "n_averaged_", 1) > 1:
        raise ValueError(
            "estimator was fitted with a decay, which biases the directions, or is a "
            "mean of networks: fit RegularizedTwoLayerRegressor with schedule=None or "
            "debias=True, or RegularizedTwoLayerClassifier with schedule=None, for "
            "standard errors."
        )
    if model.linear_decay_ > 0.0:
        raise ValueError(
            "estimator was fitted with a decay of its linear part, which biases it: "
            "fit with linear_decay=0.0, or more rows, for standard errors."
        )
    if len(getattr(model, "classes_", ())) > 2:
        raise ValueError(
            f"estimator has {len(model.classes_)} classes, and standard errors are for "
            "two, or for regressors: fit each class against the others for them."
        )
    targets, weights = model_targets(model, X, y, sample_weight)
    labels = check_groups(groups, weights)
    network = model._fitted_network()
    if targets.reshape(X.shape[0], -1).shape[1] != network.n_outputs:
        raise ValueError(
            f"y must have the {network.n_outputs} targets that estimator was fitted "
            f"on, got shape {targets.shape}; pass the y of the fit."
        )
    network, X = network.on_transformed(X)
    columns = Columns.of(X, weights, hidden_bias=model.hidden_bias)
    standardised = StandardisedNetwork.of(
        network, columns, hidden_bias=model.hidden_bias
    )
    n_rows = np.count_nonzero(weights)
    size = float(standardised.n_linear)
    size += network.n_features * standardised.neuron_size / network.n_outputs
    if n_rows <= size:
        raise ValueError(
            f"X has {n_rows} rows of positive weight, too few for the {size:g} "
            "parameters that the network has for each target; standard errors need "
            "more rows than parameters: pass more rows, or fit fewer features with a "
            "larger criterion."
        )
    roots = np.sqrt(weights / weights.max())
    data = Data(X, targets.reshape(len(roots), -1), roots, labels, standardised)
    scales = model._input_scales(X)
    assert scales is not None  # Those of X, if the fit has none.
    return Estimate(
        network=network,
        standardised=standardised,
        data=data,
        basis=Basis.of(data),
        residual=residuals(data),
        scales=scales,
        names=names,
    )


def _degrees_of_freedom(
    residual: np.ndarray, roots: np.ndarray, groups: np.ndarray | None, rank: int
) -> float:
    """Degrees of freedom of Student's distribution: of groups, or of rows by (16).

    The rows are counted by their noise, less the parameters of one output.
    """
    if groups is not None:
        return len(np.unique(groups[roots > 0])) - 1.0
    n_rows = np.count_nonzero(roots)
    largest = np.abs(residual).max() or 1.0
    squares = np.sum((residual / largest) ** 2, axis=1)
    crowded = roots**2 @ squares / np.sum(roots**2)
    if crowded > 0:
        n_rows = min(n_rows, squares.sum() / crowded)
    return max(n_rows - rank / residual.shape[1], 1.0)
