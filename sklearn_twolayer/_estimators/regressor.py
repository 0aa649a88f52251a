"""The scikit-learn estimator: validates, fits and stores NumPy arrays."""

from __future__ import annotations

import inspect
from functools import partial
from numbers import Integral
from typing import Any, Self

from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_scalar

from sklearn_twolayer._checks.losses import check_loss
from sklearn_twolayer._checks.parameters import (
    check_criterion,
    check_flag,
    check_integer,
    check_max_features,
)
from sklearn_twolayer._checks.state import unchanged_on_error
from sklearn_twolayer._estimators.following import follow_fit
from sklearn_twolayer._estimators.regressor_base import TwoLayerRegressor
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.units import check_continues
from sklearn_twolayer._runtime.settings import own_settings

# Names of the parameters that two_layer_path has, too.
PATH_PARAMETERS = tuple(inspect.signature(check_path_options).parameters)
# Names of the parameters that some losses cannot be fitted with.
REFUSED = ("solver", "debias", "max_features")


class RegularizedTwoLayerRegressor(CallbackSupportMixin, TwoLayerRegressor):
    """Two-layer network that recovers the directions the data depend on.

    Fits::

        f(x) = linear_intercept + linear_coef . x + sum_j a_j relu(w_j . x + b_j)

    by minimising, at a weight decay ``lambda``::

        1/2 mean_i s_i ||y_i - f(x_i)||^2
            + lambda / 2 sum_j (||a_j||^2 + ||w_j||^2 + b_j^2)

    with sample weights ``s_i`` of mean one. The linear part is not penalised, unless
    rows are few (`linear_decay`). With balanced norms the decay is a Lasso penalty on
    the masses ``||a_j|| ||(w_j, b_j)||`` of the neurons, so that they end on directions
    that the data depend on or vanish. `transform` gives the inputs projected on these.

    By default, without a schedule, an information criterion chooses the neurons and the
    network has hardly any decay: noiseless data give the directions to rounding, noisy
    data about what least squares started at the truth would. With a schedule, the decay
    is lowered in stages, each solved until its duality gap certifies it.

    Parameters
    ----------
    n_neurons : int, default=100
        Neurons at the start; the size of the result is controlled by `criterion`.
        "newton" begins with at most 32, or one an input, and never has more by default.
    schedule : schedule, default=None
        Weight decay of each stage: a :class:`GeometricSchedule`,
        :class:`StagedSchedule` or :class:`ConstantSchedule`, followed as written. None
        lets "newton" search for a small network without decay: from a start near the
        noise level neurons are dropped, merged and added as long as `criterion` falls;
        last, a small decay shrinks what noise has added. For "fast", None stands for
        ``GeometricSchedule()``, for "gd" for ``GeometricSchedule(start=0.03,
        stop=2e-4)``.
    solver : {"auto", "newton", "fast", "gd"}, default="auto"
        How the objective is minimised at each stage. "newton", or "auto", uses few
        neurons, second-order steps and births where the certificate is above one, until
        the duality gap is at most `tol`. "fast" takes few steps a stage, whatever gap
        that leaves, at least ten times faster, to compare decays on large data; with it
        ``stop="auto"`` ends elsewhere. "gd" is gradient descent on all neurons.
    hidden_bias : bool, default=True
        Whether the neurons have biases ``b_j``. Without them and with `standardize`,
        the columns of `X` are scaled to unit mean square and not centred. Features
        then cannot bend where a column that is far from zero varies: a warning names
        such columns.
    criterion : {"aic", "bic"}, float or None, default=None
        Controls the size of the network: the penalty per parameter of ``n log(loss) +
        criterion * n_parameters``; "aic" stands for 2, "bic" for ``log(n_samples)``. By
        default it chooses the neurons, and None stands for 3.5. With a schedule it
        chooses the stage to keep, and None keeps the last. ``n`` is the number of rows
        times that of outputs, with weights an effective number. Where noise is uneven
        or rows are few, a neuron counts as more, as residuals of random signs ask for.
    debias : bool, default=False
        Whether to refit the kept network of a schedule without decay, as in the
        relaxed Lasso: as the search without a schedule, but not shrunk.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance. Decays and masses refer to
        scaled columns; all other attributes are in the units of `X` and `y`. Give
        targets a common scale if their units differ.
    feature_output : {"projection", "activation", "terms"}, default="projection"
        `transform` returns ``X @ features_.T + feature_intercepts_``, or its ReLU, or
        the terms of the prediction: the linear part, then ReLUs times amplitudes.
    max_iter : int, default=2000
        Most descent steps ("gd") or about as many evaluations ("newton") in one stage;
        a line search may take a few more. Each search and `debias` are stages, too.
    max_time : float, default=None
        Seconds after which the fit ends with what it has reached, a usable model; None
        for no limit. Preparations and the last certificate take their time in any case.
    tol : float, default=1e-3
        "newton" solves each stage to a duality gap of at most `tol` times the
        objective, which is stricter than `tol` of :class:`sklearn.linear_model.Lasso`,
        relative to the targets. A stage of "gd" ends when the norm of the gradient is
        at most `tol` times ``lambda`` times the norm of the parameters.
    prune_tol : float, default=1e-6
        "gd" removes neurons of at most this fraction of the largest mass; in [0, 1).
    merge_angle : float, default=0.05
        "gd" merges neurons whose directions, up to sign, are within this angle in
        radians, in [0, pi/4]; "newton" does so only before the first stage.
    step_size : "curvature" or float, default="curvature"
        Step of "gd": one over the largest curvature, or a positive number, in units in
        which columns and the residuals of the linear model have unit variance.
    warm_start : bool, default=False
        Whether `fit` starts from the features of the previous fit, if there are any. If
        these fit no better than the linear model, the fit warns and begins anew.
    device : str, torch.device or None, default=None
        Where to compute: "cpu" (or None), "cuda", "cuda:1", "mps" (which needs
        "float32"), or "auto": an accelerator for dense `X` of 2,000,000 entries or
        more. Rows stay there. Run on CPUs only. Sparse `X` needs the CPU.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the rows and of products with them; sums and fitted attributes are
        float64. With "float32", noiseless directions have errors of some 1e-7 rad.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers; None takes a new one each time.
    checkpoint : str or path-like, default=None
        File to write each finished stage to; without a schedule a fit is one stage. If
        it exists, from a fit of the same data and parameters, the fit continues after
        its last stage, with the same result as without the interruption; another file
        raises an error. It holds plain arrays, and reading it executes nothing.
    verbose : int, default=0
        If positive, print one line for each stage.
    linear_decay : "auto" or float, default="auto"
        Decay ``rho`` of the linear part, a penalty ``rho / 2 ||linear_coef||^2`` in
        scaled columns; 0 for none. "auto" has none from ten rows an input on, or if a
        network fits exactly without; else that of the largest likelihood.
    max_features : int, default=None
        Most features of the result, at least 1. A larger network is replaced by one of
        so many features with nearly its predictions; `dual_gap_` is of the larger one.
    n_searches : int, default=4
        Most searches without a schedule, at least 1. If the first, of squares, adds
        features, others begin anew; if they differ, a small network that is fitted to
        their mean replaces them: it is more accurate, and takes some times longer.
    loss : {"squared_error", "huber", "poisson"}, default="squared_error"
        What is minimised in place of half the squared residual. "huber" is linear from
        1.345 times a robust scale of the residuals on, so that outliers hardly count.
        "poisson" is half the deviance of counts, whose mean is the exponential of the
        network (`predict_link`); for exposures pass counts over exposures as `y` and
        the exposures as `sample_weight`. Both are for one target, and without other
        solvers, `debias`, `max_features` and Dask.

    Attributes
    ----------
    features_ : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions in the units of `X`, by decreasing mass, the largest
        loading of each positive. Refits find the same if the data are such a network
        of little noise: :func:`~sklearn_twolayer.inspection.direction_stability`.
    feature_intercepts_ : ndarray of shape (n_features_out,)
        Hidden biases on the scale of `features_`.
    amplitudes_ : ndarray of shape (n_features_out,) or (n_features_out, n_outputs)
        Output weight of each feature.
    linear_coef_ : ndarray of shape (n_features_in,) or (n_outputs, n_features_in)
        Coefficients of the linear part.
    linear_intercept_ : float or ndarray of shape (n_outputs,)
        Its constant.
    feature_importances_ : ndarray of shape (n_features_in,)
        Importance of each column of `X`: the root of the mean square of ``df/dx_j``
        over the rows of the fit, by their weights, times the standard deviation of the
        column, scaled to a sum of one. Squares are added over targets.
    feature_scales_ : ndarray of shape (n_features_in,)
        Weighted standard deviations of the columns, 0 of those left out, for loadings.
    feature_ranges_ : ndarray of shape (3, n_features_out)
        Least, largest and standard deviation of the projections of the rows of the fit.
    linear_ranges_ : ndarray of shape (3,) or (3, n_outputs)
        The same of the linear part and half of each feature's slope together.
    lambda_max_ : float
        The least decay at which the best network has no neuron, as far as the search
        for the certificate's peak found it. In the units of `y`, for scaled columns.
    lambda_ : float
        Decay of the kept stage; of a search, the noise level that it began at.
    linear_decay_ : float
        Decay of the linear part, for scaled columns.
    scale_, dispersion_ : float
        With "huber" a robust scale of the residuals; with "poisson" their variance over
        the mean, times the weight: 1 for Poisson counts.
    lambdas_ : ndarray of shape (n_stages,)
        Decays of the stages that were run.
    certificate_ : float
        Largest norm of the dual certificate at the kept stage, before debiasing:
        at most 1 at a global optimum.
    dual_gap_ : float
        Duality gap at the kept stage, before debiasing: the objective is above that
        of the best network of any width by no more than this, as far as the search
        for the certificate's peak found it. In squared units of `y`. Without a
        schedule, certificate and gap are those of the network itself at `lambda_`, the
        noise level that the search began at. For an exact network `lambda_` is 0, the
        certificate infinite, and the gap the loss, which is rounding.
    history_ : dict of str to ndarray of shape (n_stages,)
        ``lambda_``, ``loss``, ``objective``, ``n_neurons``, ``certificate``,
        ``dual_gap``, ``n_iter`` and ``seconds`` of each stage; ``masses`` of shape
        (n_stages, n_lines), each neuron in its own column; with "gd" ``curvature``, the
        largest of the objective: a `step_size` above 2 over it overshoots.
    n_iter_ : int
        Descent steps over all stages.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of the columns of `X`, if all are strings.

    See Also
    --------
    RegularizedTwoLayerRegressorCV : The decay chosen by cross-validation.
    two_layer_path : The networks of all stages.

    Notes
    -----
    The prediction is, to rounding, ``linear_intercept_ + X @ linear_coef_.T + relu(X @
    features_.T + feature_intercepts_) @ amplitudes_``. All these are NumPy arrays.
    If no direction helps, the model is linear, and `features_` has no rows.

    `feature_importances_` describes the fitted function. Correlated inputs share what
    they have in common, or one has it all, of copies the first. Only fits without an
    input tell if it is needed, as in :class:`~sklearn.feature_selection.RFECV`.

    References
    ----------
    .. [1] M. Zhou and R. Ge, "How Does Gradient Descent Learn Features: A Local
       Analysis for Regularized Two-Layer Neural Networks", NeurIPS 2024,
       arXiv:2406.01766.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressor
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> from sklearn_twolayer.metrics import match_directions
    >>> X, y, teacher = make_two_layer_regression(
    ...     500, 5, n_directions=2, return_teacher=True, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    >>> match = match_directions(model.features_, teacher.directions)
    >>> bool(match.angles.max() < 1e-6)
    True
    """

    def __init__(
        self,
        *,
        n_neurons: int = 100,
        schedule: object = None,
        solver: str = "auto",
        hidden_bias: bool = True,
        criterion: str | float | None = None,
        debias: bool = False,
        standardize: bool = True,
        feature_output: str = "projection",
        max_iter: int = 2000,
        max_time: float | None = None,
        tol: float = 1e-3,
        prune_tol: float = 1e-6,
        merge_angle: float = 0.05,
        step_size: str | float = "curvature",
        warm_start: bool = False,
        device: object = None,
        dtype: str = "float64",
        random_state: object = None,
        checkpoint: object = None,
        verbose: int = 0,
        linear_decay: str | float = "auto",
        max_features: int | None = None,
        n_searches: int = 4,
        loss: str = "squared_error",
    ) -> None:
        self.n_neurons = n_neurons
        self.schedule = schedule
        self.solver = solver
        self.hidden_bias = hidden_bias
        self.criterion = criterion
        self.debias = debias
        self.standardize = standardize
        self.feature_output = feature_output
        self.max_iter = max_iter
        self.max_time = max_time
        self.tol = tol
        self.prune_tol = prune_tol
        self.merge_angle = merge_angle
        self.step_size = step_size
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.linear_decay = linear_decay
        self.max_features = max_features
        self.n_searches = n_searches
        self.loss = loss

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs; at least two rows. Memory maps are read block by block and not
            copied; sparse inputs stay sparse; the rows of a Dask array or dataframe
            stay where they are.
        y : {array-like, Dask collection} of shape (n_samples,) or \
                (n_samples, n_outputs)
            Targets; a Dask collection only if `X` is one, with the same chunks.
        sample_weight : array-like or Dask collection of shape (n_samples,), \
                default=None
            Weights of the rows, not negative. Only their ratios matter. A weight of
            two makes the same objective as a row given twice, but is not the evidence
            of two rows: repeat the rows of a frequency table.

        Returns
        -------
        self : RegularizedTwoLayerRegressor
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are not as documented. The estimator is then
            left as it was.
        MemoryError
            If the fit would take more memory than the machine has.
        OSError
            If `checkpoint` cannot be written, which is tried before the fit begins.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the result is a regularised stage whose duality gap is above `tol`, or
            `max_iter` or `max_time` ended the fit early. The message states the gap.
        UncentredWarning
            If columns are far from zero with `hidden_bias=False`.
        WarmStartWarning, SeparableWarning
            If `warm_start` has begun anew; if a linear function separates zero counts.
        """
        with unchanged_on_error(self), own_settings():
            self._fit(X, y, sample_weight)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        options = check_path_options(
            **{name: getattr(self, name) for name in PATH_PARAMETERS}
        )
        criterion = check_criterion(self.criterion)
        debias = check_flag("debias", self.debias)
        max_features = check_max_features(self.max_features)
        n_searches = check_integer("n_searches", self.n_searches, min_val=1)
        warm_start = check_flag("warm_start", self.warm_start)
        verbose = check_scalar(self.verbose, "verbose", Integral, min_val=0)
        self._check_feature_output()
        loss = check_loss(self.loss, {name: getattr(self, name) for name in REFUSED})
        initial = None
        if warm_start and hasattr(self, "features_"):
            initial = self._fitted_network()
        # Imported here, because predicting and unpickling must not import torch.
        from sklearn_twolayer._fit.loss_fit import fit_of_loss

        X, data = self._raw_rows(X, y, sample_weight, loss)
        if initial is not None:
            check_continues(initial, self.n_features_in_, data.target_shape)
        metadata = {"sample_weight": sample_weight}
        follow_fit(
            self,
            partial(fit_of_loss, loss, data, options, initial),
            data.n_entries,
            {"estimator": self, "X": X, "y": y, "metadata": metadata},
            options,
            criterion,
            verbose=verbose > 0,
            n_searches=n_searches,
            max_features=max_features,
            debias=debias,
            known={},
        )
