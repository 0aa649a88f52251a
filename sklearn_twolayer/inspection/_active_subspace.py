"""The subspace of inputs along which a fitted function changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sklearn_twolayer._checks.data import check_weights
from sklearn_twolayer._checks.parameters import check_integer, check_option
from sklearn_twolayer._estimators.base import TwoLayerModel
from sklearn_twolayer._estimators.classifier_base import TwoLayerClassifier
from sklearn_twolayer._export.frame import frame_of
from sklearn_twolayer._export.names import shortened
from sklearn_twolayer._export.summary import LARGEST_LOADINGS, LONGEST_NAME
from sklearn_twolayer._rows.loadings import standardised_loadings
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.settings import own_settings
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer.inspection._inputs import LEAST_PRODUCT, model_inputs

if TYPE_CHECKING:
    import pandas as pd

# Eigenvalues below this fraction of the largest are rounding (convention).
EIGENVALUE_SHARE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class ActiveSubspace:
    """Directions along which a fitted function changes, by how much it does.

    Parameters
    ----------
    directions : ndarray of shape (n_directions, n_features_in)
        Orthonormal directions in inputs divided by their standard deviations, by
        decreasing eigenvalue. The largest entry of each is positive.
    eigenvalues : ndarray of shape (n_features_in,)
        Mean square of the derivative along each of all directions, summed over targets,
        in decreasing order. In squared units of `y`.
    mean_gradient : ndarray of shape (n_features_in,) or (n_outputs, n_features_in)
        Mean of the gradient in standardised inputs: the slopes of the function.
    feature_names : list of str
        Names of the inputs.
    """

    directions: np.ndarray
    eigenvalues: np.ndarray
    mean_gradient: np.ndarray
    feature_names: list[str]

    @property
    def n_directions(self) -> int:
        """Number of directions."""
        return len(self.directions)

    def to_frame(self) -> pd.DataFrame:
        """The directions as a table with one row for each direction and input.

        Returns
        -------
        frame : pandas DataFrame
            Columns "direction", its number; "eigenvalue"; "share", that of the sum of
            all eigenvalues; "input", its name; and "loading".

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        n_inputs = len(self.eigenvalues)
        values = self.eigenvalues[: self.n_directions]
        return frame_of(
            {
                "direction": np.repeat(np.arange(self.n_directions), n_inputs),
                "eigenvalue": np.repeat(values, n_inputs),
                "share": np.repeat(values / (self.eigenvalues.sum() or 1.0), n_inputs),
                "input": self.feature_names * self.n_directions,
                "loading": self.directions.ravel(),
            }
        )

    def __repr__(self) -> str:
        """Name each direction's largest loadings."""
        title = f"ActiveSubspace of {self.n_directions} directions"
        if self.n_directions == 0:
            return title
        names = shortened(self.feature_names, LONGEST_NAME)
        total = self.eigenvalues.sum() or 1.0
        header = "direction  eigenvalue   share  largest loadings (standardised inputs)"
        lines = [title, header]
        for j, loadings in enumerate(self.directions):
            order = np.argsort(-np.abs(loadings), kind="stable")[:LARGEST_LOADINGS]
            text = "  ".join(f"{names[i]} {loadings[i]:+.3f}" for i in order)
            value = self.eigenvalues[j]
            lines.append(f"{j:9d}{value:12.4g}{value / total:8.1%}  {text}")
        return "\n".join(lines)


def active_subspace(
    estimator: object,
    X: object,
    *,
    sample_weight: object = None,
    target: int | None = None,
    linear: str = "included",
    n_directions: int | None = None,
) -> ActiveSubspace:
    """The directions along which a fitted function changes most.

    These are the eigenvectors of the mean over the rows of the outer product of the
    function's gradient with itself [1]_. Where single features are not determined,
    because other fits to such data have others, their span often is. For a network that
    has found a teacher's directions, it is the span of these.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor, RegularizedTwoLayerClassifier or CV
        Fitted estimator, of one network or of a mean of several, or a fitted pipeline
        that ends with one. Directions and names are then those of the inputs of its
        last step.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs over which the mean is taken, such as those of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. Only their ratios matter.
    target : int, default=None
        Which target, if there are several; None adds up the products of all.
    linear : {"included", "apart"}, default="included"
        Whether a constant gradient counts. "apart" takes the mean gradient, which is in
        `mean_gradient`, from that of each row: what is left is where the function
        bends, whatever the linear part is.
    n_directions : int, default=None
        Number of directions. None counts the eigenvalues that are larger than noise
        alone would make them.

    Returns
    -------
    subspace : ActiveSubspace
        Directions, all eigenvalues, and the mean gradient.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        If the estimator is not one of this package or is not fitted, or if a parameter
        or the data are not as documented.

    See Also
    --------
    direction_errors : Standard errors of the directions of single features.

    Notes
    -----
    The gradient of a network is constant between the bends of its neurons, so that the
    mean is a sum over pairs of neurons of the share of rows on which both are active.
    Inputs are divided by `feature_scales_`, their standard deviations in the fit. Then
    the eigenvalues' sum is that of the squares whose roots are in proportion to
    `feature_importances_`, if `X` is that of the fit.

    Noise of variance ``s^2`` in ``n`` rows leaves errors of the order of ``s /
    sqrt(n)`` in each entry of the gradients of ``m`` neurons and the linear part by
    ``p`` inputs. The largest eigenvalue that comes from them alone is about ``s^2 / n
    (sqrt(p) + sqrt(min(m + 1, p)))^2``, the edge of the spectrum of a random matrix
    [2]_. Directions of larger eigenvalues are counted; ``s^2`` is the mean squared
    residual of the fit, summed over targets, and ``n`` the number of rows of `X`,
    counted by their weights. This is for networks that can represent the truth. If they
    only approximate it, some small eigenvalues are errors of the approximation and are
    counted: their shares of the sum, which ``print`` and `to_frame` show, tell them.

    References
    ----------
    .. [1] P. G. Constantine, "Active Subspaces: Emerging Ideas for Dimension Reduction
       in Parameter Studies", SIAM, 2015.
    .. [2] Z. D. Bai and Y. Q. Yin, "Limit of the Smallest Eigenvalue of a Large
       Dimensional Sample Covariance Matrix", Annals of Probability 21, 1993.

    Examples
    --------
    >>> from scipy.linalg import subspace_angles
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.inspection import active_subspace
    >>> X, y, teacher = make_two_layer_regression(
    ...     500, 5, n_directions=2, return_teacher=True, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> subspace = active_subspace(model, X)
    >>> subspace.n_directions
    2
    >>> truth = teacher.directions * model.feature_scales_  # in standardised inputs
    >>> bool(subspace_angles(subspace.directions.T, truth.T).max() < 1e-6)
    True
    """
    model, inputs, names = model_inputs(estimator, X)
    weights = check_weights(sample_weight, inputs.shape[0])
    is_apart = check_option("linear", linear, ["included", "apart"]) == "apart"
    network, inputs = model._fitted_network().on_transformed(inputs)
    scales = model._input_scales(inputs)
    assert scales is not None  # Those of X, if the fit has none.
    gradients = _gradients(network, scales)
    if target is not None:
        target = check_integer("target", target, min_val=0)
        if target >= network.n_outputs:
            raise ValueError(f"target must be below {network.n_outputs}, got {target}.")
        gradients = gradients[[target]]
    together = _shares_active(network, inputs, weights)
    active = together[-1]
    mean = active @ gradients
    if is_apart:
        together = together - np.outer(active, active)
    if n_directions is not None:
        n_directions = check_integer("n_directions", n_directions, min_val=0)
        if n_directions > len(names):
            raise ValueError(
                f"n_directions must be at most the number of inputs, {len(names)}, got "
                f"{n_directions}."
            )
    values, directions = _eigenvectors(together, gradients, n_directions or 0)
    if n_directions is None:
        effective = weights.sum() ** 2 / np.sum(weights**2)
        noise = _noise(model, inputs, weights) / effective
        edge = noise * _edge(len(active), len(names))
        unit = np.spacing(np.abs(network.predict(inputs)).max())  # rounding of outputs
        edge = max(edge, EIGENVALUE_SHARE * values[0], unit**2)
        n_directions = int(np.sum(values > edge))
    return ActiveSubspace(
        directions=directions[:n_directions],
        eigenvalues=values,
        mean_gradient=mean[0] if len(mean) == 1 else mean,
        feature_names=names,
    )


def _gradients(network: FittedNetwork, scales: np.ndarray) -> np.ndarray:
    """Gradients of the neurons where they are active, and last of the linear part.

    In inputs divided by ``scales``: (n_outputs, n_neurons + 1, n_features_in).
    """
    amplitudes = network.amplitudes.reshape(network.n_features, network.n_outputs)
    of_neurons = amplitudes.T[:, :, np.newaxis] * (network.features * scales)
    linear = np.atleast_2d(network.linear_coef) * scales
    return np.concatenate([of_neurons, linear[:, np.newaxis]], axis=1)


def _shares_active(
    network: FittedNetwork, X: np.ndarray | sparse.csr_array, weights: np.ndarray
) -> np.ndarray:
    """Share of the weight on which both of two neurons are active, for each pair."""
    # Imported here, because importing this package must not import torch.
    import torch

    from sklearn_twolayer._network.importances import active_together
    from sklearn_twolayer._rows.dense import Standardization
    from sklearn_twolayer._rows.part import Part
    from sklearn_twolayer._rows.raw import RawPart, Shares
    from sklearn_twolayer._rows.standardize import standardized_inputs

    raw = RawPart.of(X, np.zeros((X.shape[0], 1)), weights)
    largest = float(weights.max())
    shares = Shares(largest, float(np.sum(weights / largest)))
    as_given = Standardization(np.zeros(X.shape[1]), np.ones(X.shape[1]))
    with own_settings(), fit_threads(X.size):
        inputs = standardized_inputs(raw, shares, as_given)
        part = Part(inputs, torch.from_numpy(raw.y))
        neurons = np.column_stack([network.features, network.feature_intercepts])
        return active_together(part, torch.from_numpy(neurons)).numpy()


def _eigenvectors(
    together: np.ndarray, gradients: np.ndarray, n_directions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors, as rows, of the mean of products of gradients.

    There are as many eigenvectors as gradients, or more if ``n_directions`` is. They
    are the singular vectors of ``root @ gradients``, which keeps small eigenvalues
    from the rounding of large ones.
    """
    squares, vectors = np.linalg.eigh(together)
    root = np.sqrt(np.maximum(squares, 0.0))[:, np.newaxis] * vectors.T
    stacked = np.concatenate(root @ gradients)
    n_inputs = stacked.shape[1]
    sizes = np.zeros(n_inputs)
    _, found, rows = np.linalg.svd(stacked, full_matrices=n_directions > len(stacked))
    sizes[: len(found)] = found
    directions, _ = standardised_loadings(rows, np.ones(n_inputs))
    return sizes**2, directions


def _noise(
    model: TwoLayerModel, X: np.ndarray | sparse.csr_array, weights: np.ndarray
) -> float:
    """Mean squared residual of the kept stage of the fit, summed over targets.

    That of a classifier is the variance of its working targets.
    """
    if isinstance(model, TwoLayerClassifier):
        share = model.predict_proba(X)
        n_scores = share.shape[1] - 1
        product = np.average((share * (1.0 - share)).sum(axis=1), weights=weights)
        pairs = 2.0 if n_scores == 1 else 1.0  # The score of two classes is the odds'.
        return float(pairs * n_scores**2 / max(product, LEAST_PRODUCT))
    history = model.history_
    kept = np.flatnonzero(history["lambda_"] == model.lambda_)
    return 2.0 * float(history["loss"][kept[-1] if len(kept) else -1])


def _edge(n_gradients: int, n_inputs: int) -> float:
    """Largest eigenvalue of a random matrix of entries of variance one."""
    return float(np.sqrt(n_inputs) + np.sqrt(min(n_gradients, n_inputs))) ** 2
