"""Measure how far labels are from being mirrored when an image is, and what that costs.

    python benchmarks/asymmetry.py --data 300w --use 1

Half of the crops that a network learns on are mirrored, so it answers a mirrored image by
mirrored landmarks. Labels need not be so: where annotators put every point a little to the
right, it stays that far to the left. skwing learns the difference beside each network and
adds it (`CascadeLandmarkRegressor.asymmetry_`). For each fold: train, and measure on unseen
faces how far predictions lie off the labels on average, along the line through the eyes and
across it, in percent of the inter-pupil distance and in pixels of the image, with what is
added and without; over all faces and subset by subset. Points of the jaw and the brows are
left out of that, as they slide along their contours. The settings are the regressor's, with
--epochs for its stages.

``--average`` asks no network: all nearly frontal faces are brought onto one symmetric shape
by their labels and averaged, and the average is compared with its mirror image moved
until the two fit best: labels that mirror leave the average in the middle.
"""

import argparse

import cv2
import numpy as np
from _folds import add_options, chosen, load_faces, make_folds
from _report import add_out, append, environment, show_environment
from _runs import add_brief_options, brief_settings
from _yaw import estimate_yaw

from skwing import CascadeLandmarkRegressor, geometry
from skwing.metrics import nme
from skwing.schema import check_schema
from skwing.shapes import mean_shape, symmetric

INNER = slice(27, 68)  # nose, eyes and mouth of the 68 points
IBUG68 = check_schema("ibug68")
SIDE, FRONTAL = 256, 10.0  # pixels of the average face, degrees of yaw


def eye_to_eye(shapes):
    """From the middle of the eye on the left to that of the other, of shape (n, 2)."""
    left, right = (shapes[:, eye].mean(1) for eye in (slice(36, 42), slice(42, 48)))
    return right - left


def off_labels(true, predicted):
    """Mean place of predictions as seen from the labels: a dict of figures."""
    line = eye_to_eye(true)
    length = np.linalg.norm(line, axis=1)
    along = line / length[:, None]
    across = along[:, ::-1] * [-1, 1]
    off = (predicted - true)[:, INNER].mean(1)
    figures = {"pixels_x": off[:, 0], "pixels_y": off[:, 1]}
    for name, axis in (("along", along), ("across", across)):
        figures[f"percent_{name}"] = 100 * (off * axis).sum(1) / length
    return {name: values.mean() for name, values in figures.items()} | {
        "percent_along_error": figures["percent_along"].std() / np.sqrt(len(off)),
        "nme_pupil": 100 * nme(true, predicted, normalizer="inter_pupil", schema=IBUG68),
    }


def average_off_labels(faces):
    """How far the average of frontal faces lies off their labels, sideways, by subset."""
    rows = np.flatnonzero(np.abs(estimate_yaw(faces.target)) < FRONTAL)
    shapes = faces.target[rows]
    shape = symmetric(mean_shape(shapes), IBUG68.mirror)
    # Of size one in its root mean square, so that it fills the picture, with room around it.
    shape = shape / np.sqrt(np.square(shape).sum(-1).mean()) * SIDE / 4 + (SIDE - 1) / 2
    matrices = geometry.similarity(shapes, np.broadcast_to(shape, shapes.shape))
    pictures = np.stack([_picture(faces.data, *pair) for pair in zip(rows, matrices, strict=True)])
    length = np.linalg.norm(eye_to_eye(shape[None])[0])
    figures = {}
    for subset in ("all", *np.unique(faces.subset)):
        chosen = np.full(len(rows), True) if subset == "all" else faces.subset[rows] == subset
        off = _off_middle(pictures[chosen].mean(0), shape)
        pixels = off / np.median(geometry.scale_of(matrices[chosen]))
        figures[str(subset)] = {
            "n": int(chosen.sum()),
            "percent_along": 100 * off / length,
            "pixels": float(pixels),
        }
    return figures


def _picture(images, row, matrix):
    """A face in the frame of the shape, in grey, of the same brightness and contrast as all."""
    grey = cv2.cvtColor(images.decode(int(row)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    picture = cv2.warpAffine(grey, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return (picture - picture.mean()) / (picture.std() + 1)


def _off_middle(picture, shape):
    """How far to the right of the middle a nearly symmetric picture lies, in its pixels.

    Nose, eyes and mouth of its mirror image are moved until they fit best.
    """
    low, high = shape[INNER].min(0).astype(int), shape[INNER].max(0).astype(int) + 1
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    shifts = np.arange(-10, 10, 0.02)
    misfit = [np.square(_moved(mirrored, shift)[part] - picture[part]).mean() for shift in shifts]
    return shifts[np.argmin(misfit)] / 2


def _moved(picture, shift):
    matrix = np.array([[1, 0, shift], [0, 1, 0]])
    return cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


def run(faces, train, test, settings):
    """Figures of one fold, by what was added and by subset."""
    regressor = CascadeLandmarkRegressor(**settings).fit(faces.data[train], faces.target[train])
    learned, figures = regressor.asymmetry_, {}
    for name, added in (("added", learned), ("not added", [0 * part for part in learned])):
        regressor.asymmetry_ = added
        points, truth = regressor.predict(faces.data[test]), faces.target[test]
        figures[name] = {"all": off_labels(truth, points)}
        for subset in np.unique(faces.subset[test]):
            rows = faces.subset[test] == subset
            figures[name][str(subset)] = off_labels(truth[rows], points[rows])
    return {"asymmetry": [part[INNER].mean(0).tolist() for part in learned], **figures}


def show(row):
    """Print a table of one run."""
    columns = list(row["added"]["all"])
    print(f"{'':32}" + "".join(f"{column:>21}" for column in columns))
    for added in ("not added", "added"):
        for subset, figures in row[added].items():
            values = "".join(f"{figures[column]:21.3f}" for column in columns)
            print(f"{added:12}{subset:20}{values}")


def main(argv=None):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument("--average", action="store_true", help="train nothing")
    add_brief_options(parser)
    add_out(parser, "asymmetry")
    args = parser.parse_args(argv)
    source, folds = chosen(args)
    faces = load_faces(source)
    if args.average:
        row = {**environment(), **source.told(), "average": average_off_labels(faces)}
        show_environment(row)
        for subset, figures in row["average"].items():
            print(f"{subset:20}", {key: round(value, 2) for key, value in figures.items()})
        append(row, args.out)
        return
    cut = make_folds(faces, source)
    settings = brief_settings(args)
    for seed in args.seeds:
        for fold in folds:
            row = {**environment(), **source.told(), "fold": fold, "seed": seed, **settings}
            show_environment(row)
            row |= run(faces, *cut[fold], {**settings, "random_state": seed})
            show(row)
            append(row, args.out)


if __name__ == "__main__":
    main()
