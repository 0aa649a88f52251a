"""The networks of all stages, with any loss: those of the estimators."""

import numpy as np
import pytest
from scipy import sparse

from sklearn_twolayer import (
    RegularizedTwoLayerClassifier,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.exceptions import SeparableWarning

X, SIGNAL = make_two_layer_regression(200, 3, n_directions=2, random_state=0)
SIGNAL = 2.0 * (SIGNAL - SIGNAL.mean()) / SIGNAL.std()
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.logistic(size=200)
WEIGHTS = RANDOM.uniform(0.5, 2.0, 200)
DECAYS = [1.2, 0.7, 0.5]
TARGETS = {
    "squared_error": SIGNAL + NOISE,
    "huber": SIGNAL + np.where(RANDOM.random(200) < 0.05, 10.0, 0.2) * NOISE,
    "poisson": RANDOM.poisson(np.exp(0.7 * SIGNAL)),
    "two": np.where(3.0 * SIGNAL + NOISE > 0.0, "yes", "no"),
    "three": np.digitize(3.0 * SIGNAL + NOISE, [-3.0, 3.0]),
}
KINDS = pytest.mark.parametrize("kind", list(TARGETS))


def path_of(kind, decays=DECAYS, X=X, **parameters):
    loss = "log_loss" if kind in ("two", "three") else kind
    defaults = {"tol": 1e-2, "random_state": 0, "sample_weight": WEIGHTS}
    schedule = StagedSchedule(decays)
    return two_layer_path(
        X, TARGETS[kind], schedule=schedule, loss=loss, **{**defaults, **parameters}
    )


def model_of(kind, decays=DECAYS):
    parameters = {
        "schedule": StagedSchedule(decays), "tol": 1e-2, "random_state": 0,
    }  # fmt: skip
    if kind in ("two", "three"):
        model = RegularizedTwoLayerClassifier(**parameters)
    else:
        model = RegularizedTwoLayerRegressor(loss=kind, **parameters)
    return model.fit(X, TARGETS[kind], WEIGHTS)


@KINDS
def test_stages_are_those_of_the_estimators(kind):
    path = path_of(kind)
    for n_stages in (1, 3):
        model, network = model_of(kind, DECAYS[:n_stages]), path.networks[n_stages - 1]
        for name in ("features", "amplitudes", "linear_coef", "linear_intercept"):
            np.testing.assert_allclose(
                getattr(network, name), getattr(model, f"{name}_"), rtol=0, atol=1e-9
            )
    for name, values in model.history_.items():
        if name != "seconds":
            np.testing.assert_allclose(path.history[name], values, rtol=1e-9)
    assert path.lambda_max == pytest.approx(model.lambda_max_, rel=1e-9)
    assert [network.n_features > 0 for network in path.networks] == [False, True, True]
    assert path.debiased is None
    outputs = path.networks[-1].predict(X)
    if kind in ("two", "three"):
        np.testing.assert_array_equal(path.classes, model.classes_)
        expected = model.decision_function(X)
    else:
        assert path.classes is None
        expected = model.predict_link(X)
    np.testing.assert_allclose(outputs, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["huber", "three"])
def test_paths_with_a_loss_have_checkpoints_and_take_sparse_inputs(tmp_path, kind):
    first = path_of(kind, [1.2, 0.7], checkpoint=tmp_path / "path.npz")
    again = path_of(kind, [1.2, 0.7], checkpoint=tmp_path / "path.npz")
    np.testing.assert_array_equal(first.history["seconds"], again.history["seconds"])
    for network, same in zip(first.networks, again.networks, strict=True):
        np.testing.assert_array_equal(network.amplitudes, same.amplitudes)
    of_sparse = path_of(kind, [1.2, 0.7], X=sparse.csr_array(X))
    assert of_sparse.lambda_max == pytest.approx(first.lambda_max, rel=1e-6)
    # Rounding leads to another network within the tolerance of the gap.
    np.testing.assert_allclose(
        of_sparse.history["objective"], first.history["objective"], rtol=1e-2
    )


def test_what_a_loss_cannot_be_followed_with_is_refused():
    y = TARGETS["poisson"]
    with pytest.raises(ValueError, match=r"loss must be one of .*'log_loss'.*'l1'"):
        two_layer_path(X, y, loss="l1")
    for name, value in [("solver", "fast"), ("debias", True)]:
        with pytest.raises(ValueError, match=rf"{name} must be one of .*'log_loss'"):
            two_layer_path(X, y, loss="log_loss", **{name: value})
    with pytest.raises(ValueError, match=r"y must have one target with loss='huber'"):
        two_layer_path(X, np.column_stack([y, y]), loss="huber")
    with pytest.raises(ValueError, match="y must not be negative"):
        two_layer_path(X, y - 1.0, loss="poisson")
    with pytest.raises(ValueError, match="at least two classes"):
        two_layer_path(X, np.zeros(200), loss="log_loss")
    with pytest.raises(ValueError, match="Each class needs rows of positive weight"):
        two_layer_path(X, y > 0, loss="log_loss", sample_weight=(y > 0).astype(float))


def test_separable_classes_are_warned_of():
    y = X[:, 0] > 0.0
    with pytest.warns(SeparableWarning, match="linear function separates") as told:
        two_layer_path(X, y, loss="log_loss", schedule=StagedSchedule([1.2]))
    assert told[0].filename == __file__
