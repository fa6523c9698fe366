"""How large rooms, files and functions may be, and that reading does without training."""

import ast
import re
import sys
from pathlib import Path

import pytest
from small import PLAIN

import skwing
from skwing import CascadeLandmarkRegressor
from skwing.datasets import make_faces

ROOT = Path(skwing.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def docstring_lines(node):
    """Lines of the docstrings in a module, class or function."""
    n_lines = 0
    for part in ast.walk(node):
        if isinstance(part, DOCUMENTED) and ast.get_docstring(part) is not None:
            text = part.body[0]
            n_lines += text.end_lineno - text.lineno + 1
    return n_lines


def test_the_top_of_the_package_is_small():
    names = {path.stem for path in ROOT.iterdir()} - {"__init__", "__main__", "__pycache__", "py"}
    assert len(names) <= 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path):
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) - docstring_lines(tree) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            n_lines = node.end_lineno - node.body[0].lineno + 1 - docstring_lines(node)
            assert n_lines <= 50, node.name


def test_no_message_promises_a_removal_in_a_version_that_is_here():
    here = tuple(map(int, skwing.__version__.split(".")[:2]))
    promised = re.compile(r"removed in (?:version )?(\d+)\.(\d+)")
    for path in FILES:
        for major, minor in promised.findall(path.read_text("utf-8")):
            assert (int(major), int(minor)) > here, path


def test_predict_runs_no_code_of_training():
    X, y = make_faces(8, image_size=64, random_state=0, return_X_y=True)
    regressor = CascadeLandmarkRegressor(networks=(PLAIN, PLAIN), max_epochs=1, random_state=0)
    regressor.fit(X, y)
    entered = set()

    def trace(frame, event, _):
        if event == "call":
            entered.add(Path(frame.f_code.co_filename))

    sys.setprofile(trace)
    try:
        regressor.predict(X)
    finally:
        sys.setprofile(None)
    rooms = {path.relative_to(ROOT).parts[0] for path in entered if path.is_relative_to(ROOT)}
    assert "_prediction" in rooms
    assert "_training" not in rooms
