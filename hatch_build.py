"""The description of the package on an index: the README without what only a checkout has."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = r"\((?![a-z]+:|#)[^)]*\)"  # target of a link or an image inside of the checkout


def long_description(readme: str) -> str:
    """Remove images, their captions and comments, and keep only the text of relative links."""
    readme = re.sub(r"<!--.*?-->\n", "", readme, flags=re.DOTALL)
    readme = re.sub(rf"^!\[[^\]]*\]{RELATIVE}\n\n(\*[^*].*?\*\n\n)?", "", readme, flags=re.M | re.S)
    return re.sub(rf"\[([^\]]+)\]{RELATIVE}", r"\1", readme)


class ReadmeHook(MetadataHookInterface):
    """Sets the dynamic field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the description into the metadata of the project."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": long_description(text)}
