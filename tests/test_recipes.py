"""The snippets for other libraries in the user guide run, and print what is right."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sklearn_twolayer import RegularizedTwoLayerRegressor
from sklearn_twolayer.datasets import make_two_layer_regression

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "user_guide" / "recipes.md"


def numbers(printed):
    return [float(text) for text in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", printed)]


def is_right(library, printed):
    if library == "shap":
        return max(map(abs, numbers(printed))) < 1e-8
    if library == "mapie":
        return 0.8 < numbers(printed)[0] <= 1.0
    if library == "skops":
        return printed == "['sklearn_twolayer.RegularizedTwoLayerRegressor']\n0.0\n"
    X, y = make_two_layer_regression(600, 4, n_directions=2, noise=0.3, random_state=0)
    score = RegularizedTwoLayerRegressor(random_state=0).fit(X, y).score(X, y)
    recorded, solver = printed.split()
    return float(recorded) == pytest.approx(score) and solver == "auto"


@pytest.mark.slow
@pytest.mark.parametrize("library", ["shap", "mapie", "skops", "mlflow"])
def test_recipes_run(library, tmp_path):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    first, *others = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    assert len(others) == 4
    (recipe,) = [
        code for code in others if re.search(rf"^(import|from) {library}", code)
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    printed = subprocess.run(
        [sys.executable, "-c", first + recipe], cwd=tmp_path, env=environment,
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    assert is_right(library, printed), printed
