"""What imports what, and what the package leaves as it found it."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sklearn_twolayer
from sklearn_twolayer import RegularizedTwoLayerRegressor, StagedSchedule
from sklearn_twolayer.datasets import make_two_layer_regression

# Quick fits end before they are certified.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def test_importing_does_not_import_torch_or_extras():
    names = ["datasets", "inspection", "metrics", "onnx"]
    modules = ", ".join(f"sklearn_twolayer.{name}" for name in names)
    unwanted = "{'torch', 'matplotlib', 'skl2onnx', 'dask'}"
    assert (
        run(f"import sys, {modules}; print({unwanted} & set(sys.modules))") == "set()"
    )


def test_unpickling_predicting_and_transforming_do_not_import_torch(tmp_path):
    X, y = make_two_layer_regression(100, 3, n_directions=1, random_state=0)
    model = RegularizedTwoLayerRegressor(
        n_neurons=5, max_iter=20, schedule=StagedSchedule([0.1])
    ).fit(X, y)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, X = pickle.load(open(sys.argv[1], 'rb'));"
        "print(repr(model.predict(X)[0]), model.transform(X).shape[1],"
        "'torch' in sys.modules)"
    )
    expected = f"{model.predict(X)[0]!r} {model.transform(X).shape[1]} False"
    assert run(code, str(path)) == expected


def test_every_public_name_exists():
    for name in sklearn_twolayer.__all__:
        assert getattr(sklearn_twolayer, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = sklearn_twolayer.no_such_name


def test_global_state_is_left_alone():
    def state():
        return (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_rng_state().tolist(),
            np.geterr(),
            [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        )

    X, y = make_two_layer_regression(100, 3, n_directions=1, random_state=0)
    before = state()
    model = RegularizedTwoLayerRegressor(
        n_neurons=5, max_iter=20, schedule=StagedSchedule([0.1]), random_state=0
    )
    model.fit(X, y).predict(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    assert state() == before


def test_no_private_names_of_scikit_learn_or_torch():
    package = Path(sklearn_twolayer.__file__).parent
    for path in package.rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["from"] and words[1].split(".")[0] in ("sklearn", "torch"):
                names = line.replace("import", " ").replace(",", " ")
                parts = names.replace(".", " ").split()[1:]
                assert not any(part.startswith("_") for part in parts), line
