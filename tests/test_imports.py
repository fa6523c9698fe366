"""How the package holds together: which module may import which, and what is public."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import skwing

ROOT = Path(skwing.__file__).parent
# From the bottom up: a part imports from its own row or from rows above it in this list.
ROWS = [
    ["_utils", "exceptions", "runtime"],
    ["geometry", "losses", "schema"],
    ["images", "shapes", "metrics"],
    ["_crops", "balance", "boxes"],
    ["networks", "detection", "datasets"],
    ["_prediction"],
    ["_training"],
    ["cascade"],
    ["display", "export", "model_selection", "persistence", "tracking", "recipes"],
    ["_cli"],
]
ROW_OF = {name: i for i, row in enumerate(ROWS) for name in row}
# What reads may not know what trains, and what follows faces no data set.
NEVER = {("_prediction", "_training"), ("tracking", "datasets"), ("detection", "datasets")}


@cache
def trees():
    """Syntax trees of all modules."""
    return {
        path.relative_to(ROOT): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")
    }


def imported(tree):
    """Dotted names of all that a module imports, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def part_of(path):
    return path.with_suffix("").parts[0]


def users_of(*names):
    """Files in whose code one of these names is called, read or imported."""
    return {
        path.as_posix()
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if {getattr(node, "attr", None), getattr(node, "id", None)} & set(names)
        or (isinstance(node, ast.alias) and node.name.rpartition(".")[2] in names)
    }


@pytest.mark.slow
def test_imports_point_one_way():
    graph = {}
    for path, tree in trees().items():
        part = part_of(path)
        if part in ("__init__", "__main__"):
            continue
        assert part in ROW_OF, f"{path}: which row of this test's list is it in?"
        for name in imported(tree):
            assert not name.startswith("."), f"{path}: write {name} in full"
            if name.partition(".")[0] == "skwing":
                target = name.split(".")[1] if "." in name else ""
                assert target in ROW_OF, f"{path} imports {name}, which is in no row"
                assert ROW_OF[target] <= ROW_OF[part], f"{path} imports {name} from above"
                assert (part, target) not in NEVER, f"{path} imports {name}"
                graph.setdefault(part, set()).update({target} - {part})
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.slow
def test_only_one_module_besides_the_runtime_resamples_pixels():
    used = users_of("warpAffine", "grid_sample", "affine_grid")
    assert used == {"_crops/warp.py", "runtime.py"}


def importers_of(package):
    return {
        path.as_posix()
        for path, tree in trees().items()
        if any(name.partition(".")[0] == package for name in imported(tree))
    }


def test_only_one_module_imports_opencv():
    assert importers_of("cv2") == {"runtime.py"}


def test_the_runtime_imports_no_other_module():
    names = {name.split(".")[0] for name in imported(trees()[Path("runtime.py")])}
    assert names - sys.stdlib_module_names == {"cv2", "numpy"}


@pytest.mark.slow
def test_only_one_module_gives_warnings():
    calls = {
        path.as_posix()
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "warnings.warn"
    }
    assert calls == {"_utils/warnings.py"}


def test_torchvision_is_never_imported():
    assert importers_of("torchvision") == set()


def test_public_names():
    assert sorted(skwing.__all__) == [
        "Augmentation",
        "BoxedImages",
        "CascadeLandmarkRegressor",
        "LandmarkSchema",
        "PoseBalancer",
        "PoseResampler",
        "__version__",
        "load_model",
        "save_model",
    ]
    assert all(hasattr(skwing, name) for name in skwing.__all__)


def test_the_package_lists_public_names_and_modules_only():
    listed = {name for name in dir(skwing) if not name.startswith("_")}
    assert listed == {*skwing.__all__, *PUBLIC_MODULES} - {"__version__"}


MODULES = [
    path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
]
PUBLIC_MODULES = sorted(name for name in MODULES if not name.startswith("_"))
# What takes long to import, and is not needed to train and predict.
SLOW = ("matplotlib", "skimage", "sleap_io", "onnx", "h5py")
CHILD = f"""
import sys
import skwing
names = set(dir(skwing))
assert names >= set({PUBLIC_MODULES}), set({PUBLIC_MODULES}) - names
early = [name for name in sys.modules if name.partition(".")[0] in ("torch", "sklearn", "cv2")]
assert not early, f"imported already: {{early}}"
for name in {PUBLIC_MODULES}:
    module = getattr(skwing, name)
    assert module is sys.modules[f"skwing.{{name}}"], name
    assert getattr(skwing, name) is module
slow = [name for name in {SLOW} if name in sys.modules]
assert not slow, f"imported: {{slow}}"
assert not hasattr(skwing, "colours")
"""


@pytest.mark.slow
def test_public_modules_are_there_after_import_and_cost_nothing_before():
    found = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT.parent, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


def test_help_begins_with_a_map_of_all_modules_and_names():
    told = skwing.__doc__.split("\n\n")[1]
    assert len(told.splitlines()) <= 14
    words = set(re.findall(r"\w+", told))
    inner = {"balance", "cascade"}  # whose classes are told
    assert words >= {*PUBLIC_MODULES} - inner
    assert words >= {*skwing.__all__} - {"__version__", "PoseResampler"}
