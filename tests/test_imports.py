"""What imports what, and what the package leaves as it found it."""

import ast
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


FOREIGN = ("sklearn", "torch", "numpy", "scipy", "joblib", "threadpoolctl", "dask")


def private(name):
    return any(
        part.startswith("_") and not part.endswith("__") for part in name.split(".")
    )


def private_names(source):
    """Private names of other packages that the source imports or looks up."""
    tree, found, modules = ast.parse(source), [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.split(".")[0] in FOREIGN:
                found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in FOREIGN:
                    found.append(alias.name)
                    modules.add((alias.asname or alias.name).split(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node)
            if chain.split(".")[0] in modules:
                found.append(chain)
    return [name for name in found if private(name)]


def test_private_names_are_found():
    assert private_names("from sklearn._loss import x") == ["sklearn._loss.x"]
    assert private_names("from torch import _C") == ["torch._C"]
    assert private_names("import numpy as np\nnp.core._internal.f()")
    assert private_names("import torch._inductor.utils")
    assert not private_names("import torch\ntorch.__version__\nself._own")


def test_no_private_names_of_other_packages():
    for path in Path(sklearn_twolayer.__file__).parent.rglob("*.py"):
        assert private_names(path.read_text()) == [], path
