import sys

import numpy as np
import pytest
import scipy.io

from skwing.datasets._published import cofw
from skwing.datasets._published.cofw import load_cofw
from skwing.schema import COFW29, IBUG68

h5py = pytest.importorskip("h5py")

SHAPES = {"train": [(12, 9, 3), (10, 14), (12, 9, 3)], "test": [(8, 11, 3), (15, 6, 3)]}
LAST = {"train": "Tr", "test": "T"}


def image_of(split, i):
    return np.random.default_rng(len(split) + i).integers(0, 256, SHAPES[split][i], dtype=np.uint8)


def published(split):
    """Variables as MATLAB shows them: images n x 1 cells, points n x 87, boxes n x 4."""
    n = len(SHAPES[split])
    row = np.arange(n, dtype=np.float64)[:, None]
    x, y = 1 + row + np.arange(29) / 8, 5 + row + np.arange(29) / 4
    images = np.empty((n, 1), dtype=object)
    for i in range(n):
        images[i, 0] = image_of(split, i)
    covered = (np.arange(29) % 7 == row).astype(np.float64)
    return {
        f"Is{LAST[split]}": images,
        f"phis{LAST[split]}": np.concatenate([x, y, covered], axis=1),
        f"bboxes{LAST[split]}": np.concatenate([row + 3, row + 4, row + 50, row + 60], axis=1),
    }


def write_v73(path, variables):
    """A file of version 7.3: axes in reverse, cells as references, deflated, a header."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        for name, value in variables.items():
            if value.dtype == object:
                references = np.empty(value.T.shape, dtype=h5py.ref_dtype)
                for place, cell in np.ndenumerate(value.T):
                    stored = cells.create_dataset(
                        f"{name}{len(cells)}", data=cell.T, compression="gzip"
                    )
                    references[place] = stored.ref
                file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
            else:
                file.create_dataset(name, data=value.T, compression="gzip")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")


def write_68(folder, n, **changes):
    """The folder of COFW-68 with n faces."""
    (folder / "test_annotations").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        points = np.stack([i + np.arange(68.0), 2 * i + np.arange(68.0) / 2], axis=1)
        face = {"Points": points + 1, "Occ": np.uint8(np.arange(68) == i)} | changes
        scipy.io.savemat(folder / "test_annotations" / f"{i + 1}_points.mat", face)
    boxes = np.array([[3.5, 4, 50, 60]]) + np.arange(n)[:, None]
    scipy.io.savemat(folder / "cofw68_test_bboxes.mat", {"bboxes": boxes})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(cofw, "COUNTS", {split: len(faces) for split, faces in SHAPES.items()})
    for split in SHAPES:
        write_v73(tmp_path / f"COFW_{split}_color.mat", published(split))
    return tmp_path


def test_images_are_those_in_the_file(root):
    faces = load_cofw(root)
    assert faces.schema is faces.data.schema is COFW29
    assert faces.data.paths is None
    for i in range(3):
        expected = image_of("train", i)
        if expected.ndim == 2:  # some photos are grey
            expected = np.repeat(expected[..., None], 3, axis=2)
        np.testing.assert_array_equal(faces.data.decode(i), expected)


def test_landmarks_and_boxes_count_from_0(root):
    faces = load_cofw(root)
    assert faces.target.shape == (3, 29, 2)
    for i in range(3):
        expected = np.stack([i + np.arange(29) / 8, 4 + i + np.arange(29) / 4], axis=1)
        np.testing.assert_array_equal(faces.target[i], expected)
        np.testing.assert_array_equal(faces.data.boxes[i], [i + 2, i + 3, i + 50, i + 60])
        assert np.flatnonzero(~faces.visible[i]).tolist() == list(range(i, 29, 7))


def test_splits(root):
    test, both = load_cofw(root, split="test"), load_cofw(root, split=None)
    assert test.names.tolist() == test.groups.tolist() == ["test/1", "test/2"]
    assert both.names.tolist() == ["train/1", "train/2", "train/3", "test/1", "test/2"]
    assert both.split.tolist() == ["train"] * 3 + ["test"] * 2
    np.testing.assert_array_equal(both.target[3:], test.target)
    np.testing.assert_array_equal(both.data.decode(4), image_of("test", 1))
    data, target = load_cofw(root, split=None, return_X_y=True)
    np.testing.assert_array_equal(target, both.target)
    np.testing.assert_array_equal(data.boxes, both.data.boxes)


def test_covered_landmarks_are_kept_unless_asked_otherwise(root):
    kept, dropped = (load_cofw(root, hidden=hidden) for hidden in ("keep", "nan"))
    assert np.isfinite(kept.target).all()
    np.testing.assert_array_equal(np.isfinite(dropped.target).all(axis=2), kept.visible)
    np.testing.assert_array_equal(dropped.target[kept.visible], kept.target[kept.visible])


def test_grey_files_of_older_versions_are_read_without_h5py(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"COFW_test_color\.mat.*needs h5py: .*\[hdf5\]"):
        load_cofw(root, split="test")
    (root / "COFW_test_color.mat").unlink()
    variables = published("test")
    for i in range(2):
        variables["IsT"][i, 0] = variables["IsT"][i, 0][..., 0]
    scipy.io.savemat(root / "COFW_test.mat", variables)
    faces = load_cofw(root, split="test")
    expected = np.repeat(image_of("test", 0)[..., :1], 3, axis=2)
    np.testing.assert_array_equal(faces.data.decode(0), expected)


@pytest.mark.parametrize("folder", ["COFW68_Data", "cofw68-benchmark-master/COFW68_Data", "."])
def test_68_landmarks_of_the_test_faces(root, folder):
    write_68(root / folder, 2)
    faces = load_cofw(root, split="test", mark_up=68)
    assert faces.schema is faces.data.schema is IBUG68
    for i in range(2):
        expected = np.stack([i + np.arange(68), 2 * i + np.arange(68) / 2], axis=1)
        np.testing.assert_array_equal(faces.target[i], expected)
        np.testing.assert_array_equal(faces.data.decode(i), image_of("test", i))
        np.testing.assert_array_equal(faces.data.boxes[i], [i + 2.5, i + 3, i + 50, i + 60])
        assert np.flatnonzero(~faces.visible[i]).tolist() == [i]
    hidden = load_cofw(root, split="test", mark_up=68, hidden="nan").target
    np.testing.assert_array_equal(np.isfinite(hidden).all(axis=2), faces.visible)


def test_marks_of_68_landmarks_may_be_a_column(root):
    write_68(root, 2, Occ=np.eye(68)[:, 3:4])
    faces = load_cofw(root, split="test", mark_up=68)
    assert np.argwhere(~faces.visible).tolist() == [[0, 3], [1, 3]]


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
def test_the_published_numbers_of_faces():
    assert cofw.COUNTS == {"train": 1345, "test": 507}


def test_another_number_of_faces_is_a_warning_that_names_both(root, monkeypatch):
    monkeypatch.setattr(cofw, "COUNTS", {"train": 3, "test": 507})
    with pytest.warns(UserWarning, match="test has 2 faces instead of 507") as caught:
        load_cofw(root, split=None)
    assert caught[0].filename == __file__


def test_unknown_choices_are_an_error(root):
    with pytest.raises(ValueError, match="mark_up must be one of 29, 68; got 19"):
        load_cofw(root, mark_up=19)
    with pytest.raises(ValueError, match="mark_up=68 exists for split='test' only"):
        load_cofw(root, mark_up=68)


def test_missing_files_are_errors(root, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match=r"COFW_train_color\.mat, nor COFW_train\.mat"):
        load_cofw(tmp_path_factory.mktemp("empty"))
    with pytest.raises(FileNotFoundError, match=r"no folder .*COFW68_Data"):
        load_cofw(root, split="test", mark_up=68)
    write_68(root, 1)
    with pytest.raises(FileNotFoundError, match=r"2_points\.mat"):
        load_cofw(root, split="test", mark_up=68)


@pytest.mark.parametrize("name", ["IsTr", "phisTr", "bboxesTr"])
def test_missing_variable_is_an_error(root, name):
    variables = published("train")
    del variables[name]
    write_v73(root / "COFW_train_color.mat", variables)
    with pytest.raises(ValueError, match=rf"train_color\.mat: there is no variable {name};"):
        load_cofw(root)


def with_value(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "phisTr",
            lambda a: a[:, :58],
            r"phisTr is an array of float64 of shape \(3, 58\).*3 x 87",
        ),
        ("phisTr", lambda a: a[:2], "phisTr is an array"),
        ("phisTr", lambda a: with_value(a, (1, 0), np.nan), r"phisTr\(2, 1\) is not a finite"),
        ("phisTr", lambda a: with_value(a, (1, 60), 0.5), "phisTr has flags .* other than 0 and 1"),
        ("bboxesTr", lambda a: a.T, "bboxesTr is an array"),
        (
            "bboxesTr",
            lambda a: with_value(a, (2, 3), 0),
            r"bboxesTr\(3, :\) is .* width and height",
        ),
        ("IsTr", lambda a: np.ones((3, 1)), r"IsTr\{1\} is float64 of shape \(\), expected"),
        ("IsTr", lambda a: with_value(a, (1, 0), np.ones((4, 4))), r"IsTr\{2\} is float64"),
        ("IsTr", lambda a: with_value(a, (1, 0), np.ones((4, 4, 2), np.uint8)), r"IsTr\{2\} is"),
    ],
)
def test_damaged_variable_is_an_error(root, name, change, message):
    variables = published("train")
    variables[name] = change(variables[name])
    write_v73(root / "COFW_train_color.mat", variables)
    with pytest.raises(ValueError, match=rf"COFW_train_color\.mat: {message}"):
        load_cofw(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Points": np.ones((67, 2))}, "Points is an array"),
        ({"Occ": np.ones(67)}, "Occ is an array"),
        ({"Occ": np.full(68, 2)}, "Occ has flags"),
    ],
)
def test_damaged_68_landmarks_are_an_error(root, changes, message):
    write_68(root, 2, **changes)
    with pytest.raises(ValueError, match=rf"1_points\.mat: {message}"):
        load_cofw(root, split="test", mark_up=68)


def test_file_cut_short_is_an_error(root):
    path = root / "COFW_train_color.mat"
    whole = path.read_bytes()
    for length in (0, 100, 512, 600, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"COFW_train_color\.mat: this MATLAB file cannot"):
            load_cofw(root)


def test_array_that_the_file_cannot_hold_is_not_made(root):
    path = root / "COFW_train_color.mat"
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file.create_dataset("phisTr", (87, 10**12), chunks=(87, 100), dtype="f8")
    with pytest.raises(ValueError, match=r"phisTr claims .* more than the file can hold"):
        load_cofw(root)


def test_file_that_points_to_another_file_is_an_error(root, tmp_path):
    path = root / "COFW_train_color.mat"
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file["phisTr"] = h5py.ExternalLink("COFW_test_color.mat", "phisT")
    with pytest.raises(ValueError, match="phisTr is a link to elsewhere"):
        load_cofw(root)
    (tmp_path / "secret").write_bytes(bytes(3 * 87 * 8))
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        outside = [(str(tmp_path / "secret"), 0, 3 * 87 * 8)]
        file.create_dataset("phisTr", (87, 3), "f8", external=outside)
    with pytest.raises(ValueError, match="phisTr is stored in another file"):
        load_cofw(root)
