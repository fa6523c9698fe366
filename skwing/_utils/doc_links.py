"""Links from the HTML representation of estimators to their documentation."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["DocLinkMixin", "documentation_url"]


@cache
def documentation_url() -> str:
    """Address of the published documentation, empty if there is none.

    It is the entry "Documentation" of ``[project.urls]`` in pyproject.toml, as the metadata of
    the installed package have it.
    """
    try:
        urls = metadata.metadata("skwing").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from a copy that is not installed
        return ""
    for entry in urls:
        label, _, url = entry.partition(",")
        if label.strip().lower() == "documentation":
            return url.strip()
    return ""


class DocLinkMixin:
    """Part of an estimator whose HTML representation links to the documentation.

    scikit-learn reads both attributes. Without a published documentation there is no link.
    """

    @property
    def _doc_link_module(self) -> str:
        """Root module of the estimators that have a link."""
        return "skwing" if documentation_url() else "sklearn"

    @property
    def _doc_link_template(self) -> str:
        """Address as a format string."""
        return documentation_url().replace("{", "{{").replace("}", "}}")
