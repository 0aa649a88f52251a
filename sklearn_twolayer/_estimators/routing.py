"""The folds of the estimators with cross-validation, and metadata for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_twolayer._checks.data import check_splits
from sklearn_twolayer._checks.state import unchanged_on_error
from sklearn_twolayer._cross_validation.folds import check_folds, split_params
from sklearn_twolayer._estimators.callbacks import tasks_told
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._runtime.settings import own_settings

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions

# The parameters of the path of each fold, which all these estimators have.
FOLD_PARAMETERS = (
    "n_neurons", "hidden_bias", "standardize", "max_iter", "device", "dtype",
    "random_state", "linear_decay",
)  # fmt: skip


class SplitsRows(CallbackSupportMixin):
    """An estimator with a splitter, `cv`; put before the other base classes."""

    cv: Any
    debiased_share_: float
    features_: np.ndarray
    _is_stratified = False
    tol: float | None
    max_features: int | None = None  # Not all of these estimators have the parameter.

    def fit(
        self, X: object, y: object, sample_weight: object = None, **params: object
    ) -> Self:
        """Follow the path in each fold, choose, and fit on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs; at least two rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; of a classifier one class for each row: numbers, text or truth
            values, at least two of them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in fits and held-out errors; only their ratios matter.
        **params : dict
            Passed to the splitter `cv`, such as ``groups``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are not as documented. The estimator is then
            left as it was.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the duality gap of a stage of the path is above a `tol` given.
        SeparableWarning
            If a linear function separates classes of all rows, or rows without counts,
            so that its coefficients were shrunk without being asked for.
        UncentredWarning
            If columns are far from zero with `hidden_bias=False`.
        """
        with unchanged_on_error(self), own_settings():
            self._fit(X, y, sample_weight, params)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        with tasks_told(self, X, y, sample_weight):
            self._fit_by_folds(X, y, sample_weight, params)

    def _fit_by_folds(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]
    ) -> None:
        raise NotImplementedError

    def _check_options(self) -> PathOptions:
        """The validated parameters of the paths."""
        return check_path_options(
            **{name: getattr(self, name) for name in FOLD_PARAMETERS},
            schedule=None, solver="auto", max_time=None, checkpoint=None, prune_tol=0.0,
            merge_angle=0.0, tol=1e-3 if self.tol is None else self.tol,
        )  # fmt: skip

    @property
    def kept_(self) -> str:
        """What the folds have chosen, in words."""
        if not hasattr(self, "debiased_share_"):
            kind = type(self).__name__
            raise AttributeError(
                f"{kind} has no attribute 'kept_' before it is fitted."
            )
        share, number = self.debiased_share_, getattr(self, "n_averaged_", 1)
        if len(self.features_) == 0:
            return "the linear model"
        if share == 1.0:
            many = f"the mean of {number} debiased networks"
            return "the debiased network" if number == 1 else many
        if share == 0.0:
            many = f"the mean of {number} networks with decay"
            return many if number > 1 else "the network with decay"
        return f"a mean, with a share of {share:g} of debiased networks"

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata routing of this estimator, which passes metadata to its splitter.

        Returns
        -------
        routing : MetadataRouter
            Requests of this estimator and of `cv`.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                splitter=check_folds(self.cv, 0, stratified=self._is_stratified),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def _splits(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        seed: int,
        params: dict[str, object],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Training and held-out rows of each fold, with some weight each."""
        splitter: Any = check_folds(self.cv, seed, stratified=self._is_stratified)
        own: Any = self
        splits = list(splitter.split(X, y, **split_params(own, params)))
        check_splits(splits, weights)
        return splits
