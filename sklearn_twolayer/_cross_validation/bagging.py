"""Means of the regularised networks of repeated folds, and their held-out errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from sklearn_twolayer._cross_validation.choice import SPARSE, Choice
from sklearn_twolayer._cross_validation.column_weights import column_weights
from sklearn_twolayer._cross_validation.compare import Comparison
from sklearn_twolayer._cross_validation.fold_fits import FoldLoss
from sklearn_twolayer._cross_validation.folds import (
    SHARES,
    check_folds,
    path_options,
    rows_repeated,
)
from sklearn_twolayer._cross_validation.held_out import HeldOut
from sklearn_twolayer._runtime.limits import step_limit
from sklearn_twolayer._runtime.threads import fit_threads
from sklearn_twolayer._runtime.watch import watched

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.units import FittedNetwork

# The path of networks that are averaged ends when the held-out error is so many times
# the least before it. Their mean is best where each by itself fits too closely.
# Measured on two tables with little noise: there the error of one network is 1.16 to
# 1.24 times its least.
TOO_CLOSE = 1.3


@dataclass(frozen=True, eq=False)
class FoldPath:
    """The regularised networks of one fold, one for each decay.

    Parameters
    ----------
    networks : list of FittedNetwork
        The networks, fitted to the training rows.
    residuals : list of ndarray of shape (n_test,) or (n_test, n_outputs)
        Their residuals on the held-out rows.
    n_iter : int
        Number of evaluations.
    """

    networks: list[FittedNetwork]
    residuals: list[np.ndarray]
    n_iter: int


def with_mean_of_folds(
    kind: FoldLoss,
    compared: Comparison,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    cv: Any,
    options: PathOptions,
    fractions: np.ndarray,
    n_jobs: int | None,
) -> Comparison:
    """The comparison, with means over the folds of regularised networks compared, too.

    They are compared only where a regularised network has a share in the choice and
    the linear part is not shrunk, and must lower the error by the margin that debiased
    networks are preferred by. Folds that are a number are repeated with another
    shuffle, so that each row is held out twice.
    """
    if not kind.averages:
        return compared
    choice, first = compared.choice, compared.folds
    splits = [*splits, *_other_folds(cv, options.seed, X)]
    tests = [np.arange(len(y))[test] for _, test in splits]
    times = np.bincount(np.concatenate(tests), minlength=len(y))
    if not choice.index or compared.is_shrunk or times.max() < 2:
        return compared
    known = [replace(options, column_weights=own) for own in compared.column_weights]
    known += [options] * (len(splits) - len(known))
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(follow_regularised)(
            kind, X, y, sample_weight, *split, own, fractions, choice
        )
        for split, own in zip(splits, known, strict=True)
    )
    paths = list(watched("repeated folds", len(splits), results))
    errors = errors_of_means(
        [path.residuals for path in paths], tests, sample_weight, X, y, compared
    )
    compared = replace(compared, n_repeated=sum(path.n_iter for path in paths))
    stage, column = map(int, np.unravel_index(np.nanargmin(errors), errors.shape))
    error, share = float(errors[stage, column]), float(SHARES[column])
    if not error < (1.0 - SPARSE) * choice.error:
        return compared
    choice = replace(
        choice,
        index=stage,
        debiased_share=share,
        others=tuple(n for fold in first for n in fold.debiased) if share > 0.0 else (),
        regularised=tuple(path.networks[stage] for path in paths),
        error=error,
    )
    return replace(compared, choice=choice)


def errors_of_means(
    paths: Sequence[Sequence[np.ndarray]],
    tests: Sequence[np.ndarray],
    sample_weight: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    compared: Comparison,
) -> np.ndarray:
    """Errors of means of very many networks, at each stage and for each of the shares.

    ``paths`` are the held-out residuals of the regularised networks of each fold. The
    residual of a blend is ``(1 - share) * regularised + share * debiased``, so that its
    mean square has three terms.
    """
    folds = compared.folds
    debiased = [
        y[test] - fold.averaged(X[test])
        for fold, test in zip(folds, tests, strict=False)
        if fold.debiased
    ]
    weights = [fold.weight for fold in folds]
    averaged = np.average([fold.averaged_error for fold in folds], weights=weights)
    errors = []
    for regularised in zip(*paths, strict=False):
        square = mean_product(regularised, regularised, tests, sample_weight)
        mixed = (
            mean_product(regularised, debiased, tests, sample_weight)
            if debiased
            else np.nan
        )
        blends = (
            (1.0 - SHARES) ** 2 * square
            + 2.0 * SHARES * (1.0 - SHARES) * mixed
            + SHARES**2 * (averaged - compared.ambiguity)
        )
        errors.append(np.where(SHARES == 0.0, square, blends))
    return np.array(errors)


def mean_product(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    tests: Sequence[np.ndarray],
    sample_weight: np.ndarray,
) -> float:
    """Mean product of the residuals of two networks, both fitted without the row.

    It is the mean squared error of a mean of very many such networks (theory eq. 35).
    The mean is over all pairs of networks of different folds with the same held-out
    row.

    Parameters
    ----------
    first, second : sequence of ndarray of shape (n_test,) or (n_test, n_outputs)
        Residuals of networks on the held-out rows of each fold; the second may be
        residuals of the first folds only.
    tests : sequence of ndarray of shape (n_test,)
        Indices of the held-out rows.
    sample_weight : ndarray of shape (n_samples,)
        Weights of all rows.

    Returns
    -------
    error : float
        The weighted mean over the rows.
    """
    n_samples, *outputs = len(sample_weight), *first[0].shape[1:]
    products = [one * other for one, other in zip(first, second, strict=False)]

    def sums(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        total, times = np.zeros((n_samples, *outputs)), np.zeros(n_samples)
        for own, test in zip(values, tests, strict=False):
            total[test] += own
            times[test] += 1.0
        return total.reshape(n_samples, -1), times

    (a, n_a), (b, n_b), (same, n_same) = map(sums, (first, second, products))
    pairs = n_a * n_b - n_same
    rows = pairs > 0.0
    each = (a * b - same)[rows].mean(axis=1) / pairs[rows]
    return float(np.average(each, weights=sample_weight[rows]))


def follow_regularised(
    kind: FoldLoss,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    options: PathOptions,
    fractions: np.ndarray,
    choice: Choice,
) -> FoldPath:
    """Follow the path on the training rows, with the column weights of the choice.

    Unless the options have them, they are computed, from these rows only.
    """
    weights = rows_repeated(sample_weight, train)
    networks, residuals = [], []
    with fit_threads(X.size), step_limit() as progress:
        for one in choice.before if options.column_weights is None else ():
            own = replace(options, linear_decay_factor=one.linear_decay_factor)
            n_stages = len(fractions) if one.index is None else one.index + 1
            fit = kind.fit(X, y, weights, path_options(own, fractions[:n_stages]))
            *_, last = fit.path()
            importances = fit.importances(fit.of_stage(last))
            options = replace(options, column_weights=column_weights(importances))
        options = replace(options, linear_decay_factor=choice.linear_decay_factor)
        fit = kind.fit(X, y, weights, path_options(options, fractions))
        held_out = HeldOut(y[test], sample_weight[test], fit.row_errors())
        for stage in fit.path():
            fitted = fit.fitted(fit.of_stage(stage))
            predicted = fitted.predict(X[test])
            networks.append(fitted)
            residuals.append(y[test] - predicted)
            if held_out.add(predicted) > TOO_CLOSE * min(held_out.errors):
                break
    return FoldPath(networks, residuals, progress.n_iter)


def _other_folds(
    cv: Any, seed: int, X: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As many folds with another shuffle, if the folds are a number or None."""
    if cv is not None and not isinstance(cv, Integral):
        return []
    # Seeds are below 2**31, so that this one is below 2**32.
    return list(check_folds(cv, seed + 1).split(X))
