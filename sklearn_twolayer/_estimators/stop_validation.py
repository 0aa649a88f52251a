"""Cross-validation of where a schedule stops, at the cost of its longest path."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline

from sklearn_twolayer._checks.losses import SQUARES
from sklearn_twolayer._checks.parameters import (
    check_flag,
    check_max_features,
    check_real,
)
from sklearn_twolayer._estimators.regressor import (
    PATH_PARAMETERS,
    RegularizedTwoLayerRegressor,
)
from sklearn_twolayer._fit.report import fit_attributes, warn_of_convergence
from sklearn_twolayer._options.path_options import check_path_options
from sklearn_twolayer._options.schedule import GeometricSchedule
from sklearn_twolayer._runtime.limits import time_limit
from sklearn_twolayer._runtime.settings import own_settings
from sklearn_twolayer._runtime.threads import fit_threads


def stop_validation_curve(
    estimator: RegularizedTwoLayerRegressor | Pipeline,
    X: Any,
    y: Any,
    *,
    stops: Sequence[float],
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
) -> dict[str, np.ndarray]:
    """Cross-validate where a schedule stops, along one path in each fold.

    A schedule that stops earlier has the first stages of one that stops later. So each
    fold follows the path to the smallest stop only, and keeps the network of every stop
    on the way. The scores are those of a :class:`~sklearn.model_selection.GridSearchCV`
    over ``schedule__stop``, which begins anew for each stop.

    Parameters
    ----------
    estimator : RegularizedTwoLayerRegressor or Pipeline that ends with one
        Its `schedule` must be a :class:`GeometricSchedule`, and its `criterion`, which
        would choose among the stages, None. A pipeline's other steps are fitted once in
        each fold. The estimator itself is not changed.
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    stops : sequence of float
        Values of the schedule's `stop` to compare, each in [1e-150, start]. "auto" is
        not among them: its path leaves out decays.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows, for the splitter.
    cv : int, splitter, iterable or None, default=None
        Folds, as in :func:`~sklearn.model_selection.cross_validate`.
    scoring : str, callable or None, default=None
        One score, as in :func:`~sklearn.model_selection.cross_validate`; None stands
        for the `score` of the estimator.
    n_jobs : int, default=None
        Number of folds at a time.

    Returns
    -------
    results : dict of str to ndarray
        As `cv_results_` of a search: "param_stop", for each fold "split0_test_score"
        and so on, "mean_test_score", "std_test_score" and "rank_test_score", with one
        entry for each stop. "fit_time" has one entry for each fold, the seconds for all
        stops together.

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are not as documented.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If a stage ended above the tolerance, as in a fit.

    See Also
    --------
    two_layer_path : The networks of all stages.
    RegularizedTwoLayerRegressorCV : Cross-validation that also debiases and averages.

    Examples
    --------
    >>> from sklearn_twolayer import (
    ...     GeometricSchedule, RegularizedTwoLayerRegressor, stop_validation_curve)
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> X, y = make_two_layer_regression(
    ...     200, 4, n_directions=2, noise=0.3, random_state=0)
    >>> model = RegularizedTwoLayerRegressor(
    ...     schedule=GeometricSchedule(), solver="fast", random_state=0)
    >>> results = stop_validation_curve(model, X, y, stops=[0.5, 0.1], cv=2)
    >>> results["rank_test_score"]
    array([2, 1])
    >>> best = results["param_stop"][results["rank_test_score"].argmin()]
    >>> model.set_params(schedule__stop=best).fit(X, y).lambdas_.shape
    (3,)
    """
    paths = _Paths(estimator, _checked_stops(stops)).checked()
    score = check_scoring(estimator, scoring=scoring)
    folds = cross_validate(
        paths, X, y,
        groups=groups,
        cv=cv,
        scoring=_ScoreOfEach(score),
        n_jobs=n_jobs,
        error_score="raise",
    )  # fmt: skip
    scores = np.array([folds[f"test_{k}"] for k in range(len(paths.stops))])
    means = scores.mean(axis=1)
    return {
        "param_stop": np.array(paths.stops),
        **{f"split{k}_test_score": column for k, column in enumerate(scores.T)},
        "mean_test_score": means,
        "std_test_score": scores.std(axis=1),
        "rank_test_score": rankdata(-means, method="min").astype(int),
        "fit_time": folds["fit_time"],
    }


def _checked_stops(stops: Any) -> list[float]:
    if isinstance(stops, str) or np.ndim(stops) != 1 or len(stops) == 0:
        raise ValueError(
            f"stops must be a sequence of numbers, at least one, got {stops!r}."
        )
    return [check_real("each of stops", stop) for stop in stops]


class _ScoreOfEach:
    """A scorer that gives one score for each stop."""

    def __init__(self, score: Callable[..., float]) -> None:
        self.score = score

    def __call__(self, paths: _Paths, X: Any, y: Any) -> dict[str, float]:
        return {str(k): self.score(m, X, y) for k, m in enumerate(paths.fitted_)}


class _Paths(BaseEstimator):
    """The estimator, fitted for all stops along one path."""

    def __init__(self, estimator: Any, stops: Sequence[float]) -> None:
        self.estimator = estimator
        self.stops = stops

    def checked(self) -> Self:
        """Raise an error if stops of the estimator cannot share a path."""
        model = self._regressor()
        if not isinstance(model, RegularizedTwoLayerRegressor):
            raise TypeError(
                "estimator must be a RegularizedTwoLayerRegressor or a Pipeline that "
                f"ends with one, got {model!r}: use GridSearchCV for others."
            )
        if not isinstance(model.schedule, GeometricSchedule):
            raise TypeError(
                f"schedule must be a GeometricSchedule, got {model.schedule!r}: only "
                "these have a stop."
            )
        for name, needed in (
            ("criterion", None), ("warm_start", False), ("checkpoint", None),
            ("loss", SQUARES),
        ):  # fmt: skip
            value = getattr(model, name)
            if str(value) != str(needed):
                raise ValueError(
                    f"{name} must be {needed!r} where stops are compared along one "
                    f"path, got {value!r}: use GridSearchCV for other values."
                )
        for stop in self.stops:
            _schedule(model, stop).stages(1.0)  # raises an error if it has none
        return self

    def _regressor(self) -> Any:
        is_pipeline = isinstance(self.estimator, Pipeline)
        return self.estimator.steps[-1][1] if is_pipeline else self.estimator

    def fit(self, X: Any, y: Any) -> Self:
        model = clone(self._regressor())
        if not isinstance(self.estimator, Pipeline):
            self.fitted_ = _fitted_for(model, self.stops, X, y)
            return self
        others: list[tuple[str, Any]] = []
        if len(self.estimator.steps) > 1:
            before = clone(self.estimator[:-1])
            X = before.fit_transform(X, y)
            others = before.steps
        name = self.estimator.steps[-1][0]
        self.fitted_ = [
            Pipeline([*others, (name, fitted)])
            for fitted in _fitted_for(model, self.stops, X, y)
        ]
        return self


def _schedule(model: RegularizedTwoLayerRegressor, stop: float) -> GeometricSchedule:
    return clone(model.schedule).set_params(stop=stop)


def _fitted_for(
    model: RegularizedTwoLayerRegressor, stops: Sequence[float], X: Any, y: Any
) -> list[RegularizedTwoLayerRegressor]:
    """The estimator as a fit with each of the stops would leave it."""
    # Imported here, because importing the package must not import torch.
    from sklearn_twolayer._fit import stages as run
    from sklearn_twolayer._fit.linear_decay import problem_of

    parameters = {name: getattr(model, name) for name in PATH_PARAMETERS}
    options = check_path_options(
        **(parameters | {"schedule": _schedule(model, min(stops))})
    )
    debias = check_flag("debias", model.debias)
    most = check_max_features(model.max_features)
    results = []
    with own_settings():
        X, data = model._raw_rows(X, y, None, SQUARES)
        with fit_threads(data.n_entries), time_limit(options.max_time):
            problem = problem_of(data, options)
            stages, states = [], []
            for stage in run.path_stages(problem):
                stages.append(stage)
                states.append(problem.generator.get_state())
            for stop in stops:
                schedule = _schedule(model, stop)
                # The limit on time may have ended the path earlier.
                last = min(len(schedule.stages(1.0)), len(stages)) - 1
                kept, debiased_by = stages[last], None
                network = kept.result
                if debias:
                    problem.generator.set_state(states[last])
                    network, debiased_by = run.debias(problem, kept)
                fitted = copy.copy(model).set_params(schedule=schedule)
                fitted.__dict__.update(
                    problem.attributes(run.reduced(problem, network, most))
                )
                fitted.__dict__.update(
                    fit_attributes(problem, stages[: last + 1], kept)
                )
                warn_of_convergence(kept, fitted.lambda_, options.tol, debiased_by)
                results.append(fitted)
    return results
