"""Networks that need less time than those of the default cascade, for `recipe.py`.

    python benchmarks/recipe.py --data 300w --balance no \
        --trial "stride: networks=_cheaper:stride_64,shape_indexed_128"

The first stage has a map of half the resolution (stride 4 instead of 2). Further names have smaller
hidden layers, fewer steps, and a single residual block.
"""

from functools import partial

from skwing.networks import NETWORKS

stride_64 = NETWORKS["shape_indexed_64_coarse"]
steps_64, steps_128 = NETWORKS["shape_indexed_64_small"], NETWORKS["shape_indexed_128_small"]
blocks_64 = partial(steps_64, n_steps=1, n_blocks=1)
blocks_128 = partial(steps_128, n_blocks=1)
