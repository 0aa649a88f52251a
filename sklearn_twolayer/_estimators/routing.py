"""The folds of the estimators with cross-validation, and metadata for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_twolayer._checks.data import check_splits
from sklearn_twolayer._cross_validation.folds import check_folds, split_params


class SplitsRows:
    """An estimator with a splitter, `cv`; put before the other base classes."""

    cv: Any
    _is_stratified = False

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
