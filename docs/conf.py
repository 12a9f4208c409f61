"""The site of the documentation: ``make docs`` builds it, and any warning is an error."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nbclient
from jupyter_cache.executors import utils as running

import gpu_coldstart

project = "gpu_coldstart"
author = "The gpu_coldstart authors"
project_copyright = "2026, the gpu_coldstart authors"
version = release = gpu_coldstart.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_heading_anchors = 4
# The tutorials are run, each in a folder of its own that is removed, and what fails in them fails.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
# What a command prints comes in pieces of 100 characters, to be joined as they are: MyST-NB's own
# nb_merge_streams begins a new line with each.
running.executenb = partial(nbclient.execute, coalesce_streams=True)
# Their commands are those of the environment that builds the site.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

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

_UP = re.compile(r"\]\(((?:\.\./)+)([^)#]+\.md)(#[^)]*)?\)")


def setup(app: Any) -> None:
    """Let pages of the repository that are not the site's be downloads, as other files are."""

    def read(app: Any, name: str, source: list[str]) -> None:
        del app
        out_of_docs = "../" * (name.count("/") + 1)

        def link(match: re.Match[str]) -> str:
            return f"](path:{match[1]}{match[2]})" if match[1] == out_of_docs else match[0]

        source[0] = _UP.sub(link, source[0])

    app.connect("source-read", read)
