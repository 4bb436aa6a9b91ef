"""The documentation site: `python -m sphinx -W -b html docs build/site`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import jaxtriplet

project = "jaxtriplet"
author = "The jaxtriplet authors"
copyright = "2026, the jaxtriplet authors"
release = version = jaxtriplet.__version__
html_title = f"jaxtriplet {release}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "mathml",
    "repository",
    "myst_nb",
]
exclude_patterns = ["losses/pictures/*", "**/README.md"]
html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
# What the tests have run is what is shown.
nb_execution_mode = "off"

# In docstrings `name` is code, and a link where it is a name of ours.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
