"""Files as programs and published sets have them, each with something out of the ordinary."""

import json
import warnings

import cv2
import numpy as np
import pandas as pd
import pytest

from skwing import LandmarkSchema
from skwing.datasets import (
    from_dataframe,
    read_coco,
    read_csv,
    read_deeplabcut,
    read_dlib_xml,
    read_tps,
)
from skwing.images import as_boxed_images
from skwing.tracking import read_video

NAN = float("nan")


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


# ---------------------------------------------------------------------------------------
# COCO
# ---------------------------------------------------------------------------------------
def coco(folder, categories, n_points=3):
    notes = [
        {
            "id": i,
            "image_id": i,
            "category_id": category["id"],
            "keypoints": [10 * i, 10, 2] * n_points,
        }
        for i, category in enumerate(categories)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(len(categories))]
    content = {"images": images, "annotations": notes, "categories": categories}
    return write(folder, "a.json", json.dumps(content))


PARTS = ["nose", "left_eye", "right_eye"]
SCHEMA = LandmarkSchema.from_names("own", PARTS)


def test_a_category_without_names_takes_those_of_the_schema(tmp_path):
    path = coco(tmp_path, [{"id": 1, "name": "person"}])
    for settings in ({}, {"category": "person"}, {"category": 1}):
        faces = read_coco(path, schema=SCHEMA, **settings)
        assert faces.target.tolist() == [[[0, 10]] * 3]
        assert faces.schema == SCHEMA
    with pytest.raises(ValueError, match=r"no category with names of keypoints.*'person'.*schema="):
        read_coco(path)
    with pytest.raises(ValueError, match=r"keypoints is a list of 9, expected 204 numbers"):
        read_coco(path, schema="ibug68")


def test_several_categories_of_one_list_of_keypoints_are_read_together(tmp_path):
    species = [{"id": i, "name": name, "keypoints": PARTS} for i, name in enumerate(["dog", "cat"])]
    path = coco(tmp_path, [*species, {"id": 7, "name": "fly", "keypoints": ["wing"] + PARTS[1:]}])
    animals = read_coco(path, category=["dog", 1])
    assert animals.target.shape == (2, 3, 2)
    assert animals.categories == [0, 1]
    assert animals.left_out["other_category"] == 1
    assert "dog, cat" in animals.DESCR
    with pytest.raises(ValueError, match=r"several categories .* a list of them"):
        read_coco(path)
    with pytest.raises(ValueError, match="'dog' and 'fly' have different keypoints"):
        read_coco(path, category=["dog", "fly"])
    with pytest.raises(ValueError, match=r"no category 'cow' with names of keypoints"):
        read_coco(path, category=["dog", "cow"])
    with pytest.raises(ValueError, match="empty list"):
        read_coco(path, category=[])


# ---------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------
IMAGEJ = " ,Label,X,Y\n1,a.jpg,10,11\n2,a.jpg,20,21\n3,b.jpg,12,11\n4,b.jpg,22,21\n"


def test_a_row_a_point_without_a_name_is_an_error(tmp_path):
    path = write(tmp_path, "Results.csv", IMAGEJ)
    for run in (lambda: read_csv(path), lambda: from_dataframe(pd.read_csv(path))):
        with pytest.raises(ValueError, match=r"several rows of one image, 'a\.jpg'.*'landmark'"):
            run()
    assert read_csv(path, landmarks=[("X", "Y")]).target.shape == (4, 1, 2)
    one_each = write(tmp_path, "one.csv", "image,x,y\na.jpg,1,2\nb.jpg,3,4\n")
    assert read_csv(one_each).target.shape == (2, 1, 2)


def test_a_table_without_images_is_an_error(tmp_path):
    text = (
        "track,frame_idx,instance.score,nose.x,nose.y\ntrack_0,0,0.9,10,11\ntrack_1,0,0.8,20,21\n"
    )
    path = write(tmp_path, "s.csv", text)
    for run in (lambda: read_csv(path), lambda: from_dataframe(pd.read_csv(path))):
        with pytest.raises(ValueError, match=r"which column holds the image.*0 hold names"):
            run()
    assert list(read_csv(path, column="track").names) == ["track_0", "track_1"]


def test_an_image_that_is_a_number_beside_names_of_files(tmp_path):
    path = write(tmp_path, "a.csv", "image,filename,x0,y0\n17,a.jpg,10,11\n18,b.jpg,12,13\n")
    table = pd.read_csv(path)
    assert read_csv(path).names.tolist() == ["a.jpg", "b.jpg"]
    assert from_dataframe(table).names.tolist() == ["a.jpg", "b.jpg"]
    assert as_boxed_images(table[["image", "filename"]]).paths.tolist() == ["a.jpg", "b.jpg"]


CELEBA = "eye_x eye_y nose_x nose_y\na.jpg 69  109 106 113\nb.jpg 69 110 107 112\n"


@pytest.mark.parametrize("count", ["", "2\n"])
@pytest.mark.parametrize("sep", [" ", ","])
def test_a_count_and_a_header_without_the_image(tmp_path, count, sep):
    text = count + (CELEBA if sep == " " else ",".join(CELEBA.replace("  ", " ").split(" ")))
    table = read_csv(write(tmp_path, "list.txt", text))
    assert table.names.tolist() == ["a.jpg", "b.jpg"]
    assert table.target.tolist() == [[[69, 109], [106, 113]], [[69, 110], [107, 112]]]


def test_coordinates_that_stand_for_a_missing_landmark(tmp_path):
    path = write(tmp_path, "m.csv", "image,x0,y0,x1,y1\na.jpg,1,0,0,0\nb.jpg,0,2,3,4\n")
    wanted = [[[1, 0], [NAN, NAN]], [[0, 2], [3, 4]]]
    np.testing.assert_array_equal(read_csv(path, missing=(0, 0)).target, wanted)
    found = from_dataframe(pd.read_csv(path), missing=(0, 0)).target
    np.testing.assert_array_equal(found, wanted)
    assert not np.isnan(read_csv(path).target).any()
    for wrong in (0, (0, 0, 0), (NAN, 0)):
        with pytest.raises(ValueError, match="missing must be a pair of numbers"):
            read_csv(path, missing=wrong)


def dlib(folder, *names):
    boxes = "".join(
        "<image file='a.jpg'><box top='1' left='2' width='30' height='40'>"
        + "".join(f"<part name='{name}' x='3' y='4'/>" for name in own)
        + "</box></image>"
        for own in names
    )
    return write(folder, "a.xml", f"<dataset><images>{boxes}</images></dataset>")


def test_labels_that_differ_in_case_only(tmp_path):
    head = "image,landmark,x,y\na.jpg,nose,1,2\n"
    with pytest.raises(ValueError, match="'nose' and 'Nose' differ in case only"):
        read_csv(write(tmp_path, "a.csv", head + "b.jpg,Nose,3,4\n"))
    with pytest.raises(ValueError, match="differ in case only"):
        read_dlib_xml(dlib(tmp_path, ["nose", "tip"], ["Nose", "tip"]))
    # Where samples have both they are two landmarks.
    both = read_csv(write(tmp_path, "b.csv", head + "a.jpg,Nose,3,4\n"))
    assert both.target.shape == (1, 2, 2)
    assert read_dlib_xml(dlib(tmp_path, ["a", "A"], ["a"])).target.shape == (2, 2, 2)


# ---------------------------------------------------------------------------------------
# TPS, DeepLabCut, videos
# ---------------------------------------------------------------------------------------
def test_an_empty_scale_is_none(tmp_path):
    path = write(tmp_path, "a.tps", "LM=2\n1 2\n3 4\nIMAGE=a.jpg\nID=0\nSCALE=\n")
    assert np.isnan(read_tps(path, image_height=10).scale).all()


def test_decimal_commas_in_a_file_of_deeplabcut(tmp_path):
    text = "scorer;A;A\nbodyparts;nose;nose\ncoords;x;y\nlabeled-data/v/img1.png;1,5;2,5\n"
    path = write(tmp_path, "CollectedData_A.csv", text)
    assert read_deeplabcut(path, decimal=",").target.tolist() == [[[1.5, 2.5]]]
    with pytest.raises(ValueError, match="pass decimal=','"):
        read_deeplabcut(path)
    with pytest.raises(ValueError, match="decimal"):
        read_deeplabcut(path, decimal=";")


@pytest.mark.parametrize("scorer", ["Unnamed: 1_level_0,Unnamed: 2_level_0", "A,A", ","])
@pytest.mark.parametrize("blank", ["Unnamed: 1_level_1,Unnamed: 2_level_1", ","])
def test_what_pandas_makes_of_a_header_of_deeplabcut(tmp_path, scorer, blank):
    text = f"scorer,{scorer},A,A\nbodyparts,{blank},nose,nose\ncoords,{blank},x,y\n"
    path = write(tmp_path, "CollectedData_A.csv", text + "labeled-data,v,img1.png,1,2\n")
    mice = read_deeplabcut(path)
    assert mice.target.tolist() == [[[1, 2]]]
    assert mice.names.tolist() == ["labeled-data/v/img1.png"]


def video(folder, n_frames):
    path = str(folder / "v.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no AVI files")
    for k in range(n_frames):
        writer.write(np.random.RandomState(k).randint(0, 255, (64, 64, 3)).astype(np.uint8))
    writer.release()
    return folder / "v.avi"


def test_a_video_that_breaks_off_is_told(tmp_path):
    path = video(tmp_path, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_video(path))) == 20
        next(read_video(path))  # whoever stops early knows
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.warns(UserWarning, match=r"v\.avi: found \d+ frames, expected 20"):
        assert 5 < len(list(read_video(path))) < 15
