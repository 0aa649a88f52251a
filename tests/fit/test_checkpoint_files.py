"""Checkpoints on disks and pipes, of several writers, and of hostile ones."""

import io
import json
import os
import random
import resource
import stat
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from sklearn_twolayer import (
    RegularizedTwoLayerRegressor,
    StagedSchedule,
    two_layer_path,
)
from sklearn_twolayer._fit.checkpoint import read_checkpoint
from sklearn_twolayer.datasets import make_two_layer_regression

X, Y = make_two_layer_regression(60, 3, n_directions=2, noise=0.2, random_state=0)
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(os.name == "nt", reason="files of POSIX"),
]


def regressor(path, **options):
    defaults = {
        "schedule": StagedSchedule([0.5, 0.2, 0.1]), "solver": "fast",
        "random_state": 0,
    }  # fmt: skip
    return RegularizedTwoLayerRegressor(checkpoint=path, **{**defaults, **options})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.npz"


@pytest.fixture
def written(path):
    regressor(path).fit(X, Y)
    return path


def no_search(*args, **options):
    raise AssertionError("the fit has begun")


@pytest.mark.parametrize("schedule", [None, StagedSchedule([0.5])])
def test_a_folder_that_takes_no_file_is_told_before_the_fit(
    path, monkeypatch, schedule
):
    def refuse(*args, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("sklearn_twolayer._runtime.files.os.fsync", refuse)
    monkeypatch.setattr("sklearn_twolayer._fit.problem.start_path", no_search)
    model = regressor(path, schedule=schedule, solver="auto")
    before = dict(vars(model))
    with pytest.raises(OSError, match=r"checkpoint cannot be written \(Read-only") as e:
        model.fit(X, Y)
    assert (e.value.errno, e.value.filename) == (30, str(path))
    assert vars(model) == before
    with pytest.raises(OSError, match="checkpoint cannot be written"):
        two_layer_path(X, Y, checkpoint=path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write all")
def test_a_folder_without_permission_is_told(path):
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="checkpoint cannot be written"):
            regressor(path).fit(X, Y)
    finally:
        path.parent.chmod(0o700)


def test_damage_is_told_before_the_fit(written, monkeypatch):
    monkeypatch.setattr("sklearn_twolayer._fit.problem.start_path", no_search)
    written.write_bytes(written.read_bytes()[:-9])
    with pytest.raises(ValueError, match="cannot be read"):
        regressor(written).fit(X, Y)


@pytest.mark.parametrize("finds_room", [False, True])
def test_a_full_disk_leaves_nothing_but_the_file_before(written, finds_room):
    """There is no room for the trial, or for the first stages and not for the last."""
    before = written.read_bytes()
    other, whole = written.with_name("other.npz"), written.with_name("whole.npz")
    longer = regressor(whole, schedule=StagedSchedule(np.geomspace(0.5, 0.1, 40)))
    longer.fit(X, Y)
    most = whole.stat().st_size - 1000 if finds_room else 0
    whole.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(OSError, match="checkpoint cannot be written") as error:
            longer.set_params(checkpoint=other).fit(X, Y)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(other)
    assert written.read_bytes() == before
    left = [file for file in written.parent.iterdir() if file != written]
    assert left == ([other] if finds_room else [])
    if (
        finds_room
    ):  # The stages that found room are kept, and the fit goes on from there.
        assert 0 < len(read_checkpoint(other).stages) < 40
        longer.fit(X, Y)
        assert len(read_checkpoint(other).stages) == 40


def test_an_interrupt_while_writing_leaves_nothing(written, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    before = written.read_bytes()
    monkeypatch.setattr("sklearn_twolayer._fit.checkpoint.np.savez", interrupt)
    with pytest.raises(KeyboardInterrupt):
        regressor(written.with_name("other.npz")).fit(X, Y)
    assert list(written.parent.iterdir()) == [written]
    assert written.read_bytes() == before


def test_files_have_the_permissions_of_new_ones(written):
    plain = written.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


WRITER = """
import sys, warnings
import numpy as np
from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer.datasets import make_two_layer_regression

warnings.simplefilter("ignore")
X, y = make_two_layer_regression(60, 3, n_directions=2, noise=0.2, random_state=0)
model = RegularizedTwoLayerRegressor(
    schedule=StagedSchedule(np.geomspace(0.8, 0.1, 25)), solver="fast",
    random_state=0, checkpoint=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
model.fit(X, y)
print(repr(model.linear_coef_.tolist()))
"""


@pytest.mark.slow
def test_two_writers_of_one_file(path):
    """Both end, readers see whole files only, and the last to write wins."""
    command = [sys.executable, "-c", WRITER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    fits = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for fit in fits:
        assert fit.stdout.readline() == "ready\n"
    for fit in fits:
        fit.stdin.write("go\n")
        fit.stdin.flush()
    while any(fit.poll() is None for fit in fits):
        read_checkpoint(path)  # raises an error if the file is not whole
        time.sleep(0.001)
    found = [fit.communicate()[0] for fit in fits]
    assert [fit.returncode for fit in fits] == [0, 0]
    assert found[0] == found[1]
    assert list(path.parent.iterdir()) == [path]
    assert len(read_checkpoint(path).stages) == 25


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_not_a_file_is_refused_at_once(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)
    with pytest.raises(ValueError, match="checkpoint"):
        regressor(path).fit(X, Y)
    with pytest.raises(ValueError, match=r"checkpoint .*cannot be read"):
        read_checkpoint(path)


def arrays_of(path):
    with np.load(path) as archive:
        return dict(archive)


def archive_of(members, **options):
    """An archive of members that are arrays or bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            if isinstance(content, np.ndarray):
                array = io.BytesIO()
                np.save(array, content)
                content = array.getvalue()
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def header(text):
    """A file of NumPy that is a header only."""
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
HEADERS = {
    "eight terabytes": HUGE,
    "overflowing product": HUGE.replace(",)", ", 4294967296, 4294967296)"),
    "wide text": HUGE.replace("<f8", "<U99999999"),
    "no width": HUGE.replace("<f8", "<U0"),
    "objects": HUGE.replace("<f8", "|O8"),
    "records": HUGE.replace("'<f8'", "[('a', '<f8')]"),
    "nested": "(" * 4000 + ")" * 4000,
    "unary": "-" * 9000 + "1",
    "long number": HUGE.replace("1000000000000", "9" * 9000),
    "negative": HUGE.replace("1000000000000", "-1"),
    "no shape": HUGE.replace("(1000000000000,)", "()"),
    "call": "__import__('os').abort()",
    "nothing": "",
}


def bounded(read, *args):
    """The error of a call that takes little memory and time."""
    tracemalloc.start()
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="checkpoint") as error:
            read(*args)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert seconds < 5.0
    return str(error.value)


@pytest.mark.parametrize("name", ["parameters", "loss", "settings", "n_outputs"])
@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_lie_are_refused(written, kind, name):
    members = {**arrays_of(written), name: header(HEADERS[kind])}
    written.write_bytes(archive_of(members))
    assert name in bounded(read_checkpoint, written)


def test_what_is_compressed_is_not_unpacked(written):
    members = {**arrays_of(written), "data": np.zeros(2**24)}
    written.write_bytes(archive_of(members, compression=zipfile.ZIP_DEFLATED))
    assert "compressed" in bounded(read_checkpoint, written)


def test_members_that_overlap_are_refused(written):
    """Each member of the directory points at the same large content."""
    content = bytearray(archive_of({**arrays_of(written), "data": np.zeros(9999)}))
    entry = b"PK\x01\x02"
    first = places = content.index(entry)
    sizes = []
    while places >= 0:
        sizes.append(places)
        places = content.find(entry, places + 4)
    for place in sizes:  # the stated sizes, compressed and not
        content[place + 20 : place + 28] = (10**6).to_bytes(4, "little") * 2
    assert first in sizes
    written.write_bytes(bytes(content))
    bounded(read_checkpoint, written)


@pytest.mark.parametrize("extra", [{"extra": np.zeros(3)}, {"__class__": np.zeros(1)}])
def test_unknown_members_are_refused(written, extra):
    written.write_bytes(archive_of({**arrays_of(written), **extra}))
    assert f"{next(iter(extra))!r}" in bounded(read_checkpoint, written)


def test_members_that_come_twice_are_refused(written):
    with (
        zipfile.ZipFile(written, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("loss.npy", b"")
    assert "some twice" in bounded(read_checkpoint, written)


def with_settings(arrays, **changes):
    settings = {**json.loads(str(arrays["settings"])), **changes}
    return {**arrays, "settings": np.array(json.dumps(settings))}


VALUES = [
    ("lambda_", np.nan), ("lambda_", -1.0), ("loss", np.inf), ("dual_gap", np.nan),
    ("certificate", np.nan), ("certificate", -1.0), ("n_iter", -1),
    ("seconds", -1.0), ("stopped_by", "magic"), ("is_last", True),
    ("parameters", np.inf), ("parameters", 1e200), ("n_neurons", -1),
    ("n_neurons", 2**62), ("n_outputs", -1), ("data", np.nan),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_values_that_no_fit_writes_are_refused(written, name, value):
    arrays = arrays_of(written)
    changed = np.atleast_1d(arrays[name]).copy()
    changed[(0,) * changed.ndim] = value
    arrays[name] = changed.reshape(arrays[name].shape)
    written.write_bytes(archive_of(arrays))
    bounded(read_checkpoint, written)


@pytest.mark.parametrize("seed", [True, -1, 2**40, 1.5, "1", None, [1]])
def test_seeds_that_no_fit_writes_are_refused(written, seed):
    written.write_bytes(archive_of(with_settings(arrays_of(written), seed=seed)))
    bounded(read_checkpoint, written)
    with pytest.raises(ValueError, match="checkpoint"):
        regressor(written, random_state=None).fit(X, Y)


def test_settings_that_are_nested_deeply_are_refused(written):
    for text in ("[" * 10**5, '{"a": ' * 10**5, "NaN", '{"seed": ' + "9" * 5000 + "}"):
        members = {**arrays_of(written), "settings": np.array(text)}
        written.write_bytes(archive_of(members))
        with pytest.raises(ValueError, match=r"checkpoint .*cannot be read"):
            read_checkpoint(written)


@pytest.mark.parametrize("size", [0, 16, 5056, 5057])
def test_states_of_no_generator_are_refused(written, size):
    state = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    written.write_bytes(archive_of({**arrays_of(written), "generator": state}))
    bounded(read_checkpoint, written)


@pytest.mark.parametrize(
    "changes",
    [
        {"lambda_": [0.5, 0.3, 0.1]}, {"lambda_": [0.5, 0.5, 0.1]},
        {"is_last": [False] * 3}, {"n_outputs": 2, "linear": np.empty((0, 2))},
    ],
)  # fmt: skip
def test_stages_that_do_not_fit_the_schedule_are_refused(written, changes):
    arrays = arrays_of(written)
    for name, value in changes.items():
        scale = arrays["lambda_"][0] / 0.5 if name == "lambda_" else 1
        arrays[name] = np.array(np.multiply(value, scale), arrays[name].dtype)
    written.write_bytes(archive_of(arrays))
    assert "other data" in bounded(regressor(written).fit, X, Y)


def mutated(content, arrays, dice):
    """A damaged or crafted file; some have right checksums and wrong contents."""
    kind = dice.randrange(7)
    if kind == 6:
        members = dict(arrays)
        name = dice.choice(sorted(members))
        values = np.atleast_1d(members[name]).copy()
        if values.size:
            place = dice.randrange(values.size)
            odd = {
                "f": [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e308, 5e-324, 0.3],
                "i": [-1, 0, 1, 3, 2**62, -(2**62)], "b": [True, False],
                "u": [0, 1, 255], "U": ["", "x", "tol", "\ud800", "[" * 50],
            }[values.dtype.kind]  # fmt: skip
            values.flat[place] = dice.choice(odd)
        shapes = [members[name].shape, (-1,), (1, -1), values.shape[:0]]
        try:
            members[name] = values.reshape(dice.choice(shapes))
        except ValueError:
            members[name] = values[:-1]
        return archive_of(members)
    if kind == 5:
        file = io.BytesIO()
        name = dice.choice(sorted(arrays))
        np.save(file, arrays[name])
        raw = bytearray(file.getvalue())
        for _ in range(dice.randrange(1, 4)):
            raw[dice.randrange(len(raw) if dice.random() < 0.2 else 80)] = (
                dice.randrange(256)
            )
        return archive_of({**arrays, name: bytes(raw)})
    changed = bytearray(content)
    place = dice.randrange(len(content))
    if kind == 0:
        for _ in range(dice.randrange(1, 9)):
            changed[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        del changed[place : place + dice.randrange(1, 50)]
    elif kind == 3:
        changed[place:place] = dice.randbytes(dice.randrange(1, 50))
    else:  # the directory at the end, which tells sizes and places
        tail = max(0, len(content) - dice.randrange(1, 1800))
        for _ in range(dice.randrange(1, 5)):
            changed[dice.randrange(tail, len(content))] = dice.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize(
    "n_mutations", [300, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_every_mutation_is_refused_or_can_be_used(written, n_mutations):
    """Nothing but ValueErrors, at once, in reading and in the fit that goes on."""
    content, arrays = written.read_bytes(), arrays_of(written)
    dice = random.Random(n_mutations)
    refusals = []
    for _ in range(n_mutations):
        written.write_bytes(mutated(content, arrays, dice))
        began = time.perf_counter()
        try:
            read_checkpoint(written)
        except ValueError as error:
            refusals.append(str(error))
            continue
        finally:
            assert time.perf_counter() - began < 5.0
        try:
            model = regressor(written).fit(X, Y)
        except ValueError as error:
            refusals.append(str(error))
        else:
            assert np.isfinite(model.predict(X)).all()
    assert len(refusals) > 0.7 * n_mutations
    assert all(told.startswith("checkpoint '") for told in refusals)


def test_a_checkpoint_of_an_earlier_release_is_read(written):
    """The order of the members and their dates do not matter."""
    arrays = dict(reversed(arrays_of(written).items()))
    expected = regressor(None).fit(X, Y)
    np.savez(written, **arrays)
    model = regressor(written).fit(X, Y)
    np.testing.assert_array_equal(model.features_, expected.features_)
