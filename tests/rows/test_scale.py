"""Large, sparse and single-precision data: whole fits against plain ones."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.overrides import TorchFunctionMode

from sklearn_twolayer import (
    ConstantSchedule,
    RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV,
    two_layer_path,
)
from sklearn_twolayer._fit import searches
from sklearn_twolayer._rows import blocks, standardize
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.metrics import match_directions

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ATTRIBUTES = [
    "features_",
    "feature_intercepts_",
    "amplitudes_",
    "linear_coef_",
    "linear_intercept_",
]


def same_model(model, expected, atol):
    for name in ATTRIBUTES:
        np.testing.assert_allclose(
            getattr(model, name), getattr(expected, name), rtol=0, atol=atol
        )


def sparse_problem(rng, n_samples=600, noise=0.1):
    X = rng.standard_normal((n_samples, 5)) * (rng.uniform(size=(n_samples, 5)) < 0.4)
    signal = np.maximum(X @ [1.0, 1.0, 0.0, 0.0, 0.0], 0) - np.abs(X[:, 2])
    return X, signal + noise * rng.standard_normal(n_samples)


@pytest.mark.parametrize("entries", [1, 100, 10**9])
@pytest.mark.parametrize("noise", [0.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_blocks_of_any_size_give_the_same_fit(monkeypatch, entries, noise):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, noise=noise, random_state=0
    )
    model = RegularizedTwoLayerRegressor(random_state=0)
    expected = [getattr(model.fit(X, y), name) for name in ATTRIBUTES]
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", entries)
    monkeypatch.setattr(standardize, "KEPT_ENTRIES", 0)
    model.fit(X, y)
    for name, value in zip(ATTRIBUTES, expected, strict=True):
        np.testing.assert_allclose(getattr(model, name), value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_blocks_of_any_size_give_the_same_prediction(monkeypatch, n_outputs):
    X, y = make_two_layer_regression(
        200, 4, n_directions=2, n_targets=n_outputs, random_state=0
    )
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    expected = model.predict(X), model.transform(X)
    for entries in (1, 100, 10**9):
        monkeypatch.setattr(blocks, "BLOCK_ENTRIES", entries)
        np.testing.assert_allclose(model.predict(X), expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(model.transform(X), expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize(
    "kind", [sparse.csr_array, sparse.csc_array, sparse.coo_matrix]
)
def test_sparse_fits_are_the_dense_ones(kind, hidden_bias, seed):
    X, y = sparse_problem(np.random.default_rng(seed))
    model = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    expected = model.fit(X, y)
    predicted = expected.predict(X)
    model = RegularizedTwoLayerRegressor(**model.get_params(deep=False))
    model.fit(kind(X), y)
    np.testing.assert_allclose(model.predict(kind(X)), predicted, atol=1e-8)
    np.testing.assert_allclose(
        model.transform(kind(X)), expected.transform(X), atol=1e-8
    )
    same_model(model, expected, atol=1e-8)


@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
def test_sparse_stages_end_as_near_to_the_optimum(rng, kind, hidden_bias):
    # Hundreds of steps that a rounding can part: equal as far as the gap says.
    X, y = sparse_problem(rng, n_samples=250)
    tol = 1e-4
    parameters = {"hidden_bias": hidden_bias, "tol": tol, "random_state": 0}
    model = RegularizedTwoLayerRegressor(schedule=ConstantSchedule(0.1), **parameters)
    objective = model.fit(X, y).history_["objective"][-1]
    predicted = model.predict(X)
    model.fit(kind(X), y)
    np.testing.assert_allclose(model.history_["objective"][-1], objective, rtol=tol)
    # The loss is strongly convex in the predictions, see theory eq. (7).
    distance = np.sqrt(np.mean((model.predict(kind(X)) - predicted) ** 2))
    assert distance <= 2.0 * np.sqrt(2.0 * tol * objective)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_sparse_fits_far_from_zero_are_the_dense_ones(kind, seed):
    X, y = make_two_layer_regression(
        300, 4, n_directions=2, noise=0.1, random_state=seed
    )
    X = (np.rint(1e3 * X) + (1e6 if kind is np.float32 else 1e10)).astype(kind)
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(sparse.csr_array(X), y)
    assert model.lambda_max_ == pytest.approx(expected.lambda_max_, rel=1e-9)
    assert len(model.features_) == len(expected.features_) > 0
    np.testing.assert_allclose(
        model.predict(sparse.csr_array(X)), expected.predict(X), atol=1e-4
    )


def test_sparse_cross_validation_is_the_dense_one(rng):
    X, y = sparse_problem(rng, 200)
    arguments = {"lambdas": [1.0, 0.3, 0.1], "cv": 2, "random_state": 0}
    expected = RegularizedTwoLayerRegressorCV(**arguments).fit(X, y)
    model = RegularizedTwoLayerRegressorCV(**arguments).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(model.mse_path_, expected.mse_path_, rtol=1e-8)
    same_model(model, expected, atol=1e-8)


def test_no_more_than_a_block_of_sparse_inputs_is_ever_dense(monkeypatch, rng):
    X, y = sparse_problem(rng)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 1000)
    largest = 0
    toarray = sparse.csr_array.toarray

    def recorded(self, *args, **kwargs):
        nonlocal largest
        largest = max(largest, np.prod(self.shape))
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", recorded)
    monkeypatch.setattr(sparse.csr_array, "todense", None)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(sparse.csr_array(X), y)
    model.predict(sparse.csr_array(X))
    assert 0 < largest <= 1000 < X.size


@pytest.mark.parametrize("seed", range(3))
def test_float32_fits_noisy_data_as_well_as_float64(seed):
    X, y = make_two_layer_regression(
        1000, 6, n_directions=3, noise=0.2, random_state=seed
    )
    losses = []
    for dtype in ("float64", "float32"):
        model = RegularizedTwoLayerRegressor(dtype=dtype, random_state=0).fit(X, y)
        assert len(model.features_) == 3
        assert model.features_.dtype == np.float64
        losses.append(np.mean((y - model.predict(X)) ** 2))
    # They may end in different minima between the kinks, all within the noise.
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_float32_recovers_a_noiseless_teacher(seed):
    X, y, teacher = make_two_layer_regression(
        1000, 6, n_directions=3, return_teacher=True, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(dtype="float32", random_state=0).fit(X, y)
    match = match_directions(model.features_, teacher.directions)
    assert len(model.features_) == 3
    assert match.angles.max() <= 1e-4


def test_memory_maps_and_memory_give_the_same_fit(monkeypatch, tmp_path):
    X, y = make_two_layer_regression(300, 4, n_directions=2, noise=0.3, random_state=0)
    np.save(tmp_path / "X.npy", X)
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    monkeypatch.setattr(standardize, "KEPT_MAPPED_ENTRIES", 0)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = RegularizedTwoLayerRegressor(random_state=0).fit(mapped, y)
    same_model(model, expected, atol=1e-10)
    np.testing.assert_array_equal(model.predict(mapped), model.predict(X))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_sample_begins_and_all_rows_decide(monkeypatch, noise):
    X, y, teacher = make_two_layer_regression(
        4000, 4, n_directions=2, noise=noise, return_teacher=True, random_state=0
    )
    expected = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    monkeypatch.setattr(searches, "SAMPLED_ROWS", 500)
    model = RegularizedTwoLayerRegressor(random_state=0).fit(X, y)
    match = match_directions(model.features_, expected.features_)
    assert len(model.features_) == len(expected.features_) == len(teacher.directions)
    # Noisy objectives are rough at the scale of single rows. The data say 2e-2 at best.
    assert match.angles.max() <= (1e-2 if noise else 1e-12)
    errors = [np.mean((fit.predict(X) - y) ** 2) for fit in (model, expected)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4, abs=1e-20)
    assert model.certificate_ == pytest.approx(expected.certificate_, rel=0.5, abs=1e-9)


class NamedDevices(TorchFunctionMode):
    """Refuses to create a tensor without being told where."""

    FACTORIES = frozenset(
        getattr(torch, name)
        for name in [
            *("arange", "as_tensor", "empty", "empty_strided", "eye", "full"),
            *("linspace", "logspace", "normal", "ones", "rand", "randint", "randn"),
            *("randperm", "scalar_tensor", "tensor", "zeros"),
        ]
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.FACTORIES and kwargs.get("device") is None:
            raise AssertionError(f"{function.__name__} without a device")
        return function(*args, **kwargs)


def test_the_guard_against_default_devices_guards():
    with pytest.raises(AssertionError, match="zeros"), NamedDevices():
        torch.zeros(3)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("solver", ["auto", "fast", "gd"])
@pytest.mark.parametrize("schedule", [None, ConstantSchedule(0.2)])
def test_no_tensor_is_created_on_a_default_device(n_outputs, solver, schedule):
    if solver == "gd" and schedule is None:
        pytest.skip("thousands of steps of the same kind")
    X, y = make_two_layer_regression(
        100, 3, n_directions=2, n_targets=n_outputs, noise=0.1, random_state=0
    )
    with NamedDevices():
        RegularizedTwoLayerRegressor(
            n_neurons=8, max_iter=30, solver=solver, schedule=schedule, random_state=0,
            device="cpu",
        ).fit(X, y)  # fmt: skip
        two_layer_path(X, y, schedule=ConstantSchedule(0.2), debias=True, max_iter=20)


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("hidden_bias", [True, False])
@pytest.mark.parametrize(
    "scales", [[100, 1, 1, 1], [1e8, 1, 1, 1], [1, 1, 0.01, 1], [1e3, 1e-3, 1, 10]]
)
def test_scales_of_columns_hide_no_features_without_standardising(
    scales, hidden_bias, seed
):
    X, y, teacher = make_two_layer_regression(
        400, 4, n_directions=2, return_teacher=True, random_state=seed
    )
    model = RegularizedTwoLayerRegressor(
        standardize=False, hidden_bias=hidden_bias, random_state=0
    )
    model.fit(X * scales, y)
    directions = model.features_ * scales
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert match_directions(directions, teacher.directions).angles.max() < 1e-6

    noise = 0.1 * y.std() * np.random.default_rng(seed).standard_normal(400)
    scaled = RegularizedTwoLayerRegressor(hidden_bias=hidden_bias, random_state=0)
    expected = scaled.fit(X * scales, y + noise).score(X * scales, y)
    found = model.fit(X * scales, y + noise).score(X * scales, y)
    assert found > expected - 0.01


def test_cross_validation_without_standardising_sees_columns_of_any_scale():
    X, y = make_two_layer_regression(300, 4, n_directions=2, noise=0.1, random_state=1)
    arguments = {"lambdas": 3, "cv": 2, "random_state": 0}
    scores = [
        RegularizedTwoLayerRegressorCV(standardize=standardize, **arguments)
        .fit(X * [100, 1, 1, 1], y)
        .score(X * [100, 1, 1, 1], y)
        for standardize in (True, False)
    ]
    assert scores[1] > scores[0] - 0.01
