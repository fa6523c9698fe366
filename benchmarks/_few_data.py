"""Objects for `few_labels.py`: faces with 68 or 19 landmarks, cats, fly wings and X-rays."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from _gpu_data import load_split
from sklearn.utils import Bunch

from skwing import BoxedImages, LandmarkSchema
from skwing.boxes import landmark_boxes
from skwing.datasets import read_csv, read_tps
from skwing.geometry import boxes_of
from skwing.metrics import nme
from skwing.schema import AFLW19, IBUG68

CAT = LandmarkSchema.from_names(
    "cat",
    (
        *("left_eye", "right_eye", "mouth", "left_ear_outer", "left_ear_tip", "left_ear_inner"),
        *("right_ear_inner", "right_ear_tip", "right_ear_outer"),
    ),
    normalizers={"inter_ocular": ((0,), (1,))},
)
# Landmarks of AFLW that have other names among the 68; several names stand for their mean.
_OF_68 = {
    f"{side}_{name}": tuple(f"{side}_{part}" for part in parts)
    for side in ("left", "right")
    for name, parts in {
        "brow_outer": ("brow_0",),
        "brow_middle": ("brow_2",),
        "brow_inner": ("brow_4",),
        "eye_center": ("eye_top_outer", "eye_top_inner", "eye_bottom_inner", "eye_bottom_outer"),
        "nose": ("nose_outer",),
    }.items()
} | {"mouth_center": ("upper_lip_inside", "lower_lip_inside")}


def _faces68(data, draw, fold, tiny):
    split = load_split(data, tiny, fold)
    return Bunch(
        data=split.faces.data,
        target=split.faces.target,
        schema=IBUG68,
        train=split.rows["few"],
        test=split.test,
    )


def _faces19(data, draw, fold, tiny):
    faces = _faces68(data, draw, fold, tiny)
    row_of = {name: i for i, name in enumerate(IBUG68.landmark_names)}
    rows = [[row_of[x] for x in _OF_68.get(name, (name,))] for name in AFLW19.landmark_names]
    target = np.stack([faces.target[:, own].mean(axis=1) for own in rows], axis=1)
    return Bunch(**faces | {"target": target, "schema": AFLW19})


def _cats(data, draw, fold, tiny):
    files = sorted((Path(data) / "cats_100").glob("*.cat"))
    numbers = [np.array(file.read_text().split(), dtype=float) for file in files]
    target = np.stack([row[1:].reshape(-1, 2) for row in numbers])
    # As loose as boxes that are drawn by hand.
    boxes = landmark_boxes(target, margin=0.2, square=True, jitter=0.05, random_state=0)
    images = [str(file.with_suffix("")) for file in files]
    return Bunch(data=BoxedImages(images, boxes), target=target, schema=CAT)


def _wings(data, draw, fold, tiny):
    (file,) = (Path(data) / "fly_wings").glob("*.tps")
    wings = read_tps(file)
    return Bunch(data=wings.data, target=wings.target, schema=None)


def _xrays(data, draw, fold, tiny):
    folder = Path(data) / "xray_isbi"
    rays = read_csv(folder / "landmarks.csv", images=folder)
    return Bunch(data=rays.data, target=rays.target, schema=None)


OBJECTS = {
    "faces68": _faces68,
    "faces19": _faces19,
    "cats": _cats,
    "wings": _wings,
    "xrays": _xrays,
}


@lru_cache(maxsize=2)
def load_objects(name, data, n_train, draw, fold, tiny):
    """Images and landmarks with training and test rows, and rows of images without labels.

    Faces are trained on a random choice from the training faces of a fold of 300-W, and tested
    on all test faces of the fold; its other training faces count as unlabelled. Of other objects,
    those that are not chosen are the test, and unlabelled.
    """
    found = OBJECTS[name](data, draw, fold, tiny)
    random = np.random.RandomState(draw)
    if "train" in found:
        chosen = random.choice(found.train, n_train, replace=False)
        found.unlabelled = np.setdiff1d(found.train, chosen)
        found.train = chosen
        return found
    order = random.permutation(len(found.target))
    found.train, found.test = order[:n_train], order[n_train:]
    found.unlabelled = found.test
    return found


def errors_of(true, predicted, schema):
    """Mean errors in percent, by normalising length.

    ``box`` is the geometric mean of the sides of the landmark bounding box.
    """
    errors = {"box": nme(true, predicted, normalizer="box", boxes=boxes_of(true), per_sample=True)}
    for length in ("inter_pupil", "inter_ocular"):
        if schema is not None and length in schema.normalizers:
            errors[length] = nme(true, predicted, normalizer=length, schema=schema, per_sample=True)
    return {f"nme_{name}": round(100 * values.mean(), 4) for name, values in errors.items()}
