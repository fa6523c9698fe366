import numpy as np
import pytest
import scipy.io
from sklearn.model_selection import GroupKFold

from skwing.datasets import load_300w, read_pts
from skwing.datasets._published import ibug
from skwing.geometry import boxes_of
from skwing.images import BoxedImages
from skwing.schema import IBUG68

# What the folders as published hold: names of faces, several of one photo among them.
LAYOUT = {
    "lfpw/trainset": ["image_0001", "image_0002"],
    "lfpw/testset": ["image_0001"],
    "helen/trainset": ["100040721_1", "100040721_2"],
    "helen/testset": ["100040721_3", "296814969_3"],
    "afw": ["1051618982_1", "134212_1", "134212_2", "134212_15"],
    "ibug": ["image_003_1", "image_092 _01"],
    "01_Indoor": ["indoor_001"],
}


def corners_of(name):
    """Corners of the detector's box as the files give them, counted from 1."""
    x, y = 10.0 + len(name), 20.0
    return np.array([[x, y, x + 99, y + 49]])


def landmarks_of(name):
    """68 landmarks as the files give them, counted from 1."""
    return np.stack([np.arange(68) + len(name), np.linspace(1, 90, 68)], axis=1).round(6)


def write_pts(path, points):
    lines = [f"{x:.6f} {y:.6f}" for x, y in points]
    path.write_text("\n".join(["version: 1", "n_points:  68", "{", *lines, "}", ""]))


def write_boxes(root, subset, names, suffix=".jpg", **changes):
    """A .mat file of the structure of those published: a cell array of structs."""
    cells = np.empty((1, len(names)), dtype=object)
    for i, name in enumerate(names):
        cells[0, i] = {
            "imgName": name + suffix,
            "bb_detector": corners_of(name),
            "bb_ground_truth": corners_of(name) + 1,
            **changes,
        }
    folder = root / "Bounding Boxes"
    folder.mkdir(exist_ok=True)
    path = folder / f"bounding_boxes_{subset.replace('/', '_')}.mat"
    scipy.io.savemat(path, {"bounding_boxes": cells})
    return path


def write_subset(root, subset, names):
    folder = root / subset
    folder.mkdir(parents=True)
    for name in names:
        write_pts(folder / f"{name}.pts", landmarks_of(name))
        (folder / f"{name}.jpg").write_bytes(b"")


@pytest.fixture
def root(tmp_path):
    """The published layout, with images that nobody could decode."""
    root = tmp_path / "300w"
    for subset, names in LAYOUT.items():
        write_subset(root, subset, names)
        if subset != "01_Indoor":  # published without boxes
            write_boxes(root, subset, names)
    return root


def test_all_that_is_there_is_read_and_nothing_decoded(root):
    faces = load_300w(root, boxes="landmarks")
    expected = [f"{subset}/{name}" for subset, names in LAYOUT.items() for name in sorted(names)]
    assert faces.names.tolist() == expected
    assert faces.subset.tolist() == [name.rpartition("/")[0] for name in expected]
    assert isinstance(faces.data, BoxedImages)
    assert faces.data.shape == (len(expected),)
    assert faces.target.shape == (len(expected), 68, 2)
    assert faces.target.dtype == np.float64
    assert faces.schema is faces.data.schema is IBUG68
    assert f"{len(expected)} faces" in faces.DESCR
    for i, name in enumerate(expected):
        assert faces.data.describe(i) == f"sample {i} ({root / name}.jpg)"
    with pytest.raises(ValueError, match="empty"):
        faces.data.decode(0)


def test_landmarks_and_boxes_count_from_0(root):
    faces = load_300w(root, subsets=["afw"])
    for i, name in enumerate(sorted(LAYOUT["afw"])):
        np.testing.assert_allclose(faces.target[i], landmarks_of(name) - 1)
        # From pixel x0 to pixel x1, both counted: 100 wide and 50 high.
        x, y = corners_of(name)[0, :2] - 1
        np.testing.assert_allclose(faces.data.boxes[i], [x, y, 100, 50])
    other = load_300w(root, subsets=["afw"], boxes="ground_truth").data.boxes
    np.testing.assert_allclose(other, faces.data.boxes + np.array([1, 1, 0, 0]))
    tight = load_300w(root, subsets=["afw"], boxes="landmarks").data.boxes
    np.testing.assert_allclose(tight, boxes_of(faces.target))


def test_subsets_come_in_the_order_asked_for(root):
    faces = load_300w(root, subsets=("ibug", "lfpw/testset"))
    assert faces.subset.tolist() == ["ibug", "ibug", "lfpw/testset"]
    assert load_300w(root, subsets="ibug").names.tolist() == faces.names[:2].tolist()
    data, target = load_300w(root, subsets="ibug", return_X_y=True)
    np.testing.assert_array_equal(target, faces.target[:2])
    np.testing.assert_array_equal(data.boxes, faces.data.boxes[:2])


def test_faces_of_one_photo_share_a_group_and_other_faces_do_not(root):
    faces = load_300w(root, boxes="landmarks")
    group = dict(zip(faces.names.tolist(), faces.groups.tolist(), strict=True))
    assert len({group[f"afw/134212_{i}"] for i in (1, 2, 15)}) == 1
    helen = ("trainset/100040721_1", "trainset/100040721_2", "testset/100040721_3")
    assert len({group[f"helen/{name}"] for name in helen}) == 1
    assert len(set(group.values())) == len(group) - 4
    for train, test in GroupKFold(3).split(faces.data, faces.target, faces.groups):
        assert not set(faces.groups[train]) & set(faces.groups[test])


@pytest.mark.parametrize("suffix", [".png", ".JPG", ""])
def test_images_converted_to_another_type_keep_their_boxes(root, suffix):
    write_boxes(root, "ibug", LAYOUT["ibug"], suffix=suffix)
    expected = [corners_of(name)[0, 0] - 1 for name in LAYOUT["ibug"]]
    assert load_300w(root, subsets="ibug").data.boxes[:, 0].tolist() == expected


def test_the_lossless_image_is_preferred_and_hidden_files_are_not_read(root):
    (root / "ibug" / "image_003_1.png").write_bytes(b"")
    (root / "ibug" / "._image_003_1.pts").write_bytes(b"\0\0")
    assert load_300w(root, subsets="ibug").data.describe(0).endswith("image_003_1.png)")


def test_boxes_of_one_face_are_read(root):
    write_boxes(root, "01_Indoor", ["indoor_001"])
    assert load_300w(root, subsets="01_Indoor").data.boxes[0].tolist() == [19, 19, 100, 50]


def test_any_folder_of_pts_files_is_a_subset(root):
    (root / "01_Indoor").rename(root / "mine")
    faces = load_300w(root, subsets="mine", boxes="landmarks")
    assert faces.groups.tolist() == ["mine/indoor_001"]


@pytest.mark.parametrize(
    ("protocol", "subsets", "n_published"),
    [
        ("train", ["lfpw/trainset", "helen/trainset", "afw"], 3148),
        ("common", ["lfpw/testset", "helen/testset"], 554),
        ("challenging", ["ibug"], 135),
        ("full", ["lfpw/testset", "helen/testset", "ibug"], 689),
        ("test", ["01_Indoor", "02_Outdoor"], 600),
    ],
)
def test_protocols_are_subsets_of_published_size(root, monkeypatch, protocol, subsets, n_published):
    write_subset(root, "02_Outdoor", ["outdoor_001"])
    assert sum(ibug.PROTOCOLS[protocol].values()) == n_published
    monkeypatch.setitem(
        ibug.PROTOCOLS, protocol, {name: len(LAYOUT.get(name, [1])) for name in subsets}
    )
    faces = load_300w(root, protocol=protocol, boxes="landmarks")
    assert (
        faces.names.tolist() == load_300w(root, subsets=subsets, boxes="landmarks").names.tolist()
    )


def test_protocol_with_other_numbers_of_faces_is_a_warning_that_names_both(root):
    message = "lfpw/testset has 1 faces instead of 224, helen/testset has 2 faces instead of 330"
    with pytest.warns(UserWarning, match=message) as caught:
        faces = load_300w(root, protocol="common")
    assert caught[0].filename == __file__
    assert len(faces.names) == 3


def test_protocol_that_cannot_be_is_an_error(root):
    with pytest.raises(ValueError, match="subsets and protocol exclude each other"):
        load_300w(root, subsets="afw", protocol="train")
    with pytest.raises(ValueError, match=r"protocol must be one of None, 'train', .*; got 'ibug'"):
        load_300w(root, protocol="ibug")
    with pytest.raises(ValueError, match="no subset '02_Outdoor'; those present: "):
        load_300w(root, protocol="test")


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
def test_unknown_boxes_are_an_error(root):
    with pytest.raises(ValueError, match="'detector', 'ground_truth', 'landmarks'; got 'dlib'"):
        load_300w(root, boxes="dlib")


def test_missing_root_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_300w(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no subset of 300-W.*lfpw/trainset"):
        load_300w(tmp_path)


def test_missing_subset_is_an_error_that_lists_those_present(root):
    with pytest.raises(ValueError, match=r"no subset 'afw2'.*lfpw/trainset.*01_Indoor"):
        load_300w(root, subsets=["ibug", "afw2"])
    for subsets in ([], ["ibug", "ibug"], ["ibug", "ibug/"]):
        with pytest.raises(ValueError, match="each subset once, and one at least"):
            load_300w(root, subsets=subsets)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no \.pts files"):
        load_300w(root, subsets="empty")


def test_missing_image_is_an_error(root):
    (root / "afw" / "134212_2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 \.pts files.*134212_2\.pts"):
        load_300w(root, subsets="afw")


def test_missing_box_is_an_error(root):
    with pytest.raises(FileNotFoundError, match=r"bounding_boxes_01_Indoor\.mat.*'landmarks'"):
        load_300w(root, subsets="01_Indoor")
    write_boxes(root, "afw", sorted(LAYOUT["afw"])[:2])
    with pytest.raises(ValueError, match=r"2 of the 4 images of afw.*first is 134212_15"):
        load_300w(root, subsets="afw")
    write_boxes(root, "afw", LAYOUT["afw"], bb_detector=np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="4 of the 4 images of afw have no detector box"):
        load_300w(root, subsets="afw")


def test_damaged_box_file_is_an_error(root):
    write_boxes(root, "afw", LAYOUT["afw"], bb_detector=np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"bounding_boxes_afw\.mat"):
        load_300w(root, subsets="afw")
    write_boxes(root, "afw", LAYOUT["afw"], bb_detector=np.array([[9.0, 9, 5, 5]]))
    with pytest.raises(ValueError, match=r"sample 0 \(.*afw.*width and height above 0"):
        load_300w(root, subsets="afw")
    path = root / "Bounding Boxes" / "bounding_boxes_afw.mat"
    scipy.io.savemat(path, {"boxes": np.ones(3)})
    with pytest.raises(ValueError, match=r"bounding_boxes_afw\.mat.*no variable bounding_boxes"):
        load_300w(root, subsets="afw")
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ValueError, match=r"bounding_boxes_afw\.mat"):
        load_300w(root, subsets="afw")


def test_another_number_of_landmarks_is_an_error(root):
    path = root / "afw" / "134212_1.pts"
    path.write_text("version: 1\nn_points: 2\n{\n1 1\n2 2\n}\n")
    with pytest.raises(ValueError, match=r"134212_1\.pts: found 2 points, expected 68"):
        load_300w(root, subsets="afw")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nn_points: 2\n{\n1 2\n3.5 4\n}\n",
        "version: 1\r\nn_points:  2\r\n{\r\n1.000 2.000 \r\n\t3.5 4\r\n}\r\n\r\n",
        "\ufeffN_POINTS:2\n \n{ \n1 2\n\n3.5e0 4\n }",
        "version: 1\n{\n1 2\n3.5 4\n}\nanything",
    ],
)
def test_pts_files_are_read_as_people_write_them(tmp_path, text):
    path = tmp_path / "a.pts"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_pts(path), [[0, 1], [2.5, 3]])
    np.testing.assert_array_equal(read_pts(str(path)), [[0, 1], [2.5, 3]])


def test_a_point_may_be_missing(tmp_path):
    (tmp_path / "a.pts").write_text("n_points: 2\n{\n1 2\nnan NaN\n}\n")
    np.testing.assert_array_equal(read_pts(tmp_path / "a.pts"), [[0, 1], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nn_points: 1\n{\n1 2 3\n}\n", "line 4: found '1 2 3', expected two numbers"),
        ("n_points: 1\n{\n1\n}\n", "line 3: found '1'"),
        ("n_points: 1\n{\n1 b\n}\n", "line 3: found '1 b'"),
        ("n_points: 2\n{\n1 2\n3 inf\n}\n", "line 4: found '3 inf', expected finite"),
        ("n_points: 3\n{\n1 2\n3 4\n}\n", "n_points says 3, but there are 2 points"),
        ("n_points: many\n{\n1 2\n}\n", "line 1: n_points is 'many'"),
        ("n_points: 1\n{\n1 2\n", "cut short"),
        ("1 2\n3 4\n", "line 1: found '1 2'"),
        ("", "no line opens the points"),
        ("n_points: 1\n", "no line opens the points"),
    ],
)
def test_malformed_pts_file_is_an_error_that_names_file_and_line(tmp_path, text, message):
    (tmp_path / "bad.pts").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.pts.*{message}"):
        read_pts(tmp_path / "bad.pts")


# ---------------------------------------------------------------------------------------
# The data set itself, where it is
# ---------------------------------------------------------------------------------------
@pytest.fixture
def real_root(data_dir):
    if not (data_dir / "300w").is_dir():
        pytest.skip("there is no folder 300w in SKWING_DATA")
    return data_dir / "300w"


def test_real_faces_are_all_there(real_root):
    faces = load_300w(real_root)
    subsets, counts = np.unique(faces.subset, return_counts=True)
    assert dict(zip(subsets, counts, strict=True)) == {
        "afw": 337,
        "helen/trainset": 870,
        "lfpw/trainset": 802,
    }
    assert len(set(faces.names)) == faces.data.shape[0] == 2009
    assert np.isfinite(faces.target).all()
    for i in range(0, 2009, 40):
        height, width = faces.data.decode(i).shape[:2]
        low, high = faces.target[i].min(axis=0), faces.target[i].max(axis=0)
        assert (low > -0.5).all()
        assert (high < [width - 0.5, height - 0.5]).all()


def test_annotated_boxes_are_the_smallest_around_the_landmarks(real_root):
    # Two files written by different people agree only if both readers count alike.
    annotated = load_300w(real_root, boxes="ground_truth").data.boxes
    tight = load_300w(real_root, boxes="landmarks").data.boxes
    np.testing.assert_allclose(annotated, tight, atol=1e-4)
    detected = load_300w(real_root).data.boxes
    assert (np.abs(detected - tight).mean(axis=0) < 12).all()
