import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._formats.pts import read_pts, read_pts_folder, write_pts, write_pts_folder
from skwing.geometry import boxes_of
from skwing.images import BoxedImages

few = settings(max_examples=30, deadline=None)
finite = st.floats(allow_nan=False, allow_infinity=False)
points_of_all_kinds = st.lists(
    st.tuples(finite, finite) | st.just((np.nan, np.nan)), min_size=1, max_size=6
)


def face_of(seed, n_landmarks=5):
    return np.random.default_rng(seed).uniform(0, 200, (n_landmarks, 2))


@pytest.fixture
def folder(tmp_path):
    """Three faces, one of them in a folder below; images that nobody could decode."""
    root = tmp_path / "faces"
    (root / "more").mkdir(parents=True)
    for i, (name, suffix) in enumerate([("f10", ".jpg"), ("f2", ".PNG"), ("more/f1", ".jpeg")]):
        write_pts(root / f"{name}.pts", face_of(i))
        (root / f"{name}{suffix}").write_bytes(b"")
    (root / "unlabelled.jpg").write_bytes(b"")
    (root / "._f2.pts").write_bytes(b"\0\0")
    return root


@few
@given(points=points_of_all_kinds)
def test_what_was_written_is_read_to_the_last_digit(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("pts") / "a.pts"
    write_pts(path, points)
    np.testing.assert_array_equal(read_pts(path), points)


def test_files_count_from_1(tmp_path):
    write_pts(tmp_path / "a.pts", [[0, 0.1], [np.nan, np.nan]])
    expected = "version: 1\nn_points: 2\n{\n1.0 1.1\nnan nan\n}\n"
    assert (tmp_path / "a.pts").read_text() == expected


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.ones((3, 3)), r"shape \(3, 3\), expected \(n_landmarks, 2\)"),
        (np.ones(4), r"shape \(4,\), expected"),
        (np.ones((0, 2)), "no landmark"),
        ([[1, np.inf]], "infinite"),
        ([[1, 2], [np.nan, 2]], "points has y and no x at sample 0, landmark 1"),
    ],
)
def test_what_cannot_be_written(tmp_path, points, message):
    with pytest.raises(ValueError, match=message):
        write_pts(tmp_path / "a.pts", points)
    assert not os.listdir(tmp_path)


def test_no_folder_to_write_to(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_pts(tmp_path / "none" / "a.pts", [[1, 2]])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"n_points: 1\n{\n1_0 2\n}\n", "line 3: found '1_0 2', expected finite"),
        ("n_points: 1\n{\n٣ 2\n}\n".encode(), "line 3: .* expected finite"),
        (b"n_points: 1\n{\n1e999 2\n}\n", "line 3: .* expected finite"),
        (b"n_points: -1\n{\n1 2\n}\n", "n_points says -1, but there are 1"),
        (b"n_points: 99999999999999\n{\n1 2\n}\n", "n_points says 9+, but there are 1"),
        (b"n_points: " + b"9" * 10_000 + b"\n{\n1 2\n}\n", "line 1: n_points"),
        (b"n_points: 1\n{\n1 \xff\n}\n", "line 3: not UTF-8"),
        ("n_points: 1\n{\n1 2\n}\n".encode("utf-16"), "line 1: not UTF-8"),
        (b"n_points: 1\n{\n1 2\0\n}\n", "line 3: .*NUL"),
        (b"n_points: 1\n{\n1 2\x0c3\n}\n", "line 3: .* expected two numbers"),
        (b"n_points: 1\n{\n" + b"1 " * 100_000 + b"\n}\n", "line 3: .* expected two"),
        (b"1 2\n" * 100_000, "line 1: found '1 2', expected '{'"),
    ],
)
def test_hostile_files(tmp_path, raw, message):
    (tmp_path / "a.pts").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"a\.pts.*{message}"):
        read_pts(tmp_path / "a.pts")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-99999999999999999999", -1.0),  # Decimal has no such exponent
        ("0." + "0" * 10_000 + "1", -1.0),
        ("1" * 300, float("1" * 300)),
        ("+2.", 1.0),
    ],
)
def test_odd_numbers(tmp_path, text, value):
    (tmp_path / "a.pts").write_text(f"{{\n{text} 1\n}}\n")
    assert read_pts(tmp_path / "a.pts")[0, 0] == value


@pytest.mark.slow
def test_a_file_of_many_lines(tmp_path):
    n = 100_000
    (tmp_path / "a.pts").write_text("{\n" + "1.5 2.5\n" * n + "}\n")
    assert read_pts(tmp_path / "a.pts").shape == (n, 2)


def test_a_folder_is_read_and_nothing_decoded(folder):
    faces = read_pts_folder(folder)
    assert faces.names.tolist() == ["f2", "f10"]
    np.testing.assert_array_equal(faces.target, [face_of(1), face_of(0)])
    np.testing.assert_array_equal(faces.data.boxes, boxes_of(faces.target))
    assert faces.data.paths.tolist() == [str(folder / "f2.PNG"), str(folder / "f10.jpg")]
    assert faces.groups.tolist() == faces.data.paths.tolist()
    assert faces.schema is None
    assert "2 files with 5 landmarks" in faces.DESCR
    data, target = read_pts_folder(str(folder), boxes=None, return_X_y=True)
    assert np.isnan(data.boxes).all()
    np.testing.assert_array_equal(target, faces.target)


def test_folders_below(folder):
    faces = read_pts_folder(folder, recursive=True)
    assert faces.names.tolist() == ["f2", "f10", "more/f1"]
    np.testing.assert_array_equal(faces.target[2], face_of(2))


def test_a_schema_goes_with_the_images(tmp_path):
    write_pts(tmp_path / "a.pts", face_of(0, 68))
    (tmp_path / "a.jpg").touch()
    assert read_pts_folder(tmp_path, schema="ibug68").data.schema.name == "ibug68"
    with pytest.raises(ValueError, match=r"a\.pts: .*19 landmarks, the data have 68"):
        read_pts_folder(tmp_path, schema="aflw19")


def test_folders_that_are_not_as_expected(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_pts_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="boxes must be"):
        read_pts_folder(folder, boxes="detector")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no \.pts files"):
        read_pts_folder(tmp_path / "empty")
    write_pts(folder / "f3.pts", face_of(0, 4))
    with pytest.raises(FileNotFoundError, match=r"1 of 3 \.pts files have no image.*f3\.pts"):
        read_pts_folder(folder)
    (folder / "f3.jpg").touch()
    with pytest.raises(ValueError, match=r"f3\.pts: found 4 points, expected 5 as in .*f2\.pts"):
        read_pts_folder(folder)
    (folder / "f2.pts").write_text("n_points: 0\n{\n}\n")
    with pytest.raises(ValueError, match=r"f2\.pts: found no points"):
        read_pts_folder(folder)


def test_coordinates_too_large_for_a_box(tmp_path):
    write_pts(tmp_path / "a.pts", [[-1.7e308, 0], [1.7e308, 0]])
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"a\.jpg\): the box"):
        read_pts_folder(tmp_path)


def test_a_face_without_landmarks_has_the_whole_image(tmp_path):
    write_pts(tmp_path / "a.pts", np.full((3, 2), np.nan))
    (tmp_path / "a.jpg").touch()
    assert np.isnan(read_pts_folder(tmp_path).data.boxes).all()


def test_predictions_go_back_into_the_folder(folder):
    faces = read_pts_folder(folder, recursive=True)
    moved = faces.target + 0.1
    with pytest.raises(FileExistsError, match=r"3 of 3 files are there already.*f2\.pts"):
        write_pts_folder(folder, faces.data, moved, names=faces.names)
    np.testing.assert_array_equal(read_pts_folder(folder, recursive=True).target, faces.target)
    flat = moved.reshape(3, -1)
    write_pts_folder(folder, faces.data, flat, names=faces.names, overwrite=True)
    again = read_pts_folder(folder, recursive=True)
    np.testing.assert_array_equal(again.target, moved)
    assert again.names.tolist() == faces.names.tolist()


def test_predictions_go_into_a_new_folder(folder, tmp_path):
    faces = read_pts_folder(folder, recursive=True)
    write_pts_folder(tmp_path / "new" / "deep", faces.data, faces.target)
    assert sorted(os.listdir(tmp_path / "new" / "deep")) == ["f1.pts", "f10.pts", "f2.pts"]
    np.testing.assert_array_equal(read_pts(tmp_path / "new" / "deep" / "f1.pts"), face_of(2))


def test_samples_need_names_of_their_own(tmp_path):
    data, target = BoxedImages(["a/x.jpg", "b/x.jpg"]), np.ones((2, 3, 2))
    with pytest.raises(
        ValueError, match=r"sample 1 .* and sample 0 .* both be written to .*x\.pts"
    ):
        write_pts_folder(tmp_path, data, target)
    with pytest.raises(ValueError, match=r"\.\./x.* leaves the folder"):
        write_pts_folder(tmp_path, data, target, names=["x", "../x"])
    with pytest.raises(ValueError, match="expected the path"):
        write_pts_folder(tmp_path, data, target, names=["x", ""])
    with pytest.raises(ValueError, match="names has 1"):
        write_pts_folder(tmp_path, data, target, names=["x"])
    assert not os.listdir(tmp_path)
    write_pts_folder(tmp_path, data, target, names=["a/x", "b/x"])
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_pixels_in_memory_need_names(tmp_path):
    data, target = BoxedImages(np.zeros((2, 8, 8), dtype=np.uint8)), np.ones((2, 3, 2))
    with pytest.raises(ValueError, match="pixels in memory"):
        write_pts_folder(tmp_path, data, target)
    write_pts_folder(tmp_path, data, target, names=["x", "y"])
    assert sorted(os.listdir(tmp_path)) == ["x.pts", "y.pts"]


def test_a_real_folder(data_dir):
    folder = data_dir / "300w" / "afw"
    if not folder.is_dir():
        pytest.skip("no 300w/afw there")
    faces = read_pts_folder(folder, schema="ibug68")
    assert faces.target.shape == (337, 68, 2)
