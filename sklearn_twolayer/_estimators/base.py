"""Base class of the estimators: predictions and features of a fitted network."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_twolayer._checks.data import (
    check_inputs,
    check_targets,
    check_weights,
    is_dask,
)
from sklearn_twolayer._checks.parameters import check_option
from sklearn_twolayer._export.plain import from_plain, to_plain
from sklearn_twolayer._export.summary import shares_of_covariance, summarized
from sklearn_twolayer._rows.column_transform import ColumnTransform
from sklearn_twolayer._rows.dask import check_columns, dask_apply, dask_rows
from sklearn_twolayer._rows.loadings import column_moments
from sklearn_twolayer._rows.units import FittedNetwork, present_names
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer.exceptions import NoFeaturesWarning

if TYPE_CHECKING:
    import torch

    from sklearn_twolayer._rows.raw import RawRows

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
            ``X @ features_.T + feature_intercepts_``, or its ReLU if
            `feature_output` is "activation"; of transformed columns if the folds chose
            a transform. A lazy Dask array if `X` is a Dask collection.

        Warns
        -----
        NoFeaturesWarning
            If the fitted model is linear; the result then has no columns.
        """
        check_is_fitted(self, FITTED)
        feature_output = self._check_feature_output()
        network = self._fitted_network()
        if is_dask(X):
            projection = self._lazily("project", X, (network.n_features,))
        else:
            projection = network.project(check_inputs(self, X, reset=False))
        if self._n_features_out == 0:
            warn_caller(
                "The fitted model is linear: there are no features to project on, "
                "and the result of transform has no columns. With smaller decays "
                "(parameter schedule) there may be some.",
                NoFeaturesWarning,
            )
        if feature_output == "activation":
            projection = np.maximum(projection, 0.0)
        return projection

    def summary(self, X: object = None, *, loadings: str = "standardized") -> str:
        """Describe the fit in words and numbers, with one line for each feature.

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

        Returns
        -------
        text : str
            Lines to print: features and inputs, decay, certificate if the network kept
            has a decay, stages, and for each feature the norm of its amplitudes and its
            largest loadings. Features of nearly the same direction are together.

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
            "stages": f"{len(stages)} ({self.n_iter_} steps, "
            f"{self.history_['seconds'].sum():.2f} s)",
        }
        if self._keeps_decay:
            facts |= {
                "decay": f"{self.lambda_:.4g} (lambda_max {self.lambda_max_:.4g})",
                "certificate": f"{self.certificate_:.4f} (duality gap "
                f"{self.dual_gap_:.2e})",
            }
        transform = network.column_transform
        if transform is not None:
            facts["transformed"] = f"{transform.n_changed} of the inputs"
        scales = None if kind == "raw" else self._input_scales(checked)
        names = self._input_names()
        return summarized(type(self).__name__, network, names, facts, shares, scales)

    def to_torch(self) -> torch.nn.Module:
        """Return an equivalent torch module.

        Returns
        -------
        module : torch.nn.Module
            Module in double precision with the parameters `features`,
            `feature_intercepts`, `amplitudes`, `linear_coef` and `linear_intercept`,
            which can be trained further.
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
        """Number of features, which scikit-learn's get_feature_names_out reads."""
        return len(self.features_)

    @property
    def _keeps_decay(self) -> bool:
        """Whether a network with decay has a share in the one kept."""
        if hasattr(self, "debiased_share_"):
            return bool(self.debiased_share_ < 1.0)
        follows = self.schedule is not None or str(self.solver) in ("fast", "gd")
        return follows and str(self.debias) != "True"

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
            "feature_output", self.feature_output, ["projection", "activation"]
        )

    def _lazily(self, method: str, X: Any, columns: tuple[int, ...]) -> np.ndarray:
        """Result of a method of the fitted network on a Dask collection.

        It is a Dask array; for type checkers, predictions are always NumPy arrays.
        """
        check_columns(self, X, reset=False)
        result = dask_apply(self._fitted_network(), method, X, columns)
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
        """What columns are transformed by; only one of the estimators has any."""
        attributes = getattr(self, "column_transform_", None)
        return None if attributes is None else ColumnTransform(**attributes)


class TwoLayerRegressor(RegressorMixin, MultiOutputMixin, TwoLayerModel):
    """A regressor with a two-layer network; subclasses define `fit`."""

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape \
                (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted targets; a lazy Dask array if `X` is a Dask collection.
        """
        check_is_fitted(self, FITTED)
        network = self._fitted_network()
        if is_dask(X):
            return self._lazily("predict", X, np.shape(network.linear_intercept))
        return network.predict(check_inputs(self, X, reset=False))

    def _raw_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, RawRows]:
        """Validate the data of a fit. Returns the validated inputs and all rows."""
        from sklearn_twolayer._rows.raw import RawRows

        if is_dask(X):
            return X, dask_rows(self, X, y, sample_weight)
        checked = check_inputs(self, X, y)
        targets = check_targets(y, checked.shape[0])
        weights = check_weights(sample_weight, checked.shape[0])
        return checked, RawRows.local(checked, targets, weights)
