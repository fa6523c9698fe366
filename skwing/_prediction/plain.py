"""Conversion of values to and from JSON-compatible data and arrays, for model files.

None, bool, int, float, str and list are stored as they are. Other supported types are stored as
objects with one key, which names the type. Reading creates only the types listed here:
functions are looked up in the table `PUBLIC` or given by the caller, and never imported by a
name in the file.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import torch

from skwing import losses, networks
from skwing._crops.augmentation import Augmentation
from skwing.schema import LandmarkSchema

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from numpy.typing import NDArray

# Functions and classes that files may refer to, by their public names.
PUBLIC = {
    f"{module.__name__}.{part.__name__}": part
    for module, parts in (
        (networks, networks.PUBLIC_PARTS),
        (losses, [*losses.LOSSES.values()]),
    )
    for part in parts
}
_NAMES = {part: name for name, part in PUBLIC.items()}
_SEEDED = ("kind", "key", "position", "has_gauss", "gauss")  # state of numpy's RandomState


@dataclass(frozen=True)
class NotInFile:
    """Placeholder for a custom function of a model, which is not part of the file.

    A loaded regressor has it as its `loss` or among its `networks`. Set the function with
    `set_params` before training; prediction does not need it.

    Attributes
    ----------
    name : str
        ``module:name`` of the function, for information.

    Examples
    --------
    >>> from skwing.persistence import NotInFile
    >>> NotInFile("my_losses:log_cosh").name
    'my_losses:log_cosh'
    """

    name: str

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise an error that names the missing function.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            f"the function {self.name} that this model was fitted with is not in the file that it "
            "was loaded from: pass it to set_params (loss=... or networks=...) before fitting"
        )


NotInFile.__module__ = "skwing.persistence"  # the public name


@dataclass(frozen=True)
class Half:
    """An array of float32 that is stored as float16, and read as float32 again."""

    array: NDArray[Any]

    def rounded(self, name: str) -> NDArray[Any]:
        """Convert the array to float16; an error if a number exceeds its range."""
        with np.errstate(over="ignore"):
            half = self.array.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(
                f"{name} has a number of {np.abs(self.array).max():.3g}, but float16 ends at "
                "65504: save the model with dtype='float32'"
            )
        return half


def to_plain(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """Convert a value to JSON-compatible data.

    Parameters
    ----------
    value : object
    name : str
        Name of the value in error messages, and prefix of the names of its arrays.
    arrays : dict
        Modified in place: arrays are added by name.

    Returns
    -------
    plain : object
        Can be serialised by `json`.

    Raises
    ------
    TypeError
        If the value contains an unsupported type.
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        items = [to_plain(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{name} is a dict with keys that are not str, which cannot be saved")
        return {"dict": [[k, to_plain(v, f"{name}.{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, np.ndarray):
        return _array_to_plain(value, name, arrays)
    if isinstance(value, Half):
        return {"halved": _array_to_plain(value.rounded(name), name, arrays)["array"]}
    if isinstance(value, LandmarkSchema):
        return {"schema": json.loads(value.to_json())}
    if type(value) is Augmentation:
        return {"augmentation": to_plain(value.get_params(), name, arrays)}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, np.random.RandomState):
        state = dict(zip(_SEEDED, value.get_state(legacy=True), strict=True))
        return {"random_state": to_plain(state, name, arrays)}
    if callable(value):
        return _function_to_plain(value, name, arrays)
    raise TypeError(f"{name} is a {type(value).__name__}, {value!r:.60}, which cannot be saved")


def _array_to_plain(array: NDArray[Any], name: str, arrays: dict[str, Any]) -> Any:
    if array.dtype.kind in "UO":
        return to_plain(array.tolist(), name, arrays)
    if array.dtype.kind not in "biuf" and array.dtype.names is None:
        raise TypeError(f"{name} is an array of dtype {array.dtype}, which cannot be saved")
    while name in arrays:
        name += "_"
    arrays[name] = array
    return {"array": name}


def _function_to_plain(function: Any, name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    if isinstance(function, NotInFile):
        return {"own": function.name}
    try:
        if function in _NAMES:
            return {"public": _NAMES[function]}
    except TypeError:  # not hashable
        pass
    if type(function) is functools.partial:
        found: dict[str, Any] = {}
        plain = _partial_to_plain(function, name, found)
        if plain is not None:
            arrays |= found
            return {"partial": plain}
    return {"own": name_of(function)}


def _partial_to_plain(
    function: functools.partial[Any], name: str, arrays: dict[str, Any]
) -> list[Any] | None:
    """Function, arguments and keywords, or None if one of them is a custom function."""
    try:
        parts = [
            _function_to_plain(function.func, name, arrays),
            to_plain(list(function.args), name, arrays),
            to_plain(function.keywords, name, arrays),
        ]
    except TypeError:
        return None
    return None if '{"own":' in json.dumps(parts) else parts


def name_of(function: Any) -> str:
    """Return ``module:name`` of a function, a class or the class of a callable object."""
    if isinstance(function, str):
        return function
    if isinstance(function, NotInFile):
        return function.name
    if isinstance(function, functools.partial):
        settings = ", ".join(f"{k}={v!r:.40}" for k, v in function.keywords.items())
        return f"{name_of(function.func)}({settings})"
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{function.__module__}:{function.__qualname__}"


def from_plain(plain: Any, arrays: dict[str, Any]) -> Any:
    """Convert the result of :func:`to_plain` back to a value.

    Parameters
    ----------
    plain : object
        Data as read by `json`.
    arrays : mapping of str to ndarray

    Returns
    -------
    value : object
        Custom functions are replaced by `NotInFile`.

    Raises
    ------
    ValueError
        If `plain` is not a valid result of :func:`to_plain`.
    """
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    if isinstance(plain, list):
        return [from_plain(item, arrays) for item in plain]
    if not isinstance(plain, dict) or len(plain) != 1:
        raise ValueError(f"found {plain!r:.60}, expected an object with one key")
    ((kind, content),) = plain.items()
    if kind not in _READERS:
        raise ValueError(f"found the unknown type {kind!r:.40}")
    try:
        return _READERS[kind](content, arrays)
    except RecursionError:
        raise
    except (TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"found {content!r:.60}, which is not a valid {kind}") from error


def _read_dict(content: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        raise TypeError
    return {_text(key): from_plain(value, arrays) for key, value in content}


def _read_partial(content: Any, arrays: dict[str, Any]) -> functools.partial[Any]:
    inner, args, settings = content
    function = from_plain(inner, arrays)
    if not isinstance(function, functools.partial) and function not in _NAMES:
        raise ValueError(f"found a partial of {function!r:.60}")
    args, settings = from_plain(args, arrays), from_plain(settings, arrays)
    return functools.partial(function, *args, **settings)


def _read_random_state(content: Any, arrays: dict[str, Any]) -> np.random.RandomState:
    state = from_plain(content, arrays)
    random_state = np.random.RandomState()
    random_state.set_state(tuple(state[key] for key in _SEEDED))
    return random_state


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"found {value!r:.60}, expected a string")
    return value


_FLOATS = {repr(value): value for value in (math.inf, -math.inf, math.nan)}
_READERS: dict[str, Any] = {
    "float": lambda content, arrays: _FLOATS[content],
    "tuple": lambda content, arrays: tuple([from_plain(item, arrays) for item in content]),
    "dict": _read_dict,
    "array": lambda content, arrays: arrays[content],
    "halved": lambda content, arrays: arrays[content].astype(np.float32),
    "schema": lambda content, arrays: LandmarkSchema.from_json(json.dumps(content)),
    "augmentation": lambda content, arrays: Augmentation(**from_plain(content, arrays)),
    "device": lambda content, arrays: torch.device(_text(content)),
    "path": lambda content, arrays: _text(content),
    "random_state": _read_random_state,
    "public": lambda content, arrays: PUBLIC[content],
    "partial": _read_partial,
    "own": lambda content, arrays: NotInFile(_text(content)),
}
