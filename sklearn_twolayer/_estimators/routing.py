"""The folds of the estimators with cross-validation, and metadata for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_twolayer._checks.data import check_splits
from sklearn_twolayer._cross_validation.folds import check_folds, split_params
from sklearn_twolayer._estimators.callbacks import tasks_told


class SplitsRows(CallbackSupportMixin):
    """An estimator with a splitter, `cv`; put before the other base classes."""

    cv: Any
    debiased_share_: float
    features_: np.ndarray
    _is_stratified = False

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        with tasks_told(self, X, y, sample_weight):
            self._fit_by_folds(X, y, sample_weight, params)

    def _fit_by_folds(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]
    ) -> None:
        raise NotImplementedError

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
