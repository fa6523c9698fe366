"""Build skwing_runtime from skwing/runtime.py of the checkout, which is its only source."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = {"runtime.py": "__init__.py", "py.typed": "py.typed"}


class RuntimeHook(BuildHookInterface):
    """Includes the module; a source distribution contains it under its own name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files of the module to a wheel or a source distribution."""
        root = Path(self.root)
        for source, name in FILES.items():
            unpacked = root / "skwing_runtime" / name
            path = unpacked if unpacked.is_file() else root.parent / "skwing" / source
            build_data["force_include"][str(path)] = f"skwing_runtime/{name}"
