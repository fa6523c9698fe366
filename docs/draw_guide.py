"""Draw the figures of the user guide to docs/images: axes.svg, losses.svg and crops.jpg.

    python docs/draw_guide.py

Trains a small model on generated faces for the crops, which takes a minute.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon, Rectangle

from skwing import CascadeLandmarkRegressor, geometry
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces
from skwing.display import LossDisplay

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE = "#2266bb", "#dd7711"


def draw_axes():
    """Draw the pixels of a small image with its axes, a box and landmarks."""
    figure, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
    grey = np.random.default_rng(0).uniform(0.8, 1, (6, 8))
    ax.imshow(grey, cmap="gray", vmin=0, vmax=1)
    ax.set_xticks(range(8))
    ax.set_yticks(range(6))
    for x in np.arange(-0.5, 8):
        ax.axvline(x, color="white", lw=1)
    for y in np.arange(-0.5, 6):
        ax.axhline(y, color="white", lw=1)
    box = Rectangle((1.5, 0.5), 5, 4, fill=False, color=BLUE, lw=2.5)
    ax.add_patch(box)
    ax.annotate("box (2, 1, 5, 4)", (1.6, 0.35), color=BLUE, weight="bold")
    for x, y in ((3, 2), (5.5, 3.5)):
        ax.plot(x, y, "o", color=ORANGE, ms=8)
        ax.annotate(f"({x}, {y})", (x + 0.18, y - 0.15), color=ORANGE, weight="bold")
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("x, from -0.5 to W - 0.5")
    ax.set_ylabel("y, from -0.5 to H - 0.5")
    ax.set_xlim(-0.7, 7.7)
    ax.set_ylim(5.7, -0.7)
    figure.savefig(IMAGES / "axes.svg", metadata={"Date": None})
    plt.close(figure)


def draw_losses():
    """Draw the Wing loss beside L1, L2 and smooth L1."""
    figure = LossDisplay.from_losses().figure_
    figure.savefig(IMAGES / "losses.svg", metadata={"Date": None})
    plt.close(figure)


def crops_of(regressor, data, i):
    """For each stage, the matrix from image to crop pixels and the predicted landmarks."""
    sizes = [network.input_size for network in regressor.networks_]
    previous = None
    for crop, size, points in zip(
        regressor.crops_, sizes, regressor.staged_predict(data[[i]]), strict=True
    ):
        if previous is None:
            matrix = geometry.from_box(data.boxes[i], size=size, margin=0.0)
        else:
            matrix = geometry.similarity(previous, crop.shape)
        yield size, matrix, points[0]
        previous = points[0]


def draw_crops(n_train, epochs):
    """Draw a test face with the squares that the stages read, and the crops."""
    train, test = make_faces(n_train, random_state=0), make_faces(8, image_size=256, random_state=1)
    regressor = CascadeLandmarkRegressor(max_epochs=epochs, random_state=0, verbose=1)
    regressor.fit(train.data, train.target)
    i = int(np.abs(test.pose[:, 2]).argmax())  # the largest roll
    image, truth = test.data.decode(i), test.target[i]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
    axes[0].imshow(image)
    x, y, width, height = test.data.boxes[i]
    axes[0].add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, color="w", lw=2))
    axes[0].set_title("image and box")
    colours = (BLUE, ORANGE)
    for k, (size, matrix, points) in enumerate(crops_of(regressor, test.data, i)):
        corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
        square = geometry.apply(geometry.invert(matrix), corners)
        axes[0].add_patch(Polygon(square, fill=False, color=colours[k], lw=1.5, ls="--"))
        crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
        ax = axes[k + 1]
        ax.imshow(crop)
        for shape, colour in ((truth, "#55aaff"), (points, "#ffee33")):
            ax.plot(*geometry.apply(matrix, shape).T, ".", ms=3.5, color=colour)
        ax.set_title(f"stage {k + 1}: {size} x {size} pixels", color=colours[k])
        ax.set_xlim(-0.5, size - 0.5)
        ax.set_ylim(size - 0.5, -0.5)
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
    axes[0].set_xlim(-0.5, image.shape[1] - 0.5)
    axes[0].set_ylim(image.shape[0] - 0.5, -0.5)
    figure.savefig(IMAGES / "crops.jpg", dpi=110, pil_kwargs={"quality": 88})
    plt.close(figure)


def main(argv=None):
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-train", type=int, default=200)
    parser.add_argument("--epochs", type=int, nargs=2, default=[30, 20])
    args = parser.parse_args(argv)
    plt.rcParams["svg.hashsalt"] = "skwing"
    draw_axes()
    draw_losses()
    draw_crops(args.n_train, tuple(args.epochs))


if __name__ == "__main__":
    main()
