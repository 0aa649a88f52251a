"""A fit that is cut off goes on where it was, and other files are refused."""

import pickle
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from conftest import Interrupting

from sklearn_twolayer import (
    GeometricSchedule,
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression

X, Y = make_two_layer_regression(400, 6, n_directions=3, noise=0.2, random_state=0)
SCHEDULE = StagedSchedule([0.5, 0.2, 0.1, 0.05])
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def regressor(**options):
    defaults = {"schedule": SCHEDULE, "max_iter": 60, "random_state": 0}
    return RegularizedTwoLayerRegressor(**{**defaults, **options})


def interrupted(model, after, X=X, y=Y):
    with pytest.raises(KeyboardInterrupt):
        model.set_callbacks(Interrupting(after)).fit(X, y)
    return model.set_callbacks()


def same(model, other):
    for name in ("features_", "feature_intercepts_", "amplitudes_", "linear_coef_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(other, name))
    for name in ("loss", "dual_gap", "certificate", "masses", "n_iter"):
        np.testing.assert_array_equal(model.history_[name], other.history_[name])


@pytest.mark.parametrize("solver", ["newton", "fast", "gd"])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_fit_goes_on_after_any_stage(tmp_path, solver, after):
    path = tmp_path / "fit.npz"
    model = interrupted(regressor(solver=solver, checkpoint=path), after)
    with np.load(path, allow_pickle=False) as archive:
        assert len(archive["loss"]) == after
        seconds = archive["seconds"]
    same(model.fit(X, Y), regressor(solver=solver).fit(X, Y))
    assert list(tmp_path.iterdir()) == [path]
    # The stages that were there are taken, times included, and not run again.
    np.testing.assert_array_equal(model.history_["seconds"][:after], seconds)


@pytest.mark.parametrize("schedule", [None, GeometricSchedule()])
def test_a_finished_fit_is_read_back(tmp_path, schedule):
    path = str(tmp_path / "fit.npz")
    model = regressor(schedule=schedule, checkpoint=path).fit(X, Y)
    again = regressor(schedule=schedule, checkpoint=path).fit(X, Y)
    same(model, again)
    np.testing.assert_array_equal(
        model.history_["seconds"], again.history_["seconds"]
    )  # so nothing was run
    # What is chosen of the stages may differ.
    regressor(schedule=schedule, checkpoint=path, debias=True).fit(X, Y)


def test_without_a_seed_the_one_of_the_file_is_taken(tmp_path):
    path = tmp_path / "fit.npz"
    options = {"random_state": None, "checkpoint": path}
    interrupted(regressor(**options), 2)
    same(regressor(**options).fit(X, Y), regressor(**options).fit(X, Y))


def test_a_warm_start_goes_on_too(tmp_path):
    first = regressor(warm_start=True).fit(X, Y)
    plain = regressor(warm_start=True)
    vars(plain).update(vars(first))
    model = interrupted(first.set_params(checkpoint=tmp_path / "fit.npz"), 2)
    same(model.fit(X, Y), plain.fit(X, Y))


def test_paths_have_checkpoints(tmp_path):
    options = {"schedule": SCHEDULE, "max_iter": 60, "random_state": 0}
    path = two_layer_path(X, Y, checkpoint=tmp_path / "path.npz", **options)
    again = two_layer_path(X, Y, checkpoint=tmp_path / "path.npz", **options)
    np.testing.assert_array_equal(path.history["seconds"], again.history["seconds"])
    for network, other in zip(path.networks, again.networks, strict=True):
        np.testing.assert_array_equal(network.features, other.features)


def test_a_stage_that_ran_out_of_time_is_not_kept(tmp_path):
    path = tmp_path / "fit.npz"
    regressor(max_time=1e-6, checkpoint=path).fit(X, Y)
    assert not path.exists()
    same(regressor(checkpoint=path).fit(X, Y), regressor().fit(X, Y))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "fit.npz"
    regressor(checkpoint=path).fit(X, Y)
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tol", 1e-2), ("random_state", 1), ("solver", "fast"), ("n_neurons", 7),
        ("schedule", StagedSchedule([0.5, 0.2])), ("schedule", None),
        ("hidden_bias", False), ("standardize", False), ("max_iter", 61),
        ("dtype", "float32"), ("prune_tol", 0.1), ("merge_angle", 0.1),
        ("step_size", 0.1),
    ],
)  # fmt: skip
def test_other_parameters_are_refused(written, name, value):
    before = written.read_bytes()
    named = {"random_state": "seed"}.get(name, name)
    with pytest.raises(ValueError, match=rf"checkpoint .*for {named} .*Delete"):
        regressor(checkpoint=written, **{name: value}).fit(X, Y)
    assert written.read_bytes() == before


@pytest.mark.parametrize("changed", ["value", "target", "rows", "weights", "column"])
def test_other_data_are_refused(written, changed):
    data, targets, weights = X.copy(), Y.copy(), None
    if changed == "value":
        data[7, 2] += 1e-3
    elif changed == "target":
        targets[5] += 1e-3
    elif changed == "rows":
        data, targets = data[:-1], targets[:-1]
    elif changed == "column":
        data = data[:, :-1]
    else:
        weights = np.arange(1.0, 401.0)
    with pytest.raises(ValueError, match=r"checkpoint .*other data"):
        regressor(checkpoint=written).fit(data, targets, weights)


def damaged(content, kind):
    if kind.startswith("cut"):
        return content[: int(kind[3:]) * len(content) // 100]
    middle = len(content) // 2
    return {
        "empty": b"",
        "text": b"lambda = 0.1",
        "pickle": pickle.dumps({"format": 1}),
        "flipped": content[:middle] + bytes([content[middle] ^ 255])
        + content[middle + 1 :],
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["cut10", "cut50", "cut90", "cut99", "empty", "text", "pickle"]
)
def test_damaged_files_are_refused(written, kind):
    written.write_bytes(damaged(written.read_bytes(), kind))
    model = regressor().fit(X, Y).set_params(checkpoint=written)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"checkpoint .*fit.npz' cannot be read: .+"):
        model.fit(X, Y)
    assert vars(model) == before


def test_every_damaged_byte_is_found_or_harmless(written):
    content, expected = written.read_bytes(), regressor().fit(X, Y)
    for place in np.linspace(0, len(content) - 1, 60).astype(int):
        changed = bytearray(content)
        changed[place] ^= 0x10
        written.write_bytes(bytes(changed))
        with suppress(ValueError):  # dates of the archive's directory may differ
            same(regressor(checkpoint=written).fit(X, Y), expected)
        written.write_bytes(content)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize("name", ["settings", "parameters", "loss"])
def test_objects_are_never_executed(written, name):
    with np.load(written) as archive:
        arrays = dict(archive)
    arrays[name] = np.array([Bomb()] * len(np.atleast_1d(arrays[name])), dtype=object)
    np.savez(written, **arrays)
    with pytest.raises(ValueError, match="cannot be read"):
        regressor(checkpoint=written).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", np.array("another 1")), ("n_neurons", np.array([1, 1, 1, 1])),
        ("parameters", np.full((3, 2), np.nan)), ("n_outputs", np.array(99)),
        ("loss", np.array([1.0])), ("settings", np.array("[]")),
        ("generator", np.zeros(3)), ("data", None),
    ],
)  # fmt: skip
def test_foreign_archives_are_refused(written, name, value):
    with np.load(written) as archive:
        arrays = dict(archive)
    del arrays[name]
    if value is not None:
        arrays[name] = value
    np.savez(written, **arrays)
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be read"):
        regressor(checkpoint=written).fit(X, Y)


SCRIPT = """
import sys, warnings
import numpy as np
from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer.datasets import make_two_layer_regression

warnings.simplefilter("ignore")
X, y = make_two_layer_regression(2000, 8, n_directions=4, noise=0.3, random_state=0)
schedule = StagedSchedule(np.geomspace(0.8, 0.05, 12))
model = RegularizedTwoLayerRegressor(
    schedule=schedule, solver="fast", random_state=0, checkpoint=sys.argv[1] or None)
print("ready", flush=True)
model.fit(X, y)
np.savez(sys.argv[2], features=model.features_, coef=model.linear_coef_)
"""


def kill_until_done(tmp_path, most_kills, longest):
    """Kill the fit at random moments, then let it end; what it found."""
    generator = np.random.default_rng(most_kills)
    checkpoint, result = tmp_path / "fit.npz", tmp_path / "result.npz"
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), str(result)]
    n_kills = 0
    while not result.exists():
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        if n_kills < most_kills:
            try:
                process.wait(generator.uniform(0.0, longest))
            except subprocess.TimeoutExpired:
                process.kill()  # SIGKILL
                n_kills += 1
        assert process.wait() in (0, -9)
        process.stdout.close()
    with np.load(result) as found:
        return dict(found), n_kills


def run_in_one_go(tmp_path):
    result = tmp_path / "whole.npz"
    subprocess.run([sys.executable, "-c", SCRIPT, "", str(result)], check=True)
    with np.load(result) as found:
        return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize("most_kills", [2, 20])
def test_killed_fits_end_as_if_they_had_not_been(tmp_path, most_kills):
    expected = run_in_one_go(tmp_path)
    found, n_kills = kill_until_done(tmp_path, most_kills, longest=1.0)
    assert n_kills >= 1
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
