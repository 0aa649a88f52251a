import numpy as np
import pytest
from conftest import random_problem, stage_of

from sklearn_twolayer._search.criterion import Criterion, select_stage


def test_selection_is_by_the_formula():
    *_, rows, network = random_problem(0, n_outputs=2)
    few, many = network.take([0, 1]), network
    stages = [stage_of(few, 0.2, 0.30), stage_of(many, 0.1, 0.29)]

    def chosen(penalty, stages=stages):
        return select_stage(stages, Criterion.of(rows, penalty))

    # Three neurons of 5 inputs and 2 outputs against a gain on 2 n values.
    penalty = 2 * rows.n_effective * np.log(30 / 29) / (3 * 6)
    assert chosen(0.99 * penalty) is stages[1]
    assert chosen(1.01 * penalty) is stages[0]
    assert chosen("bic", [*stages, stage_of(many, 0.05, 0.0)]).loss == 0.0


@pytest.mark.parametrize("penalty", ["aic", "bic", 3.5])
def test_prices_are_differences_of_the_criterion(penalty):
    *_, rows, _ = random_problem(0, n_outputs=2)
    criterion = Criterion.of(rows, penalty)
    rise = criterion.value(0.15, 3) - criterion.value(0.1, 3)
    one_neuron = criterion.value(0.1, 4) - criterion.value(0.1, 3)
    np.testing.assert_allclose(criterion.prices(0.2, 0.1), rise / one_neuron)
    assert criterion.prices(0.0, 0.1) == criterion.prices(-1e-20, 0.1) == np.inf
