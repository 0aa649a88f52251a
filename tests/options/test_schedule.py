import numpy as np
import pytest
from sklearn.base import clone

from sklearn_twolayer import (
    ConstantSchedule,
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
)
from sklearn_twolayer.datasets import make_two_layer_regression


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 0.99])
def test_geometric_stages_fall_by_the_ratio_to_the_stop(ratio):
    stages = GeometricSchedule(ratio=ratio, start=0.5, stop=0.01).stages(4.0)
    assert stages[0] == 2.0
    np.testing.assert_allclose(stages[1:] / stages[:-1], ratio)
    assert stages[-1] >= 0.04 * (1 - 1e-9)
    assert stages[-1] * ratio < 0.04


def test_geometric_stop_is_reached_in_spite_of_rounding():
    for power in range(1, 12):
        stages = GeometricSchedule(ratio=0.1, start=1.0, stop=0.1**power).stages(1.0)
        assert len(stages) == power + 1


def test_geometric_number_of_stages_is_a_limit():
    assert len(GeometricSchedule(n_stages=3).stages(1.0)) == 3
    assert len(GeometricSchedule(start=1.0, stop=1.0, n_stages=3).stages(1.0)) == 1


def test_staged_and_constant():
    np.testing.assert_allclose(StagedSchedule([0.5, 0.1]).stages(2.0), [1.0, 0.2])
    staged = StagedSchedule([0.5, 0.5, 0], relative=False)
    np.testing.assert_allclose(staged.stages(2.0), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(ConstantSchedule(0.0).stages(2.0), [0.0])
    np.testing.assert_allclose(ConstantSchedule(3, relative=False).stages(2.0), [3.0])


def test_geometric_schedule_is_adaptive_by_default():
    assert GeometricSchedule().is_adaptive
    assert not GeometricSchedule(stop=0.1).is_adaptive
    stages = GeometricSchedule().stages(2.0)
    assert stages[0] == 1.0
    assert 2e-4 <= stages[-1] < 4e-4
    np.testing.assert_allclose(GeometricSchedule(start=1e-5).stages(2.0), [2e-5])


@pytest.mark.parametrize(
    ("schedule", "error", "name"),
    [
        (GeometricSchedule(ratio=1.0), ValueError, "GeometricSchedule.ratio"),
        (GeometricSchedule(ratio=0.0), ValueError, "GeometricSchedule.ratio"),
        (GeometricSchedule(ratio="a"), TypeError, "GeometricSchedule.ratio"),
        (GeometricSchedule(ratio=np.nan), ValueError, "GeometricSchedule.ratio"),
        (GeometricSchedule(start=-1.0), ValueError, "GeometricSchedule.start"),
        (GeometricSchedule(start=np.inf), ValueError, "GeometricSchedule.start"),
        (GeometricSchedule(start=0.1, stop=0.2), ValueError, "GeometricSchedule.stop"),
        (GeometricSchedule(stop="now"), ValueError, "GeometricSchedule.stop"),
        (GeometricSchedule(stop=0.0), ValueError, "GeometricSchedule.stop"),
        (GeometricSchedule(n_stages=0), ValueError, "GeometricSchedule.n_stages"),
        (GeometricSchedule(n_stages=2.5), TypeError, "GeometricSchedule.n_stages"),
        (GeometricSchedule(start=1e308), ValueError, "GeometricSchedule.start"),
        (GeometricSchedule(start=5e-324), ValueError, "GeometricSchedule.start"),
        (GeometricSchedule(start=10**400), ValueError, "GeometricSchedule.start"),
        (GeometricSchedule(stop=5e-324), ValueError, "GeometricSchedule.stop"),
        (GeometricSchedule(ratio=1 - 1e-12), ValueError, "GeometricSchedule.ratio"),
        (StagedSchedule([1e308, 0.1]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([0.1, 5e-324]), ValueError, "StagedSchedule.lambdas"),
        (ConstantSchedule(1e308), ValueError, "ConstantSchedule.value"),
        (StagedSchedule([0.1, 0.2]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([0.1, -0.2]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([[0.1]]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([np.nan]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule(["a"]), ValueError, "StagedSchedule.lambdas"),
        (StagedSchedule([0.1], relative=1), TypeError, "StagedSchedule.relative"),
        (ConstantSchedule(-0.1), ValueError, "ConstantSchedule.value"),
        (ConstantSchedule(None), TypeError, "ConstantSchedule.value"),
        (ConstantSchedule(0.1, relative="no"), TypeError, "ConstantSchedule.relative"),
    ],
)
def test_errors_name_the_parameter(schedule, error, name):
    with pytest.raises(error, match=name.replace(".", r"\.")):
        schedule.stages(1.0)


def test_clone_and_set_params():
    schedule = clone(GeometricSchedule(ratio=0.3)).set_params(stop=0.01)
    assert schedule.get_params() == {
        "ratio": 0.3,
        "start": 0.5,
        "stop": 0.01,
        "n_stages": None,
    }
    assert clone(StagedSchedule([0.2, 0.1])).lambdas == [0.2, 0.1]


def test_limits_of_decays():
    """At the limits there is no overflow, and few stages of a slow fall are taken."""
    ends = GeometricSchedule(start=1e150, stop=1e-150, ratio=0.1).stages(2.0)
    assert (len(ends), ends[0]) == (301, 2e150)
    np.testing.assert_allclose(ends[-1], 2e-150)
    slow = GeometricSchedule(ratio=1.0 - 1e-12, n_stages=3).stages(1.0)
    np.testing.assert_allclose(slow, 0.5)


@pytest.mark.slow
def test_hundreds_of_stages():
    X, y = make_two_layer_regression(60, 3, n_directions=1, noise=0.1, random_state=0)
    schedule = GeometricSchedule(start=0.9, ratio=0.99, stop=0.9 * 0.99**499)
    model = RegularizedTwoLayerRegressor(
        schedule=schedule, solver="fast", random_state=0
    ).fit(X, y)
    assert len(model.lambdas_) == 500
    assert (np.diff(model.history_["objective"]) <= 1e-9).all()
    assert np.isfinite(model.predict(X)).all()
