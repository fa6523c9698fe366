"""How the package holds together: which module may import which, and what is public."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import skwing

ROOT = Path(skwing.__file__).parent
# From the bottom up: a module imports from its own row or from rows above it in this list.
ROWS = [
    [
        "geometry",
        "_names",
        "_markups",
        "_files",
        "_image_headers",
        "_schema_json",
        "schema",
        "losses",
        "_landmarks",
        "_checks",
        "_box_checks",
        "_cv2",
        "_solid",
        "_callbacks",
        "_progress",
        "_random",
        "_version",
        "_envelope",
        "_ambient",
        "_threads",
        "exceptions",
        "_unwrap",
        "_warnings",
        "_graphs",
        "_weights",
    ],
    ["metrics", "shapes", "_poses", "_decode", "images", "boxes", "_warp", "networks", "_engine"],
    ["_asymmetry", "_augment", "_bend", "_samples", "_data_checks", "_measure", "datasets"],
    ["_plain", "_model_file"],
    ["_chips", "_stages", "_settings", "balance"],
    ["_confidence", "_divergence", "_state"],
    ["_training", "_run"],
    ["cascade"],
    ["display", "export", "persistence", "tracking", "recipes"],
]
ROW_OF = {name: i for i, row in enumerate(ROWS) for name in row}
TREES = {path.relative_to(ROOT): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}


def imported(tree):
    """Dotted names of all that a module imports, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def module_of(path):
    return path.with_suffix("").parts[0]


def users_of(*names):
    """Modules in whose code one of these names is called, read or imported."""
    return {
        module_of(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if {getattr(node, "attr", None), getattr(node, "id", None)} & set(names)
        or (isinstance(node, ast.alias) and node.name.rpartition(".")[2] in names)
    }


def test_imports_point_one_way():
    graph = {}
    for path, tree in TREES.items():
        module = module_of(path)
        if module == "__init__":
            continue
        assert module in ROW_OF, f"{path}: which row of this test's list is it in?"
        for name in imported(tree):
            assert not name.startswith("."), f"{path}: write {name} in full"
            if name.partition(".")[0] == "skwing":
                target = name.split(".")[1] if "." in name else ""
                assert target in ROW_OF, f"{path} imports {name}, which is in no row"
                assert ROW_OF[target] <= ROW_OF[module], f"{path} imports {name} from above"
                graph.setdefault(module, set()).update({target} - {module})
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_one_module_resamples_pixels():
    assert users_of("warpAffine", "grid_sample", "affine_grid") == {"_warp"}


def importers_of(package):
    return {
        module_of(path)
        for path, tree in TREES.items()
        if any(name.partition(".")[0] == package for name in imported(tree))
    }


def test_only_one_module_imports_opencv():
    assert importers_of("cv2") == {"_cv2"}


def test_only_one_module_gives_warnings():
    calls = {
        module_of(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "warnings.warn"
    }
    assert calls == {"_warnings"}


def test_torchvision_is_never_imported():
    assert importers_of("torchvision") == set()


def test_public_names():
    assert sorted(skwing.__all__) == [
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
