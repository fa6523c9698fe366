import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from skwing.datasets._published import wflw
from skwing.datasets._published.wflw import load_wflw
from skwing.geometry import boxes_of
from skwing.schema import WFLW98

TRAIN = ["0--Parade/a_1.jpg", "0--Parade/a_1.jpg", "37--Soccer/b 2.jpg"]
TEST = ["7--Cheering/c_3.jpg", "51--Dresses/d_4.jpg"]


def points_of(line):
    x = line + np.arange(98) / 8
    return np.stack([x, 50 + 2 * x], axis=1)


def line_of(line, image, attributes=None):
    if attributes is None:
        attributes = np.arange(6) == line % 6
    corners = boxes_of(points_of(line))
    corners = [*corners[:2], *(corners[:2] + corners[2:] - 1)]
    numbers = [f"{number:.6f}" for number in points_of(line).ravel()]
    numbers += [f"{number:g}" for number in corners] + [f"{int(a)}" for a in attributes]
    return " ".join([*numbers, image])


def write_list(root, split, lines):
    folder = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"list_98pt_rect_attr_{split}.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(wflw, "COUNTS", {"train": len(TRAIN), "test": len(TEST)})
    write_list(tmp_path, "train", [line_of(i, name) for i, name in enumerate(TRAIN, 1)])
    write_list(tmp_path, "test", [line_of(i, name) for i, name in enumerate(TEST, 1)])
    return tmp_path


def test_landmarks_boxes_and_names(root):
    faces = load_wflw(root)
    assert faces.schema is faces.data.schema is WFLW98
    expected = np.array([points_of(i) for i in (1, 2, 3)])
    np.testing.assert_allclose(faces.target, expected, atol=1e-6)
    # The box of a list is that of corner pixels, as the least box around points is.
    np.testing.assert_allclose(faces.data.boxes, boxes_of(expected), rtol=1e-5)
    assert faces.names.tolist() == [f"{name}:{i}" for i, name in enumerate(TRAIN, 1)]
    assert faces.data.paths[2] == str(root / "WFLW_images" / "37--Soccer" / "b 2.jpg")
    assert faces.groups[0] == faces.groups[1] != faces.groups[2]
    assert faces.attributes.argmax(axis=1).tolist() == [1, 2, 3]
    assert faces.attributes.dtype == bool
    assert len(faces.attribute_names) == faces.attributes.shape[1]
    assert "3 faces of 2 photos: train set" in faces.DESCR


def test_splits(root):
    assert load_wflw(root, split="test").names.tolist() == [f"{TEST[0]}:1", f"{TEST[1]}:2"]
    both = load_wflw(root, split=None)
    assert both.split.tolist() == ["train"] * 3 + ["test"] * 2
    data, target = load_wflw(root, split=None, return_X_y=True)
    np.testing.assert_array_equal(target, both.target)
    np.testing.assert_array_equal(data.boxes, both.data.boxes)


@pytest.mark.parametrize(("attribute", "line"), [(a, i) for i, a in enumerate(wflw.ATTRIBUTES)])
def test_faces_of_an_attribute(root, attribute, line):
    write_list(root, "test", [line_of(i, f"{i}.jpg") for i in range(6)])
    with pytest.warns(UserWarning):
        faces = load_wflw(root, split="test", attribute=attribute)
    assert faces.names.tolist() == [f"{line}.jpg:{line + 1}"]
    np.testing.assert_allclose(faces.target[0], points_of(line), atol=1e-6)
    assert f"only those with {attribute}" in faces.DESCR


def test_lists_beside_the_images_or_in_the_root_are_found(root):
    folder = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.rename(root / folder.name)
    assert len(load_wflw(root).data) == 3
    for file in (root / folder.name).iterdir():
        file.rename(root / file.name)
    assert len(load_wflw(root).data) == 3


@given(strategies.lists(strategies.floats(-1e6, 1e6), min_size=196, max_size=196))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_coordinates_are_exactly_those_in_the_list(root, coordinates):
    rest = line_of(1, "a.jpg").split(" ")[196:]
    write_list(root, "test", [" ".join([*map(repr, coordinates), *rest])] * 2)
    faces = load_wflw(root, split="test")
    np.testing.assert_array_equal(faces.target[1].ravel(), coordinates)


def test_list_as_other_systems_save_it_is_read(root):
    path = write_list(root, "train", [])
    text = "\ufeff" + "\r\n".join(line_of(i, n).replace(" ", "\t", 5) for i, n in enumerate(TRAIN))
    path.write_bytes((text + "\r\n\r\n").encode())
    assert load_wflw(root).names.tolist() == [f"{name}:{i}" for i, name in enumerate(TRAIN, 1)]


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
def test_another_number_of_faces_is_a_warning_that_names_both(root):
    write_list(root, "train", [line_of(1, TRAIN[0])])
    with pytest.warns(UserWarning, match="train has 1 faces instead of 3") as caught:
        load_wflw(root)
    assert caught[0].filename == __file__


def test_the_published_numbers_of_faces():
    assert wflw.COUNTS == {"train": 7500, "test": 2500}


def test_unknown_choices_are_an_error(root):
    with pytest.raises(ValueError, match="split must be one of"):
        load_wflw(root, split="valid")
    with pytest.raises(ValueError, match=r"attribute must be one of None, 'pose'.*got 'makeup'"):
        load_wflw(root, attribute="makeup")
    with pytest.raises(ValueError, match="no face has the attribute 'blur'"):
        load_wflw(root, attribute="blur")


def test_missing_list_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list_98pt_rect_attr_train\.txt"):
        load_wflw(tmp_path)


def replaced(place, text):
    fields = line_of(2, "a.jpg").split(" ")
    fields[place] = text
    return " ".join(fields)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg", "found 1 fields, expected 207: 196 coordinates"),
        (line_of(2, ""), "found 206 fields"),
        (line_of(2, "a.jpg").replace(" ", ",", 1), "found 206 fields"),
        (replaced(3, "abc"), "found 'abc', expected a number"),
        (replaced(3, "nan"), "found 'nan', expected a number"),
        (replaced(195, "1e999"), "found '1e999', expected a number"),
        (replaced(3, "1_0"), "found '1_0', expected a number"),
        (replaced(3, "\u0663"), "expected a number"),
        (replaced(196, "1000"), "the box is 1000 .* expected left, top, right, bottom"),
        (replaced(203, "2"), "the attributes are .* expected 0 or 1"),
        (replaced(203, "0.5"), "the attributes are"),
        (replaced(206, "../a.jpg"), "leaves the folder"),
        (replaced(206, "/etc/a.jpg"), "leaves the folder"),
    ],
)
def test_damaged_line_is_an_error_that_names_file_and_line(root, line, message):
    write_list(root, "train", [line_of(1, "b.jpg"), line, line_of(3, "c.jpg")])
    with pytest.raises(ValueError, match=rf"_train\.txt, line 2: .*{message}"):
        load_wflw(root)


def test_file_in_another_encoding_is_an_error(root):
    path = write_list(root, "train", [])
    path.write_bytes(line_of(1, "caf\xe9.jpg").encode("latin-1"))
    with pytest.raises(ValueError, match=r"_train\.txt, line 1: not UTF-8"):
        load_wflw(root)


def test_file_cut_short_is_an_error(root):
    path = write_list(root, "train", [line_of(1, "b.jpg"), line_of(2, "c.jpg")])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="line 2: found"):
        load_wflw(root)
    path.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match="holds no faces"):
        load_wflw(root)
