"""What is new must be known everywhere: each test names the place that lacks it.

CONTRIBUTING.md explains how to add a loss, a network, a reader and a display; these tests find
the new one by its signature or name and fail until all places have it.
"""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import skwing
from skwing import datasets, display, losses, networks

ROOT = Path(__file__).parents[1]


def public_functions(package):
    """Functions and classes that the modules of a package define, without a leading _."""
    modules = [importlib.import_module(package.__name__)]
    for module in pkgutil.walk_packages(getattr(package, "__path__", []), f"{package.__name__}."):
        modules.append(importlib.import_module(module.name))
    known = {}
    for module in modules:
        defined = ast.parse(Path(module.__file__).read_text("utf-8")).body
        for node in defined:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                known[node.name] = getattr(module, node.name)
    return known


def parameters(thing):
    return list(inspect.signature(thing).parameters)


def lacking(names, place):
    """Names that a file does not hold, as words."""
    text = (ROOT / place).read_text("utf-8")
    return sorted(name for name in names if name not in text)


def names_in(path):
    """Every name that the code of a test file uses."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


LOSSES = {
    name
    for name, function in public_functions(losses).items()
    if parameters(function)[:1] == ["residual"]
}
NETWORKS = {
    name
    for name, thing in public_functions(networks).items()
    if inspect.isfunction(thing) and parameters(thing)[:1] == ["n_landmarks"]
}
READERS = {
    name
    for name, function in public_functions(datasets).items()
    if "return_X_y" in parameters(function) and name.startswith(("read_", "load_", "from_"))
}
DISPLAYS = {
    name
    for name, thing in public_functions(display).items()
    if inspect.isclass(thing) and name.endswith("Display")
}


def test_a_loss_is_in_the_registry_and_has_values_worked_out_by_hand():
    assert {name: getattr(losses, name) for name in LOSSES} == losses.LOSSES
    assert set(losses.__all__) >= LOSSES, "skwing/losses.py: __all__"
    assert names_in("tests/test_losses.py") >= LOSSES, "a row of test_values_and_gradients"


def test_a_network_is_in_the_registry_and_in_the_docs():
    registry = {getattr(part, "func", part) for part in networks.NETWORKS.values()}
    assert {getattr(networks, name) for name in NETWORKS} == registry
    # A name is that of its function, perhaps with the kind.
    names = {name: getattr(part, "func", part) for name, part in networks.NETWORKS.items()}
    assert all(name.startswith(function.__name__) for name, function in names.items())
    assert set(networks.__all__) >= NETWORKS, "skwing/networks/__init__.py: __all__"
    # The page writes CNN-6 for cnn6 in its table of the paper's networks.
    described = set(names) - {"cnn6", "cnn7"}
    assert lacking(described, "docs/guide/networks.md") == []
    assert lacking(NETWORKS, "tests/networks/test_cnn.py") == [], "SIZES"


def test_a_reader_is_public_and_in_the_docs():
    assert set(datasets.__all__) >= READERS, "skwing/datasets/__init__.py: __all__"
    files = {name for name in datasets.__all__ if name.startswith(("read_", "load_", "write_"))}
    files |= READERS
    assert lacking(files, "docs/data.md") == []


def test_what_is_written_is_read_in_the_round_trips():
    formats = {name for name in datasets.__all__ if name.startswith("write_")}
    formats -= {"write_pts"}  # of one file; write_pts_folder is tried there
    assert names_in("tests/datasets/formats/test_round_trips.py") >= formats, "WRITERS"


def test_a_display_is_public_and_drawn_in_the_gallery():
    assert set(display.__all__) == DISPLAYS, "skwing/display/__init__.py: __all__"
    if not (ROOT / "examples").is_dir():
        pytest.skip("no examples beside the tests")
    scripts = [path.read_text("utf-8") for path in (ROOT / "examples").glob("plot_*.py")]
    drawn = {name for name in DISPLAYS if any(name in text for text in scripts)}
    assert drawn == DISPLAYS, "a script examples/plot_NAME.py"


def test_all_public_names_are_there():
    for module in (skwing, datasets, display, losses, networks):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
