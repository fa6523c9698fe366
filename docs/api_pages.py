"""Write the pages of the API reference from the public names of skwing.

`conf.py` calls :func:`write_pages` before each build, so that the reference lists every public
module and every name in its ``__all__``. autosummary writes a page for each name.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import skwing
from skwing.schema import LandmarkSchema

# The classes of these modules are documented as names of skwing.
INTERNAL = {"cascade"}


def public_modules() -> list[str]:
    """Names of the public modules, the package first."""
    folder = Path(skwing.__file__).parent
    found = [
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    inner = sorted(name for name in found if not name.startswith("_") and name not in INTERNAL)
    return ["skwing", *(f"skwing.{name}" for name in inner)]


def public_names(module: ModuleType) -> list[str]:
    """Names in ``__all__``, except the version."""
    return [name for name in module.__all__ if name != "__version__"]


def homes() -> dict[str, dict[str, str]]:
    """For each module, its public names with the full name that has a page.

    A name that several modules export has one page: the class ``PoseBalancer`` of
    ``skwing.balance`` is documented as ``skwing.PoseBalancer``, and the detectors that
    ``skwing.datasets`` exports as names of ``skwing.detection``.
    """
    modules = {name: import_module(name) for name in public_modules()}
    found: dict[str, dict[str, str]] = {}
    for name, module in modules.items():
        found[name] = {}
        for item in public_names(module):
            thing = getattr(module, item)
            home = name
            if getattr(skwing, item, None) is thing and item in skwing.__all__:
                home = "skwing"
            else:
                defined = getattr(thing, "__module__", name)
                for other in modules:
                    if other != "skwing" and f"{defined}.".startswith(f"{other}."):
                        home = other if getattr(modules[other], item, None) is thing else home
            found[name][item] = f"{home}.{item}"
    return found


def page_of(module: str, names: dict[str, str]) -> str:
    """Text of the page of a module, in reStructuredText."""
    own = [full for full in names.values() if full.rpartition(".")[0] == module]
    others = [full for full in names.values() if full not in own]
    lines = [module, "=" * len(module), ""]
    if module != "skwing":  # its docstring is a table of the modules, as the index of the API is
        lines += [f".. automodule:: {module}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module}", ""]
    if own:
        lines += [".. autosummary::", "   :toctree: generated", "   :nosignatures:", ""]
        lines += [f"   {full.rpartition('.')[2]}" for full in own] + [""]
    if others:
        lines += ["Also available here:", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{full}" for full in others] + [""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Text of each page by its file name."""
    known = homes()
    texts = {f"{module}.rst": page_of(module, names) for module, names in known.items()}
    rows = [f"   {module}" for module in known]
    title = ["API reference", "=============", ""]
    told = ["Each public module, and each public name in it, with an example.", ""]
    toctree = [".. toctree::", "   :maxdepth: 1", "   :hidden:", "", *rows, ""]
    table = [".. list-table::", "   :header-rows: 1", "   :widths: 25 75", ""]
    table += ["   * - module", "     - contents"]
    for module in known:
        summary = (import_module(module).__doc__ or "").strip().split("\n")[0]
        table += [f"   * - :doc:`{module}`", f"     - {summary}"]
    texts["index.rst"] = "\n".join([*title, *told, *table, "", *toctree])
    return texts


def skip_metadata_requests(app, what, name, obj, skip, options):
    """Leave out scikit-learn's methods for metadata routing, which it documents itself."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def class_signature(app, what, name, obj, options, signature, return_annotation):
    """Signature of a class from its parameters, if its ``__new__`` hides them; without types."""
    if what != "class" or not (signature or "").startswith("(*args"):
        return None
    found = inspect.signature(obj)
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    told = found.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    return str(told), None


def describe_data(app, what, name, obj, options, lines):
    """Replace the docstring of a constant, which is that of its class, by its content."""
    if what != "data":
        return
    module, _, item = name.rpartition(".")
    lines[:] = [*facts_of(obj), "", ".. rubric:: Examples", "", f">>> from {module} import {item}"]
    if isinstance(obj, LandmarkSchema):
        lines += [f">>> {item}.n_landmarks", str(obj.n_landmarks)]
    else:
        lines += [f">>> sorted({item})", str(sorted(obj))]


def facts_of(obj: LandmarkSchema | dict[str, object]) -> list[str]:
    """Paragraphs about a constant: the names in a registry, or the content of a schema."""
    if not isinstance(obj, LandmarkSchema):
        return ["Registry: a dictionary of what can be requested by name."]
    contours = ", ".join(name for name, _, _ in obj.contours)
    normalizers = ", ".join(f"``{name}``" for name in obj.normalizers)
    names = ", ".join(f"{i} ``{name}``" for i, name in enumerate(obj.landmark_names))
    return [
        f"{obj.n_landmarks} landmarks, a :class:`skwing.LandmarkSchema`.",
        "",
        f":Normalizers: {normalizers or 'none'}",
        f":Contours: {contours or 'none'}",
        f":Landmarks: {names}",
    ]


def write_pages(folder: Path) -> None:
    """Write the pages that differ from those in the folder, and delete those of old modules."""
    folder.mkdir(exist_ok=True)
    texts = pages()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    names = {full for names in homes().values() for full in names.values()}
    for path in folder.glob("*.rst"):
        if path.name not in texts:
            path.unlink()
    for path in folder.glob("generated/*.rst"):
        if path.stem not in names:
            path.unlink()
