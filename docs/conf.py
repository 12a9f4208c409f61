"""The site of the documentation: ``make docs`` builds it, and any warning is an error."""

from __future__ import annotations

import re
from typing import Any

import gpu_coldstart

project = "gpu_coldstart"
author = "The gpu_coldstart authors"
project_copyright = "2026, the gpu_coldstart authors"
version = release = gpu_coldstart.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_heading_anchors = 4
# Annotations are in the signatures; docstrings say what they mean.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autosummary_generate = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = f"gpu_coldstart {release}"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
exclude_patterns = ["_build"]

_OUTSIDE = re.compile(r"\]\((\.\./[^)#]+\.md)(#[^)]*)?\)")


def setup(app: Any) -> None:
    """Let pages of the repository that are not the site's be downloads, as other files are."""

    def read(app: Any, name: str, source: list[str]) -> None:
        del app, name
        source[0] = _OUTSIDE.sub(r"](path:\1)", source[0])

    app.connect("source-read", read)
