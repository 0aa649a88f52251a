"""Base class of the estimators: predictions and features of a fitted network."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import (
    check_inputs,
    is_dask,
)
from sklearn_twolayer._checks.parameters import check_flag, check_option
from sklearn_twolayer._export.names import terms_named
from sklearn_twolayer._export.plain import from_plain, to_plain
from sklearn_twolayer._export.summary import (
    checked_recurrence,
    shares_of_covariance,
    summarized,
)
from sklearn_twolayer._rows.column_transform import ColumnTransform
from sklearn_twolayer._rows.dask import check_columns, dask_apply
from sklearn_twolayer._rows.loadings import column_moments
from sklearn_twolayer._rows.ranges import Ranges
from sklearn_twolayer._rows.units import FittedNetwork, present_names
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer.exceptions import NoFeaturesWarning

if TYPE_CHECKING:
    import torch


# Attributes that predictions need; an estimator that lacks one of them is not fitted.
FITTED = FittedNetwork.attribute_names()
# Values of parameters that have parameters, for messages about None.
EXAMPLES = {"schedule": "GeometricSchedule(stop=0.1)", "cv": "KFold(5)"}
VERSION_KEY = "_sklearn_twolayer_version"  # of a pickled estimator


class TwoLayerModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A transformer with a two-layer network; subclasses define `fit` and `predict`."""

    # Where the HTML representation of scikit-learn links to.
    _doc_link_module = "sklearn_twolayer"
    _doc_link_template = (
        "https://sklearn-twolayer.readthedocs.io/en/latest/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def __getstate__(self) -> dict[str, object]:
        """Add the version of the package to the attributes."""
        from sklearn_twolayer import __version__

        return {**super().__getstate__(), VERSION_KEY: __version__}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Raise an error if a fitted estimator lacks attributes of this version."""
        from sklearn_twolayer import __version__

        version = state.get(VERSION_KEY, "0.1.0.dev0 or earlier")
        state = {k: v for k, v in state.items() if k != VERSION_KEY}
        super().__setstate__(present_names(state))
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if not hasattr(self, name):  # Earlier versions did not have it.
                setattr(self, name, parameter.default)
        missing = [name for name in FITTED if not hasattr(self, name)]
        if version != __version__ and 0 < len(missing) < len(FITTED):
            raise ValueError(
                f"This {type(self).__name__} was pickled by version {version} of "
                f"sklearn_twolayer and lacks {missing}, which version {__version__} "
                "needs: fit it anew, or load it with that version and use to_dict."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def set_params(self, **params: object) -> Self:
        """Set parameters of this estimator, and of those that are its parameters.

        Parameters
        ----------
        **params : dict
            Values by name; ``schedule__stop`` is the parameter `stop` of `schedule`.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If a parameter is not known, or belongs to one that is None.
        """
        own = {**self.get_params(deep=False), **params}
        for name in params:
            outer, _, inner = name.partition("__")
            if inner and own.get(outer, "") is None:
                raise ValueError(
                    f"{name} cannot be set because {outer} is None: pass an instance "
                    f"with the parameter, such as {outer}={EXAMPLES.get(outer, '...')}."
                )
        super().set_params(**params)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Project inputs on the features.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            ``X @ features_.T + feature_intercepts_``; for the `feature_output`
            "activation" its ReLU; for "terms" the linear part of each target, then each
            ReLU times the (norm of) its amplitudes. All of transformed columns if the
            folds chose a transform. A lazy Dask array if `X` is a Dask collection.

        Warns
        -----
        NoFeaturesWarning
            If the fitted model is linear and the result therefore has no columns.
        """
        check_is_fitted(self, FITTED)
        feature_output = self._check_feature_output()
        network = self._fitted_network()
        method = "terms" if feature_output == "terms" else "project"
        if is_dask(X):
            result = self._lazily(network, method, X, (self._n_features_out,))
        else:
            result = getattr(network, method)(check_inputs(self, X, reset=False))
        if self._n_features_out == 0:
            warn_caller(
                "The fitted model is linear: there are no features to project on, "
                "and the result of transform has no columns; with "
                "feature_output='terms' it has the linear part.",
                NoFeaturesWarning,
            )
        return np.maximum(result, 0.0) if feature_output == "activation" else result

    def extrapolation(self, X: Any, *, per_projection: bool = False) -> np.ndarray:
        """Tell how far rows are outside of what the fit has seen.

        A network sees a row by its projections on the features, and by the straight
        line of each target: the linear part and half of each feature's slope. Each of
        these has a range over the rows of the fit.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.
        per_projection : bool, default=False
            Whether to return the distance of each projection, not only the largest.

        Returns
        -------
        distances : ndarray of shape (n_samples,) or \
                (n_samples, n_features_out + n_outputs)
            Distances beyond the ranges, in standard deviations of the projections over
            the rows of the fit; 0 inside. A lazy Dask array if `X` is a Dask
            collection.
        """
        check_is_fitted(self, FITTED)
        every = check_flag("per_projection", per_projection)
        ranges = Ranges.of_attributes(self._fitted_network(), vars(self))
        if is_dask(X):
            columns = (ranges.values.shape[1],) if every else ()
            return self._lazily(ranges, "distances" if every else "largest", X, columns)
        checked = check_inputs(self, X, reset=False)
        return ranges.distances(checked) if every else ranges.largest(checked)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Name the columns of `transform`.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
            The class with "_linear" and the number of the target, or that of a feature.
        """
        names = super().get_feature_names_out(input_features)
        return terms_named(type(self).__name__.lower(), names, len(self.features_))

    def summary(
        self,
        X: object = None,
        *,
        loadings: str = "standardized",
        stability: object = None,
    ) -> str:
        """Describe the fit in words and numbers, with a line for each of 30 features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Inputs. If they are given, the text has the shares of the linear part and of
            each feature in the predictions: the absolute covariance with the
            predictions of what each adds, as a fraction of the sum of these. What is
            straight along the direction of a feature counts for the linear part. No
            share is negative, and they add up to one.
        loadings : {"standardized", "raw"}, default="standardized"
            Whether loadings are those of inputs divided by their standard deviations,
            which can be compared, or those of `features_`, which in the units of `X`
            are large for columns of small numbers. Either kind has unit length, and the
            largest is positive. Amplitudes are those on projections by these loadings.
        stability : DirectionStability, default=None
            Result of :func:`~sklearn_twolayer.inspection.direction_stability` for this
            estimator. The text then has the share of refits in which each feature
            recurs, and marks those that recur in fewer than half.

        Returns
        -------
        text : str
            Lines to print: features and inputs, decay, certificate if the network kept
            has a decay, stages, and for the first 30 features norms of amplitudes and
            the largest loadings. Features of nearly the same direction are together.

        Notes
        -----
        Estimators of early releases have no `feature_scales_`: without `X`, their
        loadings are raw. The text says which loadings it has.
        """
        check_is_fitted(self, FITTED)
        kind = check_option("loadings", loadings, ["standardized", "raw"])
        network, shares = self._fitted_network(), None
        checked = None if X is None else check_inputs(self, X, reset=False)
        if checked is not None:
            shares = shares_of_covariance(network, checked)
        stages = self.history_["lambda_"]
        facts = {
            "features": f"{network.n_features} of {self.n_features_in_} inputs",
            "decay": f"none (lambda_max {self.lambda_max_:.4g})",
            "stages": f"{len(stages)} ({self.history_['n_iter'].sum()} steps, "
            f"{self.history_['seconds'].sum():.2f} s)",
        }
        if self._keeps_decay:
            facts |= {
                "decay": f"{self.lambda_:.4g} (lambda_max {self.lambda_max_:.4g})",
                "certificate": f"{self.certificate_:.4f} (duality gap "
                f"{self.dual_gap_:.2e})",
            }
        if hasattr(self, "kept_"):
            facts["kept"] = self.kept_
        facts |= self._facts_of_loss()
        transform = network.column_transform
        if transform is not None:
            facts["transformed"] = f"{transform.n_changed} of the inputs"
        scales = None if kind == "raw" else self._input_scales(checked)
        recurrence = None
        if stability is not None:
            recurrence = checked_recurrence(stability, network.n_features)
        return summarized(
            type(self).__name__, network, self._input_names(), facts, shares, scales,
            recurrence,
        )  # fmt: skip

    def to_torch(self) -> torch.nn.Module:
        """Return an equivalent torch module.

        Returns
        -------
        module : torch.nn.Module
            Module in double precision with the parameters `features`,
            `feature_intercepts`, `amplitudes`, `linear_coef` and `linear_intercept`,
            which can be trained further. It returns scores of classes, and logarithms
            of the means of counts.
        """
        check_is_fitted(self, FITTED)
        from sklearn_twolayer._export.torch_module import TwoLayerModule

        return TwoLayerModule(self._fitted_network())

    def to_dict(self) -> dict[str, object]:
        """Return parameters and fitted attributes as a dictionary that JSON can hold.

        Returns
        -------
        data : dict
            Dictionaries, lists, numbers and text: parameters and the attributes that
            the class documents. `json.dumps` accepts it and keeps every digit. The
            documentation has its JSON schema.

        Raises
        ------
        TypeError
            If a parameter has no JSON form, such as a random generator.
        """
        check_is_fitted(self, FITTED)
        return to_plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Self:
        """Make a fitted estimator from the result of `to_dict`.

        Parameters
        ----------
        data : dict
            Result of `to_dict`, which may have been written to JSON and read again.
            Nothing in it is executed.

        Returns
        -------
        estimator : object
            Fitted estimator of this class.

        Raises
        ------
        ValueError
            If the data are not such a dictionary, or belong to another class or
            version. The message names the entry that is missing, not known, of another
            type or shape, or not finite.
        """
        return from_plain(cls, data)

    @property
    def _n_features_out(self) -> int:
        """Columns of `transform`, which scikit-learn's get_feature_names_out reads."""
        n_linear = self._fitted_network().n_outputs
        return len(self.features_) + n_linear * (self.feature_output == "terms")

    @property
    def _keeps_decay(self) -> bool:
        """Whether a network with decay has a share in the one kept."""
        if hasattr(self, "debiased_share_"):
            return bool(self.debiased_share_ < 1.0)
        follows = self.schedule is not None or str(self.solver) in ("fast", "gd")
        return follows and str(self.debias) != "True"

    def _facts_of_loss(self) -> dict[str, str]:
        """What the summary says of the loss."""
        return {}

    def _input_names(self) -> list[object]:
        """Names of the inputs; by their number if they have none."""
        names = getattr(self, "feature_names_in_", None)
        return (
            [f"x{i}" for i in range(self.n_features_in_)] if names is None else [*names]
        )

    def _input_scales(self, X: Any = None) -> np.ndarray | None:
        """Standard deviations of the inputs in the fit, or in ``X``, or None.

        Estimators that early releases fitted do not have those of the fit.
        """
        scales: np.ndarray | None = getattr(self, "feature_scales_", None)
        if scales is not None or X is None:
            return scales
        return column_moments(X, np.ones(X.shape[0]))[1]

    def _check_feature_output(self) -> str:
        return check_option(
            "feature_output", self.feature_output, ["projection", "activation", "terms"]
        )

    def _lazily(
        self, of: FittedNetwork | Ranges, method: str, X: Any, columns: tuple[int, ...]
    ) -> np.ndarray:
        """Result of a method of the fitted network, or its ranges, on Dask collections.

        It is a Dask array; for type checkers, predictions are always NumPy arrays.
        """
        check_columns(self, X, reset=False)
        result = dask_apply(of, method, X, columns)
        return cast("np.ndarray", result)

    def _fitted_network(self) -> FittedNetwork:
        """The fitted network as one record; the estimator must be fitted."""
        return FittedNetwork(
            features=self.features_,
            feature_intercepts=self.feature_intercepts_,
            amplitudes=self.amplitudes_,
            linear_coef=self.linear_coef_,
            linear_intercept=self.linear_intercept_,
            column_transform=self._fitted_transform(),
        )

    def _fitted_transform(self) -> ColumnTransform | None:
        """What columns are transformed by; only folds choose any."""
        attributes = getattr(self, "column_transform_", None)
        return None if attributes is None else ColumnTransform(**attributes)
