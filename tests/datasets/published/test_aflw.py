import numpy as np
import pytest
import scipy.io

from skwing.datasets._published import aflw
from skwing.datasets._published.aflw import load_aflw
from skwing.metrics import nme
from skwing.schema import AFLW19

N_FACES, N_TRAIN = 8, 5
ORDER = np.array([3, 8, 1, 6, 2, 7, 5, 4])  # from 1, as MATLAB counts
SEEN_WHOLLY = [0, 2, 4, 6]  # rows from 0


def published(n_faces, order):
    """Variables of AFLWinfo_release.mat, of the types and shapes that MATLAB writes."""
    row = np.arange(n_faces, dtype=np.float64)[:, None]
    x, y = row + np.arange(19) / 4, 100 + row + np.arange(19) / 2
    names = np.empty((n_faces, 1), dtype=object)
    names[:, 0] = [f"{(0, 2, 3)[i % 3]}/image{i // 2:05d}.jpg" for i in range(n_faces)]
    mask = np.ones((n_faces, 19), dtype=np.uint8)
    mask[1::2, 7] = 0
    return {
        "bbox": np.concatenate([row + 10, row + 70, row + 20, row + 80], axis=1).astype(np.int32),
        "data": np.concatenate([x, y], axis=1),
        "mask_new": mask,
        "nameList": names,
        "ra": np.array(order, dtype=np.float64)[None],
    }


@pytest.fixture
def variables(monkeypatch):
    monkeypatch.setattr(aflw, "N_FACES", N_FACES)
    monkeypatch.setattr(aflw, "N_TRAIN", N_TRAIN)
    return published(N_FACES, ORDER)


@pytest.fixture
def write(tmp_path):
    def write(variables):
        scipy.io.savemat(tmp_path / "AFLWinfo_release.mat", variables, do_compression=True)
        return tmp_path

    return write


@pytest.fixture
def root(write, variables):
    return write(variables)


@pytest.mark.slow
def test_the_published_numbers_of_faces(write):
    order = np.random.default_rng(0).permutation(24386) + 1
    root = write(published(24386, order))
    train = load_aflw(root)
    assert len(train.data) == 20000
    assert (train.index + 1).tolist() == order[:20000].tolist()
    assert len(set(train.names)) == 20000
    assert len(order[aflw.N_TRAIN :]) == 4386


def test_faces_of_the_split_in_its_order(root):
    faces = load_aflw(root)
    assert faces.index.tolist() == [2, 7, 0, 5, 1]
    assert faces.schema is faces.data.schema is AFLW19
    assert faces.target.shape == (5, 19, 2)
    for i, row in enumerate(faces.index):
        x, y = row + np.arange(19) / 4, 100 + row + np.arange(19) / 2
        np.testing.assert_array_equal(faces.target[i], np.stack([x, y], axis=1))
        np.testing.assert_array_equal(faces.data.boxes[i], [row + 10, row + 20, 60, 60])
    assert faces.names[:2].tolist() == ["3/image00001.jpg:3", "2/image00003.jpg:8"]
    assert load_aflw(root, split="test").index.tolist() == [6, 4, 3]
    assert load_aflw(root, split=None).index.tolist() == list(range(8))
    assert "5 faces of 5 photos: full train set" in faces.DESCR
    data, target = load_aflw(root, return_X_y=True)
    np.testing.assert_array_equal(target, faces.target)
    assert data.paths.tolist() == faces.data.paths.tolist()


def test_frontal_faces_are_those_that_hide_nothing(root):
    faces = load_aflw(root, split="test", subset="frontal")
    assert faces.index.tolist() == [6, 4]
    assert faces.visible.all()
    assert load_aflw(root, split=None, subset="frontal").index.tolist() == SEEN_WHOLLY


def test_hidden_landmarks_are_kept_unless_asked_otherwise(root):
    kept, dropped = (load_aflw(root, split=None, hidden=hidden) for hidden in ("keep", "nan"))
    assert np.isfinite(kept.target).all()
    np.testing.assert_array_equal(np.isfinite(dropped.target).all(axis=2), kept.visible)
    np.testing.assert_array_equal(dropped.target[kept.visible], kept.target[kept.visible])
    assert np.argwhere(~kept.visible).tolist() == [[1, 7], [3, 7], [5, 7], [7, 7]]


def test_the_published_boxes_give_the_error_of_the_protocol(root):
    faces = load_aflw(root, split="test")
    assert faces.face_size.tolist() == [60, 60, 60]
    error = nme(faces.target, faces.target + [3, 4], normalizer="box", boxes=faces.data.boxes)
    assert error == pytest.approx(5 / 60)


@pytest.mark.parametrize("folder", ["flickr", "data/flickr", "aflw/data/flickr", "images"])
def test_images_are_found_where_people_put_them(root, folder):
    (root / folder).mkdir(parents=True)
    faces = load_aflw(root)
    assert faces.data.paths[0] == str(root / folder / "3" / "image00001.jpg")
    assert faces.groups.tolist() == faces.data.paths.tolist()


def test_faces_of_one_photo_share_a_group(write, variables):
    variables["nameList"][:2, 0] = "0/one.jpg"
    faces = load_aflw(write(variables), split=None)
    assert faces.groups[0] == faces.groups[1] != faces.groups[2]
    assert len(set(faces.names)) == 8


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
def test_unknown_choices_are_an_error(root):
    with pytest.raises(ValueError, match="split must be one of 'train', 'test', None; got 'val'"):
        load_aflw(root, split="val")
    with pytest.raises(ValueError, match="subset must be one of 'full', 'frontal'"):
        load_aflw(root, subset="profile")
    with pytest.raises(ValueError, match="hidden must be one of 'keep', 'nan'"):
        load_aflw(root, hidden=None)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"AFLWinfo_release\.mat"):
        load_aflw(tmp_path)


@pytest.mark.parametrize("name", ["bbox", "data", "mask_new", "nameList", "ra"])
def test_missing_variable_is_an_error(write, variables, name):
    del variables[name]
    with pytest.raises(ValueError, match=rf"release\.mat: there is no variable {name}; expected"):
        load_aflw(write(variables))


def with_value(array, place, value):
    array = np.array(array, dtype=object if isinstance(value, str) else np.float64)
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("data", lambda a: a[:, :37], r"data is an array of float64 of shape \(8, 37\).* 8 x 38"),
        ("data", lambda a: a[:7], "data is an array"),
        ("data", lambda a: with_value(a, (1, 2), np.inf), r"data\(2, 3\) is not a finite number"),
        ("data", lambda a: np.full((8, 38), "a"), "data is an array of object"),
        ("bbox", lambda a: a[:, :3], "bbox is an array"),
        ("bbox", lambda a: with_value(a, (1, 2), np.nan), r"bbox\(2, 3\) is not a finite"),
        ("bbox", lambda a: a[:, [1, 0, 2, 3]], r"bbox\(1, :\) is \[70, 10, 20, 80\], expected"),
        ("mask_new", lambda a: a.T, "mask_new is an array"),
        ("ra", lambda a: a[:, :7], "ra is an array"),
        ("ra", lambda a: a - 1, "ra is no order of the numbers 1 to 8"),
        ("ra", lambda a: with_value(a, (0, 0), 1e300), "ra is no order"),
        ("nameList", lambda a: a[:7], "nameList holds 7 names, expected 8"),
        ("nameList", lambda a: np.arange(8.0), r"nameList\(1\) is no text"),
    ],
)
def test_damaged_variable_is_an_error(write, variables, name, change, message):
    variables[name] = change(variables[name])
    with pytest.raises(ValueError, match=rf"AFLWinfo_release\.mat: {message}"):
        load_aflw(write(variables))


@pytest.mark.parametrize("image", ["../secret.jpg", "/etc/secret.jpg", "C:\\secret.jpg"])
def test_image_that_leaves_the_folder_is_an_error(write, variables, image):
    variables["nameList"][2, 0] = image
    with pytest.raises(ValueError, match=r"nameList\(3\): the image path .* leaves the folder"):
        load_aflw(write(variables))


def test_file_cut_short_is_an_error(root):
    path = root / "AFLWinfo_release.mat"
    whole = path.read_bytes()
    for length in (0, 100, 128, 200, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"AFLWinfo_release\.mat: "):
            load_aflw(root)
