"""The scikit-learn estimator: validates, fits and stores NumPy arrays."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_scalar

from sklearn_twolayer._checks.data import warn_of_far_columns
from sklearn_twolayer._checks.parameters import (
    check_criterion,
    check_flag,
    check_max_features,
)
from sklearn_twolayer._checks.state import unchanged_on_error
from sklearn_twolayer._estimators.callbacks import followed
from sklearn_twolayer._estimators.regressor_base import TwoLayerRegressor
from sklearn_twolayer._fit.report import (
    USELESS_START,
    fit_attributes,
    progress_line,
    warn_of_convergence,
)
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.units import check_continues
from sklearn_twolayer._runtime.limits import time_limit
from sklearn_twolayer._runtime.settings import own_settings
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY
from sklearn_twolayer.exceptions import WarmStartWarning

if TYPE_CHECKING:
    from sklearn_twolayer._path.stage import Stage

# Names of the parameters that two_layer_path has, too.
PATH_PARAMETERS = tuple(inspect.signature(check_path_options).parameters)


class RegularizedTwoLayerRegressor(CallbackSupportMixin, TwoLayerRegressor):
    """Two-layer network that recovers the directions the data depend on.

    Fits::

        f(x) = linear_intercept + linear_coef . x + sum_j a_j relu(w_j . x + b_j)

    by minimising, at each weight decay ``lambda`` of a decreasing schedule::

        1/2 mean_i s_i ||y_i - f(x_i)||^2
            + lambda / 2 sum_j (||a_j||^2 + ||w_j||^2 + b_j^2)

    with sample weights ``s_i`` of mean one. The linear part is not penalised, unless
    rows are few (`linear_decay`). With balanced norms the decay is a Lasso penalty on
    the masses ``||a_j|| ||(w_j, b_j)||`` of the neurons, so that they end on directions
    that the data depend on or vanish. `transform` gives the inputs projected on these.

    Without a schedule, the number of neurons is chosen by an information criterion, and
    the network has no decay: noiseless data give the directions to rounding, noisy
    data about what least squares started at the truth would. With a schedule, each
    stage is solved until its duality gap certifies it.

    Parameters
    ----------
    n_neurons : int, default=100
        Number of neurons at the start, at least 1. "newton" begins with at most 32, or
        one for each input if these are more; without a schedule it never has more.
    schedule : schedule, default=None
        Weight decay of each stage: a :class:`GeometricSchedule`,
        :class:`StagedSchedule` or :class:`ConstantSchedule`, followed as written. None
        lets "newton" search for a small network without decay: from a start near the
        noise level neurons are dropped, merged and added as long as `criterion` falls;
        last, a small decay shrinks what noise has added. For "fast", None stands for
        ``GeometricSchedule()``, for "gd" for ``GeometricSchedule(start=0.03,
        stop=2e-4)``.
    solver : {"auto", "newton", "fast", "gd"}, default="auto"
        How the objective is minimised at each stage. "newton" uses few neurons,
        second-order steps and births where the certificate is above one, until the
        duality gap is at most `tol`. "fast" takes few steps a stage, whatever gap that
        leaves, at least ten times faster, for comparing decays on large data; with it
        ``stop="auto"`` ends at other decays than with "newton". "gd" is gradient
        descent on all neurons, the reference. "auto" stands for "newton".
    hidden_bias : bool, default=True
        Whether the neurons have biases ``b_j``. Without them and with `standardize`,
        the columns of `X` are scaled to unit mean square and not centred. Features
        then cannot bend where a column that is far from zero varies: a warning names
        such columns.
    criterion : {"aic", "bic"}, float or None, default=None
        Penalty per parameter of the information criterion ``n log(loss) + criterion *
        n_parameters``; "aic" stands for 2 and "bic" for ``log(n_samples)``. Without a
        schedule it chooses the neurons, and None stands for 3.5: of 2 to 4, the value
        that most often found the right number on noisy teachers, and none on noise.
        With a schedule it chooses the stage to keep, and None keeps the last. ``n`` is
        the number of rows times that of outputs. With weights, an effective sample size
        replaces the number of rows: their number if the weights are inverse variances,
        Kish's size if all rows are equally noisy. Where noise is unequal, heavy-tailed
        or shared by targets, or rows are few, a neuron counts as more parameters, as
        many as residuals with random signs ask for.
    debias : bool, default=False
        Whether to refit the kept network of a schedule without decay, as in the
        relaxed Lasso: as the search without a schedule, but not shrunk.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit. The decay
        and the masses refer to the scaled columns; all other attributes are in the
        units of `X` and `y`. Give targets a common scale if their units differ.
    feature_output : {"projection", "activation", "terms"}, default="projection"
        `transform` returns ``X @ features_.T + feature_intercepts_``, or its ReLU, or
        the terms of the prediction: the linear part, then ReLUs times amplitudes.
    max_iter : int, default=2000
        Most descent steps ("gd") or about as many evaluations ("newton") in one stage;
        a line search may take a few more. Without a schedule the whole search is one
        stage, and with `debias` the refit is one more.
    max_time : float, default=None
        Seconds after which the fit ends with what it has reached, a usable model; None
        for no limit. Standardising the data, early features and the last certificate
        take their time in any case. Results then depend on the speed of the machine.
    tol : float, default=1e-3
        "newton" solves each stage to a duality gap of at most `tol` times the
        objective, which is stricter than `tol` of :class:`sklearn.linear_model.Lasso`,
        relative to the targets. A stage of "gd" ends when the norm of the gradient is
        at most `tol` times ``lambda`` times the norm of the parameters.
    prune_tol : float, default=1e-6
        "gd" removes neurons with at most this fraction of the largest mass after each
        stage. In [0, 1). "newton" removes and merges neurons as the objective allows.
    merge_angle : float, default=0.05
        "gd" merges neurons whose directions, up to sign, are within this angle, in
        radians, in [0, pi/4]. "newton" does so only before the first stage.
    warm_start : bool, default=False
        Whether `fit` starts from the features of the previous fit, if there are any,
        in place of early feature learning. If the previous network fits the data no
        better than the linear model, the fit warns and begins anew.
    device : str, torch.device or None, default=None
        Where to compute: "cpu" (or None), "cuda", "cuda:1", "mps" (which needs
        "float32"). Only the products over the rows go there. Tests have been run on
        CPUs only. Sparse `X` needs the CPU.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the rows and of products with them; sums and fitted attributes are
        float64. With "float32", noiseless directions have errors of some 1e-7 rad in
        place of 1e-14; noisy ones differ by less than their statistical error.
    random_state : int, RandomState instance or None, default=None
        Seeds the initial directions and the search for the certificate's peak. Pass
        an int for repeatable results; None takes a new seed each time.
    checkpoint : str or path-like, default=None
        File to write each finished stage to. If it exists, from a fit of the same data
        with the same parameters, the fit continues after its last stage, with the same
        result as without the interruption; another file raises an error. It holds plain
        arrays, reading it executes nothing, and it is complete at any moment. Of
        several writers the last wins. Without a schedule a fit is one stage.
    verbose : int, default=0
        If positive, print one line for each stage.
    linear_decay : "auto" or float, default="auto"
        Decay ``rho`` of the linear part, a penalty ``rho / 2 ||linear_coef||^2`` in
        scaled columns; 0 for none. "auto" has none from ten rows an input on. Below, it
        is the one under which the targets are most likely, or none if a network without
        it fits exactly.
    max_features : int, default=None
        Most features of the result, at least 1. A larger network is replaced by one of
        so many features with nearly its predictions; `dual_gap_` is of the larger one.

    Attributes
    ----------
    features_ : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions in the units of `X`, by decreasing mass, the largest
        loading of each positive. Refits find the same if the data are such a network
        of little noise, see :func:`~sklearn_twolayer.inspection.direction_stability`.
    feature_intercepts_ : ndarray of shape (n_features_out,)
        Hidden biases on the scale of `features_`.
    amplitudes_ : ndarray of shape (n_features_out,) or (n_features_out, n_outputs)
        Output weight of each feature.
    linear_coef_ : ndarray of shape (n_features_in,) or (n_outputs, n_features_in)
        Coefficients of the linear part.
    linear_intercept_ : float or ndarray of shape (n_outputs,)
        Constant of the linear part.
    feature_importances_ : ndarray of shape (n_features_in,)
        Importance of each column of `X`: the root of the mean square of ``df/dx_j``
        over the rows of the fit, by their weights, times the standard deviation of the
        column, scaled to a sum of one; zeros if the model is constant. Squares are
        added over targets, so that each counts by its variance.
    feature_scales_ : ndarray of shape (n_features_in,)
        Weighted standard deviations of the columns, 0 of those left out, for loadings.
    feature_ranges_ : ndarray of shape (3, n_features_out)
        Least, largest and standard deviation of the projections of the rows of the fit.
    linear_ranges_ : ndarray of shape (3,) or (3, n_outputs)
        The same of the straight line: the linear part and half of each feature's slope.
    lambda_max_ : float
        The least decay at which the best network has no neuron, as far as the search
        for the certificate's peak found it. In the units of `y`, for scaled columns.
    lambda_ : float
        Decay of the kept stage.
    linear_decay_ : float
        Decay of the linear part, for scaled columns.
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
        (n_stages, n_lines), in which a neuron keeps its column from stage to stage.
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

    `feature_importances_` describes the fitted function, as does
    :func:`~sklearn.inspection.permutation_importance`. Correlated inputs share what
    they have in common, or one has it all, of copies the first. Only fits without an
    input tell if it is needed, as in :class:`~sklearn.feature_selection.RFECV`.

    If no direction helps, `features_` has shape ``(0, n_features_in_)``, the model is
    linear, and `transform` warns and returns no columns.

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
        warm_start: bool = False,
        device: object = None,
        dtype: str = "float64",
        random_state: object = None,
        checkpoint: object = None,
        verbose: int = 0,
        linear_decay: str | float = "auto",
        max_features: int | None = None,
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
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.linear_decay = linear_decay
        self.max_features = max_features

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
        WarmStartWarning
            If `warm_start` has begun anew.
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
        warm_start = check_flag("warm_start", self.warm_start)
        verbose = check_scalar(self.verbose, "verbose", Integral, min_val=0)
        self._check_feature_output()
        continues = warm_start and hasattr(self, "features_")
        initial = self._fitted_network() if continues else None
        # Imported here, because predicting and unpickling must not import torch.
        from sklearn_twolayer._fit import stages as run
        from sklearn_twolayer._fit.linear_decay import problem_of

        X, data = self._raw_rows(X, y, sample_weight)
        if initial is not None:
            check_continues(initial, self.n_features_in_, data.target_shape)
        metadata = {"sample_weight": sample_weight}
        task = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        with fit_threads(data.n_entries), time_limit(options.max_time):
            problem = problem_of(data, options)
            warn_of_far_columns(self, problem.rows.far_columns)
            if initial is not None and run.is_useless_start(problem, initial):
                initial = None
                warn_caller(USELESS_START, WarmStartWarning)
            if self.schedule is None and options.solver == "newton":
                penalty = DEFAULT_PENALTY if criterion is None else criterion
                path, most_stages = run.search_stage(problem, penalty, initial), 1
            else:
                path = run.path_stages(problem, initial)
                most_stages = len(problem.lambdas)  # the data may end the path earlier
            context = self._init_callback_context(max_subtasks=most_stages)
            context.call_on_fit_task_begin(**task)
            stages: list[Stage] = []
            for stage in followed(path, context, problem.attributes, task):
                stages.append(stage)
                if verbose:
                    print(progress_line(problem, stage))
            kept = run.keep_stage(problem, stages, criterion)
            network, debiased_by = kept.result, None
            if debias:
                network, debiased_by = run.debias(problem, kept)
            attributes = problem.attributes(run.reduced(problem, network, max_features))
        self.__dict__.update(attributes)
        self.__dict__.update(fit_attributes(problem, stages, kept))
        warn_of_convergence(kept, self.lambda_, options.tol, debiased_by)
        context.call_on_fit_task_end(
            **task, reconstruction_attributes=lambda: attributes
        )
