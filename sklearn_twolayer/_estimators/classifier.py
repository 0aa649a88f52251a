"""The classifier: validates, fits with the logistic loss, and stores NumPy arrays."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any, Self

from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_scalar

from sklearn_twolayer._checks.labels import check_same_classes
from sklearn_twolayer._checks.parameters import check_criterion, check_flag
from sklearn_twolayer._checks.state import unchanged_on_error
from sklearn_twolayer._estimators.classifier_base import TwoLayerClassifier
from sklearn_twolayer._estimators.following import follow_fit
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._rows.units import check_continues
from sklearn_twolayer._runtime.settings import own_settings


class RegularizedTwoLayerClassifier(CallbackSupportMixin, TwoLayerClassifier):
    """Two-layer network for classes that recovers the directions they depend on.

    The scores of the classes are those of :class:`RegularizedTwoLayerRegressor`::

        f(x) = linear_intercept + linear_coef . x + sum_j a_j relu(w_j . x + b_j)

    with one output, the logarithm of the odds, for two classes, and with one output a
    class for more, which share the directions. Fits by minimising::

        mean_i s_i log_loss(y_i, f(x_i))
            + lambda / 2 sum_j (||a_j||^2 + ||w_j||^2 + b_j^2)

    with sample weights ``s_i`` of mean one. The linear part is not penalised, unless
    rows are few or it separates the classes (`linear_decay`). At decays from
    `lambda_max_` on the model is a logistic regression; below it neurons end on
    directions that the classes depend on or vanish. `transform` gives the inputs
    projected on these.

    Without a schedule, the number of neurons is chosen by the deviance and a price of
    each neuron, and the network has a little decay, under which its masses are the most
    likely ones. With a schedule, each stage is solved until its duality gap certifies
    it.

    Parameters
    ----------
    n_neurons : int, default=100
        Number of neurons at the start, at least 1; at most 32, or one for each input if
        that is more, are used. Without a schedule this is also the largest number of
        features that the fit ends with.
    schedule : schedule, default=None
        Weight decay of each stage: a :class:`GeometricSchedule`,
        :class:`StagedSchedule` or :class:`ConstantSchedule`, followed as written; all
        decays must be above zero. None lets a search choose a small network.
    hidden_bias : bool, default=True
        Whether the neurons have biases, as in :class:`RegularizedTwoLayerRegressor`.
    criterion : {"aic", "bic"}, float or None, default=None
        Penalty per parameter of the information criterion ``deviance + criterion *
        n_parameters``, where the deviance is twice the summed log loss; "aic" stands
        for 2 and "bic" for ``log(n_samples)``. Without a schedule it chooses the
        neurons, and None stands for 3.5. With a schedule it chooses the stage to keep,
        and None keeps the last. With weights, an effective sample size replaces the
        number of rows.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit.
    feature_output : {"projection", "activation"}, default="projection"
        `transform` returns ``X @ features_.T + feature_intercepts_`` or its ReLU.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which sample weights are multiplied; "balanced" gives
        all classes the same total weight. Probabilities are then those of rows drawn
        with these weights.
    max_iter : int, default=2000
        About as many evaluations in one stage. Without a schedule the whole search is
        one stage.
    max_time : float, default=None
        Seconds after which the fit ends with what it has reached, a usable model; None
        for no limit.
    tol : float, default=1e-3
        Duality gap, as a fraction of the objective, to which each stage is solved.
    device : str, torch.device or None, default=None
        Where the least-squares problems of a fit are solved: "cpu" (or None), "cuda",
        "cuda:1", "mps" (which needs "float32"), or "auto": an accelerator for dense `X`
        of 2,000,000 entries or more. The loss itself is computed on the CPU.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the least-squares problems. The loss, its certificate and the
        linear part are float64.
    random_state : int, RandomState instance or None, default=None
        Seeds the initial directions and the search for the certificate's peak. Pass
        an int for repeatable results; None takes a new seed each time.
    warm_start : bool, default=False
        Whether `fit` starts from the features of the previous fit, if there are any. If
        these fit no better than logistic regression, the fit warns and begins anew.
        The classes must be those of the previous fit.
    checkpoint : str or path-like, default=None
        File to write each finished stage to; without a schedule a fit is one stage. If
        it exists, from a fit of the same data and parameters, the fit continues after
        its last stage, with the same result as without the interruption; another file
        raises an error. It holds plain arrays, and reading it executes nothing.
    verbose : int, default=0
        If positive, print one line for each stage.
    linear_decay : "auto" or float, default="auto"
        Decay ``rho`` of the linear part, a penalty ``rho / 2 ||linear_coef||^2`` in
        scaled columns; 0 for none. "auto" has none from ten rows an input on. Below,
        and where a linear function separates classes, it is the one under which the
        classes are most likely; also with 0 the linear part of separable classes is
        shrunk, because there is no best one.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the outputs.
    features_ : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions in the units of `X`, by decreasing mass. A direction and
        its opposite are one: the largest loading of each is positive.
    feature_intercepts_ : ndarray of shape (n_features_out,)
        Hidden biases on the scale of `features_`.
    amplitudes_ : ndarray of shape (n_features_out,) or (n_features_out, n_classes)
        Output weight of each feature in the score of each class; with two classes in
        that of the second.
    linear_coef_ : ndarray of shape (n_features_in,) or (n_classes, n_features_in)
        Coefficients of the linear part.
    linear_intercept_ : float or ndarray of shape (n_classes,)
        Constant of the linear part.
    feature_importances_ : ndarray of shape (n_features_in,)
        Importance of each column of `X` for the scores, as in
        :class:`RegularizedTwoLayerRegressor`.
    feature_scales_ : ndarray of shape (n_features_in,)
        Weighted standard deviations of the columns, 0 of those left out, for loadings.
    lambda_max_ : float
        The least decay at which the best network has no neuron, as far as the search
        for the certificate's peak found it.
    lambda_ : float
        Decay of the kept stage; without a schedule the noise level that the last search
        began at.
    linear_decay_ : float
        Decay of the linear part, for scaled columns.
    lambdas_ : ndarray of shape (n_stages,)
        Decays of the stages that were run.
    certificate_ : float
        Largest norm of the dual certificate of the network at `lambda_`: at most 1 at a
        global optimum.
    dual_gap_ : float
        Duality gap at `lambda_`: the objective is above that of the best network of any
        width by no more than this, as far as the search for the certificate's peak
        found it.
    history_ : dict of str to ndarray of shape (n_stages,)
        ``lambda_``, ``loss`` (the mean log loss), ``objective``, ``n_neurons``,
        ``certificate``, ``dual_gap``, ``n_iter`` and ``seconds`` of each stage;
        ``masses`` of shape (n_stages, n_lines), in which a neuron keeps its column.
    n_iter_ : int
        Descent steps over all stages.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of the columns of `X`, if all are strings.

    See Also
    --------
    RegularizedTwoLayerRegressor : The same for numbers.
    sklearn.linear_model.LogisticRegression : The model without neurons.
    sklearn.neural_network.MLPClassifier : Networks trained at a fixed decay.

    Notes
    -----
    The loss is minimised by proximal Newton steps: each solves the least-squares
    problem that models the loss around the present outputs. There are no `solver`,
    `debias` and `max_features`, which the regressor has, and no Dask collections.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_twolayer import RegularizedTwoLayerClassifier
    >>> generator = np.random.default_rng(0)
    >>> X = generator.standard_normal((1000, 4))
    >>> score = 4.0 * np.abs(X[:, 0] - X[:, 1]) - 4.0
    >>> y = np.where(score + generator.logistic(size=1000) > 0.0, "far", "near")
    >>> model = RegularizedTwoLayerClassifier(random_state=0).fit(X, y)
    >>> model.classes_.tolist()
    ['far', 'near']
    >>> model.features_.shape
    (1, 4)
    >>> model.predict(X[:3]).tolist()
    ['near', 'far', 'near']
    """

    def __init__(
        self,
        *,
        n_neurons: int = 100,
        schedule: object = None,
        hidden_bias: bool = True,
        criterion: str | float | None = None,
        standardize: bool = True,
        feature_output: str = "projection",
        class_weight: object = None,
        max_iter: int = 2000,
        max_time: float | None = None,
        tol: float = 1e-3,
        device: object = None,
        dtype: str = "float64",
        random_state: object = None,
        warm_start: bool = False,
        checkpoint: object = None,
        verbose: int = 0,
        linear_decay: str | float = "auto",
    ) -> None:
        self.n_neurons = n_neurons
        self.schedule = schedule
        self.hidden_bias = hidden_bias
        self.criterion = criterion
        self.standardize = standardize
        self.feature_output = feature_output
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.max_time = max_time
        self.tol = tol
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.linear_decay = linear_decay

    def fit(self, X: object, y: object, sample_weight: object = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs; at least two rows. Memory maps are read block by block and not
            copied; sparse inputs stay sparse.
        y : array-like of shape (n_samples,)
            Classes: numbers, text or truth values; at least two.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative. Only their ratios matter.

        Returns
        -------
        self : RegularizedTwoLayerClassifier
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
        SeparableWarning
            If a linear function separates classes, so that its coefficients were
            shrunk without being asked for.

        sklearn.exceptions.ConvergenceWarning
            If the result is a stage whose duality gap is above `tol`, or `max_iter` or
            `max_time` ended the fit early.

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
        names = (
            "schedule", "n_neurons", "hidden_bias", "standardize", "max_iter",
            "max_time", "tol", "device", "dtype", "random_state", "linear_decay",
            "checkpoint",
        )  # fmt: skip
        options = check_path_options(
            **{name: getattr(self, name) for name in names},
            solver="newton",
            prune_tol=0.0,
            merge_angle=0.0,
        )
        criterion = check_criterion(self.criterion)
        warm_start = check_flag("warm_start", self.warm_start)
        verbose = check_scalar(self.verbose, "verbose", Integral, min_val=0)
        self._check_feature_output()
        initial = None
        if warm_start and hasattr(self, "features_"):
            initial = self._fitted_network()
        X, classes, index, weights = self._labelled_rows(X, y, sample_weight)
        if initial is not None:
            check_same_classes(classes, self.classes_)
            shape = (len(index), *initial.linear_coef.shape[:-1])
            check_continues(initial, self.n_features_in_, shape)
        # Imported here, because predicting and unpickling must not import torch.
        from sklearn_twolayer._fit.loss_fit import fit_of_classes

        metadata = {"sample_weight": sample_weight}
        follow_fit(
            self,
            partial(fit_of_classes, X, index, weights, options, initial),
            X.size,
            {"estimator": self, "X": X, "y": y, "metadata": metadata},
            options,
            criterion,
            verbose=verbose > 0,
            known={"classes_": classes},
        )

    @property
    def _keeps_decay(self) -> bool:
        return self.schedule is not None
