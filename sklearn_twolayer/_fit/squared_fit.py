"""A fit of squares, as the regressor runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sklearn_twolayer._checks.losses import SQUARES
from sklearn_twolayer._fit import stages as run
from sklearn_twolayer._fit.linear_decay import problem_of
from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._fit.report import USELESS_START
from sklearn_twolayer._fit.scales import Attributes
from sklearn_twolayer._runtime.warn import warn_caller
from sklearn_twolayer.exceptions import WarmStartWarning

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._path.stage import Stage
    from sklearn_twolayer._rows.raw import RawRows
    from sklearn_twolayer._rows.units import FittedNetwork


@dataclass(frozen=True, eq=False)
class SquaredFit:
    """The problem, and the network of an earlier fit that this one continues."""

    problem: PathProblem
    initial: FittedNetwork | None
    loss: str = SQUARES

    @classmethod
    def of(
        cls, data: RawRows, options: PathOptions, initial: FittedNetwork | None
    ) -> SquaredFit:
        """Set up the fit; an earlier network of no use is left out with a warning."""
        problem = problem_of(data, options)
        if initial is not None and run.is_useless_start(problem, initial):
            initial = None
            warn_caller(USELESS_START, WarmStartWarning)
        return cls(problem, initial)

    @property
    def prepared(self) -> PathProblem:
        """The problem, of which nothing is found out in the first stage."""
        return self.problem

    def search(self, penalty: str | float, n_searches: int) -> Iterator[Stage]:
        """The one stage of a search, or of several."""
        return run.search_stage(self.problem, penalty, self.initial, n_searches)

    def path(self) -> Iterator[Stage]:
        """The stages of the schedule."""
        return run.path_stages(self.problem, self.initial)

    def attributes(self, stage: Stage) -> Attributes:
        """Fitted attributes of the network of a stage."""
        return self.problem.attributes(stage.result)

    def network(self, stage: Stage) -> FittedNetwork:
        """The network of a stage, with its decay, in the units of the data."""
        return self.problem.fitted(stage.network)

    def debiased(self, stage: Stage) -> FittedNetwork:
        """The network refitted without decay, in the units of the data."""
        return self.problem.fitted(run.debias(self.problem, stage)[0])

    def keep(self, stages: Sequence[Stage], penalty: str | float | None) -> Stage:
        """The last stage, or the one that the criterion chooses."""
        return run.keep_stage(self.problem, stages, penalty)

    def finished(
        self, kept: Stage, max_features: int | None, *, debias: bool
    ) -> tuple[Attributes, str | None]:
        """Fitted attributes of the result, and what ended the debiasing, if any."""
        network, debiased_by = kept.result, None
        if debias:
            network, debiased_by = run.debias(self.problem, kept)
        network = run.reduced(self.problem, network, max_features)
        return self.problem.attributes(network), debiased_by
