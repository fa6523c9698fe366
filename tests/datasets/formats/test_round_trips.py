"""What a writer writes its reader reads, wherever the images lie."""

import os
from functools import partial

import numpy as np
import pytest

from skwing import BoxedImages, LandmarkSchema
from skwing.datasets import (
    read_coco,
    read_csv,
    read_deeplabcut,
    read_dlib_xml,
    read_pts_folder,
    read_tps,
    write_coco,
    write_csv,
    write_deeplabcut,
    write_dlib_xml,
    write_pts_folder,
    write_tps,
)

POINTS = np.array([[[1, 2], [3.5, 4]], [[5, 6], [np.nan, np.nan]]])
BOXES = [[0, 0, 30, 20], [1, 2, 30, 20]]
NAMES = ["chin", "nose"]  # in order, as dlib's format sorts them
SIZES = [[64, 48]] * 2

WRITERS = {
    "csv": (partial(write_csv, names=NAMES), read_csv, "p.csv"),
    "long csv": (partial(write_csv, layout="long", names=NAMES), read_csv, "p.csv"),
    "coco": (partial(write_coco, image_sizes=SIZES), read_coco, "p.json"),
    "dlib": (partial(write_dlib_xml, part_names=NAMES), read_dlib_xml, "p.xml"),
    "tps": (partial(write_tps, image_height=48), partial(read_tps, image_height=48), "p.tps"),
    "deeplabcut": (
        partial(write_deeplabcut, names=NAMES, scorer="A"),
        read_deeplabcut,
        "CollectedData_A.csv",
    ),
}
LAYOUTS = {
    "beside": "out",
    "below": os.path.join("out", "a", "b"),
    "elsewhere": "photos",
    "above": ".",
    "with blanks": os.path.join("out", "mes photos (2)"),
    "not ascii": os.path.join("out", "Fotos für 写真"),
    "not ascii elsewhere": "Fotos für 写真",
    "quoted": os.path.join("out", "it's, a 'test' & more"),
    "a folder that only begins alike": "out2",
}


def as_read(reader, path, **settings):
    """Points and paths in the order of the paths; DeepLabCut's and COCO's are the same."""
    faces = reader(path, **settings)
    return faces.target, [os.path.abspath(own) for own in faces.data.paths]


@pytest.mark.slow
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_read(tmp_path, monkeypatch, kind, layout, relative):
    write, read, name = WRITERS[kind]
    for folder in ("out", "elsewhere", LAYOUTS[layout]):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)
    folder = LAYOUTS[layout] if relative else str(tmp_path / LAYOUTS[layout])
    paths = [os.path.join(folder, photo) for photo in ("a.jpg", "b 1.jpg")]
    file = os.path.join("out", name) if relative else tmp_path / "out" / name
    write(file, BoxedImages(paths, boxes=BOXES), POINTS)
    wanted = [os.path.abspath(path) for path in paths]
    target, found = as_read(read, file)
    np.testing.assert_array_equal(target, POINTS)
    assert found == wanted
    monkeypatch.chdir(tmp_path / "elsewhere")
    target, found = as_read(read, tmp_path / "out" / name)
    np.testing.assert_array_equal(target, POINTS)
    assert found == wanted


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_of_images_holds_for_writer_and_reader(tmp_path, kind):
    write, read, name = WRITERS[kind]
    word = "root" if kind == "dlib" else "images"
    data = BoxedImages([tmp_path / "photos" / photo for photo in "ab"], boxes=BOXES)
    for folder in ("out", "photos"):
        (tmp_path / folder).mkdir()
    for path in data.paths:
        open(path, "x").close()
    file = tmp_path / "out" / name
    write(file, data, POINTS)  # absolute, which may be below the folder that a reader is given
    for folder in (tmp_path / "photos", tmp_path, tmp_path.anchor):
        target, found = as_read(read, file, **{word: folder})
        np.testing.assert_array_equal(target, POINTS)
        assert found == list(data.paths)
    with pytest.raises(ValueError, match=r"leaves the folder .*out"):
        read(file, **{word: tmp_path / "out"})
    if kind == "dlib":  # its paths start from the file, always
        return
    write(file, data, POINTS, images=tmp_path / "photos")
    assert str(tmp_path) not in file.read_text()
    assert as_read(read, file, images=tmp_path / "photos")[1] == list(data.paths)
    with pytest.raises(ValueError, match=r"sample 0 .*lies outside of the folder images="):
        write(file, data, POINTS, images=tmp_path / "out")


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_paths_of_another_computer_are_those_of_a_folder_of_images(tmp_path, kind, beside):
    write, read, name = WRITERS[kind]
    folder = tmp_path if beside else tmp_path / "photos"
    folder.mkdir(exist_ok=True)
    data = BoxedImages([folder / "a.jpg", folder / "b.jpg"], boxes=BOXES)
    for path in data.paths:
        open(path, "x").close()
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / name, data, POINTS)
    text = (tmp_path / "out" / name).read_text()
    assert str(folder) in text
    (tmp_path / name).write_text(text.replace(str(folder), "D:/wings 2024/of Anna"))
    word = "root" if kind == "dlib" else "images"
    target, found = as_read(read, tmp_path / name, **({} if beside else {word: folder}))
    np.testing.assert_array_equal(target, POINTS)
    assert found == list(data.paths)


def test_pts_files_beside_their_images(tmp_path):
    for name in ("a.jpg", "b 1.jpg", "写真.jpg"):
        (tmp_path / name).touch()
    data = BoxedImages(sorted(tmp_path.iterdir()))
    points = np.concatenate([POINTS, POINTS[:1]])
    write_pts_folder(tmp_path, data, points)
    faces = read_pts_folder(tmp_path)
    np.testing.assert_array_equal(faces.target, points)
    assert list(faces.data.paths) == list(data.paths)


@pytest.mark.parametrize("recursive", [False, True])
def test_pts_files_elsewhere(tmp_path, recursive):
    below = "a/b" if recursive else "."
    (tmp_path / "photos" / below).mkdir(parents=True)
    names = [f"{below}/{name}".removeprefix("./") for name in ("p 1", "写真")]
    data = BoxedImages([tmp_path / "photos" / f"{name}.jpg" for name in names])
    for path in data.paths:
        open(path, "x").close()
    write_pts_folder(tmp_path / "out", data, POINTS, names=names)
    faces = read_pts_folder(tmp_path / "out", images=tmp_path / "photos", recursive=recursive)
    np.testing.assert_array_equal(faces.target, POINTS)
    assert [os.path.normpath(path) for path in faces.data.paths] == list(data.paths)
    with pytest.raises(FileNotFoundError, match=r"2 of 2 .* beside them .* images= names"):
        read_pts_folder(tmp_path / "out", recursive=recursive)
    with pytest.raises(FileNotFoundError, match=r"2 of 2 .* of their names in"):
        read_pts_folder(tmp_path / "out", images=tmp_path, recursive=recursive)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        read_pts_folder(tmp_path / "out", images=tmp_path / "nowhere", recursive=recursive)


@pytest.mark.parametrize("kind", ["long csv", "dlib"])
def test_names_that_would_not_be_read_are_not_written(tmp_path, kind):
    write, _, name = WRITERS[kind]
    write = write.func
    word = "part_names" if kind == "dlib" else "names"
    more = {} if kind == "dlib" else {"layout": "long"}
    half = np.array([[[1, 2], [np.nan, np.nan]], [[np.nan, np.nan], [3, 4]]])
    data = BoxedImages([tmp_path / "a.jpg", tmp_path / "b.jpg"], boxes=BOXES)
    with pytest.raises(ValueError, match="'nose' and 'Nose' differ in case only"):
        write(tmp_path / name, data, half, **{word: ["nose", "Nose"]}, **more)


def test_two_rows_of_one_frame_are_refused_by_formats_that_cannot_tell_them(tmp_path):
    data = BoxedImages([tmp_path / "a.jpg"] * 2)
    for kind in ("long csv", "deeplabcut"):
        write, _, name = WRITERS[kind]
        with pytest.raises(ValueError, match=r"sample 0 .* and sample 1 .* are of one image"):
            write(tmp_path / name, data, POINTS)
        assert not (tmp_path / name).exists()


def write_named(folder, write, name):
    schema = LandmarkSchema.from_names("own", NAMES)
    data = BoxedImages([folder / "a", folder / "b"], boxes=BOXES, schema=schema)
    write(folder / name, data, POINTS)


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != "tps"])
def test_landmarks_are_those_that_a_schema_names(tmp_path, kind):
    write, read, name = WRITERS[kind]
    write_named(tmp_path, write, name)
    other = LandmarkSchema.from_names("other", NAMES[::-1])
    np.testing.assert_array_equal(read(tmp_path / name, schema=other).target, POINTS[:, ::-1])
    clash = LandmarkSchema.from_names("clash", ["nose", "forehead"])
    with pytest.raises(ValueError, match=rf"{name}.*(nose|chin)"):
        read(tmp_path / name, schema=clash)


@pytest.mark.parametrize("kind", ["csv", "coco"])
def test_upper_case_and_other_names_in_the_order_of_the_schema_are_read(tmp_path, kind):
    write, read, name = WRITERS[kind]
    write_named(tmp_path, write, name)
    for names, order in ((["Nose", "Chin"], [1, 0]), (["chin", "b"], [0, 1]), (["1", "2"], [0, 1])):
        schema = LandmarkSchema.from_names("own", names)
        found = read(tmp_path / name, schema=schema)
        np.testing.assert_array_equal(found.target, POINTS[:, order])
        assert found.schema == schema
