"""The examples and the tour of the user guide run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(code, folder):
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *code], cwd=folder, env=environment, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/plot_*.py")), ids=lambda path: path.stem
)
def test_examples_run(path, tmp_path):
    assert run([str(path)], tmp_path)


@pytest.mark.slow
def test_the_code_of_the_tour_runs(tmp_path):
    tour = (ROOT / "docs" / "user_guide" / "tour.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", tour, re.S)
    assert len(blocks) == 2
    printed = run(["-c", "\n".join(blocks)], tmp_path)
    assert "(2000, 4)" in printed
    assert "linear part" in printed
