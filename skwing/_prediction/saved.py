"""Estimators in model files: nested dicts with the class, the parameters and the fitted state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skwing._prediction.before_0_8 import of_0_8
from skwing._prediction.model_file import read_model
from skwing._prediction.plain import from_plain
from skwing._utils.pickle_format import check_keys

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import FilePath

_REGRESSOR, _BALANCER = "CascadeLandmarkRegressor", "PoseBalancer"
NOTHING = (None, "passthrough")  # steps without effect


def read_file(path: FilePath) -> tuple[dict[str, Any], dict[str, Any], str, str]:
    """Content and arrays of a file, its description for error messages, and its version."""
    model, arrays, version = read_model(path)
    what = f"the model in {os.fsdecode(path)}, written by skwing {version}"
    if isinstance(model, dict):
        model = {"notice": None, **model}  # files of format 1 have none
    check_keys(model, ("estimator", "search", "notice"), what)
    if not isinstance(model["notice"], str | None):
        raise ValueError(f"{what} has the notice {model['notice']!r:.60}, expected text")
    return model, arrays, what, version


def described(node: Any, arrays: dict[str, Any], what: str) -> tuple[list[str], Any]:
    """Class names of the steps, and the fitted state of the regressor."""
    check_node(node, what)
    if node["class"] != "Pipeline":
        _, fitted = of_0_8(None, read_part(node["fitted"], arrays, what))
        return [node["class"]], fitted
    names, fitted = [], None
    for _, part in check_steps(node["steps"], what):
        if part in NOTHING:
            names.append(str(part))
        else:
            found, fitted = described(part, arrays, what)
            names += found
    return names, fitted


def read_part(plain: Any, arrays: dict[str, Any], what: str) -> Any:
    """Value of a part of the model, see :func:`skwing._prediction.plain.from_plain`."""
    try:
        return from_plain(plain, arrays)
    except ValueError as error:
        raise ValueError(f"{what} is damaged: {error}") from error
    except RecursionError:
        raise ValueError(f"{what} is damaged: it is nested too deep") from None


def check_node(node: Any, what: str) -> None:
    """Check that a part is an estimator with its class, parameters and content."""
    if not isinstance(node, dict) or node.get("class") not in ("Pipeline", _REGRESSOR, _BALANCER):
        raise ValueError(f"{what} contains {node!r:.60}, expected an estimator")
    content = "steps" if node["class"] == "Pipeline" else "fitted"
    check_keys(node, ("class", "params", content), f"{what}: its {node['class']}")


def check_steps(steps: Any, what: str) -> list[Any]:
    """Check the steps of a pipeline: balancers, or steps without effect, before a regressor."""
    right = isinstance(steps, list) and all(map(_is_step, steps)) and bool(steps)
    if right:
        *first, last = (part for _, part in steps)
        names = {name for name, _ in steps}
        right = len(names) == len(steps) and _class_of(last) in ("Pipeline", _REGRESSOR)
        right = right and all(p in NOTHING or _class_of(p) == _BALANCER for p in first)
    if not right:
        raise ValueError(f"{what} is damaged: its pipeline has the steps {steps!r:.80}")
    return steps


def _is_step(step: Any) -> bool:
    return isinstance(step, list) and len(step) == 2 and isinstance(step[0], str)


def _class_of(node: Any) -> Any:
    return node.get("class") if isinstance(node, dict) else None
