"""Files that cannot be read, or are not what was annotated: all are told, none is lost."""

import json
import pickle
import re
import warnings
from functools import partial

import cv2
import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing._crops.chips import ChipFrame, cut_chips
from skwing.datasets import make_faces, read_coco, read_dlib_xml
from skwing.images import concatenate
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8, batch_norm=True)
N = 6
FACES = make_faces(N, image_size=48, random_state=0)


@pytest.fixture(scope="module")
def cascade():
    regressor = CascadeLandmarkRegressor(
        networks=(TINY, TINY), max_epochs=1, batch_size=4, random_state=0, device="cpu"
    )
    regressor.fit(FACES.data, FACES.target)
    return regressor.calibrate(FACES.data, FACES.target)


@pytest.fixture
def files(tmp_path):
    """Six images as files, of which 1 is missing and 4 is broken."""
    for i in range(N):
        cv2.imwrite(str(tmp_path / f"{i}.png"), FACES.data.decode(i)[..., ::-1])
    (tmp_path / "1.png").unlink()
    (tmp_path / "4.png").write_bytes(b"no image")
    return BoxedImages([tmp_path / f"{i}.png" for i in range(N)], boxes=FACES.data.boxes)


BAD, GOOD = [1, 4], [0, 2, 3, 5]


@pytest.mark.parametrize("method", ["predict", "predict with std", "staged_predict"])
def test_skipped_samples_are_nan_and_named_once(cascade, files, method, monkeypatch):
    monkeypatch.setattr("skwing._crops.chips._PORTION", 1)  # a sample a portion

    def run(X, **settings):
        if method == "predict":
            return [cascade.predict(X, **settings)]
        if method == "staged_predict":
            return list(cascade.staged_predict(X, **settings))
        return list(cascade.predict(X, return_std=True, **settings))

    with pytest.raises((FileNotFoundError, ValueError), match=r"sample [14] .*\d\.png"):
        run(files)
    with pytest.warns(UserWarning, match="could not be read") as caught:
        answers = run(files, on_error="skip")
    assert len(caught) == 1
    told = str(caught[0].message)
    assert "2 of 6 samples" in told
    assert re.search(r"sample 1 .*1\.png\): there is no such file; sample 4 .*4\.png", told)
    for answer, whole in zip(answers, run(files[GOOD]), strict=True):
        assert np.isnan(answer[BAD]).all()
        np.testing.assert_allclose(answer[GOOD], whole, atol=1e-4)


def test_good_files_are_skipped_in_silence(cascade, files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cascade.predict(files[GOOD], on_error="skip")


def test_a_box_beside_its_image_is_skipped_too(cascade):
    boxes = FACES.data.boxes.copy()
    boxes[2] = (500, 500, 10, 10)
    with pytest.warns(UserWarning, match="1 of 6 samples .*sample 2: the box"):
        found = cascade.predict(FACES.data.with_boxes(boxes), on_error="skip")
    assert np.isnan(found).any(axis=(1, 2)).tolist() == [False, False, True, False, False, False]


def test_a_pipeline_hands_it_on(cascade, files):
    pipe = Pipeline([("balance", PoseBalancer().fit(FACES.data, FACES.target)), ("reg", cascade)])
    with pytest.warns(UserWarning, match="2 of 6 samples"):
        assert np.isnan(pipe.predict(files, on_error="skip")[BAD]).all()


def test_other_words_are_an_error(cascade, files):
    for run in (cascade.predict, lambda X, on_error: files.verify(on_error)):
        with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', got 'ignore'"):
            run(files, on_error="ignore")


def test_long_lists_are_cut_in_the_warning(cascade, files):
    many = concatenate([files[[1]]] * 7)
    with pytest.warns(UserWarning, match="7 of 7 .*; and 2 more"):
        cascade.predict(many, on_error="skip")


def test_verify_lists_every_unreadable_file(files):
    with pytest.raises(ValueError, match=r"2 of 6 samples.*1\.png.*no such file.*4\.png"):
        files.verify()
    with pytest.warns(UserWarning, match=r"2 of 6 samples.*1\.png.*no such file.*4\.png"):
        good = files.verify(on_error="skip")
    assert np.flatnonzero(good).tolist() == GOOD
    assert files[good].verify().all()
    assert FACES.data[:0].verify().shape == (0,)


def test_verify_decodes_an_image_once(files, monkeypatch):
    calls = []
    decode = BoxedImages.decode
    monkeypatch.setattr(BoxedImages, "decode", lambda *a: calls.append(a[1]) or decode(*a))
    assert files[[0, 2, 0, 0]].verify().tolist() == [True] * 4
    assert sorted(calls) == [0, 1]


# ---------------------------------------------------------------------------------------
# Sizes that a file of annotations states
# ---------------------------------------------------------------------------------------
def coco(folder, width, height):
    cv2.imwrite(str(folder / "a.png"), FACES.data.decode(0))
    image = {"id": 1, "file_name": "a.png"}
    if width is not None:
        image |= {"width": width, "height": height}
    keypoints = [10, 10, 2, 30, 10, 2, 20, 30, 2]
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "keypoints": keypoints, "bbox": [5, 5, 30, 30]}
        for i in range(2)
    ]
    categories = [{"id": 1, "name": "p", "keypoints": ["a", "b", "c"]}]
    content = {"images": [image], "annotations": annotations, "categories": categories}
    (folder / "a.json").write_text(json.dumps(content))
    return read_coco(folder / "a.json")


def dlib(folder, width, height):
    cv2.imwrite(str(folder / "a.png"), FACES.data.decode(0))
    size = "" if width is None else f" width='{width}' height='{height}'"
    box = "<box top='5' left='5' width='30' height='30'><part name='0' x='9' y='9'/></box>"
    text = f"<dataset><images><image file='a.png'{size}>{box}{box}</image></images></dataset>"
    (folder / "a.xml").write_text(text)
    return read_dlib_xml(folder / "a.xml")


HEIGHT, WIDTH = FACES.data.decode(0).shape[:2]


@pytest.mark.parametrize("read", [coco, dlib])
def test_fit_and_verify_warn_of_another_size_than_stated(tmp_path, read):
    for width, height in ((WIDTH + 1, HEIGHT), (2 * WIDTH, 3 * HEIGHT)):
        faces = read(tmp_path, width, height)
        expected = (
            rf"2 of 2 samples .* than .*a\.(json|xml): sample 0 \(.*a\.png\) has "
            rf"{WIDTH} x {HEIGHT} pixels .* stated are {width} x {height}"
        )
        with pytest.warns(UserWarning, match=expected) as caught:
            faces.data.verify()
        assert len(caught) == 1
        for data in (faces.data[::-1][1:], concatenate([faces.data]), pickled(faces.data)):
            with pytest.warns(UserWarning, match=r"a\.(json|xml):"):
                data.verify()
    regressor = CascadeLandmarkRegressor(networks=(TINY,), max_epochs=1, device="cpu")
    with pytest.warns(UserWarning, match="stated in") as caught:
        regressor.fit(faces.data, faces.target)
    assert sum("stated in" in str(warning.message) for warning in caught) == 1


def pickled(data):
    return pickle.loads(pickle.dumps(data))


@pytest.mark.parametrize("read", [coco, dlib])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (None, None), (0, 0)])
def test_the_stated_size_or_none_is_no_reason_to_warn(tmp_path, read, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path, *size).data.verify()


def test_parts_with_and_without_stated_sizes_are_joined(tmp_path):
    stated = coco(tmp_path, 1, 1).data
    parts = [BoxedImages(stated.paths), stated.with_boxes(None)]
    parts = [part._replace(_schema=None) for part in parts]
    with pytest.warns(UserWarning, match=r"2 of 4 samples .*: sample 2"):
        concatenate(parts).verify()


def test_chips_of_skipped_samples_are_black(files):
    chips = cut_chips(files, ChipFrame(16, 0.5), on_error="skip")
    assert sorted(chips.failures) == BAD
    assert not chips.pixels[BAD].any()
    assert np.isfinite(chips.matrices).all()
