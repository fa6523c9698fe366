"""Every script of the gallery runs, draws figures, and is laid out as sphinx-gallery expects.

Faces are few and trainings are short here; the documentation is built with those of the scripts.
"""

import ast
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from small import train_at_most

from skwing.datasets import make_faces

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))
NEEDS = {"plot_onnx": ["onnx", "onnxscript", "onnxruntime"]}
# Folds need so many faces; boxes are adapted to models that find the faces.
N_FACES = {"plot_by_specimen": 48, "plot_learning_curve": 120, "plot_other_detector": 160}
N_EPOCHS = {"plot_other_detector": 30}


@pytest.fixture(autouse=True)
def close_figures():
    plt.close("all")
    yield
    plt.close("all")


def test_there_is_a_gallery():
    if not EXAMPLES.is_dir():
        pytest.skip("no examples beside the tests")
    assert len(SCRIPTS) >= 12
    assert (EXAMPLES / "GALLERY_HEADER.rst").is_file()


def test_every_script_has_a_place_in_the_order_of_the_pages():
    path = EXAMPLES.parent / "docs" / "gallery_order.py"
    if not path.is_file():
        pytest.skip("no docs beside the tests")
    names = runpy.run_path(str(path))["PAGES"]
    assert sorted(names) == [path.stem.removeprefix("plot_") for path in SCRIPTS]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_page_has_a_title_a_text_and_cells(path):
    text = path.read_text("utf-8")
    title, rule, blank, *rest = ast.get_docstring(ast.parse(text), clean=False).strip().split("\n")
    assert set(rule) == {"="}
    assert len(rule) == len(title)
    assert blank == ""
    assert any(rest)
    headings = text.split("\n# %%\n# ")[1:]
    assert headings
    for cell in headings:
        heading, _, below = cell.partition("\n# ")
        rule = below.partition("\n")[0]
        if set(rule) == {"-"}:
            assert len(rule) == len(heading), heading


def faces_at_most(n_most):
    def few_faces(n, *, pose=None, **settings):
        n = min(n, n_most)
        return make_faces(n, pose=None if pose is None else pose[:n], **settings)

    return few_faces


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs_and_draws(path, tmp_path, monkeypatch):
    for library in NEEDS.get(path.stem, []):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    few = faces_at_most(N_FACES.get(path.stem, 32))
    monkeypatch.setattr("skwing.datasets.make_faces", few)
    train_at_most(monkeypatch, N_EPOCHS.get(path.stem, 2))
    runpy.run_path(str(path), run_name="__main__")
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        drawn = [ax for ax in figure.axes if ax.lines or ax.images or ax.patches or ax.collections]
        assert drawn
    assert list(tmp_path.iterdir()) == []  # nothing is left behind where it was started
