"""The cross-validated estimator: fits each fold, chooses, and fits on all rows."""

from __future__ import annotations

from typing import Any

from sklearn_twolayer._checks.losses import check_loss, check_loss_splits
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._estimators.by_folds import fit_by_folds
from sklearn_twolayer._estimators.regressor_base import TwoLayerRegressor
from sklearn_twolayer._estimators.routing import SplitsRows

# Names of the parameters that some losses cannot be fitted with.
REFUSED_BY_FOLDS = ("max_features",)


class RegularizedTwoLayerRegressorCV(SplitsRows, TwoLayerRegressor):
    """Two-layer network whose weight decay is chosen by cross-validation.

    The model and the objective are those of :class:`RegularizedTwoLayerRegressor`::

        1/2 mean_i s_i ||y_i - f(x_i)||^2
            + lambda / 2 sum_j (||a_j||^2 + ||w_j||^2 + b_j^2)

    In each fold the decay falls from ``lambda_max``, where the model is linear, along
    one grid, and the network at each decay predicts the held-out rows, as do debiased
    networks, which an information criterion chooses, and means of both kinds. The one
    with the least mean squared error is fitted on all rows.

    Parameters
    ----------
    lambdas : int or array-like of shape (n_lambdas,), default=20
        The grid of decays as decreasing fractions of the ``lambda_max`` of each fold,
        the least decay that leaves no neuron. A number stands for that many fractions
        from 1 to `eps`, equally spaced in the logarithm.
    eps : float, default=1e-5
        Last fraction of the grid if `lambdas` is a number. In (0, 1).
    cv : int, cross-validation generator or iterable, default=None
        A number of folds, None for five, which are shuffled by `random_state`; or as in
        scikit-learn a splitter, which time series and groups need, or pairs of indices.
    debias : {"auto", False}, default="auto"
        Whether debiased networks are compared, too: one whose neurons the criterion
        chooses, as :class:`RegularizedTwoLayerRegressor` does without a schedule; the
        mean of such networks of all folds; and the mean of that and a regularised one.
        The debiased network has few features, and is kept if no other error is lower by
        1.5 %. Means do better with few rows or if the signal is spread out.
    one_standard_error : bool, default=False
        Whether to take, of all that are compared, the network or mean of fewest
        features whose error is within one standard error of that of the best.
    criterion : {"aic", "bic"}, float or None, default=None
        Penalty per parameter of the debiased network; None stands for 3.5.
    n_jobs : int, default=None
        Folds that are followed at the same time. Only `n_iter_` depends on it.
    n_neurons : int, default=100
        Number of neurons at the start; at most 32, or one for each input, are used. No
        network that the criterion chooses has more; means of networks may.
    hidden_bias : bool, default=True
        Whether the neurons have biases ``b_j``.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit.
    feature_output : {"projection", "activation", "terms"}, default="projection"
        `transform` returns ``X @ features_.T + feature_intercepts_``, or its ReLU, or
        the terms of the prediction: the linear part, then ReLUs times amplitudes.
    max_iter : int, default=2000
        Most evaluations in one stage.
    tol : float, default=None
        Duality gap, as a fraction of the objective, to which a kept stage of the path
        is solved. None ends after a number of steps, at gaps of a few percent or, at
        small decays, tens of percent; the folds solve theirs more roughly still.
    device : str, torch.device or None, default=None
        Where to compute: "cpu" (or None), "cuda", "cuda:1", "mps", "auto".
    dtype : {"float64", "float32"}, default="float64"
        Precision of the computation. The fitted attributes are float64.
    random_state : int, RandomState instance or None, default=None
        Seeds folds, directions and the search for the certificate's peak. Pass an int
        for repeatable results; None takes a new seed each time.
    verbose : int, default=0
        If positive, print a line for each fold, and for each stage on all rows.
    linear_decay : "auto" or float, default="auto"
        Decay of the linear part, as in :class:`RegularizedTwoLayerRegressor`. Where
        "auto" has one, the folds compare it with ten times as much.
    direction_penalty : {"auto", "l2", "adaptive"}, default="auto"
        The penalty of a direction. "l2" is the weight decay, equal for all columns.
        "adaptive" repeats the fit with columns weighted by their importances in the fit
        before, as long as held-out errors fall, which finds directions of few columns
        among many. "auto" does so if the errors fall clearly.
    column_transform : {"auto", "power", "clip"} or None, default="auto"
        What columns of ten or more different values are transformed by: "power", the
        function of Yeo and Johnson of most likely exponent; "clip", a smooth bound at
        four robust standard deviations, and all columns end at their range in the fit;
        None, nothing. "auto" lets the folds choose: "clip" if the error is lower,
        "power" if clearly lower. Sparse `X` stays as is.
    max_features : int, default=None
        Most features of the result, at least 1; None for no bound. The network or mean
        that the folds choose, if it is larger, is replaced by a network of so many
        features with nearly its predictions. Errors, shares, decays, certificate and
        gap are those of what the folds choose.
    loss : {"squared_error", "huber", "poisson"}, default="squared_error"
        As in :class:`RegularizedTwoLayerRegressor`. With other losses than the squared
        one `max_features` is not available, only one debiased network is compared, and
        no networks are averaged over folds.

    Attributes
    ----------
    features_ : ndarray of shape (n_features_out, n_features_in)
        Unit-norm directions, as in :class:`RegularizedTwoLayerRegressor`, of columns
        transformed by `column_transform_`. So are the other attributes that are not
        described here: `feature_intercepts_`, `amplitudes_`, `linear_coef_`,
        `linear_intercept_`, `linear_decay_`, `feature_importances_`, `feature_scales_`,
        `feature_ranges_` and `linear_ranges_`.
    column_transform_ : dict of str to ndarray of shape (n_features_in,), or None
        "centre", "scale", "exponent" and "inverse_limit" of each column, as the user
        guide explains, and their range; None if columns stay as they are.
    column_weights_ : ndarray of shape (n_features_in,)
        Weights by which the standardised columns were multiplied: one, or those of
        ``direction_penalty="adaptive"``. Columns of weight 0 are left out.
    lambda_ : float
        The decay chosen, for all rows; for debiased networks, the noise level that
        their search began at.
    kept_ : str
        In words, what the folds have chosen: the linear model, one network or a mean.
    debiased_share_ : float
        Share of debiased networks in it: 0 for the regularised network alone, 0.25, 0.5
        or 0.75 for a mean, 1 for debiased alone.
    n_averaged_ : int
        Number of networks in the mean: 0 for one regularised network, 1 for the
        debiased one of all rows. Otherwise two or three debiased ones of each fold and
        of all rows, at the criterion's penalty, at 0.7 of it, and if the residual is
        noisy at half of it; and, if folds were repeated, the regularised ones of these.
    lambdas_ : ndarray of shape (n_lambdas,)
        The grid of decays for all rows.
    mse_path_ : ndarray of shape (n_lambdas, n_folds)
        Mean squared errors on the held-out rows; NaN beyond the end of a path.
    n_features_path_ : ndarray of shape (n_lambdas, n_folds)
        Numbers of features, likewise.
    blended_mse_path_ : ndarray of shape (n_lambdas, n_folds, 3)
        Mean squared errors with a share of 0.25, 0.5 or 0.75 of debiased networks, less
        what averaging these over the folds gains, ``share**2 * ambiguity_``.
    debiased_mse_ : ndarray of shape (n_folds,)
        Mean squared errors of the debiased network; NaN if it was not compared.
    debiased_n_features_ : ndarray of shape (n_folds,)
        Its number of features, likewise.
    averaged_mse_ : ndarray of shape (n_folds,)
        Mean squared errors of the mean of debiased networks, less `ambiguity_`.
    averaged_n_features_ : ndarray of shape (n_folds,)
        Its number of features in each fold, before it is averaged over the folds.
    loss_path_, blended_loss_path_, debiased_loss_ : ndarray
        Mean losses in place of the mean squared errors and of what belongs to means of
        networks, with other losses than the squared one.
    ambiguity_ : float
        Mean variance of the predictions of the folds' debiased networks: the error of
        their mean is lower by this. 0 if the linear part is shrunk.
    lambda_max_ : float
        The least decay without neurons on all rows, as far as the search found it.
    certificate_ : float
        Largest norm of the dual certificate at `lambda_`, of the regularised network if
        it has a share, otherwise of the debiased one.
    dual_gap_ : float
        Duality gap at `lambda_`, likewise. In squared units of `y`.
    history_ : dict of str to ndarray of shape (n_stages,)
        The path on all rows, as in :class:`RegularizedTwoLayerRegressor`.
    n_iter_ : int
        Evaluations over all paths.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of the columns of `X`, if all are strings.

    See Also
    --------
    RegularizedTwoLayerRegressor : One schedule, or an information criterion in place
        of cross-validation, which is some twenty times faster.
    sklearn.linear_model.LassoCV : The same for linear models.

    Notes
    -----
    The path of a fold ends when the error has not fallen for two stages in a row; no
    fold is followed further than the one that ended first. Errors are averaged over
    folds by the sample weights of their held-out rows. If the best network does not
    beat the linear model, at the largest decay, by two standard errors of their
    difference, over the rows and over the folds, or by half of one over the folds if
    it is shrunk, the linear model is kept, unless the criterion finds features in every
    fold. The gain from averaging debiased networks is the ambiguity of [1]_.

    Where a regularised network has a share and `cv` is a number, folds are repeated.
    The product of the two held-out residuals of a row tells the error of a mean of many
    networks. If it is lower by 1.5 %, this mean is kept.

    References
    ----------
    .. [1] A. Krogh and J. Vedelsby, "Neural Network Ensembles, Cross Validation, and
       Active Learning", NIPS 1994.

    Examples
    --------
    >>> from sklearn_twolayer import RegularizedTwoLayerRegressorCV
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> X, y = make_two_layer_regression(
    ...     1000, 5, n_directions=2, noise=0.3, random_state=0)
    >>> model = RegularizedTwoLayerRegressorCV(random_state=0).fit(X, y)
    >>> model.features_.shape
    (2, 5)
    >>> model.mse_path_.shape
    (20, 5)
    """

    def __init__(
        self,
        *,
        lambdas: object = 20,
        eps: float = 1e-5,
        cv: object = None,
        debias: str | bool = "auto",
        one_standard_error: bool = False,
        criterion: str | float | None = None,
        n_jobs: int | None = None,
        n_neurons: int = 100,
        hidden_bias: bool = True,
        standardize: bool = True,
        feature_output: str = "projection",
        max_iter: int = 2000,
        tol: float | None = None,
        device: object = None,
        dtype: str = "float64",
        random_state: object = None,
        verbose: int = 0,
        linear_decay: str | float = "auto",
        direction_penalty: str = "auto",
        column_transform: str | None = "auto",
        max_features: int | None = None,
        loss: str = "squared_error",
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
        self.max_iter = max_iter
        self.tol = tol
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.linear_decay = linear_decay
        self.direction_penalty = direction_penalty
        self.column_transform = column_transform
        self.max_features = max_features
        self.loss = loss

    def _fit_by_folds(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]
    ) -> None:
        options = self._check_options()
        loss = check_loss(self.loss, {n: getattr(self, n) for n in REFUSED_BY_FOLDS})
        self._check_feature_output()
        data = self._checked_rows(X, y, sample_weight, loss)
        splits = self._splits(*data, options.seed, params)
        check_loss_splits(loss, *data[1:], splits)
        fit_by_folds(self, FoldLoss(loss), *data, splits, options)
