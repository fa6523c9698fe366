"""The picture and the page of the architecture are those of the code."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location(
        "draw_architecture", DOCS / "draw_architecture.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_drawn_from_the_imports_of_today(drawing):
    told = "python docs/draw_architecture.py draws it again"
    drawn, today = drawing.drawn_graph(), drawing.import_graph()
    # What the picture shows: an import that follows from others changes nothing there.
    assert drawing.without_implied(drawn) == drawing.without_implied(today), told


def test_every_part_is_described(drawing):
    text = (DOCS / "architecture.md").read_text("utf-8")
    assert [part for part in drawing.import_graph() if f"`{part}`" not in text] == []


def test_an_arrow_is_left_out_only_where_others_imply_it(drawing):
    graph = {"a": ["b", "c"], "b": ["c"], "c": [], "d": ["c"]}
    assert drawing.without_implied(graph) == {"a": ["b"], "b": ["c"], "c": [], "d": ["c"]}
    assert drawing.rows_of(graph) == [["c"], ["b", "d"], ["a"]]


def test_files_that_the_page_names_are_there():
    text = (DOCS / "architecture.md").read_text("utf-8")
    named = re.findall(r"`(skwing/[\w/]+\.py)`", text)
    assert len(named) > 8
    assert [path for path in named if not (DOCS.parent / path).is_file()] == []
