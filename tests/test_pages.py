"""Pages show what their code prints, and their links lead somewhere.

A block of ``text`` is what the blocks of ``python`` before it have printed since the
block of ``text`` before.
"""

import contextlib
import io
import re
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

matplotlib.use("agg")

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "docs/start.md",
    "docs/from_mlp.md",
    "docs/from_dimension_reduction.md",
)

if not (ROOT / PAGES[-1]).exists():
    pytest.skip("only in a checkout", allow_module_level=True)


def blocks_of(text):
    return re.findall(r"^```(python|text)\n(.*?)^```$", text, re.S | re.M)


def without_costs(text):
    """Without the numbers of steps and seconds, which depend on the machine."""
    return re.sub(r"\d+ steps, [\d.]+ s\b", "steps", text)


def wrong_blocks(text):
    """Pairs of what is shown and what is printed that are not the same."""
    names, printed, wrong = {}, io.StringIO(), []
    for kind, block in blocks_of(text):
        if kind == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(block, "page", "exec"), names)
        else:
            if without_costs(printed.getvalue()) != without_costs(block):
                wrong.append((block, printed.getvalue()))
            printed = io.StringIO()
    return wrong


def test_what_is_not_printed_is_noticed():
    page = "```python\nprint(1)\n```\n\n```text\n{}\n```\n"
    assert wrong_blocks(page.format(1)) == []
    assert wrong_blocks(page.format(2)) == [("2\n", "1\n")]


@pytest.mark.parametrize("name", PAGES)
def test_pages_show_what_their_code_prints(name, monkeypatch, tmp_path):
    text = (ROOT / name).read_text()
    assert {kind for kind, _ in blocks_of(text)} == {"python", "text"}
    monkeypatch.chdir(tmp_path)
    assert wrong_blocks(text) == []
    plt.close("all")


def missing_targets(page):
    """Links and pictures of a page that lead to no file of the repository.

    The gallery has a page and pictures for each example.
    """
    text = re.sub(r"^```(?!{).*?^```$", "", page.read_text(), flags=re.S | re.M)
    targets = re.findall(r"\]\((?!\w+://)([^)#\s]+)", text)
    targets += re.findall(r"^```{(?:figure|include)} (\S+)", text, re.M)
    for target in targets:
        example = re.search(
            r"auto_examples/(?:images/sphx_glr_)?(plot_[a-z_]+)", target
        )
        path = (
            ROOT / "examples" / f"{example[1].removesuffix('_')}.py"
            if example
            else page.parent / target
        )
        if not path.exists():
            yield target


def test_missing_targets_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "[a](page.md#b) [c](https://d.e) [f](gone.md)\n\n"
        "```{figure} auto_examples/images/sphx_glr_plot_gone_001.png\n```\n"
        "```python\nx[0](y)\n```\n[g](auto_examples/plot_wide.rst)\n"
    )
    gone = "auto_examples/images/sphx_glr_plot_gone_001.png"
    assert list(missing_targets(page)) == ["gone.md", gone]


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/user_guide/*.md")],
    ids=lambda page: page.stem,
)
def test_links_lead_to_files(page):
    assert list(missing_targets(page)) == []


def test_alpha_over_the_rows_is_the_decay():
    """What the page on MLPRegressor says of its objective."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 3)), rng.standard_normal(100)
    mlp = MLPRegressor(
        hidden_layer_sizes=(4,), solver="lbfgs", alpha=5.0, max_iter=3, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        mlp.fit(X, y)
    squares = sum((weights**2).sum() for weights in mlp.coefs_)
    error = np.mean((y - mlp.predict(X)) ** 2)
    assert mlp.loss_ == pytest.approx(error / 2 + (5.0 / 100) / 2 * squares)


def test_links_of_built_pages_are_followed(tmp_path):
    check = runpy.run_path(str(ROOT / "docs" / "check_links.py"))["missing_links"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.html").write_text('<p id="there"><a href="../a.html#me">')
    (tmp_path / "picture one.png").touch()
    links = ("other/b.html#there", "#me", "picture%20one.png", "https://example.org")
    wrong = ("other/c.html", "other/b.html#here", "#you", "picture.png")
    page = "".join(f'<a href="{link}">' for link in links + wrong)
    (tmp_path / "a.html").write_text(f'<h1 id="me">{page}')
    assert check(tmp_path) == [("a.html", link) for link in wrong]


def test_the_gallery_has_a_place_for_each_example():
    order = runpy.run_path(str(ROOT / "docs" / "gallery_order.py"))["READING_ORDER"]
    names = {path.stem for path in (ROOT / "examples").glob("plot_*.py")}
    assert sorted(f"plot_{name}" for name in order) == sorted(names)
