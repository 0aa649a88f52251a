"""From validated arrays to a path and back, and the public path function."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sklearn_twolayer._descent import newton_descent, refine
from sklearn_twolayer._network import Network, followed_masses
from sklearn_twolayer._objective import counted, linear_part_at
from sklearn_twolayer._options import PathOptions, check_path_options
from sklearn_twolayer._path import (
    PathStart,
    Stage,
    finish_stage,
    follow_path,
    start_path,
)
from sklearn_twolayer._raw import RawPart, RawRows, sampled, stacked
from sklearn_twolayer._rows import Rows
from sklearn_twolayer._search import choose_neurons, search_stage, thinned
from sklearn_twolayer._selection import (
    DEFAULT_PENALTY,
    Criterion,
    data_end_path,
    select_stage,
)
from sklearn_twolayer._threads import fit_threads
from sklearn_twolayer._time_limit import time_limit
from sklearn_twolayer._units import FittedNetwork
from sklearn_twolayer._validation import (
    check_flag,
    check_inputs,
    check_targets,
    check_weights,
)

# Rows on which the search without a schedule begins, and the largest share of all rows
# that this may be (benchmarks/scale.py).
SAMPLED_ROWS = 2**15
SAMPLED_PER_INPUT = 50
LARGEST_SHARE = 0.4

FEW_NEURONS = 32  # to begin with when more can be born; measured: 24 to 48 do as well


@dataclass(frozen=True, eq=False)
class PathProblem:
    """Data, start and decays of one path; stages are computed when asked for.

    Everything that leaves this class is NumPy, in the units of ``X`` and ``y``.
    """

    raw: RawRows
    rows: Rows
    start: PathStart
    lambdas: np.ndarray  # in the coordinates of the fit
    options: PathOptions
    generator: torch.Generator

    @classmethod
    def of(cls, raw: RawRows, options: PathOptions) -> PathProblem:
        """Set up the path on raw rows, wherever they are."""
        rows = Rows.from_parts(
            raw.parts,
            standardize=options.standardize,
            hidden_bias=options.hidden_bias,
            device=resolve_device(options.device),
            dtype=getattr(torch, options.dtype),
        )
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        n_neurons = options.n_neurons
        if options.solver != "gd":  # which add neurons where they are missing
            n_neurons = min(n_neurons, max(FEW_NEURONS, rows.n_inputs))
        start = start_path(rows, n_neurons, generator)
        scale = rows.units.target_scale
        lambdas = options.schedule.stages(start.lambda_max * scale) / scale
        return cls(raw, rows, start, lambdas, options, generator)

    @property
    def lambda_max(self) -> float:
        return self.start.lambda_max * self.rows.units.target_scale

    def stages(self, initial: FittedNetwork | None = None) -> Iterator[Stage]:
        """Run the path, from an earlier network if one is given."""
        network = self._network(initial)
        adaptive = getattr(self.options.schedule, "is_adaptive", False)
        previous = None
        path = follow_path(
            self.rows, self.start, self.lambdas, self.options, self.generator, network
        )
        for stage, next_lambda in zip(path, [*self.lambdas[1:], None], strict=True):
            is_last = next_lambda is None or stage.stopped_by == "max_time"
            if adaptive and not is_last:
                rows = counted(self.rows, stage.network)
                is_last = data_end_path(rows, previous, stage, next_lambda)
            yield replace(stage, is_last=is_last)
            if is_last:
                return
            previous = stage

    def search(
        self, penalty: str | float, initial: FittedNetwork | None = None
    ) -> Iterator[Stage]:
        """The one stage that an information criterion chooses, without a schedule.

        Of many rows, a sample begins: what is left for all of them is little.
        """
        n_sampled = max(SAMPLED_ROWS, SAMPLED_PER_INPUT * self.rows.n_inputs)
        share = n_sampled / self.rows.n_samples
        if initial is None and share <= LARGEST_SHARE:
            parts, seed = self.raw.parts, self.options.seed
            samples = parts.keep(sampled, share, seed)
            initial = parts.joined(_search_sample, samples, self.options, penalty)
        stage = search_stage(
            self.rows,
            self.start,
            penalty,
            self.options.max_iter,
            self.generator,
            self._network(initial),
        )
        yield replace(stage, is_last=True)

    def _network(self, fitted: FittedNetwork | None) -> Network | None:
        """A fitted network in the coordinates of the fit; None without neurons."""
        if fitted is None or fitted.n_features == 0:
            return None
        weights, amplitudes = self.rows.units.from_user(fitted)
        return Network.from_parts(
            torch.from_numpy(weights), torch.from_numpy(amplitudes)
        )

    def improved(self, stage: Stage, *, to_tolerance: bool) -> Stage:
        """The stage descended on further: for a while, or until ``options.tol``."""
        if stage.network.n_neurons == 0:
            return stage
        began = time.perf_counter()
        descend = newton_descent if to_tolerance else refine
        descent = descend(
            self.rows, stage.network, stage.lambda_, self.options, self.generator
        )
        return finish_stage(self.rows, descent, stage.lambda_, began, self.generator)

    def kept(self, stages: Sequence[Stage], penalty: str | float | None) -> Stage:
        """The last stage, or the one that an information criterion chooses."""
        if penalty is None:
            return stages[-1]
        rows = counted(self.rows, stages[-1].network)
        return select_stage(stages, Criterion.of(rows, penalty))

    def debiased(self, stage: Stage) -> Network:
        """The stage's network, refitted without decay, its neurons chosen anew."""
        if stage.refitted is not None:
            return stage.refitted
        rows = counted(self.rows, stage.network)
        criterion = Criterion.of(rows, DEFAULT_PENALTY)
        return choose_neurons(
            rows,
            criterion,
            thinned(rows, criterion, stage.network),
            0,
            self.options.max_iter,
            self.generator,
        ).network

    def fitted(self, network: Network) -> FittedNetwork:
        """The network with its linear part, in the units of the data."""
        return self.rows.units.to_user(
            network.weights.numpy(),
            network.amplitudes.numpy(),
            linear_part_at(self.rows, network).numpy(),
            single_output=len(self.raw.target_shape) == 1,
        )

    def history(self, stages: Sequence[Stage]) -> dict[str, np.ndarray]:
        """What is known of the stages, one array entry a stage."""
        scale = self.rows.units.target_scale
        return {
            "lambda_": np.array([stage.lambda_ * scale for stage in stages]),
            "loss": np.array([stage.loss * scale**2 for stage in stages]),
            "objective": np.array([stage.objective * scale**2 for stage in stages]),
            "n_neurons": np.array([stage.network.n_neurons for stage in stages]),
            "certificate": np.array([stage.certificate for stage in stages]),
            "dual_gap": np.array([stage.dual_gap * scale**2 for stage in stages]),
            "n_iter": np.array([stage.n_iter for stage in stages]),
            "seconds": np.array([stage.seconds for stage in stages]),
            "masses": scale * followed_masses([stage.network for stage in stages]),
        }

    def attributes(self, stages: Sequence[Stage], kept: Stage) -> dict[str, object]:
        """Fitted attributes of the estimator that tell how the path went."""
        history = self.history(stages)
        index = stages.index(kept)
        return {
            "lambda_max_": self.lambda_max,
            "lambdas_": history["lambda_"],
            "lambda_": float(history["lambda_"][index]),
            "certificate_": float(history["certificate"][index]),
            "dual_gap_": float(history["dual_gap"][index]),
            "n_iter_": int(history["n_iter"].sum()),
            "history_": history,
        }

    def progress_line(self, stage: Stage) -> str:
        """One aligned line about a finished stage."""
        fraction = stage.lambda_ / self.start.lambda_max if stage.lambda_ else 0.0
        return (
            f"lambda/lambda_max {fraction:8.2e}  "
            f"loss {2 * stage.loss:8.2e} of variance  "
            f"neurons {stage.network.n_neurons:4d}  "
            f"certificate {stage.certificate:7.4f}  "
            f"steps {stage.n_iter:6d}  {stage.seconds:6.2f} s"
        )


def _search_sample(
    samples: list[RawPart], options: PathOptions, penalty: str | float
) -> FittedNetwork:
    """What the search finds on some of the rows, in one place."""
    problem = PathProblem.of(RawRows.local(*stacked(samples)), options)
    (stage,) = problem.search(penalty)
    return problem.fitted(stage.network)


def resolve_device(device: object) -> torch.device:
    """The torch device meant by ``device``; the CPU for None."""
    try:
        resolved = torch.device("cpu" if device is None else device)
        torch.empty(0, device=resolved)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        raise ValueError(
            "device must be None, 'cpu' or a device that torch can use here, such as "
            f"'cuda', 'cuda:1' or 'mps', got {device!r}: {error}"
        ) from error
    return resolved


@dataclass(frozen=True, eq=False)
class TwoLayerPath:
    """Networks along a schedule of weight decays.

    Parameters
    ----------
    lambda_max : float
        The least decay at which the best network has no neuron.
    lambdas : ndarray of shape (n_stages,)
        Decays.
    networks : tuple of FittedNetwork, of length n_stages
        The network of each stage, in the units of ``X`` and ``y``, with `features`,
        `feature_intercepts`, `amplitudes`, `coef`, `intercept` and `predict`.
    debiased : tuple of FittedNetwork, of length n_stages, or None
        The networks refitted without decay, if asked for.
    history : dict of str to ndarray of shape (n_stages,)
        As `history_` of :class:`RegularizedTwoLayerRegressor`.
    """

    lambda_max: float
    lambdas: np.ndarray
    networks: tuple[FittedNetwork, ...]
    debiased: tuple[FittedNetwork, ...] | None
    history: dict[str, np.ndarray]


def two_layer_path(
    X: object,
    y: object,
    *,
    sample_weight: object = None,
    schedule: object = None,
    solver: str = "auto",
    debias: bool = False,
    n_neurons: int = 100,
    hidden_bias: bool = True,
    standardize: bool = True,
    max_iter: int = 2000,
    max_time: float | None = None,
    tol: float = 1e-3,
    prune_tol: float = 1e-6,
    merge_angle: float = 0.05,
    device: object = None,
    dtype: str = "float64",
    random_state: object = None,
) -> TwoLayerPath:
    """Follow a decreasing schedule of weight decays in one warm-started pass.

    The objective and the parameters are those of
    :class:`RegularizedTwoLayerRegressor`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs; at least two rows.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, not negative; only their ratios matter.
    schedule : schedule, default=None
        Weight decay of each stage. None stands for ``GeometricSchedule()``, which ends
        at the noise level; for "gd", for ``GeometricSchedule(start=0.03, stop=2e-4)``.
    solver : {"auto", "newton", "fast", "gd"}, default="auto"
        How the objective is minimised at each stage.
    debias : bool, default=False
        Whether to refit the network of each stage without decay, too. Its neurons are
        merged and dropped as long as an information criterion falls.
    n_neurons : int, default=100
        Number of neurons at the start, at least 1.
    hidden_bias : bool, default=True
        Whether the neurons have biases.
    standardize : bool, default=True
        Whether to scale the columns of `X` to unit variance for the fit.
    max_iter : int, default=2000
        Most descent steps in one stage.
    max_time : float, default=None
        Seconds after which the path ends with the stages reached; None for no limit.
    tol : float, default=1e-3
        Tolerance of the descent.
    prune_tol : float, default=1e-6
        Neurons with at most this fraction of the largest mass are removed.
    merge_angle : float, default=0.05
        Neurons whose directions are within this angle, in radians, are made one.
    device : str, torch.device or None, default=None
        Where to compute.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the computation.
    random_state : int, RandomState instance or None, default=None
        Seeds the initial directions and the search for the certificate's peak.

    Returns
    -------
    path : TwoLayerPath
        Decays, networks and what is known of them.

    Raises
    ------
    TypeError, ValueError
        If a parameter or the data are not as documented.

    See Also
    --------
    RegularizedTwoLayerRegressor : The estimator, which keeps one stage.

    Examples
    --------
    >>> from sklearn_twolayer import StagedSchedule, two_layer_path
    >>> from sklearn_twolayer.datasets import make_two_layer_regression
    >>> X, y = make_two_layer_regression(200, 4, n_directions=2, random_state=0)
    >>> path = two_layer_path(
    ...     X, y, schedule=StagedSchedule([1.0, 0.1]), random_state=0)
    >>> [network.n_features > 0 for network in path.networks]
    [False, True]
    """
    debias = check_flag("debias", debias)
    options = check_path_options(
        schedule=schedule,
        solver=solver,
        n_neurons=n_neurons,
        hidden_bias=hidden_bias,
        standardize=standardize,
        max_iter=max_iter,
        max_time=max_time,
        tol=tol,
        prune_tol=prune_tol,
        merge_angle=merge_angle,
        device=device,
        dtype=dtype,
        random_state=random_state,
    )
    X = check_inputs(None, X)
    targets = check_targets(y, X.shape[0])
    weights = check_weights(sample_weight, X.shape[0])
    with fit_threads(X.size), time_limit(options.max_time):
        problem = PathProblem.of(RawRows.local(X, targets, weights), options)
        stages = list(problem.stages())
        networks = tuple(problem.fitted(stage.network) for stage in stages)
        if debias:
            companions = [problem.debiased(stage) for stage in stages]
            debiased = tuple(problem.fitted(network) for network in companions)
    history = problem.history(stages)
    return TwoLayerPath(
        lambda_max=problem.lambda_max,
        lambdas=history["lambda_"],
        networks=networks,
        debiased=debiased if debias else None,
        history=history,
    )
