"""Write the example files of the page "Your own data" to docs/files.

    python docs/draw_files.py

Three drawn wings with four landmarks each, of which one is missing, in every text format.
"""

import argparse
from pathlib import Path

import numpy as np

from skwing import LandmarkSchema
from skwing._utils.opencv import cv2
from skwing.boxes import landmark_boxes
from skwing.datasets import (
    write_coco,
    write_csv,
    write_deeplabcut,
    write_dlib_xml,
    write_pts,
    write_tps,
)
from skwing.images import BoxedImages

WIDTH, HEIGHT = 160, 120
MM_PER_PIXEL = 0.05
SCHEMA = LandmarkSchema("wing", ("root", "front", "tip", "rear"))
SHAPE = np.array([[-50, 8], [10, -22], [52, -6], [4, 26]], dtype=float)
PLACES = [(0.0, 1.0, 80, 60), (0.3, 0.9, 84, 56), (-0.4, 0.8, 72, 66)]  # angle, scale, x, y


def wings():
    """Landmarks of the three wings in image pixels, shape (3, 4, 2)."""
    turns = [np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) for a, *_ in PLACES]
    shapes = [s * SHAPE @ t + [x, y] for (_, s, x, y), t in zip(PLACES, turns, strict=True)]
    return np.round(shapes, 1)


def paint(points):
    """Image of a wing, shape (120, 160, 3), RGB."""
    image = np.full((HEIGHT, WIDTH, 3), 235, dtype=np.uint8)
    root, front, tip, rear = points
    outline = np.int32(np.round(8 * np.array([root, front, tip, rear])))
    cv2.fillPoly(image, [outline], (150, 175, 120), cv2.LINE_AA, 3)
    for vein in (front, tip, rear):
        ends = [tuple(int(v) for v in np.round(8 * p)) for p in (root, vein)]
        cv2.line(image, *ends, (90, 110, 70), 2, cv2.LINE_AA, 3)
    return image


def write_long(path, names, landmarks):
    """Write a table with one row per landmark."""
    rows = ["image,landmark,x,y"]
    for name, points in zip(names, landmarks, strict=True):
        for label, (x, y) in zip(SCHEMA.landmark_names, points, strict=True):
            rows.append(f"{name},{label},{x},{y}" if np.isfinite(x) else f"{name},{label},,")
    path.write_text("\n".join(rows) + "\n", "utf-8")


def write_files(folder):
    """Write the images and all example files."""
    folder.mkdir(exist_ok=True)
    landmarks, names = wings(), [f"wing_{i}.png" for i in (1, 2, 3)]
    for name, points in zip(names, landmarks, strict=True):
        cv2.imwrite(str(folder / name), paint(points)[..., ::-1])
    landmarks[2, 3] = np.nan
    boxes = landmark_boxes(landmarks, margin=0.1).round()
    paths = [str(folder / name) for name in names]
    plain = BoxedImages(paths, schema=SCHEMA)
    boxed = BoxedImages(paths, boxes=boxes, schema=SCHEMA)
    ids = [name[:-4] for name in names]
    write_tps(folder / "wings.tps", plain, landmarks, names=ids, scale=MM_PER_PIXEL, decimals=1)
    blank = [f"LM=0\nIMAGE={own}.png\nID={own}\nSCALE={MM_PER_PIXEL}\n" for own in ids]
    (folder / "undigitised.tps").write_text("".join(blank), "utf-8")
    write_csv(folder / "wings.csv", boxed, landmarks)
    write_long(folder / "wings_long.csv", names, landmarks)
    write_coco(folder / "wings.json", boxed, landmarks)
    write_dlib_xml(folder / "wings.xml", boxed, landmarks, whole_pixels=True)
    write_deeplabcut(folder / "CollectedData.csv", plain, landmarks)
    write_pts(folder / "wing_1.pts", landmarks[0])


def main(argv=None):
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "files")
    write_files(parser.parse_args(argv).folder)


if __name__ == "__main__":
    main()
