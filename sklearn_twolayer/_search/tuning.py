"""Constants of the search without a schedule, in one record that can be varied.

``benchmarks/tuning.py`` repeats the sweeps of those that decide recovery and noise.
Where a comment says *convention*, other values have not been compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_twolayer._certificate.peaks import Effort

FROM_NOTHING = Effort(n_random=200, n_nearby=0, n_refined=8, n_steps=8)
IN_SPAN = Effort(n_random=12, n_nearby=0, n_refined=6, n_steps=8)
OF_ROUNDING = Effort(n_random=8, n_nearby=0, n_refined=4, n_steps=0)


@dataclass(frozen=True)
class DescentSteps:
    """How far to descend: most steps, and the relative fall of the objective that ends.

    Gauss-Newton is used where ``n_samples * n_parameters**2`` is at most
    ``gauss_newton_cost``, and otherwise quasi-Newton, scaled by a Gauss-Newton matrix
    up to ``scaled_parameters`` parameters.
    """

    gauss_newton_cost: float
    gauss_newton: tuple[int, float]
    scaled: tuple[int, float]
    quasi_newton: tuple[int, float]
    # Above it the matrix costs more than the evaluations that it saves. Measured on
    # tables: trials of 20 scaled steps take two thirds of the time of 40 plain ones,
    # and the criterion ends lower; with Gauss-Newton steps it ends higher.
    scaled_parameters: int = 500


@dataclass(frozen=True)
class SearchTuning:
    """Constants of the search; angles in radians, masses relative to the largest."""

    # --- Bold start ---
    # Decay as a fraction of lambda_max, where the noise level is lower (convention).
    first_decay: float = 0.1
    # Quasi-Newton steps before the first test for an exact network, and after it.
    # Measured on noiseless teachers: fewer make the test fail more often.
    first_steps: int = 12
    next_steps: int = 13
    # Share of the variance left after the first steps above which the data are noisy.
    # Measured on noiseless teachers: at most 0.08.
    noisy_share: float = 0.1

    # --- Merging and pruning ---
    # Angle of the first, rough merge. Measured: 0.15 to 0.35 differ little.
    coarse_angle: float = 0.25
    # Angle of a merge that must not lose a direction 0.2 away from its neighbour.
    fine_angle: float = 0.1
    # Neurons lighter than this are dropped at once after a descent (convention).
    least_mass: float = 1e-2
    # Neurons lighter than this are tried without in noiseless refits (convention).
    light_mass: float = 5e-2

    # --- Exact networks ---
    # Decays, as fractions of lambda_max, small enough that no direction is lost, and
    # the most parameters at which Gauss-Newton is tried after each: its cost grows with
    # their square, and after the first decay many neurons may still wait for a merge.
    small_decays: tuple[tuple[float, int], ...] = ((1e-2, 600), (1e-4, 2000))
    # Quasi-Newton steps at each. Measured: 40 need more rounds, 120 take longer.
    small_decay_steps: int = 60
    # Rounds of births at small decays (convention, hardly ever reached).
    small_decay_rounds: int = 6
    # Slack of the objective for merges at small decays (convention).
    merge_slack: float = 0.02
    # Value of n_samples * n_parameters**2 up to which a Gauss-Newton refit is cheap
    # enough to try at once, and up to which it is tried where a search has ended.
    cheap_cost: float = 1e8
    last_cost: float = 2e9
    # Gauss-Newton refits with births in between. Measured on 67 data sets where they
    # are cheap: 58 need one, nine another one.
    most_refits: int = 4
    # Gauss-Newton steps before the lightest neurons are tried without, and afterwards.
    probe_steps: int = 3
    refit_steps: int = 10
    # Relative fall of the objective that ends such a refit (convention: quadratic
    # convergence lowers it by far more).
    refit_fall: float = 0.3
    # Size of a neuron's outputs less their linear fit, relative to a residual that is
    # rounding, below which the neuron is linear on the data (convention).
    linear_outputs: float = 100.0
    # Parameters of an exact network for each value that it fits, at most (convention).
    parameters_per_value: float = 0.5
    # Residual, as a share of the variance, below which the end of a search is tested
    # for an exact network nearby (convention).
    nearly_exact: float = 1e-2
    # A residual looks like noise if its peak is below this many times
    # sigma sqrt(n_inputs / n_samples). Peaks of noise are at 0.3 to 0.5 of it
    # (benchmarks/tuning.py --peaks), those of a missing neuron of unit mass far above.
    noise_peak: float = 1.0

    # --- Births ---
    # Angle between births, to living neurons, and between neurons tried as one.
    births_apart: float = 0.3
    births_from_living: float = 0.1
    pair_angle: float = 0.8
    # Births tried together (convention).
    most_births: int = 6
    # Rounds of births (convention, hardly ever reached).
    most_rounds: int = 30
    # Neurons worth less than this share of their price as they are get dropped at once;
    # true ones are worth more after the rough merge.
    cheap: float = 0.5
    # A removal that costs more prices than this was never made up for by a refit, and a
    # birth that gains less than this (in the span of the living: less) never paid.
    hopeless_removal: float = 4.0
    hopeless_birth: float = 0.55
    hopeless_birth_in_span: float = 0.1
    # Share of a neuron's price that a step of a trial must gain to go on. With many
    # rows the price is a small part of the loss: at 125,000 rows, trials that ended at
    # a relative fall of 1e-5 kept a neuron too many.
    least_gain: float = 1e-3

    # --- Restart from combinations ---
    # Random combinations of the living directions, and how many times more than of
    # noise they must explain.
    n_combined: int = 40
    more_than_noise: float = 3.0
    # Their decay as a fraction of lambda_max or of the noise level. Measured: with ten
    # times the first or all of the second, directions 0.2 apart are lost more often.
    combined_decay: float = 1e-3
    combined_noise: float = 0.3

    # --- Descents and efforts ---
    trial: DescentSteps = DescentSteps(
        2e6, gauss_newton=(6, 1e-3), scaled=(20, 1e-5), quasi_newton=(40, 1e-7)
    )
    # From where a trial ended; more steps lower no error.
    final: DescentSteps = DescentSteps(
        1e8, gauss_newton=(6, 1e-6), scaled=(60, 1e-8), quasi_newton=(150, 1e-9)
    )
    # Where no neuron lives. Measured on waves along one direction, whose peaks few
    # ascents end at: found on ten data sets of ten, with FOR_BIRTHS on nine.
    births_from_nothing: Effort = FROM_NOTHING
    births_in_span: Effort = IN_SPAN
    # A residual that is rounding has no peak worth a search.
    of_rounding: Effort = OF_ROUNDING


DEFAULT_TUNING = SearchTuning()
