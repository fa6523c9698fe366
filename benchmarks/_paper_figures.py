"""Results published by Feng et al. with the Wing loss (CVPR 2018), with their reliability.

Values without a mark are from tables 1 to 4 and figure 4 of the paper. Values marked ``~`` are
computed from the figure of a network or read from a curve, ``*`` are reported by later papers,
and ``?`` are often cited without a confirmed source. Errors are in percent of the face size
(side of the given box) on AFLW-Full, and of the inter-pupil distance on 300-W.
"""

from typing import NamedTuple

MARKS = {
    "": "read from the paper",
    "~": "computed from the drawing of a network, or read off a curve",
    "*": "as later papers report it",
    "?": "often repeated, confirmed by no source",
}
LOSSES = {"l2": "L2", "l1": "L1", "smooth_l1": "smooth L1", "wing": "Wing"}


class Figure(NamedTuple):
    """A published value and its reliability mark."""

    value: float
    mark: str = ""

    def __str__(self):
        return f"{self.value:g} {self.mark}".strip() if self.mark else f"{self.value:.2f}"


def _row(*values, mark=""):
    return [Figure(value, mark) for value in values]


def _by_loss(*values, mark=""):
    return dict(zip(LOSSES, _row(*values, mark=mark), strict=True))


# Table 3; table 1 is its first line. Network, whether balanced, loss.
AFLW = {
    ("CNN-6", False): _by_loss(2.41, 2.00, 2.02, 1.88),
    ("CNN-6", True): _by_loss(2.23, 1.89, 1.91, 1.83),
    ("CNN-6/7", False): _by_loss(2.06, 1.82, 1.84, 1.71),
    ("CNN-6/7", True): _by_loss(1.94, 1.73, 1.76, 1.65),
}
# Table 4, CNN-6/7, balanced: common, challenging and full set.
PARTS_300W = ("common", "challenging", "full")
TABLE_4 = {
    "l2": _row(4.18, 8.19, 4.97),
    "l1": _row(3.58, 7.02, 4.26),
    "smooth_l1": _row(3.57, 7.08, 4.26),
    "wing": _row(3.27, 7.18, 4.04),
}
# Table 2: AFLW-Full, CNN-6, not balanced; w across, epsilon down.
GRID_W = (4, 6, 8, 10, 12, 14)
GRID_EPSILON = (0.5, 1, 2, 3)
_TABLE_2 = (
    (1.95, 1.92, 1.92, 1.94, 1.97, 1.94),
    (1.95, 1.91, 1.91, 1.90, 1.90, 1.95),
    (1.98, 1.92, 1.91, 1.88, 1.90, 1.98),
    (2.02, 1.96, 1.93, 1.91, 1.89, 2.02),
)
GRID = {
    (w, epsilon): Figure(value)
    for epsilon, values in zip(GRID_EPSILON, _TABLE_2, strict=True)
    for w, value in zip(GRID_W, values, strict=True)
}
# Figure 4: percent of the faces of AFLW-Full with an error of at most 2 % of the face size.
WITHIN_2 = {"l2": Figure(46, "~"), "l1": Figure(66, "~"), "wing": Figure(72, "~")}

# By the name of the network: errors with Wing loss and balancing, size, faces a second.
# The speeds are said to be of a Titan X (Pascal) and of an Intel CPU, with MatConvNet.
ARCHITECTURES = {
    "CNN-6": {
        "aflw": AFLW["CNN-6", True]["wing"],
        "parameters": Figure(3.7, "~"),
        "gpu": Figure(400, "?"),
        "cpu": Figure(150, "?"),
    },
    "CNN-7": {"gpu": Figure(170, "?"), "cpu": Figure(20, "?")},
    "CNN-6/7": {"aflw": AFLW["CNN-6/7", True]["wing"], "300w": TABLE_4["wing"][2]},
    "ResNet-50": {
        "aflw": Figure(1.47, "*"),
        "300w": Figure(3.60, "?"),
        "parameters": Figure(25, "*"),
        "gpu": Figure(30, "?"),
        "cpu": Figure(8, "?"),
    },
}


def published(table, protocol, name, *, loss="wing", balance=False, part="full"):
    """Published value for a row, or None; generated faces are compared with AFLW."""
    if table == "architectures":
        return ARCHITECTURES.get(name, {}).get("300w" if protocol == "300w" else "aflw")
    if protocol == "300w":
        known = (name, balance) == ("CNN-6/7", True)
        return TABLE_4[loss][PARTS_300W.index(part)] if known else None
    return AFLW[name, balance][loss]
