import mmap
import os
import pickle
import tracemalloc
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, train_test_split
from sklearn.utils import _safe_indexing, resample, shuffle

from skwing import PoseBalancer
from skwing._utils.boxes import check_boxes
from skwing._utils.opencv import cv2
from skwing.datasets import from_dataframe as read
from skwing.datasets import make_faces
from skwing.images import (
    BoxedImages,
    as_boxed_images,
    concatenate,
)
from skwing.runtime import check_box_inside
from skwing.schema import AFLW19, IBUG68

N = 10


def numbered_pixels(n=N, shape=(4, 6, 3)):
    """Images whose pixels all hold the image's own number."""
    return np.arange(n, dtype=np.uint8).reshape(-1, *[1] * len(shape)) * np.ones(shape, np.uint8)


def numbered_boxes(n=N):
    return np.stack([np.arange(n), np.zeros(n), np.ones(n), np.ones(n)], axis=1)


@pytest.fixture
def images():
    return BoxedImages(
        numbered_pixels(), boxes=numbered_boxes(), repeats=np.arange(N) * 2, schema="ibug68"
    )


def rows_of(images):
    """Which samples a view holds, told by pixels, boxes, repeats and description alike."""
    by_pixels = [int(images.decode(i)[0, 0, 0]) for i in range(len(images))]
    assert images.boxes[:, 0].tolist() == by_pixels
    assert [images.describe(i) for i in range(len(images))] == [f"sample {k}" for k in by_pixels]
    if images.repeats is not None:
        assert images.repeats.tolist() == [2 * k for k in by_pixels]
    return by_pixels


# ---------------------------------------------------------------------------------------
# Indexing
# ---------------------------------------------------------------------------------------
MASK = np.arange(N) % 3 == 0


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 8, 3),
        slice(None, None, -1),
        [3, 1, 1, -1],
        np.array([9, 0]),
        np.array([9, 0], dtype=np.uint8),
        MASK,
        MASK.tolist(),
        range(2, 5),
        [],
        np.array([], dtype=int),
        pd.Index([4, 2]),
        pd.Series([4, 2], index=[7, 8]),
        slice(0, 0),
    ],
    ids=repr,
)
def test_indexing_agrees_with_numpy(images, key):
    expected = np.arange(N)[key if not isinstance(key, range) else list(key)].tolist()
    for view in (images[key], images[key, ...], images[key,]):
        assert type(view) is BoxedImages
        assert rows_of(view) == expected
        assert view.shape == (len(expected),) == (len(view),)
        assert view.schema is IBUG68


@pytest.mark.parametrize("key", [3, np.int64(3), np.array(3), -7])
def test_a_single_number_gives_a_view_of_one_sample(images, key):
    assert rows_of(images[key]) == rows_of(images[key, ...]) == [3]


def test_ellipsis_alone_is_the_whole(images):
    assert rows_of(images[...]) == rows_of(images[...,]) == list(range(N))


def test_iteration_ends_and_gives_one_sample_each(images):
    assert [rows_of(view) for view in images] == [[i] for i in range(N)]


@pytest.mark.parametrize(
    "key", [N, -N - 1, [0, N], "a", 1.5, [0.5], None, (1, 2), [[1, 2]], [True]]
)
def test_bad_index_is_an_index_error(images, key):
    with pytest.raises(IndexError):
        images[key]


@given(st.data())
def test_view_of_view_is_one_view(data):
    images = BoxedImages(numbered_pixels(), boxes=numbered_boxes())
    first = data.draw(st.lists(st.integers(-N, N - 1), min_size=1))
    second = data.draw(st.lists(st.integers(-len(first), len(first) - 1)))
    expected = np.arange(N)[first][second].tolist()
    assert rows_of(images[first][second]) == expected


def test_views_share_the_pixels_with_the_source():
    pixels = numbered_pixels()
    view = BoxedImages(pixels)[[5, 2]][[1]]
    assert np.shares_memory(view.decode(0), pixels[2])


def test_views_share_boxes_and_nobody_can_write_to_them(images):
    given_boxes = numbered_boxes()
    images = BoxedImages(numbered_pixels(), boxes=given_boxes, repeats=np.ones(N, int))
    given_boxes[:] = -1
    assert rows_of(images.with_repeats(None)) == list(range(N))
    for array in (images.boxes, images[2:4].boxes, images[[1]].boxes, images.repeats):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_walking_over_many_paths_in_batches_takes_constant_memory():
    images = BoxedImages([f"{i}.jpg" for i in range(200_000)])
    tracemalloc.start()
    for start in range(0, len(images), 256):
        batch = images[start : start + 256]
        assert len(batch.boxes) == len(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_repr_is_short(images):
    assert repr(images) == "BoxedImages(10 arrays, boxes, repeats, schema='ibug68')"
    assert repr(BoxedImages(["a.jpg"] * 1000)) == "BoxedImages(1000 paths)"


# ---------------------------------------------------------------------------------------
# scikit-learn, joblib, pickle
# ---------------------------------------------------------------------------------------
def test_scikit_learn_splits_and_shuffles_it(images):
    y = np.arange(N)
    assert rows_of(_safe_indexing(images, [4, 2])) == [4, 2]
    for X_part, y_part in (
        train_test_split(images, y, random_state=0)[::2],
        train_test_split(images, y, random_state=0)[1::2],
        shuffle(images, y, random_state=0),
        resample(images, y, random_state=0),
    ):
        assert type(X_part) is BoxedImages
        assert rows_of(X_part) == y_part.tolist()
    for train, test in KFold(3).split(images):
        assert rows_of(images[test]) == test.tolist()
        assert rows_of(images[train]) == train.tolist()


@pytest.mark.slow
def test_grid_search_in_two_processes_shares_the_pixels():
    class Reader(BaseEstimator):  # local: a worker could not import it from here
        def __init__(self, offset=0):
            self.offset = offset

        def fit(self, X, y):
            return self

        def predict(self, X):
            return np.array([X.decode(i)[0, 0, 0] for i in range(len(X))]) + self.offset

        def score(self, X, y):
            base = X.decode(0)
            while isinstance(base, np.ndarray) and base.base is not None:
                base = base.base
            return float(isinstance(base, mmap.mmap)) - np.abs(self.predict(X) - y).mean()

    images = BoxedImages(numbered_pixels(40, (200, 200, 3)), boxes=numbered_boxes(40))
    y = np.arange(40)
    for X, target in ((images, y), (images[10:], y[10:])):
        search = GridSearchCV(Reader(), {"offset": [0, 5]}, cv=3, n_jobs=2).fit(X, target)
        # 1 for pixels that are one memory map for all workers, 0 off the truth.
        assert search.cv_results_["mean_test_score"].tolist() == [1.0, -4.0]
    assert cross_val_predict(Reader(), images[10:], y[10:], cv=3).tolist() == y[10:].tolist()


def test_pickle_holds_the_rows_of_the_view_only():
    images = BoxedImages(numbered_pixels(100, (50, 50, 3)), boxes=numbered_boxes(100))
    view = images[[70, 3, 70, 70, 8]]
    data = pickle.dumps(view)
    assert 3 * 50 * 50 * 3 < len(data) < 4 * 50 * 50 * 3
    for again in (pickle.loads(data), view, pickle.loads(data)[::-1][::-1]):
        assert rows_of(again) == [70, 3, 70, 70, 8]
    assert rows_of(images) == list(range(100))
    # joblib shares an array between workers if every pickle refers to the same one.
    gathered = view.decode(0)
    pickle.dumps(view)
    assert np.shares_memory(view.decode(0), gathered)
    assert len(pickle.dumps(BoxedImages([f"{i}.jpg" for i in range(10_000)])[:2])) < 2000


def test_everything_survives_a_pickle(images, tmp_path):
    joblib.dump(images[[7, 1]], tmp_path / "images.joblib")
    again = joblib.load(tmp_path / "images.joblib")
    assert rows_of(again) == [7, 1]
    assert again.schema == IBUG68
    assert repr(again) == repr(images[[7, 1]])


def test_hash_tells_what_is_inside(images):
    same = BoxedImages(
        numbered_pixels(), boxes=numbered_boxes(), repeats=np.arange(N) * 2, schema="ibug68"
    )
    assert joblib.hash(images) == joblib.hash(same)
    view = images[[4, 2]]
    before = joblib.hash(view)
    pickle.dumps(view)
    assert joblib.hash(view) == before == joblib.hash(same[[4, 2]])
    others = [
        images[[2, 4]],
        images[[4, 3]],
        view.with_boxes(None),
        view.with_repeats([1, 1]),
        BoxedImages(numbered_pixels() + 1, boxes=numbered_boxes())[[4, 2]],
    ]
    assert before not in {joblib.hash(other) for other in others}


def test_it_is_no_array(images):
    with pytest.raises(TypeError, match=r"images\.decode\(i\)"):
        np.asarray(images)


# ---------------------------------------------------------------------------------------
# What images may be made from
# ---------------------------------------------------------------------------------------
GREY = np.array([[0, 100], [200, 255]], dtype=np.uint8)
COLOUR = np.stack([GREY, GREY // 2, 255 - GREY], axis=2)
# What is transparent lies on white: c * a + 255 * (1 - a).
ON_WHITE = np.round(255 - (255.0 - COLOUR) * GREY[..., None] / 255).astype(np.uint8)
AS_RGB = {
    "grey": (GREY, np.stack([GREY] * 3, axis=2)),
    "grey, one channel": (GREY[..., None], np.stack([GREY] * 3, axis=2)),
    "colour": (COLOUR, COLOUR),
    "alpha": (np.dstack([COLOUR, GREY]), ON_WHITE),
    "alpha of no use": (np.dstack([COLOUR, GREY * 0]), COLOUR),
    "float": ((COLOUR / 255).astype(np.float32), COLOUR),
    "float64 grey": (GREY / 255, np.stack([GREY] * 3, axis=2)),
    "strided": (np.repeat(COLOUR, 2, axis=1)[:, ::-2], COLOUR[:, ::-1]),
}


@pytest.mark.parametrize("kind", AS_RGB)
def test_every_kind_of_array_decodes_to_rgb(kind):
    image, expected = AS_RGB[kind]
    mixed = np.empty(2, dtype=object)
    mixed[:] = [image, image[:1]]
    for X in (np.stack([image] * 2), [image, image[:1]], (image, image[:1]), mixed):
        decoded = as_boxed_images(X).decode(0)
        np.testing.assert_array_equal(decoded, expected)
        assert decoded.dtype == np.uint8
        assert decoded.flags.c_contiguous


def test_images_of_equal_and_of_different_sizes_stay_apart():
    images = as_boxed_images([GREY, GREY, COLOUR[:1]])
    assert [images.decode(i).shape for i in range(3)] == [(2, 2, 3), (2, 2, 3), (1, 2, 3)]


PATHS = ["a.png", "ä b.png"]


@pytest.mark.parametrize(
    "X",
    [
        PATHS,
        tuple(PATHS),
        [Path(p) for p in PATHS],
        [p.encode() for p in PATHS],
        np.array(PATHS),
        np.array(PATHS, dtype=object),
        pd.Series(PATHS, index=[5, 3]),
        pd.Series(PATHS, dtype="string"),
        pd.DataFrame({"id": [1, 2], "filename": PATHS}),
        pd.DataFrame({"file": PATHS, "path": PATHS}, index=[1, 0]),
    ],
    ids=lambda X: type(X).__name__,
)
def test_every_kind_of_path_is_taken(X):
    images = as_boxed_images(X)
    assert [images.describe(i) for i in range(2)] == ["sample 0 (a.png)", "sample 1 (ä b.png)"]
    assert images[1:].describe(0) == "sample 1 (ä b.png)"
    assert np.isnan(images.boxes).all()


def test_boxed_images_are_returned_as_they_are(images):
    assert as_boxed_images(images) is images
    with pytest.raises(TypeError, match="with_boxes"):
        BoxedImages(images)


def test_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "pixels.npy", numbered_pixels())
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert np.shares_memory(BoxedImages(pixels)[[3]].decode(0), pixels)


def test_nothing_is_a_data_set_of_no_samples(images):
    for X in ([], np.empty((0, 8, 8), np.uint8), images[:0], pd.DataFrame({"path": []})):
        assert as_boxed_images(X).shape == (0,)


def test_boxes_come_from_the_columns_of_a_table():
    table = pd.DataFrame({"path": PATHS, "height": [4, None], "width": [3, None]})
    table[["x", "y"]] = [[1, 2], [np.nan, np.nan]]
    np.testing.assert_array_equal(as_boxed_images(table).boxes, [[1, 2, 3, 4], [np.nan] * 4])
    with pytest.raises(ValueError, match="x missing"):
        as_boxed_images(table.drop(columns="x"))
    with pytest.raises(ValueError, match=r"sample 0 \(a\.png\).*\(1\.0, 2\.0, 0\.0, 4\.0\)"):
        as_boxed_images(table.assign(width=0.0).ffill())
    paths = as_boxed_images(table.rename(columns={"path": "Path"})).paths
    assert paths.tolist() == PATHS
    with pytest.raises(ValueError, match=r"no column of paths.*'name'"):
        as_boxed_images(pd.DataFrame({"name": PATHS}))
    with pytest.raises(ValueError, match="must hold numbers"):
        as_boxed_images(table.assign(x="left"))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a.jpg", TypeError, "single path 'a.jpg': pass a list"),
        (Path("a.jpg"), TypeError, "pass a list"),
        (np.zeros((48, 64, 3), np.uint8), ValueError, r"\(48, 64, 3\).*For one image"),
        (np.zeros((48, 64), np.uint8), ValueError, r"\(48, 64\).*For one image"),
        (np.zeros(48), ValueError, r"\(48,\)"),
        (np.zeros((2, 3, 48, 64), np.uint8), ValueError, r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 48, 64, 2), np.uint8), ValueError, "1, 3 or 4 channels"),
        (np.zeros((2, 0, 64, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros((2, 48, 64), np.uint16), ValueError, "sample 0.*uint16"),
        (np.zeros((2, 48, 64), bool), ValueError, "sample 0.*bool"),
        ([np.zeros((3, 48, 64), np.uint8)], ValueError, r"transpose\(1, 2, 0\)"),
        ([GREY, GREY.astype(np.int64)], ValueError, "sample 1.*int64"),
        ([GREY, GREY[None, None]], ValueError, r"sample 1.*\(1, 1, 2, 2\)"),
        ([GREY, COLOUR[..., :2]], ValueError, r"sample 1.*\(2, 2, 2\)"),
        ([GREY, GREY[:0]], ValueError, "sample 1.*no pixels"),
        (["a.jpg", None], TypeError, r"sample 1 is None.*cv2\.imread"),
        (["a.jpg", 7], TypeError, "sample 1 is 7 of type int"),
        ([BoxedImages(["a.jpg"])], TypeError, r"concatenate joins several BoxedImages"),
        ([[[1, 2], [3, 4]]], TypeError, "sample 0.*list"),
        (pd.Series(["a.jpg", np.nan]), TypeError, "sample 1 is nan"),
        (pd.DataFrame({"path": ["a.jpg", None]}), TypeError, "sample 1 is"),
        (np.array([["a.jpg"], ["b.jpg"]]), ValueError, "in one dimension"),
        ({"a.jpg": 1}, TypeError, "of type dict"),
        (iter(["a.jpg"]), TypeError, r"iterator.*list\(X\)"),
        (".", TypeError, r"It is a folder: pass sorted"),
        (torch.zeros((2, 3, 48, 64)), TypeError, r"permute\(0, 2, 3, 1\)"),
        (None, TypeError, "NoneType"),
    ],
)
def test_what_is_no_set_of_images_is_an_error(X, error, message):
    with pytest.raises(error, match=message):
        as_boxed_images(X)


@pytest.mark.parametrize("values", [[0.0, 255.0], [-0.5, 0.5], [np.nan, 1.0], [0, 1.01]])
def test_float_images_outside_0_to_1_are_an_error(values):
    images = BoxedImages(np.array([np.zeros((1, 2)), [values]]))
    assert images.decode(0).max() == 0
    with pytest.raises(ValueError, match=r"sample 1: float images must lie in \[0, 1\]"):
        images[1:].decode(0)


def test_the_overshoot_of_resizing_is_cut_off():
    assert BoxedImages([np.array([[-1e-6, 1 + 1e-6]])]).decode(0)[0, :, 0].tolist() == [0, 255]


# ---------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------
def encoded(image, suffix=".png"):
    return cv2.imencode(
        suffix, image[..., [2, 1, 0, 3][: image.shape[2]]] if image.ndim == 3 else image
    )[1]


def decoded_file(path):
    return BoxedImages([path]).decode(0)


@pytest.mark.parametrize("kind", ["grey", "colour", "alpha"])
def test_files_decode_like_arrays(tmp_path, kind):
    image, expected = AS_RGB[kind]
    path = tmp_path / "ein Foto, 写真.png"
    encoded(image).tofile(path)
    np.testing.assert_array_equal(decoded_file(path), expected)


def test_float_file_decodes_like_a_float_array(tmp_path):
    # Grey, as OpenCV 4 writes colours of float TIFF files with a loss.
    encoded((GREY / 255).astype(np.float32), ".tiff").tofile(tmp_path / "a.tiff")
    np.testing.assert_array_equal(decoded_file(tmp_path / "a.tiff"), AS_RGB["grey"][1])


def test_broken_files_are_errors_that_name_sample_and_path(tmp_path, capfd):
    jpeg = encoded(np.zeros((16, 32, 3), np.uint8), ".jpg").tobytes()
    contents = {
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"hello", "damaged"),
        "clip.MP4": (b"\0\0\0\x1cftypisom", r"this is a video; skwing\.tracking\.read_video"),
        "cut.jpg": (jpeg[:-40], "damaged"),
        "cut.png": (encoded(COLOUR).tobytes()[:-20], "damaged|cannot be decoded"),
        "deep.png": (encoded(GREY.astype(np.uint16) * 257).tobytes(), "uint16"),
    }
    (tmp_path / "good.png").write_bytes(encoded(COLOUR).tobytes())
    (tmp_path / "folder.jpg").mkdir()
    for name, (data, _) in contents.items():
        (tmp_path / name).write_bytes(data)
    expected = {name: message for name, (_, message) in contents.items()}
    expected["folder.jpg"] = "this is a folder, expected an image file"
    for name, message in expected.items():
        images = BoxedImages([tmp_path / "good.png", tmp_path / name])[::-1]
        with pytest.raises(ValueError, match=rf"sample 1 \(.*{name}\): .*({message})"):
            images.decode(0)
        assert images.decode(1).shape == COLOUR.shape


def test_missing_file_is_named():
    with pytest.raises(FileNotFoundError) as raised:
        BoxedImages(["here.jpg", "gone.jpg"]).decode(1)
    where = os.getcwd()
    told = f"sample 1 (gone.jpg): there is no such file in the current folder {where}."
    assert str(raised.value) == told
    with pytest.raises(FileNotFoundError, match="no such file: ~ is not expanded"):
        BoxedImages(["~/gone.jpg"]).decode(0)
    with pytest.raises(OSError, match=r"sample 0 .*null byte"):
        BoxedImages(["a\0b.jpg"]).decode(0)


@pytest.mark.parametrize(
    ("name", "there"), [("W1.JPG", "W1.jpg"), ("W1.jpg", "W1.JPG"), ("W1.JPG", "w1.jpg")]
)
def test_a_missing_file_of_another_case_is_named(tmp_path, name, there):
    (tmp_path / there).touch()
    if (tmp_path / name).exists():
        pytest.skip("file names have no upper and lower case here")
    with pytest.raises(FileNotFoundError, match=rf"no such file\. There is '{there}', in upper"):
        BoxedImages([tmp_path / name]).decode(0)


# ---------------------------------------------------------------------------------------
# Boxes and repeats
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 0, 5),
        (0, 0, 5, -1),
        (0, 0, 5, np.inf),
        (np.nan, 0, 5, 5),
        (0, 0, np.nan, np.nan),
    ],
)
def test_impossible_box_is_an_error_that_names_the_sample(box):
    with pytest.raises(ValueError, match=r"^sample 1: the box"):
        check_boxes([(0, 0, 1, 1), box], 2)
    with pytest.raises(ValueError, match=r"^sample 1 \(b\.jpg\): the box"):
        BoxedImages(["a.jpg", "b.jpg"], boxes=[(0, 0, 1, 1), box])
    with pytest.raises(ValueError, match=r"^sample 1 \(b\.jpg\): the box"):
        BoxedImages(["a.jpg", "b.jpg"])[1:].with_boxes([box])


@pytest.mark.parametrize("boxes", [np.ones((3, 4)), np.ones((2, 5)), np.ones(8), [["a"] * 4] * 2])
def test_boxes_of_another_shape_or_kind_are_an_error(boxes):
    with pytest.raises(ValueError, match="boxes"):
        BoxedImages(["a.jpg", "b.jpg"], boxes=boxes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("width x y height", r"boxes\[\['x', 'y', 'width', 'height'\]\]"),
        ("y x h w", r"boxes\[\['x', 'y', 'w', 'h'\]\]"),
        ("x y w h score", r"boxes\[\['x', 'y', 'w', 'h'\]\]"),
        ("xmin ymin xmax ymax", "look like corners"),
        ("x1 y1 x2 y2", "look like corners"),
        ("bbox_x1 bbox_y1 bbox_x2 bbox_y2", "look like corners"),
    ],
)
def test_columns_of_boxes_are_not_read_as_others(names, message):
    names = names.split()
    table = pd.DataFrame([range(1, len(names) + 1)], columns=names)
    for take in (BoxedImages(["a.jpg"]).with_boxes, lambda boxes: check_boxes(boxes, 1)):
        with pytest.raises(ValueError, match=message):
            take(table)


@pytest.mark.parametrize("names", ["x y width height", "Bbox_X Bbox_Y Bbox_W Bbox_H", "a b c d"])
def test_boxes_in_a_table_are_those_of_its_columns(names):
    table = pd.DataFrame([[1, 2, 3, 4]], columns=names.split())
    np.testing.assert_array_equal(BoxedImages(["a.jpg"], table).boxes, [[1, 2, 3, 4]])


def test_no_box_is_a_row_of_nan():
    images = BoxedImages(["a.jpg", "b.jpg"])
    np.testing.assert_array_equal(images.boxes, np.full((2, 4), np.nan))
    boxes = np.array([[np.nan] * 4, [1, 2, 3, 4]])
    np.testing.assert_array_equal(images.with_boxes(boxes).boxes, boxes)


@pytest.mark.parametrize(
    "names", ["x y width height", "X Y Width Height", "x y w h", "bbox_x bbox_y bbox_w bbox_h"]
)
def test_boxes_of_a_table_have_the_names_that_readers_know(names):
    numbers = dict(zip(names.split(), ([1, 2], [3, 4], [5, 6], [7, 8]), strict=True))
    table = pd.DataFrame({"path": ["a.png", "b.png"], **numbers, "x1": [0, 0]})
    for images in (as_boxed_images(table), read(table, landmarks=()).data):
        np.testing.assert_array_equal(images.boxes, [[1, 3, 5, 7], [2, 4, 6, 8]])


@pytest.mark.parametrize(
    "names", ["xmin ymin xmax ymax", "left top right bottom", "bbox_x1 bbox_y1 bbox_x2 bbox_y2"]
)
def test_corners_of_boxes_in_a_table_are_not_ignored(names):
    table = pd.DataFrame([["a.png", 1, 2, 3, 4]], columns=["path", *names.split()])
    for function in (as_boxed_images, partial(read, landmarks=())):
        with pytest.raises(ValueError, match=names.replace(" ", ", ") + ".*corners of boxes"):
            function(table)


def test_two_numbered_points_in_a_table_are_corners_of_boxes():
    table = pd.DataFrame({"path": ["a.png"], "x1": [1], "y1": [2], "x2": [3], "y2": [4]})
    with pytest.raises(ValueError, match="x1, y1, x2, y2 of the DataFrame look like"):
        as_boxed_images(table)
    assert not as_boxed_images(table.assign(x3=5, y3=6)).has_boxes  # landmarks
    assert read(table).target.tolist() == [[[1, 2], [3, 4]]]
    named = table.assign(nose_x=5, nose_y=6)
    with pytest.raises(ValueError, match="x1, y1, x2, y2 look like corners of boxes"):
        read(named)
    assert read(named, boxes=()).target.shape == (1, 3, 2)


def test_another_schema_changes_nothing_else():
    faces = make_faces(4, image_size=32, random_state=0)
    images = faces.data.with_repeats([1, 2, 3, 4])[[2, 0]]
    eyes = IBUG68.select(range(36, 48), "eyes")
    other = images.with_schema(eyes)
    assert other.schema is eyes and images.schema is IBUG68
    assert images.with_schema(None).schema is None
    assert images.with_schema("aflw19").schema is AFLW19
    np.testing.assert_array_equal(other.boxes, images.boxes)
    np.testing.assert_array_equal(other.repeats, images.repeats)
    np.testing.assert_array_equal(other.decode(0), images.decode(0))
    assert other[[0]].schema is eyes
    with pytest.raises(ValueError, match=r"68 landmarks.*schema\.select.*X\.with_schema"):
        PoseBalancer().fit(faces.data, faces.target[:, 36:48])
    PoseBalancer().fit(faces.data.with_schema(eyes), faces.target[:, 36:48])


def test_a_box_must_share_a_pixel_with_its_image():
    shape = (20, 30, 3)
    for box in ([29, 19, 5, 5], [-4, -4, 5, 5], [-10, -10, 100, 100], [29.5, 0, 1, 1]):
        np.testing.assert_array_equal(check_box_inside(np.array(box), shape, ""), box)
    for box in ([30, 0, 5, 5], [0, 20, 5, 5], [-5, 0, 5, 5], [0, -5, 5, 5]):
        with pytest.raises(ValueError, match=r"sample 3 \(c\.jpg\).*30 pixels wide and 20 high"):
            check_box_inside(np.array(box), shape, "sample 3 (c.jpg)")
    np.testing.assert_array_equal(check_box_inside(np.full(4, np.nan), shape, ""), [0, 0, 30, 20])


@pytest.mark.parametrize("repeats", [[1], [1, 2, 3], [[1, 2]], [1, -1], [1.0, 2.0], ["a", "b"]])
def test_bad_repeats_are_an_error(repeats):
    with pytest.raises(ValueError, match="repeats"):
        BoxedImages(["a.jpg", "b.jpg"], repeats=repeats)


def test_with_repeats_leaves_the_original_alone():
    images = BoxedImages(["a.jpg", "b.jpg"])
    assert images.with_repeats([3, 0]).repeats.tolist() == [3, 0]
    assert images.repeats is None


def test_unknown_schema_is_an_error():
    with pytest.raises(ValueError, match="ibug68"):
        BoxedImages(["a.jpg"], schema="ibug86")


def test_concatenate_joins_without_copying():
    pixels = numbered_pixels()
    left = BoxedImages(pixels, boxes=numbered_boxes(), repeats=np.full(N, 2))[[3, 1]]
    right = BoxedImages(["a.jpg"])
    joined = concatenate([left, right])
    assert np.shares_memory(joined.decode(0), pixels)
    assert [joined.describe(i) for i in range(3)] == ["sample 0", "sample 1", "sample 2 (a.jpg)"]
    assert joined.repeats.tolist() == [2, 2, 1]
    np.testing.assert_array_equal(joined.boxes[:, 0], [3, 1, np.nan])
    with pytest.raises(ValueError, match="part 1 has the schema"):
        concatenate([left, BoxedImages(["a.jpg"], schema="ibug68")])
    with pytest.raises(ValueError, match="parts is empty"):
        concatenate([])


def test_paths_follow_the_view_and_are_absent_for_pixels():
    images = BoxedImages(["a.png", Path("b.png"), "c.png"])
    assert images[[2, 1]].paths.tolist() == ["c.png", "b.png"]
    assert BoxedImages(np.zeros((2, 8, 8), np.uint8)).paths is None


def test_samples_of_one_image_are_found_by_path_or_array():
    a, b = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    for images in (["a.png", "b.png", "a.png"], [a, b, a]):
        view = BoxedImages(images)[[1, 0, 2]]
        assert [samples.tolist() for samples in view.by_image()] == [[0], [1, 2]]
    assert len(BoxedImages(np.zeros((3, 8, 8), np.uint8)).by_image()) == 3


@pytest.mark.parametrize("names", ["bbox_x bbox_y", "box_x box_y box_width", "Bbox_W"])
def test_a_part_of_the_boxes_in_a_table_is_not_ignored(names):
    table = pd.DataFrame(
        [["a.png", *range(names.count(" ") + 1)]], columns=["path", *names.split()]
    )
    with pytest.raises(ValueError, match=names.replace(" ", ", ") + ".*a part of boxes"):
        as_boxed_images(table)


@pytest.mark.parametrize("names", ["path path", "path x y w h x"])
def test_columns_of_the_same_name_are_an_error(names):
    row = ["a.png", *range(1, names.count(" ") + 1)]
    table = pd.DataFrame([row], columns=names.split())
    with pytest.raises(ValueError, match=f"several columns named '{names.split()[-1]}'"):
        as_boxed_images(table)
