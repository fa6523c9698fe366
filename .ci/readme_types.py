"""Write the Python snippets of README.md as one module, to check it with mypy.

    python .ci/readme_types.py FILE

At the end of the module, objects of skwing are checked not to be Any.
"""

import re
import sys
from pathlib import Path

CHECKS = """
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from skwing import BoxedImages

assert_type(train.data, BoxedImages)
assert_type(test.target, NDArray[np.float64])
assert_type(faces.data, BoxedImages)
assert_type(faces.target, NDArray[np.float64])
assert_type(paper, CascadeLandmarkRegressor)
assert_type(longer.fit(train.data, train.target), CascadeLandmarkRegressor)
assert_type(longer.predict(test.data), NDArray[np.float64])
assert_type(longer.predict(test.data, return_std=True)[1], NDArray[np.float64])
"""

text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
if not snippets:
    sys.exit("README.md: expected a block ```python")
Path(sys.argv[1]).write_text("\n".join([*snippets, CHECKS]), "utf-8")
