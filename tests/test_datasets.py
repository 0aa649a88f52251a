import numpy as np
import pytest

from sklearn_twolayer.datasets import load_deliveries, make_two_layer_regression


def cosines(directions):
    return np.abs(directions @ directions.T) - np.eye(len(directions))


@pytest.mark.parametrize("seed", range(3))
def test_teacher_is_as_asked(seed):
    X, y, teacher = make_two_layer_regression(
        50, 12, n_directions=5, subspace_dim=3, min_angle=0.4,
        amplitude_range=(0.7, 0.9), return_teacher=True, random_state=seed,
    )  # fmt: skip
    assert X.shape == (50, 12)
    assert y.shape == (50,)
    assert np.linalg.matrix_rank(teacher.directions) == 3
    np.testing.assert_allclose(np.linalg.norm(teacher.directions, axis=1), 1.0)
    assert cosines(teacher.directions).max() <= np.cos(0.4) + 1e-12
    assert ((np.abs(teacher.amplitudes) >= 0.7) & (np.abs(teacher.amplitudes) <= 0.9)
            ).all()  # fmt: skip
    np.testing.assert_allclose(y, teacher.predict(X), atol=1e-14)
    assert not teacher.intercepts.any()


def test_signs_biases_targets_and_noise():
    X, y, teacher = make_two_layer_regression(
        4000, n_directions=6, signs="negative", hidden_bias=0.5, n_targets=2,
        min_angle=0.1, noise=0.3, return_teacher=True, random_state=0,
    )  # fmt: skip
    assert y.shape == (4000, 2)
    assert (teacher.amplitudes < 0).all()
    assert teacher.intercepts.all()
    assert np.std(y - teacher.predict(X)) == pytest.approx(0.3, rel=0.05)
    mixed = make_two_layer_regression(
        10, n_directions=8, min_angle=0.1, return_teacher=True, random_state=0
    )[2]
    assert len(np.unique(np.sign(mixed.amplitudes))) == 2


@pytest.mark.parametrize("distribution", ["normal", "uniform", "heavy-tailed"])
def test_inputs_have_mean_zero_and_variance_one(distribution):
    X, _ = make_two_layer_regression(
        200_000, 2, n_directions=1, distribution=distribution, random_state=0
    )
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=0.02)
    tolerance = 0.3 if distribution == "heavy-tailed" else 0.02
    np.testing.assert_allclose(X.var(axis=0), 1.0, atol=tolerance)


def test_condition_number_of_the_covariance():
    X, _ = make_two_layer_regression(200_000, 5, condition_number=100.0, random_state=0)
    assert np.linalg.cond(np.cov(X.T)) == pytest.approx(100.0, rel=0.05)


def test_same_seed_same_data():
    pair = [make_two_layer_regression(random_state=3) for _ in range(2)]
    np.testing.assert_array_equal(pair[0][0], pair[1][0])
    np.testing.assert_array_equal(pair[0][1], pair[1][1])


@pytest.mark.parametrize(
    ("parameters", "error", "name"),
    [
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"n_features": 2.5}, TypeError, "n_features"),
        ({"n_directions": "x"}, TypeError, "n_directions"),
        ({"subspace_dim": 11}, ValueError, "subspace_dim"),
        ({"min_angle": 2.0}, ValueError, "min_angle"),
        ({"min_angle": 1.5, "subspace_dim": 2}, ValueError, "min_angle"),
        ({"amplitude_range": 3}, ValueError, "amplitude_range"),
        ({"amplitude_range": (2.0, 1.0)}, ValueError, "amplitude_range"),
        ({"amplitude_range": (0.0, 1.0)}, ValueError, "amplitude_range"),
        ({"signs": "both"}, ValueError, "signs"),
        ({"hidden_bias": True}, TypeError, "hidden_bias"),
        ({"noise": -1.0}, ValueError, "noise"),
        ({"n_targets": 0}, ValueError, "n_targets"),
        ({"distribution": "cauchy"}, ValueError, "distribution"),
        ({"condition_number": 0.5}, ValueError, "condition_number"),
        ({"return_teacher": 1}, TypeError, "return_teacher"),
    ],
)
def test_errors_name_the_parameter(parameters, error, name):
    with pytest.raises(error, match=name):
        make_two_layer_regression(random_state=0, **parameters)


def test_deliveries_are_a_table_of_numbers_as_scikit_learn_returns_them():
    bunch = load_deliveries()
    assert bunch.data.shape == (3000, len(bunch.feature_names)) == (3000, 30)
    assert np.isfinite(bunch.data).all()
    assert bunch.target.min() > 0
    assert bunch.frame is None
    assert "modeldata" in bunch.DESCR
    X, y = load_deliveries(return_X_y=True, as_frame=True)
    assert list(X.columns) == bunch.feature_names
    assert [y.name] == bunch.target_names
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)
    frame = load_deliveries(as_frame=True).frame
    assert list(frame.columns) == [*bunch.feature_names, *bunch.target_names]
    with pytest.raises(TypeError, match="as_frame must be True or False, got 1"):
        load_deliveries(as_frame=1)
