"""Docstrings begin with a sentence, and docstrings and pages do not personify code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "skwing").rglob("*.py"))
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
PAGES = [path for path in PAGES if path.is_file() and path.name != "research-log.md"]

# Phrases that describe code as a person, and what the documentation says instead: a stage is
# trained on or predicts, a function returns, a parameter sets, a fit continues.
RETIRED = (
    *("asks for", "asked for", "goes on with", "told by", "tells of", "nobody", "one's own"),
    *("until it rests", "as it comes", "has words for", "what it holds"),
)


def docstrings(path):
    """Name and docstring of a module and of all that is defined in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "name", "the module"), text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_begin_with_a_sentence_on_one_line(path):
    odd = [name for name, text in docstrings(path) if not text.split("\n")[0].endswith((".", "?"))]
    assert odd == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_do_not_personify_code(path):
    for name, text in docstrings(path):
        plain = re.sub(r"\s+", " ", text)
        assert [phrase for phrase in RETIRED if phrase in plain] == [], name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_do_not_personify_code(path):
    plain = re.sub(r"\s+", " ", path.read_text("utf-8"))
    assert [phrase for phrase in RETIRED if phrase in plain] == []
