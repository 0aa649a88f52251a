"""What is written about the package in several places is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from sklearn_twolayer import __version__

ROOT = Path(__file__).parents[1]
NAMES = {"pytorch": "torch"}  # conda's names of packages that have others here

if not (ROOT / "recipe").exists():
    pytest.skip("only in a checkout", allow_module_level=True)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def dependencies():
    found = [Requirement(text) for text in project()["dependencies"]]
    python = {"python": project()["requires-python"]}
    return python | {one.name: str(one.specifier) for one in found}


def test_the_conda_recipe_has_the_version_and_the_dependencies():
    text = (ROOT / "recipe" / "meta.yaml").read_text()
    assert re.search(r'set version = "(.*)"', text)[1] == __version__
    run = text[text.index("  run:") : text.index("\ntest:")]
    listed = dict(re.findall(r"- (\S+) (\S+)$", run, flags=re.MULTILINE))
    assert {NAMES.get(name, name): spec for name, spec in listed.items()} == (
        dependencies()
    )


def test_the_oldest_versions_are_those_that_are_required():
    text = (ROOT / "constraints-oldest.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", text, flags=re.MULTILINE))
    for name, specifier in dependencies().items():
        if name != "python":
            (oldest,) = re.findall(r">=(\S+)", specifier)
            assert Version(pinned[name]).release[:2] == Version(oldest).release[:2]


def test_the_changelog_begins_with_this_version():
    heading = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = Version(__version__)
    unreleased = " (unreleased)" if version.is_devrelease else ""
    assert heading[1] == f"{version.base_version}{unreleased}"
