"""The package is typed, and users' type checkers understand its public interface."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[1]

USE = """
import numpy as np
from sklearn_twolayer import (
    ConstantSchedule, FittedNetwork, GeometricSchedule, RegularizedTwoLayerRegressor,
    RegularizedTwoLayerRegressorCV, StagedSchedule, TwoLayerPath, two_layer_path,
)
from sklearn_twolayer.datasets import make_two_layer_regression
from sklearn_twolayer.inspection import (
    RidgeFunctionDisplay, TwoLayerPathDisplay, active_subspace, direction_errors,
)
from sklearn_twolayer.metrics import match_directions

X, y = np.zeros((9, 2)), np.zeros(9)
schedules = [ConstantSchedule(0.1), GeometricSchedule(), StagedSchedule([0.1])]
model = RegularizedTwoLayerRegressor(
    schedule=schedules[0], max_time=3.0, checkpoint="fit.npz", criterion="bic"
).fit(X, y, sample_weight=None)
predicted: np.ndarray = model.predict(X)
projected: np.ndarray = model.transform(X)
text: str = model.summary(X)
data: dict[str, object] = model.to_dict()
again: RegularizedTwoLayerRegressor = RegularizedTwoLayerRegressor.from_dict(data)
chosen: RegularizedTwoLayerRegressorCV = RegularizedTwoLayerRegressorCV(cv=3).fit(X, y)
path: TwoLayerPath = two_layer_path(X, y, schedule=schedules[1], debias=True)
network: FittedNetwork = path.networks[0]
count: int = network.n_features
RidgeFunctionDisplay.from_estimator(model, X, y).plot()
TwoLayerPathDisplay.from_estimator(model).plot()
frame_columns: int = len(direction_errors(model, X, y).to_frame().columns)
directions: np.ndarray = active_subspace(model, X).directions
match_directions(projected, projected)
make_two_layer_regression(10, 2, random_state=0)
"""

MISUSE = """
from sklearn_twolayer import RegularizedTwoLayerRegressor
RegularizedTwoLayerRegressor(n_neurons="many")
RegularizedTwoLayerRegressor(lambda_=0.1)
RegularizedTwoLayerRegressor().fit([[1.0]], [1.0]).predict([[1.0]]).no_such_method()
"""

CONFIG = """
[mypy]
strict = True
follow_imports = silent
ignore_missing_imports = True
[mypy-torch.*,scipy.*,sklearn.*,matplotlib.*,pandas.*,dask.*,joblib.*]
follow_imports = skip
"""


def test_use_is_clean_and_misuse_is_found(tmp_path):
    for name, text in [("use", USE), ("misuse", MISUSE), ("config", CONFIG)]:
        (tmp_path / f"{name}.py").write_text(text)
    report, problem, _ = api.run(
        [
            f"--config-file={tmp_path / 'config.py'}",
            f"--cache-dir={tmp_path}",
            str(tmp_path / "use.py"),
            str(tmp_path / "misuse.py"),
        ]
    )
    assert not problem
    # Arrays without a type of their entries are as much as NumPy users write; what
    # comes from scikit-learn, which has no annotations, is not checked.
    accepted = ("[type-arg]", "[no-any-return]", "[misc]")
    errors = [line for line in report.splitlines() if ": error:" in line]
    errors = [line for line in errors if not line.endswith(accepted)]
    places = [line.rpartition("/")[2].split(":")[:2] for line in errors]
    assert places == [["misuse.py", k] for k in ("3", "4", "5")], report


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")
def test_the_whole_package_is_typed(pytestconfig):
    """Exceptions are listed with their reasons in pyproject.toml."""
    report, problem, _ = api.run(
        [
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--cache-dir={pytestconfig.cache.mkdir('mypy')}",
            str(ROOT / "sklearn_twolayer"),
        ]
    )
    assert not problem
    assert report.startswith("Success"), report
