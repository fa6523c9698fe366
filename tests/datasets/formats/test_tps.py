import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skwing import BoxedImages, LandmarkSchema
from skwing.datasets import read_tps, write_tps

TWO = """LM=3
290. 108.
100.5 179.
NA NA
IMAGE=63001.jpg
ID=0
SCALE=0.0045
lm=3
-1. -1.
55 156
24\t210
Image = wings/63 002.jpg
ID=left = 1
COMMENT=first
COMMENT=second = 2
VARIABLES=sex=f
"""

WITH_CURVES = """LM=1
1 2
CURVES=2
POINTS=2
3 4
5 6
POINTS=1
7 8
IMAGE=a.jpg
"""


def read(folder, text, **options):
    path = Path(folder, "a.tps")
    path.write_text(text, encoding="utf-8")
    return read_tps(path, **({"image_height": 300} | options))


def test_what_a_file_holds(tmp_path):
    wings = read(tmp_path, TWO)
    nan = np.nan
    np.testing.assert_array_equal(
        wings.target,
        [[[290, 191], [100.5, 120], [nan, nan]], [[nan, nan], [55, 143], [24, 89]]],
    )
    assert wings.data.paths.tolist() == [
        str(tmp_path / "63001.jpg"),
        str(tmp_path / "wings" / "63 002.jpg"),
    ]
    assert wings.names.tolist() == ["0", "left = 1"]
    np.testing.assert_array_equal(wings.scale, [0.0045, nan])
    assert wings.comments.tolist() == ["", "first\nsecond = 2"]
    assert wings.variables.tolist() == ["", "sex=f"]
    assert wings.curves == ()
    assert wings.schema == LandmarkSchema("tps", ["lm_1", "lm_2", "lm_3"])
    assert wings.data.schema is wings.schema
    X, y = read(tmp_path, TWO, return_X_y=True, images="photos")
    assert X.paths[0] == str(Path("photos", "63001.jpg"))
    np.testing.assert_array_equal(y, wings.target)


def test_the_y_axis_points_up_from_the_lower_left_pixel(tmp_path):
    """A mark in the picture is found where its coordinates say, whatever the height."""
    for height in (5, 9):
        pixels = np.zeros((height, 7), np.uint8)
        pixels[height - 1 - 3, 2] = 255  # third column, fourth row from below
        cv2.imwrite(str(tmp_path / f"{height}.png"), pixels)
    text = "LM=1\n2 3\nIMAGE=5.png\nLM=1\n2 3\nIMAGE=9.png\n"
    marks = read(tmp_path, text, image_height=None)
    for i in range(2):
        (x, y), image = marks.target[i, 0].astype(int), marks.data.decode(i)
        assert image[y, x, 0] == 255
    assert marks.names.tolist() == ["5", "9"]
    given = read(tmp_path, text, image_height=[5, 9])
    np.testing.assert_array_equal(given.target, marks.target)
    down = read(tmp_path, text, y_up=False, image_height=None)
    np.testing.assert_array_equal(down.target, [[[2, 3]], [[2, 3]]])


def test_height_is_that_of_the_upright_photograph(tmp_path):
    _, data = cv2.imencode(".jpg", np.zeros((4, 10), np.uint8))
    entry = bytes.fromhex("0112 0003 00000001 0006 0000")  # orientation: a quarter turn
    exif = b"Exif\0\0MM\0*" + bytes.fromhex("00000008 0001") + entry + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    raw = data.tobytes()
    (tmp_path / "a.jpg").write_bytes(raw[:2] + segment + raw[2:])
    turned = read(tmp_path, "LM=1\n1 0\nIMAGE=a.jpg\n", image_height=None)
    assert turned.data.decode(0).shape[0] == 10
    assert turned.target.tolist() == [[[1, 9]]]


def test_no_image_no_height(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"line 1.*63001\.jpg.*image_height"):
        read(tmp_path, TWO, image_height=None)
    for height in (0, -4, 2.5, np.nan, np.inf, [300, 0]):
        with pytest.raises(ValueError, match="image_height must be of whole numbers"):
            read(tmp_path, TWO, image_height=height)
    with pytest.raises(ValueError, match=r"image_height has shape \(3,\)"):
        read(tmp_path, TWO, image_height=[1, 2, 3])


def test_landmarks_beyond_the_image_are_told(tmp_path):
    with pytest.warns(UserWarning, match=r"1 of 2 specimens .* line 8: image .*63 002"):
        read(tmp_path, TWO, image_height=200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path, TWO, image_height=211)
        read(tmp_path, TWO, y_up=False)


def test_negative_coordinates(tmp_path):
    text = "LM=3\n-1 -1\n-2 5\n5 -2\nIMAGE=a.jpg\n"
    with pytest.warns(UserWarning, match="above or below"):
        gone = read(tmp_path, text)
    np.testing.assert_array_equal(gone.target, [[[np.nan, np.nan], [-2, 294], [5, 301]]])
    with pytest.warns(UserWarning, match="above or below"):
        kept = read(tmp_path, text, negative_missing=False)
    assert kept.target[0, 0].tolist() == [-1, 300]


def test_curves_follow_the_landmarks(tmp_path):
    fish = read(tmp_path, WITH_CURVES)
    assert fish.target[0].tolist() == [[1, 297], [3, 295], [5, 293], [7, 291]]
    assert fish.curves == (2, 1)
    names = ["lm_1", "curve_1_1", "curve_1_2", "curve_2_1"]
    lines = [("curve_1", (1, 2), False), ("curve_2", (3,), False)]
    assert fish.schema == LandmarkSchema("tps", names, None, lines)
    without = read(tmp_path, WITH_CURVES, curves=False)
    assert without.target.tolist() == [[[1, 297]]] and without.curves == ()
    own = LandmarkSchema.from_names("fish", ["eye", "left_fin", "right_fin", "tail"])
    assert read(tmp_path, WITH_CURVES, schema=own).data.schema is own
    with pytest.raises(ValueError, match="4 landmarks, the data have 1"):
        read(tmp_path, WITH_CURVES, schema=own, curves=False)


def test_curves_must_agree(tmp_path):
    other = WITH_CURVES.replace("CURVES=2", "CURVES=1").replace("POINTS=1\n7 8\n", "")
    with pytest.raises(ValueError, match=r"line 10: .* 2 points, the first .* 2, 1 points.*curves"):
        read(tmp_path, WITH_CURVES + other)
    assert len(read(tmp_path, WITH_CURVES + other, curves=False).data) == 2
    only = "LM=0\nCURVES=1\nPOINTS=1\n1 2\nIMAGE=a.jpg\n"
    assert read(tmp_path, only).target.tolist() == [[[1, 297]]]
    with pytest.raises(ValueError, match="no landmarks with curves=False"):
        read(tmp_path, only, curves=False)


def test_other_entries_are_passed_over(tmp_path):
    more = (
        "LM=1\n1 2\nOUTLINES=1\nPOINTS=2\n8 8\n9 9\nCHAIN=3\n0 1 2\n3\nRADII=1\n4.5\n"
        "CURVES=1\nPOINTS=1\n3 4\nIMAGE=a.jpg\n"
    )
    assert read(tmp_path, more).target.tolist() == [[[1, 297], [3, 295]]]


def test_a_file_from_windows(tmp_path):
    path = tmp_path / "a.tps"
    path.write_bytes(
        b"\xef\xbb\xbf" + TWO.replace("wings/", "wings\\").replace("\n", "\r\n").encode()
    )
    wings = read_tps(path, image_height=300)
    assert wings.data.paths[1] == str(tmp_path / "wings" / "63 002.jpg")
    path.write_bytes(b"LM=1\n1 2\nIMAGE=\xfcber.jpg\n")
    with pytest.raises(ValueError, match=r"a\.tps, line 3: not UTF-8"):
        read_tps(path, image_height=300)


HOSTILE = {
    "empty": ("", r"no line begins a specimen"),
    "prose": ("landmarks\n", r"line 1: found 'landmarks', expected an entry"),
    "no LM": ("IMAGE=a.jpg\n", r"line 1: .*expected LM= first"),
    "unknown first": ("X=1\nLM=1\n", r"line 1: .*expected LM= first"),
    "3-D": ("LM3=1\n1 2 3\n", r"line 1: LM3 .* three dimensions"),
    "cut short": ("LM=2\n1 2\n", r"line 1: LM announces 2 points, but 1 follow"),
    "cut short later": ("LM=2\n1 2\nIMAGE=a\n", r"line 1: LM announces 2"),
    "too many": ("LM=1\n1 2\n3 4\nIMAGE=a\n", r"line 3: found '3 4'"),
    "after the image": ("LM=0\nIMAGE=a\n3 4\n", r"line 3: found '3 4'"),
    "three numbers": ("LM=1\n1 2 3\n", r"line 2: .*two numbers"),
    "half missing": ("LM=2\n1 2\nNA 5\n", r"line 3: found 'NA 5', expected two .* 'NA NA'"),
    "one number": ("LM=1\n1\n", r"line 2: .*two numbers"),
    "word": ("LM=1\n1 b\n", r"line 2: found 'b'"),
    "decimal comma": ("LM=1\n1,5 2,5\n", r"line 2: found '1,5'"),
    "inf": ("LM=1\n1 inf\n", r"line 2: found 'inf'"),
    "too big": ("LM=1\n1 1e999\n", r"line 2: found '1e999'"),
    "underscore": ("LM=1\n1 1_0\n", r"line 2: found '1_0'"),
    "negative": ("LM=-1\n", r"line 1: found '-1', expected a number of points"),
    "fraction": ("LM=1.5\n", r"line 1: found '1.5'"),
    "absurd": ("LM=999999999\n1 2\n", r"announces 999999999 points, but 1"),
    "digits": ("LM=" + "9" * 5000, r"line 1: found '999"),
    "curves": ("LM=0\nCURVES=2\nPOINTS=1\n1 2\nIMAGE=a", r"CURVES=2, but 1 curves"),
    "not as many": ("LM=1\n1 2\nIMAGE=a\nLM=2\n1 2\n3 4\nIMAGE=b\n", r"line 4: .*2 landmarks.* 1 "),
    "no image": ("LM=1\n1 2\nID=4\n", r"line 1: the specimen has no IMAGE"),
    "empty image": ("LM=1\n1 2\nIMAGE=\n", r"line 1: the specimen has no IMAGE"),
    "image twice": ("LM=1\n1 2\nIMAGE=a\nIMAGE=b\n", r"line 4: IMAGE is there twice"),
    "outside": ("LM=1\n1 2\nIMAGE=../a\n", r"line 1: the image path '\.\./a' leaves"),
    "absolute": ("LM=1\n1 2\nIMAGE=\\a.jpg\n", r"line 1: .*leaves"),
    "scale": ("LM=1\n1 2\nIMAGE=a\nSCALE=mm\n", r"line 4: found 'mm'"),
    "scale of 0": ("LM=1\n1 2\nIMAGE=a\nSCALE=0\n", r"line 4: the scale is 0"),
    "NUL": ("LM=1\n1 2\0\n", r"line 2: .*NUL"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "a.tps" in str(caught.value)


def test_tiny_numbers_are_numbers(tmp_path):
    tiny = f"LM=2\n1 1e-{'9' * 30}\n2 1e-40\nIMAGE=a.jpg\n"
    assert read(tmp_path, tiny).target.tolist() == [[[1, 299], [2, 299]]]


texts = st.text(max_size=8).filter(
    lambda t: t == t.strip() and not set(t) & set("\r\0\n")  # what the writer refuses
)


@st.composite
def specimens(draw):
    n, n_landmarks = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    points = draw(arrays(np.float64, (n, n_landmarks, 2), elements=st.floats(-1e6, 1e6)))
    points[draw(arrays(bool, (n, n_landmarks)))] = np.nan
    curves = draw(st.lists(st.integers(0, 2), max_size=3).filter(lambda c: sum(c) <= n_landmarks))
    scale = draw(arrays(np.float64, n, elements=st.floats(0, 1e9, exclude_min=True)))
    scale[draw(arrays(bool, n))] = np.nan
    comments = draw(st.lists(st.lists(texts, max_size=3), min_size=n, max_size=n))
    more = {
        "names": draw(st.lists(texts.filter(bool), min_size=n, max_size=n)),
        "scale": scale,
        "comments": ["\n".join(lines) for lines in comments],
        "variables": draw(st.lists(texts, min_size=n, max_size=n)),
        "curves": tuple(curves),
        "image_height": draw(st.lists(st.integers(1, 10**5), min_size=n, max_size=n)),
        "y_up": draw(st.booleans()),
    }
    photos = draw(st.lists(st.sampled_from(["a.jpg", "b/ü.png", "c = d"]), min_size=n, max_size=n))
    return points, photos, more


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*landmarks (above|lie)")
@settings(max_examples=30)
@given(specimens())
def test_writing_then_reading_changes_nothing(sample):
    points, photos, more = sample
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.tps")
        data = BoxedImages([str(Path(folder, name)) for name in photos])
        write_tps(path, data, points.reshape(len(points), -1), **more)
        axis = {key: more[key] for key in ("image_height", "y_up")}
        got = read_tps(path, negative_missing=False, **axis)
        # Turned over twice, y is exact to a rounding; x and what is not turned are the same.
        np.testing.assert_allclose(got.target, points, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(got.target[..., 0], points[..., 0])
        if not more["y_up"]:
            np.testing.assert_array_equal(got.target, points)
        np.testing.assert_array_equal(got.scale, more["scale"])
        assert got.data.paths.tolist() == data.paths.tolist()
        assert got.curves == more["curves"]
        for key in ("names", "comments", "variables"):
            assert got[key].tolist() == more[key]


def test_a_written_file_looks_like_others(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64), np.uint8))
    data = BoxedImages([str(tmp_path / "a.png")] * 2)
    target = np.array([[[1.0, 2], [3.25, 47], [0, 0]], [[1, 2], [np.nan, np.nan], [0.1, 0.1]]])
    path = tmp_path / "a.tps"
    write_tps(path, data, target, curves=[1], scale=0.5, comments=["", "torn"], missing="-1")
    assert path.read_text() == (
        "LM=2\n1 45\n3.25 0\nCURVES=1\nPOINTS=1\n0 47\nIMAGE=a.png\nID=0\nSCALE=0.5\n"
        "LM=2\n1 45\n-1 -1\nCURVES=1\nPOINTS=1\n0.1 46.9\nIMAGE=a.png\nID=1\nCOMMENT=torn\n"
        "SCALE=0.5\n"
    )
    target[1, 1] = np.nan
    np.testing.assert_allclose(read_tps(path).target, target, rtol=1e-12)


def test_landmarks_that_would_be_taken_for_missing_are_told(tmp_path):
    data = BoxedImages([str(tmp_path / "a.png")])
    with pytest.warns(UserWarning, match="2 landmarks are to the left of and below"):
        write_tps(tmp_path / "a.tps", data, [[[-1, 48], [-3, 50], [-1, 5]]], image_height=48)
    with pytest.warns(UserWarning, match="1 landmarks"):
        write_tps(tmp_path / "a.tps", data, [[[-1, -2]]], y_up=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": np.zeros((2, 3, 2))}, "data has 1 samples, target has 2"),
        ({"data": BoxedImages(np.zeros((1, 8, 9), np.uint8))}, "pixels in memory"),
        ({"data": BoxedImages(["a\nb.jpg"])}, r"sample 0: IMAGE .*a\\nb\.jpg"),
        ({"names": ["a\nb"]}, r"sample 0: ID 'a\\nb'"),
        ({"names": [" a"]}, "sample 0: ID ' a'"),
        ({"names": ["a", "b"]}, "ID: got 2 texts for 1 samples"),
        ({"comments": ["a\r"]}, "sample 0: COMMENT"),
        ({"scale": -1}, "scale must be"),
        ({"scale": [1, 2]}, r"scale has shape \(2,\)"),
        ({"curves": [4]}, "curves has 4 points, but there are 3"),
        ({"missing": "0"}, "missing must be"),
        ({"image_height": 0}, "image_height must be"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, message):
    given = {"data": BoxedImages(["a.jpg"]), "target": np.ones((1, 3, 2)), "image_height": 9}
    (tmp_path / "a.tps").write_text("before")
    with pytest.raises(ValueError, match=message):
        write_tps(tmp_path / "a.tps", **given | options)
    assert (tmp_path / "a.tps").read_text() == "before"


def test_specimens_that_are_not_digitised_have_no_landmarks_yet(tmp_path):
    path = tmp_path / "wings.tps"
    path.write_text("LM=0\nIMAGE=a.jpg\nID=7\nSCALE=0.5\nLM=0\nIMAGE=b.jpg\nID=8\n")
    wings = read_tps(path)  # no image is looked at: there is no y to turn
    assert wings.target.shape == (2, 0, 2) and wings.schema is None
    assert wings.names.tolist() == ["7", "8"]
    np.testing.assert_array_equal(wings.scale, [0.5, np.nan])
    eyes = LandmarkSchema("eyes", ("left", "right"))
    to_fill = read_tps(path, schema=eyes, image_height=40)
    assert to_fill.target.shape == (2, 2, 2) and np.isnan(to_fill.target).all()
    assert to_fill.data.schema is eyes
    # Predictions go back with what the file said about each specimen.
    points = np.array([[[1.25, 2], [3, 4.333333]], [[5, 6], [np.nan, np.nan]]])
    write_tps(
        path, wings.data, points, names=wings.names, scale=wings.scale, image_height=40, decimals=2
    )
    assert "1.25 37" in path.read_text() and "3 34.67" in path.read_text()
    back = read_tps(path, image_height=40)
    np.testing.assert_allclose(back.target, points, atol=0.005)
    assert back.names.tolist() == ["7", "8"]
    np.testing.assert_array_equal(back.scale, [0.5, np.nan])


def test_some_of_the_specimens_are_not_digitised(tmp_path):
    path = tmp_path / "wings.tps"
    path.write_text("LM=0\nIMAGE=a.jpg\nLM=2\n1 2\n3 4\nIMAGE=b.jpg\nLM=0\nIMAGE=c.jpg\n")
    wings = read_tps(path, image_height=10)
    assert wings.target.shape == (3, 2, 2)
    assert np.isnan(wings.target).all((1, 2)).tolist() == [True, False, True]


@pytest.mark.parametrize("decimals", [-1, 1.5, "2"])
def test_decimals_are_checked(tmp_path, decimals):
    data = BoxedImages([str(tmp_path / "a.jpg")])
    with pytest.raises((TypeError, ValueError), match="decimals"):
        write_tps(tmp_path / "a.tps", data, [[[1, 2]]], image_height=9, decimals=decimals)
