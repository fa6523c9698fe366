"""
From undigitised images to a TPS file, and back to tpsDig
=========================================================

You have digitised some specimens with tpsDig and have many more images. Train on the digitised
ones, and write the landmarks of the others to a TPS file that tpsDig and geomorph read.
"""

# %%
# Two TPS files
# -------------
# The images are drawn leaves with five landmarks. ``digitised.tps`` has landmarks for 80 of
# them. ``new.tps`` lists 24 further images without landmarks (``LM=0``), as tpsUtil writes it.

import tempfile
from pathlib import Path

import cv2
import numpy as np

from skwing.datasets import read_tps, write_tps

LEAF = np.array([[0, 0], [40, -34], [110, 0], [40, 34], [55, 0]])  # base, top, tip, bottom, vein


def draw_leaf(rng):
    """An image of a leaf, shape (120, 160, 3), and its landmarks."""
    angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.75, 1.05)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shape = LEAF * [1, rng.uniform(0.6, 1.1)] + rng.normal(0, 2, LEAF.shape)
    points = (shape - [55, 0]) @ turn + [80, 60] + rng.uniform(-8, 8, 2)
    base, top, tip, bottom, vein = points
    paper, green = rng.uniform(190, 240, 3), rng.uniform([60, 110, 40], [110, 170, 80])
    image = np.tile(paper.astype(np.float32), (120, 160, 1))
    t = np.linspace(0, 1, 30)[:, None]
    sides = [(1 - t) ** 2 * base + 2 * t * (1 - t) * (1.6 * side - 0.6 * vein) + t**2 * tip
             for side in (top, bottom)]  # fmt: skip
    outline = np.concatenate([sides[0], sides[1][::-1]])
    cv2.fillPoly(image, [np.int32(16 * outline)], green.tolist(), cv2.LINE_AA, 4)
    for end in (top, bottom, tip, base):
        ends = np.int32(16 * np.array([vein, end]))
        cv2.line(
            image, ends[0].tolist(), ends[1].tolist(), (0.6 * green).tolist(), 2, cv2.LINE_AA, 4
        )
    image += rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8), points


rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
root = Path(folder.name)
files, truth = [], []
for i in range(104):
    image, points = draw_leaf(rng)
    files.append(str(root / f"leaf_{i:03}.png"))
    truth.append(points)
    cv2.imwrite(files[-1], image[..., ::-1])
names = [f"herbarium {i}" for i in range(104)]
write_tps(root / "digitised.tps", files[:80], truth[:80], names=names[:80], scale=0.5, decimals=1)
(root / "new.tps").write_text(
    "".join(
        f"LM=0\nIMAGE={Path(file).name}\nID={name}\nSCALE=0.5\n"
        for file, name in zip(files[80:], names[80:], strict=True)
    )
)

# %%
# Read, fit, predict
# ------------------
# `read_tps` turns the y axis, which points up in the file, so that landmarks are image pixels.
# Leaves have no boxes, so each whole image is read. The network is small, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.networks import PlainCNN

digitised, new = read_tps(root / "digitised.tps"), read_tps(root / "new.tps")
small = partial(PlainCNN, widths=(16, 32, 64), input_size=48, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=40,
    batch_size=8,
    augmentation=Augmentation(deformation=0, occlusion=0),
    random_state=0,
)
predicted = model.fit(digitised.data, digitised.target).predict(new.data)

# %%
# Write them for tpsDig
# ---------------------
# IDs and scales are kept. Open the file in tpsDig to check and correct the landmarks.

write_tps(root / "predicted.tps", new.data, predicted, names=new.names, scale=new.scale, decimals=1)
print(*(root / "predicted.tps").read_text().splitlines()[:9], sep="\n")

# %%
# How far off are they?
# ---------------------
# The leaves are drawn, so their true landmarks are known. `scale` is in millimetres per pixel.

from skwing.metrics import landmark_report

true = np.array(truth[80:])
print(landmark_report(true, predicted, unit="mm", scale=new.scale))

# %%
# The new specimens with their landmarks
# --------------------------------------

from skwing.display import LandmarkDisplay

LandmarkDisplay.from_predictions(
    new.data, y_pred=predicted, n_images=8, n_columns=4, numbers=True, size=4, margin=0
)
folder.cleanup()
