"""Print the minimum versions in pyproject.toml as requirements for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
extras = project["optional-dependencies"]


def oldest(requirements):
    """Requirements of the lower bounds; extras of the package are expanded."""
    for requirement in requirements:
        name, own, bound = re.fullmatch(
            r"([\w-]+)(?:\[(.+)\])?(?:>=([\w.]+).*)?", requirement
        ).groups()
        if name == project["name"]:
            for extra in own.split(","):
                yield from oldest(extras[extra])
        elif name != "ruff":  # ruff is not used by the tests
            yield f"{name}=={bound}"


print(*oldest([*project["dependencies"], *extras["test"]]), sep="\n")
