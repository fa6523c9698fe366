"""The pages of the documentation: the reference lists all public names."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import skwing

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")


@pytest.fixture(scope="module")
def api_pages():
    spec = importlib.util.spec_from_file_location("api_pages", DOCS / "api_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_modules():
    inner = [info.name for info in pkgutil.iter_modules(skwing.__path__)]
    return [skwing, *(importlib.import_module(f"skwing.{n}") for n in inner if n[0] != "_")]


def entries(page):
    """Names that the autosummary tables of a page list."""
    lines = page.splitlines()
    starts = [i for i, line in enumerate(lines) if line == ".. autosummary::"]
    for start in starts:
        for line in lines[start + 1 :]:
            if line and not line.startswith("   "):
                break
            if line.strip() and not line.strip().startswith(":"):
                yield line.strip().lstrip("~")


def test_the_reference_lists_all_public_names(api_pages):
    texts = api_pages.pages()
    for module in public_modules():
        if module.__name__ == "skwing.cascade":  # its class is in skwing
            continue
        names = {name for name in module.__all__ if name != "__version__"}
        page = texts[f"{module.__name__}.rst"]
        assert {entry.rpartition(".")[2] for entry in entries(page)} == names
        assert f"   {module.__name__}\n" in texts["index.rst"]


def test_each_name_has_one_page(api_pages):
    homes = api_pages.homes()
    pages = {full for names in homes.values() for full in names.values()}
    for module, names in homes.items():
        for name, full in names.items():
            home, _, item = full.rpartition(".")
            thing = getattr(importlib.import_module(module), name)
            assert getattr(importlib.import_module(home), item) is thing
            assert homes[home][item] == full, f"{full} is not on the page of {home}"
    # One class or function has one page, whichever modules export it.
    things = [
        getattr(importlib.import_module(f.rpartition(".")[0]), f.rpartition(".")[2]) for f in pages
    ]
    assert len({id(thing) for thing in things}) == len(things)


def test_pages_of_names_that_are_gone_are_deleted(api_pages, tmp_path):
    (tmp_path / "generated").mkdir()
    for stale in ("skwing.gone.rst", "generated/skwing.gone.name.rst"):
        (tmp_path / stale).write_text("x")
    (tmp_path / "generated" / "skwing.boxes.box_relation.rst").write_text("x")
    api_pages.write_pages(tmp_path)
    assert {p.name for p in tmp_path.glob("*.rst")} == set(api_pages.pages())
    assert [p.name for p in (tmp_path / "generated").iterdir()] == ["skwing.boxes.box_relation.rst"]
