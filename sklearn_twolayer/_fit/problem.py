"""From validated arrays to a path and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sklearn_twolayer._checks.parameters import check_decays
from sklearn_twolayer._descent import newton_descent, refine
from sklearn_twolayer._fit.checkpoint import continued, read_checkpoint
from sklearn_twolayer._fit.report import followed_masses
from sklearn_twolayer._network.network import Network, weighted_mean
from sklearn_twolayer._network.noise import counted
from sklearn_twolayer._network.objective import linear_part_at, residual_at
from sklearn_twolayer._options.path_options import PathOptions
from sklearn_twolayer._path.path import follow_path, start_path
from sklearn_twolayer._path.stage import PathStart, Stage, finish_stage
from sklearn_twolayer._rows.raw import RawPart, RawRows, n_columns, sampled, stacked
from sklearn_twolayer._rows.rows import Rows
from sklearn_twolayer._rows.units import FittedNetwork
from sklearn_twolayer._runtime.memory import check_memory
from sklearn_twolayer._search.bold_start import NOISY, BoldStart, bold_start
from sklearn_twolayer._search.choose_neurons import (
    FINAL,
    choose_neurons,
    descended,
    thinned,
)
from sklearn_twolayer._search.criterion import DEFAULT_PENALTY, Criterion, select_stage
from sklearn_twolayer._search.search import Found, found_stage, search

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
        if options.checkpoint is not None and options.any_seed:
            saved = read_checkpoint(options.checkpoint)
            if saved is not None:
                options = replace(options, seed=int(saved.settings["seed"]))
        n_features, n_outputs = raw.parts.gather(n_columns)[0]
        n_neurons = options.n_neurons
        if options.solver != "gd":  # which add neurons where they are missing
            n_inputs = n_features + options.hidden_bias
            n_neurons = min(n_neurons, max(FEW_NEURONS, n_inputs))
        check_memory(n_features, n_outputs, n_neurons)
        rows = Rows.from_parts(
            raw.parts,
            standardize=options.standardize,
            hidden_bias=options.hidden_bias,
            device=resolve_device(options.device),
            dtype=getattr(torch, options.dtype),
        )
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        start = start_path(rows, n_neurons, generator)
        scale = rows.units.target_scale
        lambdas = check_decays(options.schedule.stages(start.lambda_max * scale))
        return cls(raw, rows, start, lambdas / scale, options, generator)

    @property
    def lambda_max(self) -> float:
        return self.start.lambda_max * self.rows.units.target_scale

    def stages(self, initial: FittedNetwork | None = None) -> Iterator[Stage]:
        """Run the path, from an earlier network if one is given."""
        network = self._network(initial)
        schedule = self.options.schedule
        return self._saved(self._stages, network, schedule, None)

    def _stages(
        self, initial: Network | None, finished: Sequence[Stage]
    ) -> Iterator[Stage]:
        return follow_path(
            self.rows,
            self.start,
            self.lambdas,
            self.options,
            self.generator,
            initial,
            finished,
        )

    def _saved(
        self,
        run: Callable[[Network | None, Sequence[Stage]], Iterator[Stage]],
        initial: Network | None,
        schedule: object,
        penalty: str | float | None,
    ) -> Iterator[Stage]:
        """The stages of a checkpoint, then those that are run, each written there."""
        path = self.options.checkpoint
        if path is None:
            yield from run(initial, [])
            return
        settings = self.options.settings(schedule, penalty)
        checkpoint = continued(path, settings, self._told_apart(initial))
        yield from checkpoint.stages
        if checkpoint.stages and checkpoint.stages[-1].is_last:
            return
        checkpoint.restore(self.generator)
        for stage in run(initial, checkpoint.stages):
            if stage.stopped_by != "max_time":  # with more time it would go on
                checkpoint = checkpoint.with_stage(stage, self.generator)
                checkpoint.write(path)
            yield stage

    def _told_apart(self, initial: Network | None) -> list[np.ndarray]:
        """Numbers that differ for other data, other decays or another start."""
        units = self.rows.units
        return [
            units.shift / units.scale,
            np.log(units.scale),
            units.target_mean / units.target_scale,
            np.log([units.target_scale]),
            [self.rows.n_samples, self.start.lambda_max],
            self.lambdas,
            [] if initial is None else initial.parameters.numpy(),
        ]

    def search(
        self, penalty: str | float, initial: FittedNetwork | None = None
    ) -> Iterator[Stage]:
        """The one stage that an information criterion chooses, without a schedule."""

        def run(network: Network | None, _: Sequence[Stage]) -> Iterator[Stage]:
            began = time.perf_counter()
            begin = self.begin_search(penalty) if network is None else network
            stage = self.found_stage(self.search_from(begin, penalty), began)
            yield replace(stage, is_last=True)

        return self._saved(run, self._network(initial), None, penalty)

    def begin_search(self, penalty: str | float) -> Network | BoldStart:
        """Where searches begin: a bold start, or what is found on a sample.

        Of many rows, a sample begins: what is left for all of them is little.
        """
        found = self._found_on_sample(penalty) if self.begins_on_sample else None
        return found or bold_start(self.rows, self.start, self.generator)

    def search_from(
        self,
        begin: Network | BoldStart,
        penalty: str | float,
        *,
        removals: bool = True,
        births: bool = True,
    ) -> Found:
        """What the criterion chooses from there; not certified."""
        return search(
            self.rows,
            self.start,
            penalty,
            self.options.max_iter,
            self.generator,
            begin,
            removals=removals,
            births=births,
        )

    def searches(self, penalty: float, fractions: Sequence[float]) -> list[Found]:
        """What it chooses at fractions of a penalty, the first of which is one.

        Births, which cost most, are tried again where they helped the first search, and
        then from the network before, whose neurons are worth a lower price all the
        more. Otherwise neurons are dropped from the same beginning. Only where much
        noise is left are there more than two: averaging is against noise.
        """
        begin = self.begin_search(penalty)
        found = [self.search_from(begin, penalty)]
        is_noisy = residual_at(self.rows, found[0].network).squares > NOISY
        births = found[0].has_grown
        if isinstance(begin, BoldStart):
            begin = replace(begin, n_iter=0)  # the first search counts them
        for fraction in fractions[1:] if is_noisy else fractions[1:2]:
            found.append(
                self.search_from(
                    found[-1].network if births else begin,
                    fraction * penalty,
                    removals=not births,
                    births=births,
                )
            )
        return found

    def found_stage(self, found: Found, began: float) -> Stage:
        """What was found, certified; the search ``began`` at that time."""
        return found_stage(self.rows, found, began, self.generator)

    @property
    def begins_on_sample(self) -> bool:
        """Whether there are so many rows that a search begins on some of them."""
        return self._sampled_share <= LARGEST_SHARE

    @property
    def _sampled_share(self) -> float:
        n_sampled = max(SAMPLED_ROWS, SAMPLED_PER_INPUT * self.rows.n_inputs)
        return n_sampled / self.rows.n_samples

    def _found_on_sample(self, penalty: str | float) -> Network | None:
        parts, seed = self.raw.parts, self.options.seed
        samples = parts.keep(sampled, self._sampled_share, seed)
        options = replace(self.options, checkpoint=None)
        return self._network(parts.joined(_search_sample, samples, options, penalty))

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
        chosen = choose_neurons(
            rows,
            criterion,
            thinned(rows, criterion, stage.network),
            0,
            self.options.max_iter,
            self.generator,
        )
        network, _ = descended(rows, chosen.network, 0.0, FINAL)
        return network

    def averaged(self, fitted: Sequence[FittedNetwork]) -> Network:
        """The mean of networks, wherever they were fitted."""
        empty = Network.empty(self.rows)
        networks = [self._network(one) or empty for one in fitted]
        return weighted_mean(networks, [1.0 / len(networks)] * len(networks))

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
        torch.zeros(1, device=resolved).cpu()
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        raise ValueError(
            "device must be None, 'cpu' or a device that torch can use here, such as "
            f"'cuda', 'cuda:1' or 'mps', got {device!r}: {error}"
        ) from error
    return resolved
