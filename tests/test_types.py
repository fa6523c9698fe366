"""Public functions and methods state the types of what they take and return."""

import importlib
import inspect

import pytest

import skwing

MODULES = [importlib.import_module(f"skwing.{name}") for name in skwing._MODULES]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in [skwing, *MODULES]
    for name in getattr(module, "__all__", [])
}


def functions_of(thing):
    """A function itself, or the public methods and the constructor that a class defines."""
    if not inspect.isclass(thing):
        return [thing] if inspect.isfunction(thing) else []
    own = {name: part for name, part in vars(thing).items() if inspect.isfunction(part)}
    own |= {
        name: part.__func__
        for name, part in vars(thing).items()
        if isinstance(part, (classmethod, staticmethod))
    }
    own |= {name: part.fget for name, part in vars(thing).items() if isinstance(part, property)}
    return [
        part
        for name, part in own.items()
        if (not name.startswith("_") or name == "__init__") and part.__module__.startswith("skwing")
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_all_types_are_stated(name):
    for function in functions_of(PUBLIC[name]):
        signature = inspect.signature(inspect.unwrap(function))
        lacking = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
        ]
        assert lacking == [], function.__qualname__
        assert signature.return_annotation is not signature.empty, function.__qualname__
