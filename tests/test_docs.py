"""The pages of the documentation: the reference lists all public names."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import skwing
from skwing import datasets

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


def text_of(node):
    """Text of a string expression, with ... in place of values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
    return ""


@pytest.mark.slow
def test_messages_that_the_faq_quotes_are_those_of_the_package():
    known = {
        text_of(node)
        for path in Path(skwing.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    }
    quoted = re.findall(r"^> `(.+?)`", (DOCS / "faq.md").read_text("utf-8"), re.MULTILINE)
    assert len(quoted) > 15
    parts = [[part for part in quote.split("...") if part.strip()] for quote in quoted]
    told = [all(any(p in text for text in known) for p in own) for own in parts]
    assert [q for q, here in zip(quoted, told, strict=True) if not here] == []


def test_the_files_to_download_are_the_same_wings_in_every_format(tmp_path):
    spec = importlib.util.spec_from_file_location("draw_files", DOCS / "draw_files.py")
    draw_files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw_files)
    draw_files.write_files(tmp_path / "files")
    written = {path.name: path for path in (tmp_path / "files").iterdir()}
    kept = {path.name: path for path in (DOCS / "files").iterdir()}
    assert set(kept) == set(written)
    for name, path in kept.items():
        if path.suffix != ".png":  # whose bytes depend on the library
            assert path.read_text("utf-8") == written[name].read_text("utf-8"), name
    truth = draw_files.wings()
    truth[2, 3] = np.nan
    read = {
        "wings.tps": datasets.read_tps,
        "wings.csv": datasets.read_csv,
        "wings_long.csv": datasets.read_csv,
        "wings.json": datasets.read_coco,
        "CollectedData.csv": datasets.read_deeplabcut,
    }
    for name, reader in read.items():
        np.testing.assert_allclose(reader(kept[name]).target, truth, atol=1e-9, err_msg=name)
    found = datasets.read_dlib_xml(kept["wings.xml"])
    assert list(found.schema.landmark_names) == sorted(draw_files.SCHEMA.landmark_names)
    order = [found.schema.landmark_names.index(n) for n in draw_files.SCHEMA.landmark_names]
    np.testing.assert_allclose(found.target[:, order], truth, atol=0.5001)
    np.testing.assert_allclose(datasets.read_pts(kept["wing_1.pts"]), truth[0], atol=1e-9)
    assert datasets.read_tps(kept["undigitised.tps"]).target.shape == (3, 0, 2)


def test_every_public_class_and_function_has_an_example(api_pages):
    homes = {full for names in api_pages.homes().values() for full in names.values()}
    lacking = []
    for full in sorted(homes):
        module, _, name = full.rpartition(".")
        thing = getattr(importlib.import_module(module), name)
        if callable(thing) and ">>>" not in (inspect.getdoc(thing) or ""):
            lacking.append(full)
    assert lacking == []
