"""Which decay the linear part of a fit has, if the data are to choose it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sklearn_twolayer._fit.problem import PathProblem
from sklearn_twolayer._search.bold_start import bold_start
from sklearn_twolayer._search.tuning import DEFAULT_TUNING, SearchTuning

if TYPE_CHECKING:
    from sklearn_twolayer._options.path_options import PathOptions
    from sklearn_twolayer._rows.raw import RawRows

# Rows for each input below which no exact network is looked for (convention).
EXACT_ROWS_PER_INPUT = 2.0


def problem_of(
    raw: RawRows, options: PathOptions, tuning: SearchTuning = DEFAULT_TUNING
) -> PathProblem:
    """The problem with the decay of the linear part that the data ask for.

    Where the decay is that of the marginal likelihood, an exact network is looked for
    without it first: the decay vanishes with the noise.
    """
    problem = PathProblem.of(raw, options, tuning)
    rows = problem.rows
    if options.linear_decay is not None or rows.linear_decay is None:
        return problem
    if rows.n_effective < EXACT_ROWS_PER_INPUT * rows.n_inputs:
        return problem
    free = replace(options, linear_decay=0.0)
    tried = PathProblem.of(raw, free, tuning)
    begin = bold_start(tried.rows, tried.start, tried.generator, tuning)
    return PathProblem.of(raw, free, tuning) if begin.is_exact else problem
