"""Networks that need less time than those of the default cascade, for `recipe.py`.

    python benchmarks/recipe.py --data 300w --balance no \
        --trial "stride: networks=_cheaper:stride_64,shape_indexed_128"

The first stage has a map of half the resolution (stride 4 instead of 2). Further names have smaller
hidden layers, fewer steps, and a single residual block.
"""

from functools import partial

from skwing.networks import shape_indexed_64, shape_indexed_128

_SMALL = {"n_hidden": 128, "n_overview": 128}

stride_64 = partial(shape_indexed_64, stride=4)
hidden_64 = partial(stride_64, **_SMALL)
hidden_128 = partial(shape_indexed_128, **_SMALL)
steps_64, steps_128 = partial(hidden_64, n_steps=2), partial(hidden_128, n_steps=2)
blocks_64 = partial(hidden_64, n_steps=1, n_blocks=1)
blocks_128 = partial(steps_128, n_blocks=1)
