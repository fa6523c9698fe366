"""Print the oldest versions that pyproject.toml allows, as requirements for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
extras = project["optional-dependencies"]


def oldest(requirements):
    """Requirements of the lower bounds; those of the package's own extras in their place."""
    for requirement in requirements:
        name, own, bound = re.fullmatch(
            r"([\w-]+)(?:\[(.+)\])?(?:>=([\w.]+).*)?", requirement
        ).groups()
        if name == project["name"]:
            for extra in own.split(","):
                yield from oldest(extras[extra])
        elif name != "ruff":  # which is for one run alone, and has no part in the tests
            yield f"{name}=={bound}"


print(*oldest([*project["dependencies"], *extras["test"]]), sep="\n")
