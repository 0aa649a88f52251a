"""Searches of a fit: their first network, and several searches at falling penalties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._network.network import Network, weighted_mean
from sklearn_twolayer._network.noise import with_effective_size
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._path.path import start_path
from sklearn_twolayer._rows.raw import RawPart, RawRows, sampled, stacked
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.limits import (
    limit_reached,
    out_of_time,
    step_limit,
    time_left,
    time_limit,
)
from sklearn_twolayer._search.bold_start import BoldStart, bold_start
from sklearn_twolayer._search.consensus import agree, consensus
from sklearn_twolayer._search.criterion import Criterion
from sklearn_twolayer._search.search import SearchResult, search, shrink
from sklearn_twolayer._search.tuning import SearchTuning

# The search without a schedule begins on a sample of SAMPLED_ROWS rows, or of
# SAMPLED_PER_INPUT rows for each input if these are more, unless the sample has more
# than LARGEST_SHARE of all rows (benchmarks/scale.py).
SAMPLED_ROWS = 2**15
SAMPLED_PER_INPUT = 50
LARGEST_SHARE = 0.4


def begin_search(problem: PathProblem, penalty: str | float) -> Network | BoldStart:
    """The first network of a search: a bold start, or the result on a sample of rows.

    With many rows, few steps on all rows are needed after a search on a sample.
    """
    found = None
    if not problem.options.standardize:
        found = _found_on_scaled(problem, penalty)
    elif begins_on_sample(problem):
        found = _found_on_sample(problem, penalty)
    return found or bold_start(
        problem.rows, problem.start, problem.generator, problem.tuning
    )


def search_from(
    problem: PathProblem,
    begin: Network | BoldStart,
    penalty: str | float,
    *,
    fraction: float = 1.0,
    removals: bool = True,
    births: bool = True,
) -> SearchResult:
    """The network that the criterion chooses, starting from ``begin``, uncertified."""
    return search(
        problem.rows,
        problem.start,
        penalty,
        problem.generator,
        begin,
        problem.tuning,
        fraction=fraction,
        removals=removals,
        births=births,
        most_neurons=problem.options.n_neurons,
    )


def repeated_search(
    problem: PathProblem, penalty: str | float, n_searches: int
) -> SearchResult:
    """The result of a search, or the consensus of several if it had to add neurons.

    A search that only drops neurons from many has begun with all directions that the
    data show. One that adds some may end elsewhere from other random directions. If the
    second ends at the same network, there is no other. Where there are so many rows
    that searches begin on a sample, one is enough.
    """
    first = limited_search(problem, penalty)
    if not first.has_births or first.is_exact or begins_on_sample(problem):
        return first
    tuning, networks = problem.tuning, [first.network]
    for number in range(1, n_searches if first.network.n_neurons else 1):
        if out_of_time():
            break
        result = limited_search(_begun_anew(problem, number), penalty)
        if result.is_exact:
            return result
        if agree(first.network, result.network, tuning):
            return first
        networks.append(result.network)
    if len(networks) == 1:
        return first
    rows = with_effective_size(problem.rows, first.network)
    n_neurons = float(problem.options.n_neurons)
    criterion = replace(Criterion.of(rows, penalty), bound=n_neurons)
    with step_limit(problem.options.max_iter):
        network = consensus(rows, networks, criterion, problem.generator, tuning)
        stopped_by = limit_reached() or "tol"
        if stopped_by == "tol":
            network = shrink(rows, network, tuning)
    return replace(first, network=network, stopped_by=stopped_by)


def limited_search(
    problem: PathProblem, penalty: str | float, begin: Network | None = None
) -> SearchResult:
    """A search of at most ``max_iter`` steps, from its own first network by default."""
    with step_limit(problem.options.max_iter):
        start = begin_search(problem, penalty) if begin is None else begin
        return search_from(problem, start, penalty)


def _begun_anew(problem: PathProblem, number: int) -> PathProblem:
    """The problem with other random numbers and other early features."""
    n_neurons, generator = len(problem.start.directions), problem.generator
    return replace(
        problem,
        start=start_path(problem.rows, n_neurons, generator),
        options=replace(problem.options, seed=problem.options.seed + number),
    )


def searches(
    problem: PathProblem, penalty: str | float, fractions: Sequence[float]
) -> list[SearchResult]:
    """Networks that the criterion chooses at fractions of a penalty, the first is one.

    Births are expensive, and are repeated only if they helped the first search. In that
    case each search starts from the result of the one before and only adds neurons:
    those chosen at a higher penalty are worth keeping at a lower one. Otherwise each
    search starts from the same network and only removes neurons. There are more than
    two searches only if the residual is noisy, because the networks are averaged, and
    averaging only helps against noise.
    """
    max_iter = problem.options.max_iter
    with step_limit(max_iter):
        begin = begin_search(problem, penalty)
        results = [search_from(problem, begin, penalty, fraction=fractions[0])]
    residual = residual_at(problem.rows, results[0].network)
    is_noisy = residual.squares > problem.tuning.noisy_share
    births = results[0].has_births
    for fraction in fractions[1:] if is_noisy else fractions[1:2]:
        with step_limit(max_iter):
            result = search_from(
                problem,
                results[-1].network if births else begin,
                penalty,
                fraction=fraction,
                removals=not births,
                births=births,
            )
        results.append(result)
    return results


def mean_network(
    problem: PathProblem, fitted: Sequence[FittedNetwork], shares: Sequence[float]
) -> tuple[PathProblem, Network, torch.Tensor]:
    """The weighted mean of networks that may have been fitted on other rows.

    Its linear part is the mean of theirs. The best one beside the mean of the neurons
    could be another: a decay would shrink it, and columns of weight zero would be lost.
    So both are returned, in a problem that keeps all columns.
    """
    options = replace(
        problem.options, column_weights=None, linear_decay=None, checkpoint=None
    )
    problem = PathProblem.of(problem.raw, options, problem.tuning)
    empty = Network.empty(problem.rows)
    networks = [problem.network_of(one) or empty for one in fitted]
    linear = [problem.linear_part_of(one) for one in fitted]
    mean = sum(share * one for share, one in zip(shares, linear, strict=True))
    return problem, weighted_mean(networks, shares), torch.as_tensor(mean)


def begins_on_sample(problem: PathProblem) -> bool:
    """Whether there are so many rows that a search begins on a sample of them."""
    return _sampled_share(problem) <= LARGEST_SHARE


def _sampled_share(problem: PathProblem) -> float:
    n_sampled = max(SAMPLED_ROWS, SAMPLED_PER_INPUT * problem.rows.rank)
    return n_sampled / problem.rows.n_samples


def _found_on_sample(problem: PathProblem, penalty: str | float) -> Network | None:
    parts, seed = problem.raw.parts, problem.options.seed
    samples = parts.keep(sampled, _sampled_share(problem), seed, parts.numbers())
    options = replace(problem.options, checkpoint=None)
    fitted = parts.joined(
        _search_sample, samples, options, penalty, problem.tuning, time_left()
    )
    return problem.network_of(fitted)


def _found_on_scaled(problem: PathProblem, penalty: str | float) -> Network | None:
    """What the search finds on standardised columns, in the coordinates of this fit.

    A network without decay is the same in all units. But early features, and the decay
    that they begin at, see little beside a column of large scale.
    """
    options = replace(problem.options, standardize=True, checkpoint=None)
    scaled = PathProblem.of(problem.raw, options, problem.tuning)
    result = search_from(scaled, begin_search(scaled, penalty), penalty)
    return problem.network_of(scaled.fitted(result.network))


def _search_sample(
    samples: list[RawPart],
    options: PathOptions,
    penalty: str | float,
    tuning: SearchTuning,
    seconds: float | None,
) -> FittedNetwork:
    """The result of a search on sampled rows, which are stacked in one process.

    It may be another process, which does not know the limit on time of this one.
    """
    with time_limit(seconds), step_limit(options.max_iter):
        problem = PathProblem.of(RawRows.local(*stacked(samples)), options, tuning)
        begin = begin_search(problem, penalty)
        result = search_from(problem, begin, penalty)
    return problem.fitted(result.network)
