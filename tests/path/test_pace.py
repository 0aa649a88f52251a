from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import random_problem, stage_of

from sklearn_twolayer import GeometricSchedule, StagedSchedule, two_layer_path
from sklearn_twolayer._network.noise import noise_level, with_effective_size
from sklearn_twolayer._path.pace import data_end_path, next_index
from sklearn_twolayer.datasets import make_two_layer_regression


def test_the_path_ends_at_the_noise_level_or_without_residual():
    *_, rows, network = random_problem(0, n_samples=800)
    few, network = network.take([0]), network.take([0, 1, 2, 3, 4] * 3)
    first = stage_of(network, 0.2, 0.3)
    assert not data_end_path(rows, None, first, 0.1)
    # The line through (0.2, 0.3) and (0.1, 0.25) meets zero decay at a loss of 0.2.
    second = replace(first, lambda_=0.1, loss=0.25)
    level = 0.35 * np.sqrt(2 * 0.2 * rows.n_inputs / rows.n_effective)
    assert not data_end_path(rows, first, second, level * 1.01)
    assert data_end_path(rows, first, second, level * 0.99)
    # With few neurons such a fall of the loss cannot be noise.
    assert not data_end_path(rows, first, replace(second, network=few), 1e-9)
    # A loss in proportion to the squared decay is all bias.
    assert not data_end_path(rows, first, replace(second, loss=0.075), 1e-9)
    assert data_end_path(rows, None, replace(first, loss=1e-20), 0.1)


def test_steps_grow_while_the_certificate_holds():
    *_, rows, network = random_problem(0, n_samples=800)
    lambdas = 0.5 ** np.arange(12)
    auto = SimpleNamespace(schedule=GeometricSchedule(), tol=1e-3)
    many = [0, 1, 2, 3, 4] * 3

    def stages(indices, n_neurons, **last):
        # Losses in proportion to the squared decay: the path has no reason to end.
        found = [
            stage_of(network.take(many[:n]), lambdas[i], 0.3 * lambdas[i] ** 2)
            for i, n in zip(indices, n_neurons, strict=True)
        ]
        return [*found[:-1], replace(found[-1], **last)]

    def following(*arguments, options=auto, **last):
        return next_index(rows, lambdas, stages(*arguments, **last), options)

    assert following([0], [2]) == 1
    assert following([0, 1], [2, 3]) == 2  # a neuron was born
    assert following([0, 1], [2, 2]) == 3
    assert following([0, 1], [2, 0]) == 2  # nothing to go on from
    assert following([1, 3], [2, 1]) == 7
    assert following([1, 5], [2, 2]) == 9  # no longer than four
    assert following([5, 9], [2, 2]) == 11
    assert following([5, 11], [2, 2]) is None
    assert following([0, 1], [2, 2], dual_gap=0.1) == 2  # not certified
    assert following([0, 1], [2, 2], stopped_by="max_time") is None
    # Long steps are no way past the noise level.
    noise = (0.07 - 0.25 * 0.3 * lambdas[1] ** 2) / 0.75
    counts = with_effective_size(rows, network.take(many))
    level = noise_level(counts, 2.0 * noise)
    assert lambdas[7] < level < lambdas[4]
    assert following([1, 3], [15, 15], loss=0.07) == np.sum(lambdas >= level) - 1
    written = SimpleNamespace(schedule=StagedSchedule(lambdas), tol=1e-3)
    assert following([0, 1], [2, 2], options=written) == 2


@pytest.mark.parametrize("seed", range(2))
def test_auto_ends_early_on_noise_and_late_without(seed):
    noisy, clean = (
        make_two_layer_regression(
            1000, 5, n_directions=2, noise=noise, random_state=seed
        )
        for noise in (0.5, 0.0)
    )
    schedule = GeometricSchedule(ratio=0.3)
    early = two_layer_path(*noisy, schedule=schedule, random_state=0)
    late = two_layer_path(*clean, schedule=schedule, random_state=0)
    assert 2 <= len(early.lambdas) < len(late.lambdas)
    assert early.lambdas[-1] / early.lambda_max > 0.01
    assert late.lambdas[-1] / late.lambda_max < 0.001
    assert early.history["n_neurons"][-1] < 60


def test_pure_noise_keeps_few_neurons():
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((500, 5)), generator.standard_normal(500)
    path = two_layer_path(X, y, schedule=GeometricSchedule(), random_state=0)
    assert len(path.lambdas) <= 3
