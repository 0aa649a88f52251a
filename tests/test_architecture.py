"""The order of the folders, which CONTRIBUTING.md states, is the order of imports."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import sklearn_twolayer

PACKAGE = Path(sklearn_twolayer.__file__).parent
ROOT = Path(__file__).parents[1]
MOST_LINES = 400


def sources():
    return {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(tree):
    """Modules of the package that are imported, anywhere and for typing too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, *module = node.module.split(".")
            if package == "sklearn_twolayer" and module:
                yield ".".join(module)
                # A name may be a module of the folder.
                yield from (".".join([*module, alias.name]) for alias in node.names)


def folder_of(module):
    return module.split(".")[0]


def stated_order():
    """Folders in the order of the table in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return re.findall(r"^\| `(_\w+)/` \|", text, flags=re.MULTILINE)


def circle(edges):
    """A circle of a directed graph, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        path.append(node)
        for following in sorted(edges.get(node, ())):
            found = visit(following)
            if found:
                return found
        path.pop()
        done.add(node)
        return None

    return next(filter(None, map(visit, sorted(edges))), None)


def test_circles_are_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


@pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="not a checkout")
def test_folders_import_only_folders_above_them_in_the_table():
    order = stated_order()
    folders = {
        folder_of(module_of(path))
        for path in PACKAGE.rglob("_*/*.py")
        if path.parent.parent == PACKAGE
    }
    assert set(order) == folders
    assert len(order) == len(set(order))
    for path, tree in sources().items():
        own = folder_of(module_of(path))
        if own not in order:  # the public modules may import any folder
            continue
        above = order[: order.index(own) + 1]
        for module in imported(tree):
            folder = folder_of(module)
            assert folder in above or folder == "exceptions", f"{path} -> {module}"


def test_files_form_no_circle():
    trees = sources()
    modules = {module_of(path) for path in trees}
    edges = defaultdict(set)
    for path, tree in trees.items():
        own = module_of(path)
        edges[own] |= {m for m in imported(tree) if m in modules and m != own}
    # The registry of descents imports its own files, which do not import it.
    assert circle(edges) is None


def test_files_are_short():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= MOST_LINES, path


def test_no_constant_has_two_meanings():
    """An upper-case name is defined in one file of the package only."""
    places = defaultdict(set)
    for path, tree in sources().items():
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [
                n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)
            ]
            for name in names:
                if name.isupper() and len(name) > 1:  # not a type variable
                    places[name].add(module_of(path))
    assert {name: p for name, p in places.items() if len(p) > 1} == {}
