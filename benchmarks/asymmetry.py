"""Measure the asymmetry of labels under mirroring, and its effect on the error.

    python benchmarks/asymmetry.py --data 300w --use 1

Half of the training crops are mirrored, so the prediction for a mirrored image is the
mirrored prediction. Labels may be asymmetric: if annotators place all points slightly to the
right, symmetric predictions have a constant offset to the left. skwing estimates an offset
for each network and adds it (`CascadeLandmarkRegressor.asymmetry_`). For each fold, this
script trains and measures the mean offset between predictions and labels of test faces, along
the line through the eyes and perpendicular to it, in percent of the inter-pupil distance and
in image pixels, with and without the correction, for all faces and for each subset. Points of
the jaw and the brows are excluded, because their position along the contour is ambiguous. The
parameters are the defaults of the regressor; --epochs sets the epochs of the stages.

``--average`` trains no network. Nearly frontal faces are warped to a symmetric shape by their
labels and averaged. The average is then registered with its mirror image; for symmetric
labels, the offset is 0.
"""

import argparse

import cv2
import numpy as np
from _brief import add_options, run_folds
from _folds import chosen, load_faces
from _report import add_out, append, environment, show_environment
from _yaw import estimate_yaw

from skwing import CascadeLandmarkRegressor, geometry
from skwing.metrics import nme
from skwing.schema import check_schema
from skwing.shapes import mean_shape, symmetric

INNER = slice(27, 68)  # nose, eyes and mouth of the 68 points
IBUG68 = check_schema("ibug68")
SIDE, FRONTAL = 256, 10.0  # pixels of the average face, degrees of yaw


def eye_to_eye(shapes):
    """Vector from the centre of the left eye to that of the right eye, shape (n, 2)."""
    left, right = (shapes[:, eye].mean(1) for eye in (slice(36, 42), slice(42, 48)))
    return right - left


def off_labels(true, predicted):
    """Mean offset of predictions from the labels, as a dict."""
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
    """Horizontal offset of the average frontal face from the labels, by subset."""
    rows = np.flatnonzero(np.abs(estimate_yaw(faces.target)) < FRONTAL)
    shapes = faces.target[rows]
    shape = symmetric(mean_shape(shapes), IBUG68.mirror)
    # Normalised to a root mean square of 1, so that it fills the image with a margin.
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
    """A face warped to the shape, in grey, with normalised brightness and contrast."""
    grey = cv2.cvtColor(images.decode(int(row)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    picture = cv2.warpAffine(grey, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return (picture - picture.mean()) / (picture.std() + 1)


def _off_middle(picture, shape):
    """Offset of a nearly symmetric image to the right of its centre, in pixels.

    Nose, eyes and mouth are registered with those of the mirror image.
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
    """Results of a fold, with and without the correction, by subset."""
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
    """Print the table of a run."""
    columns = list(row["added"]["all"])
    print(f"{'':32}" + "".join(f"{column:>21}" for column in columns))
    for added in ("not added", "added"):
        for subset, figures in row[added].items():
            values = "".join(f"{figures[column]:21.3f}" for column in columns)
            print(f"{added:12}{subset:20}{values}")


def measure_average(args):
    """Offset of the labels of the average face."""
    source, _ = chosen(args)
    average = average_off_labels(load_faces(source))
    row = {**environment(), **source.told(), "average": average}
    show_environment(row)
    for subset, figures in average.items():
        print(f"{subset:20}", {key: round(value, 2) for key, value in figures.items()})
    append(row, args.out)


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument(
        "--average", action="store_true", help="measure the average face, without training"
    )
    add_out(parser, "asymmetry")
    args = parser.parse_args(argv)
    if args.average:
        measure_average(args)
    else:
        run_folds(args, run, show)


if __name__ == "__main__":
    main()
