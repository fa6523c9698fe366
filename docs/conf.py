"""Configuration of the documentation.

    python -m sphinx -W --keep-going docs docs/_build

builds the site without network access. Needs ``pip install -e ".[docs]"``.
"""

import os
import sys
import warnings
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
sys.path.insert(0, str(DOCS.parent))
os.environ.setdefault("MPLBACKEND", "agg")

import api_pages  # noqa: E402

import skwing  # noqa: E402

project = "skwing"
author = "the skwing developers"
copyright = author
version = release = skwing.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx_llms_txt",
    "notfound.extension",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "files/README.md", "sg_execution_times.rst"]
root_doc = "index"
default_role = "literal"
nitpicky = True
toc_object_entries_show_parents = "hide"
# Classes of other libraries are named in docstrings; without a network there is nothing to link to.
nitpick_ignore_regex = [
    ("py:.*", r"(sklearn|numpy|np|torch|scipy|pandas|matplotlib|sleap_io|imblearn|nn)\..*"),
]
suppress_warnings = ["config.cache"]

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block", "attrs_inline"]
myst_heading_anchors = 3

# API reference
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
add_module_names = False

# Gallery
sphinx_gallery_conf = {
    "examples_dirs": str(DOCS.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",
    "within_subsection_order": "gallery_order.ByTopic",
    "capture_repr": (),
    "abort_on_example_error": True,
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skwing",),
    "reference_url": {"skwing": None},
    "plot_gallery": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "write_computation_times": False,
    "show_signature": False,
    "min_reported_time": 1,
}

# Site
html_theme = "pydata_sphinx_theme"
html_title = f"skwing {release}"
html_static_path = ["_static"]
html_css_files = ["skwing.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skwing"},
    "show_prev_next": False,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Pages without a section have no navigation beside them.
SINGLE = (
    "index",
    "quickstart",
    "your_data",
    "command_line",
    "results",
    "models",
    "coming_from",
    "faq",
)
html_sidebars = {name: [] for name in (*SINGLE, "glossary")}
notfound_urls_prefix = None
copybutton_exclude = ".linenos, .gp, .go"
copybutton_copy_empty_lines = False
llms_txt_full_file = False
llms_txt_uri_template = "{docname}.html"
llms_txt_exclude = ["api/generated/*"]
llms_txt_summary = "Landmark localisation with scikit-learn estimators."

warnings.filterwarnings("ignore", category=UserWarning, message=".*non-interactive.*")


def setup(app):
    """Write the pages of the API reference before sphinx looks for pages."""
    api_pages.write_pages(DOCS / "api")
    app.connect("autodoc-skip-member", api_pages.skip_metadata_requests)
    app.connect("autodoc-process-signature", api_pages.class_signature)
    app.connect("autodoc-process-docstring", api_pages.describe_data)
