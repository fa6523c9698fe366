"""Check the contents and sizes of the source distribution and the wheel, given as arguments."""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

MB = 1_000_000
# What the source distribution holds besides the package: what its tests need, and the docs.
SOURCES = {
    *("skwing", "tests", "benchmarks", "docs", "examples", "models"),
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "PKG-INFO"),
    *("hatch_build.py", "pyproject.toml", ".gitignore"),
}


def check(condition, message):
    """End with the message unless the condition holds."""
    if not condition:
        sys.exit(message)


(sdist,) = (Path(name) for name in sys.argv[1:] if name.endswith(".tar.gz"))
(wheel,) = (Path(name) for name in sys.argv[1:] if name.endswith(".whl"))
with tarfile.open(sdist) as file:
    names = file.getnames()
found = {name.split("/")[1] for name in names}
check(found == SOURCES, f"{sdist.name}: {sorted(found ^ SOURCES)} are missing or unexpected")
stray = [n for n in names if "__pycache__" in n or "/_build/" in n or n.endswith(".egg-info")]
check(not stray, f"{sdist.name}: unexpected {stray[:3]}")
check(sdist.stat().st_size < 4 * MB, f"{sdist.name} has {sdist.stat().st_size} bytes")
found = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
expected = {"skwing", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
check(found == expected, f"{wheel.name}: {sorted(found ^ expected)} are missing or unexpected")
check(wheel.stat().st_size < MB, f"{wheel.name} has {wheel.stat().st_size} bytes")
metadata = zipfile.ZipFile(wheel).read(f"{sorted(expected)[1]}/METADATA").decode()
links = re.findall(r"\]\((?![a-z]+:|#)[^)]*\)", metadata)
check(not links, f"{wheel.name}: the description links to files of the checkout: {links}")
for path in (sdist, wheel):
    print(f"{path.name}: {path.stat().st_size / MB:.2f} MB")
