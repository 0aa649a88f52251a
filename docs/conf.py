"""Configuration of the documentation; build with ``python -m sphinx -W docs OUT``."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from docutils import nodes

import sklearn_twolayer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # for gallery_order

project = "sklearn_twolayer"
author = "the sklearn_twolayer developers"
copyright = author
version = release = sklearn_twolayer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
templates_path = ["_templates"]
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # types are in the docstrings
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    "all",
    "ES01",  # an extended summary, where the summary says it all
    "EX01",  # examples, in methods whose class has some
    "SA01",  # See Also, likewise
    "GL01",  # text on the line after the quotes: ruff sees to one style
    "RT02",  # returned values have names
    "YD01",
}
# Methods that scikit-learn documents.
autosummary_context = {
    "inherited": [
        "fit_transform", "get_metadata_routing", "get_params",
        "score", "set_callbacks", "set_fit_request", "set_output", "set_params",
        "set_score_request",
    ]
}  # fmt: skip
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3


def is_reachable(address: str) -> bool:
    """Whether there is a network: without one, foreign names stay without links."""
    try:
        with urlopen(address + "objects.inv", timeout=5):
            return True
    except (URLError, TimeoutError):
        return False


intersphinx_mapping = {
    name: (address, None)
    for name, address in {
        "sklearn": "https://scikit-learn.org/stable/",
        "torch": "https://docs.pytorch.org/docs/stable/",
    }.items()
    if is_reachable(address)
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_twolayer"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_theme_options = {
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {
    page: []
    for page in (
        "install", "start", "which_estimator", "from_mlp", "from_dimension_reduction",
        "benchmarks", "theory", "feature_learning", "stability", "changelog", "mutants",
    )
}  # fmt: skip

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "gallery_order.ReadingOrder",
    "doc_module": ("sklearn_twolayer",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"sklearn_twolayer": None},
    "download_all_examples": False,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "show_memory": False,
    "show_signature": False,
}
# sphinx-gallery draws without a screen; plt.show() then has nothing to show.
warnings.filterwarnings("ignore", message=".*non-interactive.*")


def name_thumbnails(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Describe the small pictures of the gallery, which sphinx-gallery does not."""
    for image in doctree.findall(nodes.image):
        example = re.search(r"sphx_glr_(\w+)_thumb", image["uri"])
        title = example and app.env.titles.get(f"auto_examples/{example[1]}")
        if title:
            image["alt"] = f"Picture of the example: {title.astext()}"


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls while it builds."""
    app.connect("doctree-resolved", name_thumbnails)
