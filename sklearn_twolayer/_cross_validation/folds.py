"""Errors on the held-out rows of each fold, along a path and of debiased networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    BaseCrossValidator,
    KFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.held_out import HeldOut
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._options.schedule import StagedSchedule
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._runtime.watch import watched

if TYPE_CHECKING:
    from sklearn_twolayer._rows.units import FittedNetwork

# Weights of the mean of the debiased networks in its blends, which are weighted means
# with the regularised network of each stage (convention).
SHARES = np.array([0.0, 0.25, 0.5, 0.75])
# Different rows below which nothing but a shrunk linear part is fitted (convention).
# Whether neurons gain anything, folds of four rows do not tell.
FEWEST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Fold:
    """Networks fitted on the training rows of one fold, and their held-out errors.

    Parameters
    ----------
    errors : ndarray of shape (n_lambdas, n_shares)
        Mean errors, in squares or another loss, of the blends: at each decay and for
        each of ``SHARES``, the weighted mean of the regularised network and the mean of
        the debiased ones. NaN for stages that were not run, and for shares above zero
        without debiased networks.
    squares : ndarray of shape (n_lambdas, n_shares)
        Sums over the held-out rows of squares of ``weight * fall``, where the fall is
        that of the row's error from the linear model's; NaN likewise.
    n_features : ndarray of shape (n_lambdas,)
        Numbers of features of the regularised networks; NaN for stages that were not
        run.
    debiased : tuple of FittedNetwork
        The networks that the criterion chooses without a schedule, at its penalty and
        at lower ones; empty if they were not asked for.
    debiased_error, averaged_error : float
        Mean errors of the first debiased network and of the mean of all; NaN without
        debiased networks, the second also with other losses than squares.
    debiased_squares, averaged_squares : float
        Their sums of squares of weighted falls, likewise.
    weight : float
        Sum of the sample weights of the held-out rows.
    n_iter : int
        Number of evaluations of all fits of the fold.
    linear_decay : float, default=0.0
        Decay of the linear part.
    importances : ndarray of shape (n_lambdas + 1, n_features)
        Importances of the columns for the network of each stage, and in the last row
        for the first debiased network; NaN without one, or if they were not asked for.
    scale : float, default=1.0
        The scale of the residuals that the errors are for, if the loss depends on one.
    """

    errors: np.ndarray
    squares: np.ndarray
    n_features: np.ndarray
    debiased: tuple[FittedNetwork, ...]
    debiased_error: float
    averaged_error: float
    debiased_squares: float
    averaged_squares: float
    weight: float
    n_iter: int
    linear_decay: float = 0.0
    importances: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    scale: float = 1.0

    @property
    def n_stages(self) -> int:
        """Number of stages that were run."""
        return int(np.isfinite(self.n_features).sum())

    @property
    def debiased_n_features(self) -> float:
        """Number of features of the first debiased network; NaN without one."""
        return float(self.debiased[0].n_features) if self.debiased else np.nan

    @property
    def averaged_n_features(self) -> float:
        """Number of features of the mean of debiased networks; NaN without any."""
        found = [network.n_features for network in self.debiased]
        return float(sum(found)) if found else np.nan

    def until(self, n_stages: int) -> Fold:
        """The fold with only the first ``n_stages`` stages; NaN for the later ones."""
        reached = np.arange(len(self.errors)) < n_stages
        return replace(
            self,
            errors=np.where(reached[:, np.newaxis], self.errors, np.nan),
            squares=np.where(reached[:, np.newaxis], self.squares, np.nan),
            n_features=np.where(reached, self.n_features, np.nan),
        )

    def without_debiased(self) -> Fold:
        """The fold with its regularised networks only."""
        errors = self.errors.copy()
        errors[:, 1:] = np.nan
        return replace(
            self,
            errors=errors,
            debiased=(),
            debiased_error=np.nan,
            averaged_error=np.nan,
        )

    def averaged(self, X: np.ndarray) -> np.ndarray:
        """Predictions of the mean of the debiased networks."""
        predictions = (network.predict(X) for network in self.debiased)
        return sum(predictions, np.zeros(())) / len(self.debiased)


def check_folds(cv: Any, seed: int, *, stratified: bool = False) -> BaseCrossValidator:
    """The splitter; a number of folds, five for None, is shuffled by the seed."""
    if cv is None or isinstance(cv, Integral):
        n_splits = 5 if cv is None else int(cv)
        kind = StratifiedKFold if stratified else KFold
        return kind(n_splits, shuffle=True, random_state=seed)
    return check_cv(cv)


def split_params(
    estimator: BaseEstimator, params: dict[str, object]
) -> dict[str, object]:
    """The part of the metadata of `fit` that is passed to the splitter."""
    if get_config()["enable_metadata_routing"]:
        return dict(process_routing(estimator, "fit", **params).splitter.split)
    unknown = sorted(set(params) - {"groups"})
    if unknown:
        raise TypeError(
            f"fit got unexpected arguments {unknown}: without metadata routing "
            "only sample_weight and groups are known."
        )
    return params


def path_options(options: PathOptions, fractions: ArrayLike) -> PathOptions:
    """Options of a path on the grid ``fractions`` of lambda_max, solved roughly."""
    return replace(options, schedule=StagedSchedule(fractions), solver="fast")


def follow_folds(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: Sequence[PathOptions],
    penalty: str | float | None,
    n_jobs: int | None,
    *,
    name: str = "folds",
    with_importances: bool = False,
    scales: Sequence[float] | None = None,
) -> list[Fold]:
    """Follow the path in each fold, and keep the stages that all folds have run.

    Each fold has its own options, because weights of columns are of its own rows. A
    stage that one fold has not run cannot be chosen. If the folds are fitted one
    after the other, each ends at the latest where the one before it ended. If they are
    fitted in parallel, the additional stages are dropped at the end. The ``name`` of
    these folds is what is told to those who watch. Errors are for the ``scales`` of
    the residuals of each fold, by default those of its own fit.
    """
    n_stages = np.size(options[0].schedule.stages(1.0))
    follow = partial(
        follow_fold, kind, X, y, sample_weight, with_importances=with_importances
    )
    known: Sequence[float | None] = scales or [None] * len(splits)
    jobs = zip(splits, options, known, strict=True)
    folds: list[Fold] = []
    if effective_n_jobs(n_jobs) == 1:
        # A job is made when it is to be done, after the fold before it has ended.
        results = (
            follow(
                *split,
                own,
                penalty,
                folds[-1].n_stages if folds else n_stages,
                scale=scale,
            )
            for split, own, scale in jobs
        )
    else:
        results = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(follow)(*split, own, penalty, n_stages, scale=scale)
            for split, own, scale in jobs
        )
    for fold in watched(name, len(splits), results):
        folds.append(fold)
    n_stages = min(fold.n_stages for fold in folds)
    return [fold.until(n_stages) for fold in folds]


def follow_fold(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
    penalty: str | float | None,
    n_stages: int,
    *,
    with_importances: bool = False,
    scale: float | None = None,
) -> Fold:
    """Fit the networks on the rows ``train``; compute errors on the rows ``test``.

    With a ``penalty``, the criterion chooses debiased networks: several for squares,
    one for other losses. Errors are computed for the first of them, for the mean of
    all, and for the blends of this mean with the network of each stage, as in the
    relaxed Lasso. What is averaged are outputs on the scale of the link. The path ends
    after ``n_stages``, or earlier when the error has passed its minimum both without
    debiased networks and with a share of one half of them. Errors are for the ``scale``
    of the residuals, by default that of the fit, if the loss depends on one.
    """
    n_lambdas = np.size(options.schedule.stages(1.0))
    n_features = np.full(n_lambdas, np.nan)
    errors = np.full((n_lambdas, len(SHARES)), np.nan)
    squares = errors.copy()
    importances = np.full((n_lambdas + 1, X.shape[1]), np.nan)
    with fit_threads(X.size), step_limit() as progress:
        weights = rows_repeated(sample_weight, train)
        fit = kind.fit(X, y, weights, options, penalty)
        linear_decay = fit.problem.linear_decay
        if linear_decay > 0.0 and fit.problem.rows.n_distinct < FEWEST_ROWS:
            penalty, n_stages = None, 1
        found = []
        if penalty is not None:
            results = fit.searches(penalty, averaged=kind.averages)
            found = [fit.found(one) for one in results]
        debiased = tuple(fit.fitted(network) for network in found)
        predictions = [network.predict(X[test]) for network in debiased]
        averaged = np.mean(predictions, axis=0) if predictions else np.zeros(())
        shares = SHARES if predictions else SHARES[:1]
        held_out = y[test], sample_weight[test], fit.row_errors(scale)
        paths = [HeldOut(*held_out) for _ in shares]
        if found and with_importances:
            importances[-1] = fit.importances(found[0])
        for index, stage in enumerate(islice(fit.path(), n_stages)):
            network = fit.of_stage(stage)
            fitted = fit.fitted(network)
            predicted = fitted.predict(X[test])
            n_features[index] = fitted.n_features
            if with_importances:
                importances[index] = fit.importances(network)
            for column, (share, path) in enumerate(zip(shares, paths, strict=True)):
                blended = (1.0 - share) * predicted + share * averaged
                errors[index, column] = path.add(blended)
                squares[index, column] = path.fall_squares(blended)
            # The shares 0 and 0.5 decide for all four.
            if all(path.is_past for path in paths[::2]):
                break

    def error(outputs: np.ndarray) -> float:
        return HeldOut(*held_out).add(outputs)

    fall_squares, are_many = paths[0].fall_squares, kind.averages and bool(found)
    return Fold(
        errors,
        squares,
        n_features,
        debiased,
        debiased_error=error(predictions[0]) if found else np.nan,
        averaged_error=error(averaged) if are_many else np.nan,
        debiased_squares=fall_squares(predictions[0]) if found else np.nan,
        averaged_squares=fall_squares(averaged) if are_many else np.nan,
        weight=sample_weight[test].sum(),
        n_iter=progress.n_iter,
        linear_decay=linear_decay,
        importances=importances,
        scale=fit.scale if scale is None else scale,
    )


def fold_attributes(
    kind: FoldLoss, folds: Sequence[Fold], ambiguity: float
) -> dict[str, object]:
    """Fitted attributes of the estimator with the errors of the folds."""
    errors, label = np.stack([fold.errors for fold in folds], axis=1), kind.label
    found: dict[str, object] = {
        f"{label}_path_": errors[:, :, 0],
        "n_features_path_": np.stack([fold.n_features for fold in folds], axis=1),
        f"blended_{label}_path_": errors[:, :, 1:] - np.square(SHARES[1:]) * ambiguity,
        f"debiased_{label}_": np.array([fold.debiased_error for fold in folds]),
        "debiased_n_features_": np.array([f.debiased_n_features for f in folds]),
    }
    if not kind.averages:
        return found
    averaged = np.array([fold.averaged_error for fold in folds])
    return found | {
        "averaged_mse_": averaged - ambiguity,
        "averaged_n_features_": np.array([f.averaged_n_features for f in folds]),
        "ambiguity_": ambiguity,
    }


def rows_repeated(sample_weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights of all rows with which a fit is the fit of the rows at ``index`` only.

    They are zero for the other rows. The rows themselves are not copied.
    """
    return np.bincount(
        np.arange(len(sample_weight))[index],
        weights=sample_weight[index],
        minlength=len(sample_weight),
    )
