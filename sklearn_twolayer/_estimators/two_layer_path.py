"""The public function that returns the networks of all stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_targets,
    check_weights,
    warn_of_far_columns,
)
from sklearn_twolayer._checks.labels import check_labels, class_weights
from sklearn_twolayer._checks.losses import (
    LOG_LOSS,
    LOSSES,
    SQUARES,
    check_loss,
    check_single_target,
)
from sklearn_twolayer._checks.parameters import check_flag
from sklearn_twolayer._fit.loss_fit import fit_of_arrays
from sklearn_twolayer._fit.report import history
from sklearn_twolayer._fit.squared_fit import SquaredFit
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.limits import time_limit
from sklearn_twolayer._runtime.settings import own_settings
from sklearn_twolayer._runtime.threads import fit_threads


@dataclass(frozen=True, eq=False)
class TwoLayerPath:
    """Networks along a schedule of weight decays.

    Parameters
    ----------
    lambda_max : float
        The least decay at which the best network has no neuron.
    lambdas : ndarray of shape (n_stages,)
        Decays.
    networks : tuple of FittedNetwork, of length n_stages
        The network of each stage, in the units of ``X`` and ``y``, with `features`,
        `feature_intercepts`, `amplitudes`, `linear_coef`, `linear_intercept` and
        `predict`.
    debiased : tuple of FittedNetwork, of length n_stages, or None
        The networks refitted without decay; None if `debias` is False.
    history : dict of str to ndarray of shape (n_stages,)
        As `history_` of :class:`RegularizedTwoLayerRegressor`.
    classes : ndarray of shape (n_classes,) or None, default=None
        With ``loss="log_loss"`` the classes, in the order of the outputs; None with
        other losses.
    """

    lambda_max: float
    lambdas: np.ndarray
    networks: tuple[FittedNetwork, ...]
    debiased: tuple[FittedNetwork, ...] | None
    history: dict[str, np.ndarray]
    classes: np.ndarray | None = None


TwoLayerPath.__module__ = "sklearn_twolayer"  # the public name, as for the estimators


def two_layer_path(
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    schedule: object = None,
    solver: str = "auto",
    debias: bool = False,
    n_neurons: int = 100,
    hidden_bias: bool = True,
    standardize: bool = True,
    max_iter: int = 2000,
    max_time: float | None = None,
    tol: float = 1e-3,
    prune_tol: float = 1e-6,
    merge_angle: float = 0.05,
    step_size: str | float = "curvature",
    device: object = None,
    dtype: str = "float64",
    random_state: object = None,
    checkpoint: object = None,
    linear_decay: str | float = "auto",
    loss: str = "squared_error",
) -> TwoLayerPath:
    """Follow a decreasing schedule of weight decays in one warm-started pass.

    The objective and the parameters are those of
    :class:`RegularizedTwoLayerRegressor`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs; at least two rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; with ``loss="log_loss"`` classes.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, not negative; only their ratios matter.
    schedule : schedule, default=None
        Weight decay of each stage. None stands for ``GeometricSchedule()``, which ends
        at the noise level; for "gd", for ``GeometricSchedule(start=0.03, stop=2e-4)``.
    solver : {"auto", "newton", "fast", "gd"}, default="auto"
        How the objective is minimised at each stage.
    debias : bool, default=False
        Whether to refit the network of each stage without decay, too. In the refit,
        neurons are merged, dropped and added as long as an information criterion falls.
    n_neurons : int, default=100
        Number of neurons at the start, at least 1.
    hidden_bias : bool, default=True
        Whether the neurons have biases.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit.
    max_iter : int, default=2000
        Most descent steps in one stage.
    max_time : float, default=None
        Seconds after which the path ends with the stages reached; None for no limit.
    tol : float, default=1e-3
        Tolerance of the descent.
    prune_tol : float, default=1e-6
        Neurons with at most this fraction of the largest mass are removed.
    merge_angle : float, default=0.05
        Neurons whose directions are within this angle, in radians, are merged.
    step_size : "curvature" or float, default="curvature"
        Step of "gd", as for :class:`RegularizedTwoLayerRegressor`.
    device : str, torch.device or None, default=None
        Where to compute, as for :class:`RegularizedTwoLayerRegressor`.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the computation.
    random_state : int, RandomState instance or None, default=None
        Seeds the initial directions and the search for the certificate's peak.
    checkpoint : str or path-like, default=None
        File to write each finished stage to. If the file exists and was written by a
        fit of the same data with the same parameters, the fit continues after its last
        stage, with the same result as without the interruption; a file of another fit
        or a damaged one raises an error. It holds plain arrays, reading it executes
        nothing, and it is complete at any moment; if several fits write to it, the last
        to write wins. Delete it to begin anew.
    linear_decay : "auto" or float, default="auto"
        Decay of the linear part, as in :class:`RegularizedTwoLayerRegressor`.
    loss : {"squared_error", "huber", "poisson", "log_loss"}, default="squared_error"
        What is minimised: "huber" and "poisson" as in
        :class:`RegularizedTwoLayerRegressor`, "log_loss" as in
        :class:`RegularizedTwoLayerClassifier`. `predict` of the networks then gives
        logarithms of means, or what `decision_function` of the classifier does. Losses
        other than "squared_error" are for one target, and without other solvers and
        `debias`.

    Returns
    -------
    path : TwoLayerPath
        Decays, networks, and measures of each stage.

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are not as documented.
    OSError
        If `checkpoint` cannot be written, which is tried before the path begins.

    Warns
    -----
    UncentredWarning
        If columns are far from zero with `hidden_bias=False`.
    SeparableWarning
        If a linear function separates classes, or zero counts.

    See Also
    --------
    RegularizedTwoLayerRegressor : The estimator, which keeps one stage.
    RegularizedTwoLayerClassifier : The estimator of classes.

    Examples
    --------
    >>> from sklearn_twolayer import StagedSchedule, two_layer_path
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> X, y = make_two_layer_regression(200, 4, n_directions=2, random_state=0)
    >>> path = two_layer_path(
    ...     X, y, schedule=StagedSchedule([1.0, 0.1]), random_state=0)
    >>> [network.n_features > 0 for network in path.networks]
    [False, True]
    """
    debias = check_flag("debias", debias)
    losses = [*LOSSES, LOG_LOSS]
    loss = check_loss(loss, {"solver": solver, "debias": debias}, losses)
    options = check_path_options(
        schedule=schedule,
        solver=solver,
        n_neurons=n_neurons,
        hidden_bias=hidden_bias,
        standardize=standardize,
        max_iter=max_iter,
        max_time=max_time,
        tol=tol,
        prune_tol=prune_tol,
        merge_angle=merge_angle,
        step_size=step_size,
        device=device,
        dtype=dtype,
        random_state=random_state,
        checkpoint=checkpoint,
        linear_decay=linear_decay,
    )
    X = check_inputs(None, X)
    weights = check_weights(sample_weight, X.shape[0])
    classes = None
    if loss == LOG_LOSS:
        classes, targets = check_labels(y, X.shape[0])
        weights = class_weights(None, classes, targets, weights)
    else:
        targets = check_targets(y, X.shape[0])
        if loss != SQUARES:
            targets = check_single_target(loss, targets, weights)
    with own_settings(), fit_threads(X.size), time_limit(options.max_time):
        fit = fit_of_arrays(loss, X, targets, weights, options)
        warn_of_far_columns(None, fit.prepared.rows.far_columns)
        stages = list(fit.path())
        networks = tuple(fit.network(stage) for stage in stages)
        debiased = None
        if isinstance(fit, SquaredFit) and debias:
            debiased = tuple(fit.debiased(stage) for stage in stages)
    of_stages = history(fit.problem, stages)
    fit.problem.warn(fit.problem.linear_decay)
    return TwoLayerPath(
        lambda_max=fit.problem.lambda_max,
        lambdas=of_stages["lambda_"],
        networks=networks,
        debiased=debiased,
        history=of_stages,
        classes=classes,
    )
