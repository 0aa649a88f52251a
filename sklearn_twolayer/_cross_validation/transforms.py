"""The choice of a transform of the columns by the errors on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import FEWEST_ROWS
from sklearn_twolayer._cross_validation.held_out import RowErrors, standard_error
from sklearn_twolayer._options.schedule import StagedSchedule
from sklearn_twolayer._rows.column_transform import ColumnTransform, scaled
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._runtime.watch import watched

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions

# What columns can be transformed by.
TRANSFORMS = ("power", "clip")
# The decays of the short paths that are compared, as fractions of the largest
# (convention).
SHORT_PATH = np.geomspace(1.0, 1e-3, 6)
# After so many folds only transforms that have lowered the error are followed further
# (convention). It saves most of the time where none does.
FIRST_FOLDS = 2
# A power must lower the error by this many standard errors of the fall over the rows
# and by so many over the folds (conventions). The first tells whether the rows are many
# enough; the second, whether fits on other rows would agree. Measured on seven tables:
# one is transformed, and R2 rises by 0.008 to 0.014 there; one that powers harm is not.
# Where tails are so long that a few rows decide the error, gains are missed.
BEATS_OVER_ROWS = 2.0
BEATS_OVER_FOLDS = 1.0
# A transform is worth comparing if some column's correlation with what it becomes is
# below this (convention). Columns near to the normal or the uniform distribution are
# not worth it.
ALIKE = 0.99


def chosen_transform(
    kind: FoldLoss,
    column_transform: str | None,
    X: np.ndarray | sparse.csr_array,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    options: PathOptions,
    n_jobs: int | None,
) -> tuple[ColumnTransform | None, int]:
    """The transform to use, fitted to all rows, and the evaluations that it took.

    Networks of different folds can be averaged only if all see the same columns. The
    transform of all rows depends on their inputs alone.

    For the comparison of "auto" each fold fits the transforms to its training rows, and
    follows one short path without debiased networks with each and with none.
    """
    if column_transform is None or sparse.issparse(X):
        return None, 0
    if column_transform != "auto":
        return ColumnTransform.fit(column_transform, X, sample_weight), 0
    # Without biases, neurons bend at the origin of the columns as they are.
    if not options.hidden_bias or np.count_nonzero(sample_weight) < FEWEST_ROWS:
        return None, 0
    fitted = {k: ColumnTransform.fit(k, X, sample_weight) for k in TRANSFORMS}
    tried = {k: one for k, one in fitted.items() if bends(one, X, sample_weight)}
    if not tried:
        return None, 0
    short = replace(options, schedule=StagedSchedule(SHORT_PATH), solver="fast")
    weights = [sample_weight[test] for _, test in splits]
    raw: list[list[np.ndarray]] = []
    paths: dict[str, list[list[np.ndarray]]] = {name: [] for name in tried}
    n_iter = 0
    for part in (splits[:FIRST_FOLDS], splits[FIRST_FOLDS:]):
        jobs = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(held_out_errors)(kind, [*paths], X, y, sample_weight, *split, short)
            for split in part
        )
        for of_none, of_names, n_evaluations in watched(
            "folds of transforms", len(part), jobs
        ):
            raw.append(of_none)
            for name, errors in zip(paths, of_names, strict=True):
                paths[name].append(errors)
            n_iter += n_evaluations
        error = mean_of(least(raw, weights), weights)
        paths = {
            name: own
            for name, own in paths.items()
            if mean_of(least(own, weights), weights) < error
        }
        if not paths:
            return None, n_iter
    errors_of = {name: least(own, weights) for name, own in paths.items()}
    # Equal rows tell nothing new about how certain a fall is.
    groups = [row_groups(X[test], y[test]) for _, test in splits]
    sums = [merged(own, own, of)[1] for own, of in zip(weights, groups, strict=True)]

    def of_groups(errors: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [merged(*one)[0] for one in zip(errors, weights, groups, strict=True)]

    def is_clear(errors: Sequence[np.ndarray]) -> bool:
        return is_lower(of_groups(errors), of_groups(least(raw, weights)), sums)

    # A clipped column also bounds what a value far out can do to a prediction, so that
    # a lower error is enough, however uncertain.
    means = {
        name: mean_of(own, weights)
        for name, own in errors_of.items()
        if name == "clip" or is_clear(own)
    }
    return (tried[min(means, key=means.__getitem__)] if means else None), n_iter


def bends(transform: ColumnTransform, X: np.ndarray, sample_weight: np.ndarray) -> bool:
    """Whether a column is not nearly linear in what it becomes."""
    rows = sample_weight > 0.0
    share = sample_weight[rows] / sample_weight[rows].max()
    share = (share / share.sum())[:, np.newaxis]
    before, after = (
        scaled(own, transform.centre, transform.scale)
        for own in (X[rows], transform(X[rows]))
    )
    before, after = (own - (share * own).sum(axis=0) for own in (before, after))
    product = (share * before * after).sum(axis=0)
    sizes = (share * before**2).sum(axis=0) * (share * after**2).sum(axis=0)
    return bool((transform.changes & (product < ALIKE * np.sqrt(sizes))).any())


def held_out_errors(
    kind: FoldLoss,
    names: Sequence[str],
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
) -> tuple[list[np.ndarray], list[list[np.ndarray]], int]:
    """Errors of the held-out rows at each stage, without and with transforms.

    Also the evaluations of all these fits. The loss is that of the fit without one: a
    loss that depends on the scale of the residuals would be another one in each fit.
    """
    own, held_out, weights = X[train], X[test], sample_weight[train]
    pairs = [(own, held_out)]
    for name in names:
        transform = ColumnTransform.fit(name, own, weights)
        pairs.append((transform(own), transform(held_out)))
    errors: list[list[np.ndarray]] = []
    row_errors: RowErrors | None = None
    with fit_threads(own.size), step_limit() as progress:
        for seen, unseen in pairs:
            fit = kind.fit(seen, y[train], weights, options)
            row_errors = row_errors or fit.row_errors()
            stages = islice(fit.path(), len(SHORT_PATH))
            fitted = (fit.fitted(fit.of_stage(stage)) for stage in stages)
            errors.append([row_errors(y[test], one.predict(unseen)) for one in fitted])
    return errors[0], errors[1:], progress.n_iter


def row_groups(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The number of the different row that each row is."""
    _, groups = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)
    return groups.reshape(-1)


def merged(
    errors: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean error and sum of weights of each group that has some weight."""
    total = np.bincount(groups, weights=weights)
    sums, has_weight = np.bincount(groups, weights=weights * errors), total > 0.0
    return sums[has_weight] / total[has_weight], total[has_weight]


def least(
    paths: Sequence[Sequence[np.ndarray]], weights: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Errors of the rows at the stage whose mean over all folds is least."""
    stages = [list(folds) for folds in zip(*paths, strict=False)]
    return min(stages, key=lambda errors: mean_of(errors, weights))


def mean_of(errors: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> float:
    """Mean over the rows of the first folds, as many as there are, by their weights."""
    own = np.concatenate(weights[: len(errors)])
    return float(np.average(np.concatenate(errors), weights=own))


def is_lower(
    new: Sequence[np.ndarray],
    old: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
) -> bool:
    """Whether the error falls clearly, both over the rows and over the folds."""
    falls = [before - after for before, after in zip(old, new, strict=True)]
    fall = mean_of(falls, weights)
    of_row = np.concatenate(weights) / np.sum([own.sum() for own in weights])
    of_fold = np.array([own.sum() for own in weights])
    of_fold = of_fold / of_fold.sum()
    each = np.array([mean_of([a], [w]) for a, w in zip(falls, weights, strict=True)])
    over_rows = standard_error(np.concatenate(falls), of_row)
    over_folds = standard_error(each, of_fold)
    return fall > max(BEATS_OVER_ROWS * over_rows, BEATS_OVER_FOLDS * over_folds)
