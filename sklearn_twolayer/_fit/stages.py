"""The stages of a fit along a schedule, or the one stage of a search; checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sklearn_twolayer._checks.losses import SQUARES
from sklearn_twolayer._descent import newton_descent, refine
from sklearn_twolayer._fit.checkpoint import Continuation
from sklearn_twolayer._fit.searches import limited_search, repeated_search
from sklearn_twolayer._network.network import Network
from sklearn_twolayer._network.noise import with_effective_size
from sklearn_twolayer._network.objective import residual_at
from sklearn_twolayer._path.path import follow_path
from sklearn_twolayer._path.stage import Stage, finish_stage
from sklearn_twolayer._runtime.limits import limit_reached, step_limit
from sklearn_twolayer._search.choose_neurons import (
    choose_neurons,
    descend,
    merge_and_drop,
)
from sklearn_twolayer._search.confirm import confirm_neurons, confirm_stage
from sklearn_twolayer._search.criterion import (
    DEFAULT_PENALTY,
    Criterion,
)
from sklearn_twolayer._search.fewer_neurons import fewer_neurons
from sklearn_twolayer._search.search import certify_result

if TYPE_CHECKING:
    from sklearn_twolayer._fit.problem import PathProblem
    from sklearn_twolayer._rows.units import FittedNetwork

# Share of the variance beside the linear model below which an earlier network is of no
# use as a start (convention). Networks of the same data explain more, unless the data
# are hardly more than noise.
LEAST_EXPLAINED = 1e-4


def path_stages(
    problem: PathProblem, initial: FittedNetwork | None = None
) -> Iterator[Stage]:
    """Run the path along the schedule, from an earlier network if one is given."""
    network = problem.network_of(initial)

    def run(finished: Sequence[Stage]) -> Iterator[Stage]:
        return follow_path(
            problem.rows,
            problem.start,
            cast("Sequence[float]", problem.lambdas),
            problem.options,
            problem.generator,
            network,
            finished,
        )

    settings = problem.options.settings(SQUARES, problem.options.schedule, None)
    decays = cast("Sequence[float]", problem.lambdas)
    return _with_checkpoint(problem, run, settings, network, decays)


def search_stage(
    problem: PathProblem,
    penalty: str | float,
    initial: FittedNetwork | None = None,
    n_searches: int = 1,
) -> Iterator[Stage]:
    """Search for the network that the criterion chooses; it becomes the only stage.

    There is one search from ``initial``, if it is given, and up to ``n_searches``
    otherwise.
    """
    network = problem.network_of(initial)

    def run(_: Sequence[Stage]) -> Iterator[Stage]:
        with step_limit() as progress:
            if network is None:
                result = repeated_search(problem, penalty, n_searches)
            else:
                result = limited_search(problem, penalty, network)
            stage = certify_result(
                problem.rows, result, progress, problem.generator, problem.tuning
            )
        yield replace(stage, is_last=True)

    settings = problem.options.settings(SQUARES, None, penalty)
    settings |= {"n_searches": n_searches}
    return _with_checkpoint(problem, run, settings, network)


def _with_checkpoint(
    problem: PathProblem,
    run: Callable[[Sequence[Stage]], Iterator[Stage]],
    settings: Mapping[str, Any],
    initial: Network | None,
    decays: Sequence[float] | None = None,
) -> Iterator[Stage]:
    """The stages of the checkpoint, if there is one, then new ones."""
    path, empty = problem.options.checkpoint, Network.empty(problem.rows)
    if path is None:
        return run([])
    layout = (empty.n_outputs, empty.parameters.shape[1], 0)
    numbers = _data_fingerprint(problem, initial)
    own = Continuation(settings, numbers, layout, decays, problem.generator)
    return own.stages(path, run)


def _data_fingerprint(
    problem: PathProblem, initial: Network | None
) -> list[np.ndarray | list[float]]:
    """Numbers that change with the data, the decays and the initial network."""
    units = problem.rows.units
    return [
        units.shift / units.scale,
        np.log(units.scale),
        units.target_mean / units.target_scale,
        np.log([units.target_scale]),
        [problem.rows.n_samples, problem.start.lambda_max],
        problem.lambdas,
        [] if initial is None else initial.parameters.numpy(),
    ]


def is_useless_start(problem: PathProblem, initial: FittedNetwork) -> bool:
    """Whether an earlier network fits the data no better than the linear model does.

    After a change of units it does not, and a search from there would end without
    neurons.
    """
    network = problem.network_of(initial)
    if network is None or problem.start.lambda_max == 0.0:
        return False
    # The comparison is also false where numbers have overflowed.
    explains = residual_at(problem.rows, network).squares <= 1.0 - LEAST_EXPLAINED
    return not explains


def keep_stage(
    problem: PathProblem, stages: Sequence[Stage], penalty: str | float | None
) -> Stage:
    """The last stage, or with a ``penalty`` the one that the criterion chooses."""
    if penalty is None:
        return stages[-1]
    rows = with_effective_size(problem.rows, stages[-1].network)
    criterion = Criterion.of(rows, penalty)
    return confirm_stage(rows, criterion, stages, problem.generator)


def debias(problem: PathProblem, stage: Stage) -> tuple[Network, str]:
    """Refit the network of the stage without decay, with neurons chosen again.

    Returns the network and what ended the refit, as in ``Stage.stopped_by``.
    """
    if stage.refitted is not None:
        return stage.refitted, stage.stopped_by
    rows = with_effective_size(problem.rows, stage.network)
    criterion = Criterion.of(rows, DEFAULT_PENALTY)
    tuning = problem.tuning
    with step_limit(problem.options.max_iter):
        few = merge_and_drop(rows, criterion, stage.network, tuning)
        chosen = choose_neurons(rows, criterion, few, problem.generator, tuning)
        chosen = confirm_neurons(rows, criterion, chosen, problem.generator, tuning)
        network = descend(rows, chosen.network, 0.0, tuning.final)
        return network, limit_reached() or "tol"


def reduced(problem: PathProblem, network: Network, most: int | None) -> Network:
    """The network, or one of at most ``most`` neurons with nearly its outputs."""
    if most is None:
        return network
    with step_limit():
        return fewer_neurons(problem.rows, network, most, problem.tuning)


def improve(problem: PathProblem, stage: Stage, *, to_tolerance: bool) -> Stage:
    """Continue the descent of the stage, to ``options.tol`` or for some steps."""
    if stage.network.n_neurons == 0:
        return stage
    descent_method = newton_descent if to_tolerance else refine
    with step_limit(problem.options.max_iter) as progress:
        descent = descent_method(
            problem.rows,
            stage.network,
            stage.lambda_,
            problem.options,
            problem.generator,
        )
        return finish_stage(
            problem.rows, descent, stage.lambda_, progress, problem.generator
        )
