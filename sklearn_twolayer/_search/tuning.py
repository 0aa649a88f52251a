"""Constants of the search without a schedule, in one record that can be varied.

``benchmarks/tuning.py`` repeats the sweeps of the constants on which exact recovery and
errors under noise depend most. Where a comment says *convention*, no other values have
been compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_twolayer._certificate.peaks import Effort

# Efforts of the searches for peaks, explained at ``births_from_nothing``,
# ``births_in_span`` and ``of_rounding`` below.
FROM_NOTHING = Effort(
    n_random=200, n_nearby=0, n_refined=64, n_steps=30, in_single=True,
    n_hyperplanes=1000,
)  # fmt: skip
IN_SPAN = Effort(n_random=12, n_nearby=0, n_refined=6, n_steps=8)
OF_ROUNDING = Effort(n_random=8, n_nearby=0, n_refined=4, n_steps=0)


@dataclass(frozen=True)
class DescentSteps:
    """Methods of a descent; for each, the most steps and the tolerance.

    A descent ends when the relative fall of the objective is below the tolerance.
    Gauss-Newton is used if ``n_samples * n_parameters**2`` is at most
    ``gauss_newton_cost``, otherwise quasi-Newton, which is scaled by a Gauss-Newton
    matrix if there are at most ``scaled_parameters`` parameters.
    """

    gauss_newton_cost: float
    gauss_newton: tuple[int, float]
    scaled: tuple[int, float]
    quasi_newton: tuple[int, float]
    # With more parameters the matrix costs more than the evaluations that it saves.
    # Measured on real tables: trials of 20 scaled steps take two thirds of the time of
    # 40 plain ones, and the final criterion is lower; with Gauss-Newton steps it is
    # higher.
    scaled_parameters: int = 500


@dataclass(frozen=True)
class SearchTuning:
    """Constants of the search; angles in radians, masses relative to the largest."""

    # --- Bold start ---
    # First decay as a fraction of lambda_max, if the noise level is lower than that
    # (convention).
    first_decay: float = 0.1
    # Quasi-Newton steps before the first test for an exact network, and after it.
    # Measured on noiseless teachers: with fewer steps the test fails more often.
    first_steps: int = 12
    next_steps: int = 13
    # The data count as noisy if more than this share of the variance is unexplained
    # after the first steps. Measured on noiseless teachers: it is at most 0.08.
    noisy_share: float = 0.1

    # --- Merging and pruning ---
    # Angle of the first, rough merge. Measured: values from 0.15 to 0.35 differ little.
    coarse_angle: float = 0.25
    # Angle of a fine merge: two true directions 0.2 apart must stay separate
    # (convention).
    fine_angle: float = 0.1
    # Neurons lighter than this are dropped after a descent, without a test
    # (convention).
    least_mass: float = 1e-2
    # Noiseless refits are repeated without the neurons lighter than this (convention).
    light_mass: float = 5e-2

    # --- Exact networks ---
    # Pairs of a decay, as a fraction of lambda_max, and of the most parameters with
    # which Gauss-Newton is tried after it. The decays are so small that no direction is
    # lost. The first limit is lower because the second decay may allow more merges, and
    # the cost of Gauss-Newton grows with the square of the parameters (convention).
    small_decays: tuple[tuple[float, int], ...] = ((1e-2, 600), (1e-4, 2000))
    # Quasi-Newton steps at each of these decays. Measured: 40 need more rounds, 120
    # take longer.
    small_decay_steps: int = 60
    # Most rounds of births at small decays (convention, hardly ever reached).
    small_decay_rounds: int = 6
    # Relative rise of the objective that merges at small decays may cause (convention).
    merge_slack: float = 0.02
    # A Gauss-Newton refit is tried at the start of a search if n_samples *
    # n_parameters**2 is at most cheap_cost, and at its end if it is at most last_cost
    # (convention).
    cheap_cost: float = 1e8
    last_cost: float = 2e9
    # Most Gauss-Newton refits, with births in between. Measured on 67 data sets where
    # refits are cheap: 58 need one refit, nine need two.
    most_refits: int = 4
    # Most Gauss-Newton steps before the first refit without the lightest neurons, and
    # most steps of the refits after it (convention).
    probe_steps: int = 3
    refit_steps: int = 10
    # A refit ends when the relative fall of the objective is below this (convention; as
    # long as convergence is quadratic, the fall is far larger).
    refit_fall: float = 0.3
    # A neuron counts as linear on the data if the root mean square of its outputs less
    # their linear fit is below this multiple of the rounding error of the residual
    # (convention).
    linear_outputs: float = 100.0
    # If the residual at the end of a search is below this share of the variance, an
    # exact network is looked for nearby (convention).
    nearly_exact: float = 1e-2
    # A residual looks like noise if its peak is below this multiple of
    # sigma sqrt(n_inputs / n_samples). Measured: the mean peak of noise is at most 0.45
    # times that (benchmarks/tuning.py --peaks); the peak of a missing neuron is far
    # higher.
    noise_peak: float = 1.0

    # --- Births ---
    # Least angle between two births, least angle between a birth and a living neuron,
    # and largest angle between two neurons that are tried as one (convention).
    births_apart: float = 0.3
    births_from_living: float = 0.1
    pair_angle: float = 0.8
    # Most births that are tried together (convention).
    most_births: int = 6
    # Most rounds of births (convention, hardly ever reached).
    most_rounds: int = 30
    # Neurons that are worth less than this share of their price before a refit are
    # dropped. After the rough merge, true neurons are worth more than this.
    cheap: float = 0.5
    # Measured: if a removal cost more than hopeless_removal prices before the refit, or
    # a birth gained less than hopeless_birth prices (for births in the span of the
    # living directions: hopeless_birth_in_span), the refit never lowered the criterion.
    hopeless_removal: float = 4.0
    hopeless_birth: float = 0.55
    hopeless_birth_in_span: float = 0.1
    # A trial goes on while a step gains at least this share of a neuron's price. With
    # many rows the price is a small part of the loss: measured at 125,000 rows, trials
    # that ended at a relative fall of 1e-5 kept one neuron too many.
    least_gain: float = 1e-3

    # --- Restart from combinations ---
    # Number of random combinations of the living directions. They must explain
    # more_than_noise times as much of the residual as they would of noise (convention).
    n_combined: int = 40
    more_than_noise: float = 3.0
    # Decay of the descent from them: a fraction of lambda_max or of the noise level,
    # whichever is larger. Measured: with ten times the first fraction, or with a second
    # one of 1, directions 0.2 apart are lost more often.
    combined_decay: float = 1e-3
    combined_noise: float = 0.3

    # --- Descents and efforts ---
    # Descent of a trial in the choice of neurons; measured as told above, at
    # scaled_parameters.
    trial: DescentSteps = DescentSteps(
        2e6, gauss_newton=(6, 1e-3), scaled=(20, 1e-5), quasi_newton=(40, 1e-7)
    )
    # Descent of the final network, from the end of a trial. Measured: more steps do not
    # lower the error.
    final: DescentSteps = DescentSteps(
        1e8, gauss_newton=(6, 1e-6), scaled=(60, 1e-8), quasi_newton=(150, 1e-9)
    )
    # Search for births in a network without neurons. Measured on fast waves along one
    # of ten directions, whose peaks few ascents reach (benchmarks/starts.py): 39 data
    # sets of 40 are found. With 300 hyperplanes and fewer steps 36 are, with early
    # features alone 26. On linear data it takes as long as the rest of the fit.
    births_from_nothing: Effort = FROM_NOTHING
    # Search for births in the span of the living directions (convention).
    births_in_span: Effort = IN_SPAN
    # Certificate of an exact network: a residual of rounding errors has no peaks that
    # are worth a longer search (convention).
    of_rounding: Effort = OF_ROUNDING


DEFAULT_TUNING = SearchTuning()
