"""The cross-validated classifier: fits each fold, chooses, and fits on all rows."""

from __future__ import annotations

from typing import Any

from sklearn_twolayer._checks.labels import check_class_splits
from sklearn_twolayer._checks.losses import LOG_LOSS
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._estimators.by_folds import fit_by_folds
from sklearn_twolayer._estimators.classifier_base import TwoLayerClassifier
from sklearn_twolayer._estimators.routing import SplitsRows


class RegularizedTwoLayerClassifierCV(SplitsRows, TwoLayerClassifier):
    """Two-layer network for classes whose weight decay is chosen by cross-validation.

    The model and the objective are those of :class:`RegularizedTwoLayerClassifier`::

        mean_i s_i log_loss(y_i, f(x_i))
            + lambda / 2 sum_j (||a_j||^2 + ||w_j||^2 + b_j^2)

    In each fold the decay falls from ``lambda_max``, where the model is a logistic
    regression, along one grid, and the network at each decay predicts the held-out
    rows, as do the debiased network, that of the criterion without a schedule, and
    means of the scores of both. What has the least held-out log loss is fitted on all
    rows. The debiased network, which has few features, is kept unless something is
    better by 1.5 %.

    Parameters
    ----------
    lambdas : int or array-like of shape (n_lambdas,), default=16
        Number of decays, or decreasing fractions of ``lambda_max``.
    eps : float, default=1e-3
        Last decay of a grid given by a number, as a fraction of ``lambda_max``.
    cv : int, splitter, iterable or None, default=None
        Folds: a number, five for None, of stratified folds that are shuffled by
        `random_state`, or what :func:`sklearn.model_selection.check_cv` accepts. Each
        class needs rows in the training rows of each fold.
    debias : {"auto", False}, default="auto"
        Whether debiased networks, and means with them, are compared, too.
    one_standard_error : bool, default=False
        Whether to choose the largest decay whose error is within one standard error of
        the least.
    criterion : {"aic", "bic"}, float or None, default=None
        Penalty per parameter for the debiased network, as in
        :class:`RegularizedTwoLayerClassifier`.
    n_jobs : int, default=None
        Number of folds fitted at the same time, as in joblib.
    n_neurons : int, default=100
        Number of neurons at the start, as in :class:`RegularizedTwoLayerClassifier`.
    hidden_bias : bool, default=True
        Whether the neurons have biases.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit.
    feature_output : {"projection", "activation"}, default="projection"
        `transform` returns ``X @ features_.T + feature_intercepts_`` or its ReLU.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which sample weights are multiplied, in fits and in
        held-out errors.
    max_iter : int, default=2000
        About as many evaluations in one stage or search.
    device : str, torch.device or None, default=None
        Where the least-squares problems of a fit are solved; "auto" as for
        :class:`RegularizedTwoLayerClassifier`.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the least-squares problems.
    random_state : int, RandomState instance or None, default=None
        Seeds folds, directions and the search for the certificate's peak. Pass an int
        for repeatable results; None takes a new seed each time.
    verbose : int, default=0
        If positive, print one line for each stage of the path on all rows.
    linear_decay : "auto" or float, default="auto"
        Decay of the linear part, as in :class:`RegularizedTwoLayerClassifier`. Where
        "auto" has one, the folds compare it with ten times as much.
    direction_penalty : {"auto", "l2", "adaptive"}, default="auto"
        The penalty of a direction, as in :class:`RegularizedTwoLayerRegressorCV`.
    column_transform : {"auto", "power", "clip"} or None, default="auto"
        What columns of ten or more different values are transformed by, as in
        :class:`RegularizedTwoLayerRegressorCV`; "auto" lets the folds choose by their
        log losses. Sparse `X` stays as is.
    tol : float, default=None
        Duality gap, as a fraction of the objective, to which a kept stage of the path
        is solved. None ends after a number of steps.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the outputs.
    features_ : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions, as in :class:`RegularizedTwoLayerClassifier`. So are the
        other attributes that are not described here: `feature_intercepts_`,
        `amplitudes_`, `linear_coef_`, `linear_intercept_`, `linear_decay_`,
        `feature_importances_` and `feature_scales_`. All are of columns transformed by
        `column_transform_`.
    column_transform_ : dict of str to ndarray of shape (n_features_in,), or None
        As in :class:`RegularizedTwoLayerRegressorCV`; None if columns stay as they are.
    column_weights_ : ndarray of shape (n_features_in,)
        Weights by which the standardised columns were multiplied, likewise.
    lambda_ : float
        The decay chosen, for all rows; for the debiased network, the noise level that
        its search began at.
    kept_ : str
        In words, what the folds have chosen: the linear model, one network or a mean.
    debiased_share_ : float
        Share of the debiased network in it: 0 for the regularised network alone, 0.25,
        0.5 or 0.75 for a mean, 1 for debiased alone.
    n_averaged_ : int
        Number of debiased networks in it: 0 or 1, the one of all rows.
    lambdas_ : ndarray of shape (n_lambdas,)
        The grid of decays for all rows.
    log_loss_path_ : ndarray of shape (n_lambdas, n_folds)
        Mean log losses on the held-out rows; NaN beyond the end of a path.
    n_features_path_ : ndarray of shape (n_lambdas, n_folds)
        Numbers of features, likewise.
    blended_log_loss_path_ : ndarray of shape (n_lambdas, n_folds, 3)
        Mean log losses with a share of 0.25, 0.5 or 0.75 of the debiased network.
    debiased_log_loss_ : ndarray of shape (n_folds,)
        Mean log losses of the debiased network; NaN if it was not compared.
    debiased_n_features_ : ndarray of shape (n_folds,)
        Its number of features, likewise.
    lambda_max_ : float
        The least decay without neurons on all rows, as far as the search found it.
    certificate_ : float
        Largest norm of the dual certificate at `lambda_`, of the regularised network if
        it has a share, otherwise of the debiased one.
    dual_gap_ : float
        Duality gap at `lambda_`, likewise.
    history_ : dict of str to ndarray of shape (n_stages,)
        The path on all rows, as in :class:`RegularizedTwoLayerClassifier`.
    n_iter_ : int
        Evaluations over all paths.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of the columns of `X`, if all are strings.

    See Also
    --------
    RegularizedTwoLayerClassifier : One schedule, or an information criterion in place
        of cross-validation, which is some ten times faster.
    sklearn.linear_model.LogisticRegressionCV : The same for linear models.

    Notes
    -----
    The path of a fold ends when the error has not fallen for two stages in a row; no
    fold is followed further than the one that ended first. Errors are averaged over
    folds by the sample weights of their held-out rows. If the best network does not
    beat the linear model, at the largest decay, by two standard errors of their
    difference, over the rows and over the folds, or by half of one over the folds if
    it is shrunk, the linear model
    is kept, unless the criterion finds features in every fold.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_twolayer import RegularizedTwoLayerClassifierCV
    >>> generator = np.random.default_rng(0)
    >>> X = generator.standard_normal((1000, 4))
    >>> score = 4.0 * np.abs(X[:, 0] - X[:, 1]) - 4.0
    >>> y = score + generator.logistic(size=1000) > 0.0
    >>> model = RegularizedTwoLayerClassifierCV(random_state=0).fit(X, y)
    >>> model.features_.shape
    (1, 4)
    >>> model.log_loss_path_.shape
    (16, 5)
    """

    _is_stratified = True

    def __init__(
        self,
        *,
        lambdas: object = 16,
        eps: float = 1e-3,
        cv: object = None,
        debias: str | bool = "auto",
        one_standard_error: bool = False,
        criterion: str | float | None = None,
        n_jobs: int | None = None,
        n_neurons: int = 100,
        hidden_bias: bool = True,
        standardize: bool = True,
        feature_output: str = "projection",
        class_weight: object = None,
        max_iter: int = 2000,
        device: object = None,
        dtype: str = "float64",
        random_state: object = None,
        verbose: int = 0,
        linear_decay: str | float = "auto",
        direction_penalty: str = "auto",
        column_transform: str | None = "auto",
        tol: float | None = None,
    ) -> None:
        self.lambdas = lambdas
        self.eps = eps
        self.cv = cv
        self.debias = debias
        self.one_standard_error = one_standard_error
        self.criterion = criterion
        self.n_jobs = n_jobs
        self.n_neurons = n_neurons
        self.hidden_bias = hidden_bias
        self.standardize = standardize
        self.feature_output = feature_output
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.linear_decay = linear_decay
        self.direction_penalty = direction_penalty
        self.column_transform = column_transform
        self.tol = tol

    def _fit_by_folds(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]
    ) -> None:
        options = self._check_options()
        self._check_feature_output()
        X, classes, number, weights = self._labelled_rows(X, y, sample_weight)
        splits = self._splits(X, number, weights, options.seed, params)
        check_class_splits(splits, classes, number, weights)
        fit_by_folds(self, FoldLoss(LOG_LOSS), X, number, weights, splits, options)
        self.classes_ = classes
