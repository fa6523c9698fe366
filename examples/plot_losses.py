"""
Which loss, and what do w and epsilon do?
=========================================

The loss turns the error of each coordinate, in pixels of the network's input, into what
training minimises. Its gradient says how strongly an error pulls on the network.
"""

# %%
# Compare the losses
# ------------------
# With the squared error (L2), a landmark that is far off pulls ten times as strongly as one
# that is a tenth as far off: a few bad labels or occluded faces dominate training. With L1 all
# errors pull equally. With the Wing loss, errors of a few pixels pull most, which is what is
# left to improve once the network is roughly right. Beyond `w`, it behaves like L1.

from skwing.display import LossDisplay

LossDisplay.from_losses(["wing", "l2", "l1", "smooth_l1"], w=10.0, epsilon=2.0)

# %%
# Choose w and epsilon
# --------------------
# `w` is the error in pixels up to which the loss is logarithmic. `epsilon` bounds the gradient
# at 0, which is ``w / epsilon``: with a small `epsilon`, errors of a fraction of a pixel, which
# are mostly noise of the labels, pull hard.
#
# Both are pixels of the network's input, such as 64 x 64 in the first stage. They need not
# change with the size of your images.

from functools import partial

from skwing.losses import wing

settings = [(10, 2), (5, 2), (10, 0.5), (10, 8)]
LossDisplay.from_losses(
    {f"w = {w}, ε = {epsilon}": partial(wing, w=w, epsilon=epsilon) for w, epsilon in settings}
)

# %%
# The defaults, w = 10 and epsilon = 2, are those of the paper, where the best and the worst
# combination differ by less than a tenth of the error. :class:`skwing.CascadeLandmarkRegressor`
# takes the name of a loss or a function of your own: ``loss="l1"``, ``loss=partial(wing, w=5)``.
