"""Links from the HTML representation of estimators to their documentation."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def documentation_url() -> str:
    """URL of the published documentation, empty if there is none.

    It is the entry "Documentation" of ``[project.urls]`` in pyproject.toml, read from the
    metadata of the installed package.
    """
    try:
        urls = metadata.metadata("skwing").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # the package is not installed
        return ""
    for entry in urls:
        label, _, url = entry.partition(",")
        if label.strip().lower() == "documentation":
            return url.strip()
    return ""


class DocLinkMixin:
    """Mixin for links from the HTML representation of estimators to the documentation.

    scikit-learn reads both attributes. Without a published documentation there is no link.
    """

    @property
    def _doc_link_module(self) -> str:
        """Root module of the estimators that have a link."""
        return "skwing" if documentation_url() else "sklearn"

    @property
    def _doc_link_template(self) -> str:
        """URL as a format string."""
        return documentation_url().replace("{", "{{").replace("}", "}}")
