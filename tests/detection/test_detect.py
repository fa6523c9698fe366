import base64
import pickle
import shutil
import sys
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from small import PLAIN

from skwing import CascadeLandmarkRegressor
from skwing._utils.opencv import cv2
from skwing.boxes import box_overlaps, landmark_boxes
from skwing.datasets import load_300w, make_faces
from skwing.detection._detect import detect_all, detect_boxes
from skwing.detection._detectors import SkimageCascade, YuNet, _distinct, _load_once
from skwing.images import BoxedImages

quick = settings(max_examples=30)

# Two photos of 60 by 80 pixels: bright rectangles are faces. Samples 0 and 2 are the faces
# of the first photo, sample 1 is the only one of the second.
FACES = np.array([[5.0, 10, 20, 20], [30, 30, 25, 20], [40, 10, 20, 20]])
PHOTO_OF = [0, 1, 0]


def photos():
    pixels = np.zeros((2, 60, 80, 3), dtype=np.uint8)
    for number, ((x, y, w, h), photo) in enumerate(zip(FACES.astype(int), PHOTO_OF, strict=True)):
        pixels[photo, y : y + h, x : x + w] = 100 + number
    return pixels


def samples():
    return BoxedImages(photos())[PHOTO_OF]


TARGET = np.stack([FACES[:, :2], FACES[:, :2] + FACES[:, 2:] - 1], axis=1)


def rectangles(image):
    """A detector: the box of each grey level, with its level as the score."""
    rows = []
    for level in np.unique(image[image > 0]):
        y, x = np.nonzero(image[..., 0] == level)
        rows.append((x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1, level))
    return rows


class Counting:
    """A detector that counts its calls and answers from a list."""

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), 0

    def __call__(self, image):
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        self.calls += 1
        return self.answers[(self.calls - 1) % len(self.answers)]


# ---------------------------------------------------------------------------------------
# With a reference
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("known", [{"target": TARGET}, {"reference": FACES}], ids=str)
def test_each_sample_gets_its_own_face(known):
    found = detect_boxes(samples(), rectangles, **known)
    assert np.array_equal(found.boxes, FACES)
    assert np.array_equal(found.data.boxes, FACES)
    assert found.scores.tolist() == [100, 101, 102]
    assert found.overlaps.tolist() == [1, 1, 1]
    assert found.hits.all() and len(found.missed) == 0
    assert found.n_detections.tolist() == [2, 1, 2] and found.n_extra == 0
    assert "3 of 3 samples found (100.0 %), in 2 photos; 0 detections" in found.report
    assert "Missed" not in found.report


def test_a_photo_is_searched_once():
    detector = Counting([FACES[0], FACES[2]], [FACES[1]])
    found = detect_boxes(samples(), detector, reference=FACES)
    assert detector.calls == 2
    assert np.array_equal(found.boxes, FACES)


def test_a_file_is_decoded_once(tmp_path, monkeypatch):
    paths = [str(tmp_path / name) for name in ("first.png", "second.png")]
    for path, pixels in zip(paths, photos(), strict=True):
        cv2.imwrite(path, pixels)
    decoded = []
    decode = BoxedImages.decode
    monkeypatch.setattr(BoxedImages, "decode", lambda s, i: decoded.append(i) or decode(s, i))
    found = detect_boxes([paths[i] for i in PHOTO_OF], rectangles, target=TARGET)
    assert np.array_equal(found.boxes, FACES)
    assert len(decoded) == 2


def test_a_list_with_one_array_twice_is_one_photo():
    first, second = photos()
    detector = Counting([FACES[0], FACES[2]], [FACES[1]])
    assert detect_boxes([first, second, first], detector, target=TARGET).hits.all()
    assert detector.calls == 2


def test_misses_get_no_box_and_are_named():
    found = detect_boxes(samples(), Counting([FACES[2], (60, 40, 10, 10)], None), target=TARGET)
    assert found.hits.tolist() == [False, False, True]
    assert found.missed.tolist() == [0, 1]
    assert np.isnan(found.boxes[:2]).all() and np.isnan(found.data.boxes[:2]).all()
    assert np.isnan(found.scores).all() and np.isnan(found.overlaps[:2]).all()
    assert found.n_detections.tolist() == [2, 0, 2] and found.n_extra == 1
    assert "1 of 3 samples found (33.3 %)" in found.report
    assert "2 missed samples has no box" in found.report
    assert "Missed: sample 0, sample 1." in found.report


def test_missed_samples_can_have_boxes_made_of_their_reference():
    # A detector whose boxes are 1.5 times as large and a quarter of a face higher.
    def high(image):
        rows = np.array(rectangles(image), dtype=float)
        rows = rows[rows[:, 4] != 101]
        side = rows[:, [2]].copy()
        rows[:, :2] -= side * [0.25, 0.5]
        rows[:, 2:4] = 1.5 * side
        return rows

    found = detect_boxes(samples(), high, target=TARGET, fallback="reference", min_overlap=0.2)
    assert found.missed.tolist() == [1]
    assert found.boxes[1] == pytest.approx([30 - 0.25 * 25, 30 + 10 - 25 * 1.0, 37.5, 37.5])
    assert np.isnan(found.overlaps[1])
    assert found.box_relation["margin"] == pytest.approx(0.25)
    assert found.box_relation["shift"] == pytest.approx((0.0, -0.25))
    assert found.box_relation["jitter"] == pytest.approx((0, 0))
    assert "1.50 times as large" in found.report and "-0.25 down" in found.report
    assert "1 missed samples has a box computed from its reference" in found.report
    # And what it says about itself imitates it.
    imitated = landmark_boxes(TARGET, **found.box_relation, random_state=0)
    assert imitated == pytest.approx(found.boxes)


def test_like_has_the_spread_of_the_detector():
    rng = np.random.default_rng(0)
    reference = np.column_stack([rng.uniform(20, 60, (400, 2)), rng.uniform(10, 30, (400, 2))])
    side = reference[:, 2:].max(axis=1, keepdims=True)
    size = side * 1.2 * 1.15 ** rng.uniform(-1, 1, (400, 1))
    middle = reference[:, :2] + reference[:, 2:] / 2 + side * rng.uniform(-0.1, 0.1, (400, 2))
    boxes = np.hstack([middle - size / 2, size, size])
    images = BoxedImages(np.zeros((400, 80, 80), np.uint8))
    detector = Counting(*([row] for row in boxes))
    like = detect_boxes(images, detector, reference=reference, min_overlap=0.05).box_relation
    assert like["margin"] == pytest.approx(0.1, abs=0.01)
    assert like["shift"] == pytest.approx((0, 0), abs=0.01)
    # The median deviation of an even spread is taken for a normal one's: 1.28 times as much.
    assert like["jitter"] == pytest.approx((0.128, 1.15**1.28 - 1), rel=0.15)


def test_no_hits_no_relation():
    found = detect_boxes(samples(), Counting(None), target=TARGET)
    assert found.box_relation is None and found.missed.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="found none of the objects"):
        detect_boxes(samples(), Counting(None), target=TARGET, fallback="reference")


def test_samples_without_landmarks_are_missed():
    target = TARGET.copy()
    target[0] = np.nan
    found = detect_boxes(samples(), rectangles, target=target, fallback="reference")
    assert found.missed.tolist() == [0]
    assert np.isnan(found.boxes[0]).all()
    assert found.n_extra == 1


@quick
@given(st.data())
def test_the_order_of_detections_makes_no_difference(data):
    rows = data.draw(
        st.lists(
            st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(5, 30)] * 2, st.integers(0, 2)),
            max_size=6,
        )
    )
    least = data.draw(st.floats(0.05, 0.9))
    images, reference = samples()[[0, 2]], FACES[[0, 2]]
    founds = [
        detect_boxes(images, Counting(order), min_overlap=least, **known)
        for order in (rows, data.draw(st.permutations(rows)))
        for known in ({"reference": reference}, {})
    ]
    for one, other in ((founds[0], founds[2]), (founds[1], founds[3])):
        for key in ("boxes", "scores", "overlaps", "hits", "n_detections", "n_extra"):
            assert np.array_equal(one[key], other[key], equal_nan=True)
    matched = founds[0]
    assert (matched.overlaps[matched.hits] >= least).all()
    assert matched.n_extra == len(rows) - matched.hits.sum()


# ---------------------------------------------------------------------------------------
# Without
# ---------------------------------------------------------------------------------------
def test_without_a_reference_the_largest_is_taken():
    small_but_sure = [(40, 10, 10, 10, 0.9), (0, 0, 30, 30, 0.5)]
    images = BoxedImages(photos())
    found = detect_boxes(images, Counting(small_but_sure, []))
    assert found.boxes[0].tolist() == [0, 0, 30, 30] and found.scores[0] == 0.5
    assert found.missed.tolist() == [1] and found.n_extra == 1
    assert found.box_relation is None and np.isnan(found.overlaps).all()
    best = detect_boxes(images, Counting(small_but_sure, []), prefer="score")
    assert best.boxes[0].tolist() == [40, 10, 10, 10]


def test_the_best_needs_scores():
    with pytest.raises(ValueError, match="sample 0: the detector returned boxes without scores"):
        detect_boxes(photos(), Counting([FACES[0]]), prefer="score")


def test_every_detection_a_sample():
    images = BoxedImages([*photos()[[1, 0, 0]], np.zeros((9, 9), np.uint8)], schema="aflw19")
    found = detect_all(images, rectangles, prefer="score")
    assert found.source.tolist() == [0, 1, 1, 2, 2]  # equal arrays, but not the same array
    assert np.array_equal(found.data.boxes, FACES[[1, 2, 0, 2, 0]])
    assert found.scores.tolist() == [101, 102, 100, 102, 100]
    assert found.data.schema is images.schema
    assert found.missed.tolist() == [3]
    assert found.report.startswith("5 detections in 4 photos, none in 1 of them.")
    assert "sample 3" in found.report
    for i, source in enumerate(found.source):
        assert np.array_equal(found.data.decode(i), images.decode(source))


def test_every_detection_of_a_photo_that_comes_twice_comes_once():
    found = detect_all(samples()[[1, 0, 2, 0]], rectangles)
    assert found.source.tolist() == [0, 1, 1]
    nothing = detect_all(samples()[[1, 0, 2, 0]], Counting(None))
    assert nothing.missed.tolist() == [0, 1, 2, 3] and nothing.data.shape == (0,)


def test_no_images():
    empty = samples()[[]]
    found = detect_boxes(empty, rectangles)
    assert found.boxes.shape == (0, 4) and "0 of 0" in found.report
    assert detect_all(empty, rectangles).data.shape == (0,)


# ---------------------------------------------------------------------------------------
# How it runs
# ---------------------------------------------------------------------------------------
def test_threads_give_what_one_gives():
    many = samples()[[0, 1, 2] * 2 + [1] * 20]
    reference = FACES[[0, 1, 2] * 2 + [1] * 20]
    with joblib.parallel_config("threading"):
        threaded = detect_boxes(many, rectangles, reference=reference, n_jobs=2)
    alone = detect_boxes(many, rectangles, reference=reference)
    assert np.array_equal(threaded.boxes, alone.boxes, equal_nan=True)
    assert threaded.report == alone.report


def test_progress_is_shown_on_request(capsys):
    detect_boxes(samples(), rectangles, verbose=False)
    assert capsys.readouterr().err == ""
    detect_boxes(samples(), rectangles, verbose=True)
    assert "2/2" in capsys.readouterr().err


def test_a_detector_may_draw_into_its_image():
    pixels = photos()

    def painter(image):
        image[:] = 7
        return [(0, 0, 5, 5)]

    detect_boxes(pixels, painter)
    detect_boxes(list(pixels), painter)
    assert np.array_equal(pixels, photos())


# ---------------------------------------------------------------------------------------
# Hostile detectors
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([(0, 0, np.nan, 5)], r"the box \(0.0, 0.0, nan, 5.0\), expected finite"),
        ([(0, 0, 5, 5, np.inf)], "expected finite"),
        ([(0, 0, 5, 5), (3, 3, 0, 5)], r"the box \(3.0, 3.0, 0.0, 5.0\)"),
        ([(0, 0, 5, -5)], "above 0"),
        ((0, 0, 5, 5), r"shape \(4,\), expected boxes \(k, 4\)"),
        ([(0, 0, 5)], r"shape \(1, 3\)"),
        (np.ones((2, 15)), r"shape \(2, 15\)"),
        (np.ones((1, 2, 4)), r"shape \(1, 2, 4\)"),
        (7, r"shape \(\), expected"),
        ((1, [(0, 0, 5, 5)]), "expected boxes"),
        ([(0, 0, 5, 5), (1, 2)], "expected boxes"),
        ("face", "returned 'face', expected boxes"),
        ({"box": 3}, "expected boxes"),
        ([(100, 5, 9, 9)], "as the detector returned it: .* lies outside the image"),
        ([(0, 0, 1e308, 1e308), (-1e308, 0, 9, 9)], "lies outside"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("detect", [detect_boxes, detect_all])
def test_wrong_answers_name_the_sample(answer, message, detect):
    with pytest.raises(ValueError, match=f"sample 1.*{message}"):
        detect(samples()[1:], Counting(answer))


@pytest.mark.parametrize("nothing", [None, [], (), np.empty((0, 4)), np.empty((0, 15))], ids=repr)
def test_nothing_found_has_many_forms(nothing):
    assert detect_boxes(samples(), Counting(nothing)).missed.tolist() == [0, 1, 2]


def test_a_detector_that_fails_names_the_sample(tmp_path):
    path = str(tmp_path / "photo.png")
    cv2.imwrite(path, photos()[0])

    def broken(image):
        raise KeyError("layer7")

    with pytest.raises(RuntimeError, match=r"sample 0 \(.*photo.png\): .* KeyError: 'layer7'") as e:
        detect_boxes([path], broken)
    assert isinstance(e.value.__cause__, KeyError)


def test_broken_images_name_themselves(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sample 1 \(.*nowhere.jpg\)"):
        detect_boxes([*photos(), tmp_path / "nowhere.jpg"][1:], Counting(None))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"detector": "yunet"}, TypeError, "detector must be callable.*'yunet'"),
        ({"prefer": "first"}, ValueError, "prefer must be one of 'largest', 'score'; got 'first'"),
        ({"fallback": "mean"}, ValueError, "fallback must be one of 'nan', 'reference'"),
        ({"fallback": "reference"}, ValueError, "requires a target or a reference"),
        ({"target": TARGET, "reference": FACES}, ValueError, "not both"),
        ({"target": TARGET[:2]}, ValueError, "target has 2 samples, images has 3"),
        ({"reference": FACES[:2]}, ValueError, r"shape \(2, 4\), expected \(3, 4\)"),
        ({"target": TARGET, "min_overlap": 0}, ValueError, "min_overlap must be"),
    ],
)
def test_bad_parameters_are_told_before_the_work(parameters, error, message):
    detector = Counting(None)
    with pytest.raises(error, match=message):
        detect_boxes(samples(), **{"detector": detector, **parameters})
    assert detector.calls == 0


# ---------------------------------------------------------------------------------------
# YuNet
# ---------------------------------------------------------------------------------------
# A network with the twelve outputs that OpenCV expects of YuNet, made by hand with the
# onnx package: scores are the mean of the red channel over blocks of 32 pixels, boxes are
# 32 pixels wide around the upper left corner of their block. Compressed by zlib.
RED_BLOCKS = """
eNrNV8tu01AQtRPHNkNBriVQKYimQQJkIdQXVSmq5AbYZIUQKzZVHaxSGhIrNm2XZQ0fwRfwDfwZzJ25dm/qJ3RRLCVje87c
e3LmqHNr29s/78EudA7H0ZfEbUVbveu7x+F0/yB8M5mMvFswdxROx+FoL/64H4W+7ds/dMtzwIqT6eGHMJZvYBOwFjonw1GM
IRDB7QxF6BkvJ+Pj3Eq6r4u6J8Aot5MQ+Nq76f44jiZx6M2DEYXTz77mt/w2o5eAYWDSIqu4xSje2+pZb0N6kdGYBJ8EDREQ
I0I9DQYnBK6nQTtkNPBJpfGcaJgnQTA5xRhQdM0hxWomT0HCXDNheDWXZZA4SWbDNcVjkShHEfVGBBRFhHpRGJwQuJpIFxiG
1iBRVtwOPqo8+qnN2tHqZrXPHN+54DN+A9sgilFabLyIAUWUlmK9tBKeMLxeWrmN7LMp7IZ12U/K6KABiA5FxFGspyPhCcPr
6chtUjrCdiqdHaZjkfHETcA3rjXkm2pGK5DiXCuRBdWcHkAKzOxnkf0KRUI/kEgUUSSK9SJJeMLwakI9kLhzG5rChiofxYfr
a9U+7PrdCz7kN/Sb1tfYhyIGFNmHuGgTHwp4wvBGPhTbqD7EuhmJiQ46guhQZB82oSPhCcMb+VClI3yo0tlhOuxDcRPwjfRh
HaPUh6IgkQXNfJiRSn1YKBIagkSiyD5sIpKEJwxv5EPx22d8qPBx9QPvod12rL7UcbCga3z9llf6PIPbyOOMFPeIcOmWeSCk
wCVbt9v40R29z1N7MKcplzfPKZrkA6OgRgzAkhpKcc0r28hq5DwcrGh/eXn3bUPU8xwdOLn8N90GhZoYQ4NT7You75kNJAPR
eNy4rKvIK+fbBX1dzvHMkwLPVtF8KKniHFe9VtqSTot/6MsS9SWdMgWN+a42Rg6AK+zMJnVGDqDLtGZ97Vzkr2dnL9TWYK6k
NaVVnCtrDaYu1xpcoElrEPZftAZ5NG7N++V0mC/AbVt3XWjZOn7a0LZ/tegruAP8b4LrwE2EAEE08R0sgjzSlefwT34+h0vS
kb+4jI9l5bnCJRdBHtxzOSO4C+mpqiJZsKohiNIpPJcCsSGfjMpzBUtC3wDNufEHeKyjsQ==
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "red_blocks.onnx"
    path.write_bytes(zlib.decompress(base64.b64decode(RED_BLOCKS)))
    return path


def with_block(shape, x, y, size, colour=(255, 0, 0)):
    image = np.zeros((*shape, 3), dtype=np.uint8)
    image[y : y + size, x : x + size] = colour
    return image


def test_yunet_reads_rgb_images_of_any_size(model_file):
    detector = YuNet(model_file)
    for shape, x, y in (((200, 300), 128, 64), ((96, 64), 32, 32), ((400, 128), 96, 320)):
        found = detector(with_block(shape, x, y, 32))
        assert found == pytest.approx(np.array([[x - 16, y - 16, 32, 32, 1]]))
    assert detector(with_block((200, 300), 128, 64, 32, (0, 0, 255))).shape == (0, 5)
    assert detector(np.zeros((20, 30, 3), np.uint8)).shape == (0, 5)


def test_yunet_shrinks_large_images(model_file):
    found = YuNet(model_file, max_side=320)(with_block((640, 1280), 512, 256, 128))
    assert found == pytest.approx(np.array([[512 - 64, 256 - 64, 128, 128, 1]]))


def test_yunet_pickles_and_runs_in_detect_boxes(model_file):
    detector = pickle.loads(pickle.dumps(YuNet(model_file)))
    assert detector == YuNet(model_file) and "red_blocks.onnx" in repr(detector)
    images = [with_block((128, 128), 64, 32, 32), np.zeros((50, 50, 3), np.uint8)]
    with joblib.parallel_config("threading"):
        found = detect_boxes(images, detector, prefer="score", n_jobs=2)
    assert found.boxes[0] == pytest.approx(np.array([48, 16, 32, 32]))
    assert found.missed.tolist() == [1]


def test_yunet_without_its_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*yunet.onnx"):
        YuNet(tmp_path / "yunet.onnx")
    (tmp_path / "page.onnx").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page.onnx: OpenCV cannot load it"):
        YuNet(tmp_path / "page.onnx")


def test_yunet_bad_side(model_file):
    with pytest.raises(ValueError, match=r"max_side must be an integer in \[24, .*\], got 0"):
        YuNet(model_file, max_side=0)


# ---------------------------------------------------------------------------------------
# scikit-image
# ---------------------------------------------------------------------------------------
def test_without_scikit_image_the_default_says_what_to_do(monkeypatch):
    _load_once.cache_clear()  # other tests have loaded it
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"pip install scikit-image.*YuNet\(model_file\)"):
        detect_boxes(samples())
    assert detect_boxes(samples(), rectangles).hits.all()


@pytest.mark.slow
def test_skimage_cascade(tmp_path):
    pytest.importorskip("skimage")
    from skimage.data import astronaut, lbp_frontal_face_cascade_filename

    detector = pickle.loads(pickle.dumps(SkimageCascade()))
    # Her face as marked by hand, brows to chin.
    reference = [[178, 75, 90, 100]]
    found = detect_boxes([astronaut()], reference=reference, min_overlap=0.5)
    assert found.hits.all()
    again = detect_boxes([astronaut()], detector, reference=reference, min_overlap=0.5)
    assert np.array_equal(found.boxes, again.boxes)
    small = SkimageCascade(max_side=256)(astronaut())
    assert detect_boxes([astronaut()], lambda _: small, reference=reference).overlaps[0] > 0.5
    for shape in ((1, 1, 3), (24, 24, 3), (25, 30, 3), (3, 300, 3)):
        assert detector(np.zeros(shape, dtype=np.uint8)).shape == (0, 4)

    copy = tmp_path / "cascade.xml"
    shutil.copy(lbp_frontal_face_cascade_filename(), copy)
    crop = np.ascontiguousarray(astronaut()[:256, 128:384])
    assert np.array_equal(SkimageCascade(copy)(crop), detector(crop))
    copy.write_bytes(copy.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cascade.xml: expected a cascade of local binary"):
        SkimageCascade(copy, min_size=0.5)
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere.xml"):
        SkimageCascade(tmp_path / "nowhere.xml")


def test_boxes_of_a_cascade_are_distinct_and_the_largest_stays():
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 30):
        boxes = np.column_stack([rng.uniform(0, 60, (n, 2)), *[rng.uniform(20, 40, n)] * 2])
        kept = _distinct(boxes)
        overlaps, area = box_overlaps(boxes, kept), boxes[:, 2] * boxes[:, 3]
        assert (box_overlaps(kept, kept) - np.eye(len(kept)) < 0.3).all()
        # Each box is kept, or overlaps a larger one that is kept.
        assert ((overlaps >= 0.3) & (kept[:, 2] * kept[:, 3] >= area[:, None])).any(1).all()
        np.testing.assert_array_equal(_distinct(kept), kept)


@pytest.mark.parametrize(
    "parameters",
    [{"min_size": 0}, {"min_size": 2}, {"scale_factor": 1}, {"step_ratio": 0}, {"max_side": 5}],
    ids=str,
)
def test_skimage_cascade_bad_parameters(parameters):
    with pytest.raises(ValueError, match=f"{next(iter(parameters))} must be"):
        SkimageCascade(**parameters)


def test_real_faces(data_dir):
    """The bundled cascade finds most faces of AFW, where 300-W's detector found them."""
    pytest.importorskip("skimage")
    if not (data_dir / "300w" / "afw").is_dir():
        pytest.skip("no 300w/afw")
    faces = load_300w(data_dir / "300w", subsets="afw")
    some = np.arange(0, len(faces.data), len(faces.data) // 12)[:12]
    found = detect_boxes(faces.data[some], target=faces.target[some])
    assert found.hits.mean() >= 0.5
    assert np.median(found.overlaps[found.hits]) > 0.5
    assert found.box_relation["margin"] == pytest.approx(0, abs=0.15)
    published = detect_boxes(faces.data[some], reference=faces.data.boxes[some])
    assert (published.hits == found.hits).mean() > 0.8


# ----------------------------------------------------------------------------------------
# Images that cannot be read
# ----------------------------------------------------------------------------------------
@pytest.fixture
def with_damaged(tmp_path):
    """Paths of four samples of three photos; the second photo is damaged, the last is missing."""
    paths = [str(tmp_path / name) for name in ("a.png", "broken.png", "missing.png")]
    cv2.imwrite(paths[0], photos()[0])
    Path(paths[1]).write_bytes(b"no image")
    return BoxedImages([paths[1], paths[0], paths[2], paths[1]])


@pytest.mark.parametrize("detect", [detect_boxes, detect_all])
def test_unreadable_images_raise_an_error_unless_they_are_skipped(with_damaged, detect):
    with pytest.raises((ValueError, OSError), match=r"broken\.png"):
        detect(with_damaged, rectangles)
    with pytest.raises(ValueError, match="on_error"):
        detect(with_damaged, rectangles, on_error="ignore")
    with pytest.warns(UserWarning, match=r"2 of 3 photos could not be read.*broken\.png") as told:
        found = detect(with_damaged, rectangles, on_error="skip")
    assert len(told) == 1 and "missing.png" in str(told[0].message)
    assert found.missed.tolist() == found.unreadable.tolist() == [0, 2, 3]
    first = detect(with_damaged[[1]], rectangles)
    np.testing.assert_array_equal(found.data.boxes[~found.data.missing_boxes], first.data.boxes)
    assert not len(first.unreadable)


@pytest.mark.parametrize("detect", [detect_boxes, detect_all])
def test_a_detector_that_fails_is_not_skipped(detect):
    def fails(image):
        raise ValueError("no image for this detector")

    with pytest.raises(RuntimeError, match="the detector failed"):
        detect(photos(), fails, on_error="skip")


@pytest.fixture(scope="module")
def calibrated():
    faces = make_faces(24, image_size=48, random_state=0)
    reg = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=1, random_state=0, device="cpu")
    return reg.fit(faces.data, faces.target).calibrate(faces.data, faces.target)


@pytest.mark.parametrize("detect", [detect_boxes, detect_all])
def test_a_calibrated_regressor_tells_how_sure_each_box_is(detect, calibrated):
    def none_in_dark_photos(image):
        return rectangles(image) if image.max() > 101 else None

    found = detect(photos(), none_in_dark_photos, regressor=make_pipeline(calibrated))
    boxed = ~found.data.missing_boxes
    assert boxed.any() and found.missed.tolist() == [1]
    _, wanted = calibrated.predict(found.data[boxed], return_confidence=True)
    np.testing.assert_array_equal(found.confidence[boxed], wanted)
    assert np.isnan(found.confidence[~boxed]).all()
    assert f"{(wanted < 0.5).sum()} of {len(found.data)}" in found.report
    assert ("Doubtful: sample 0" in found.report) == (wanted[0] < 0.5)
    assert detect(photos(), rectangles).confidence is None


@pytest.mark.parametrize("detect", [detect_boxes, detect_all])
def test_a_regressor_must_be_calibrated_which_is_checked_first(detect, calibrated):
    counting = Counting()
    with pytest.raises(NotFittedError):
        detect(photos(), counting, regressor=CascadeLandmarkRegressor())
    other = clone(calibrated)
    other.fit(*make_faces(8, image_size=48, random_state=0, return_X_y=True))
    with pytest.raises(NotFittedError, match=r"calibrate\(X, y\)"):
        detect(photos(), counting, regressor=other)
    with pytest.raises(TypeError, match="regressor is of type object, expected a calibrated"):
        detect(photos(), counting, regressor=object())
    assert counting.calls == 0


def test_nothing_found_has_no_confidence(calibrated):
    found = detect_boxes(photos(), lambda image: None, regressor=calibrated)
    assert np.isnan(found.confidence).all() and "0 of 2 samples have a conf" in found.report
    assert detect_all(photos(), lambda image: None, regressor=calibrated).confidence.shape == (0,)
