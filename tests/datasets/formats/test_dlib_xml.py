import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._formats.dlib_xml import read_dlib_xml, write_dlib_xml
from skwing.images import BoxedImages
from skwing.schema import IBUG68, LandmarkSchema

few = settings(max_examples=30, deadline=None)
finite = st.floats(min_value=-1e9, max_value=1e9)
sizes = st.floats(min_value=1e-3, max_value=1e9)
file_names = st.text("ab 1'\"&<>;#:\u00e9\u0085\u2028\U0001d11e", max_size=8).map("p{}.jpg".format)

# As imglab writes it: text order of the parts, an image without a box, one to ignore.
IMGLAB = """<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset>
<name>imglab dataset</name>
<comment>Created by imglab tool.</comment>
<images>
  <image file='a.jpg' width='500' height='375'>
    <box top='78' left='74' width='138' height='140'>
      <label>cat</label>
      <part name='1' x='75' y='80'/>
      <part name='10' x='150' y='160'/>
      <part name='2' x='100.5' y='-3'/>
    </box>
    <box top='1' left='2' width='3' height='4' ignore='1'>
      <part name='99' x='75' y='80'/>
    </box>
    <box top='10' left='20' width='30' height='40'>
      <part name='10' x='21' y='22'/>
    </box>
  </image>
  <image file='none.jpg'>
  </image>
  <image file='more\\b.jpg'>
    <box top='5' left='6' width='7' height='8' difficult='1'/>
  </image>
</images>
</dataset>"""


def xml_file(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def dataset(boxes, file="a.jpg"):
    return f"<dataset>\n<images>\n<image file='{file}'>\n{boxes}\n</image></images></dataset>"


def box(*parts, attributes="top='0' left='0' width='9' height='9'"):
    parts = "".join(f"<part name='{name}' x='{i}' y='{i}'/>" for i, name in enumerate(parts))
    return f"<box {attributes}>{parts}</box>"


@pytest.fixture
def path(tmp_path):
    return xml_file(tmp_path, IMGLAB)


def test_parts_are_sorted_as_numbers_and_absent_ones_are_nan(path):
    faces = read_dlib_xml(path)
    nan = [np.nan, np.nan]
    expected = [
        [[75, 80], [100.5, -3], [150, 160]],
        [nan, nan, [21, 22]],
        [nan, nan, nan],
    ]
    np.testing.assert_array_equal(faces.target, expected)
    assert faces.part_names == ("1", "2", "10")
    assert faces.schema is faces.data.schema is None


def test_each_box_is_a_sample_of_its_image(path):
    faces = read_dlib_xml(str(path))
    images = [str(path.parent / "a.jpg")] * 2 + [str(path.parent / "more" / "b.jpg")]
    assert faces.data.paths.tolist() == faces.groups.tolist() == images
    assert faces.names.tolist() == ["a.jpg#0", "a.jpg#1", "more\\b.jpg"]
    expected = [[74, 78, 138, 140], [20, 10, 30, 40], [6, 5, 7, 8]]
    np.testing.assert_array_equal(faces.data.boxes, expected)
    assert (faces.n_images, faces.n_without_box, faces.n_ignored) == (3, 1, 1)
    assert "3 boxes in 3 images, 3 landmarks" in faces.DESCR
    data, target = read_dlib_xml(path, return_X_y=True)
    assert data.paths.tolist() == images
    np.testing.assert_array_equal(target, faces.target)


def test_the_path_may_be_that_of_the_working_folder(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    assert os.path.normpath(read_dlib_xml("labels.xml").data.paths[0]) == "a.jpg"


def test_boxes_of_one_image_are_numbered_over_the_whole_file(tmp_path):
    images = "".join(f"<image file='{name}.jpg'>{box('0')}</image>" for name in "aba")
    path = xml_file(tmp_path, f"<dataset><images>{images}</images></dataset>")
    assert read_dlib_xml(path).names.tolist() == ["a.jpg#0", "b.jpg", "a.jpg#1"]


def test_boxes_without_parts_are_read_as_well(tmp_path):
    path = xml_file(tmp_path, dataset(box() + box()))
    assert read_dlib_xml(path).target.shape == (2, 0, 2)
    faces = read_dlib_xml(path, schema="ibug68")
    assert np.isnan(faces.target).all()
    assert faces.target.shape == (2, 68, 2)


def test_names_of_parts_make_a_schema(tmp_path):
    path = xml_file(tmp_path, dataset(box("right_eye", "tail", "left_eye")))
    faces = read_dlib_xml(path)
    assert faces.schema.landmark_names == ("left_eye", "right_eye", "tail")
    assert faces.schema.mirror == (1, 0, 2)
    np.testing.assert_array_equal(faces.target[0, :, 0], [2, 0, 1])
    with pytest.warns(UserWarning, match="'left_eye' has no 'right_eye'"):
        assert (
            read_dlib_xml(xml_file(tmp_path, dataset(box("left_eye", "a")))).schema.mirror is None
        )


def test_a_schema_places_parts_by_its_names(tmp_path):
    schema = LandmarkSchema("moth", ("right_wing", "left_wing", "head"))
    path = xml_file(tmp_path, dataset(box("head", "right_wing")))
    faces = read_dlib_xml(path, schema=schema)
    np.testing.assert_array_equal(faces.target[0, :, 0], [1, np.nan, 0])
    assert faces.data.schema == schema
    assert faces.part_names == ("right_wing", None, "head")
    with pytest.raises(ValueError, match=r"labels\.xml: found 3 part names such as 'leftwing'"):
        read_dlib_xml(
            xml_file(tmp_path, dataset(box("head", "right_wing", "leftwing"))), schema=schema
        )


@pytest.mark.parametrize(
    "names", [[f"{i:02}" for i in range(68)], [f"p{i}" for i in range(1, 69)], range(68)]
)
def test_a_schema_places_numbered_parts_in_order(tmp_path, names):
    path = xml_file(tmp_path, dataset(box(*names)))
    faces = read_dlib_xml(path, schema="ibug68")
    np.testing.assert_array_equal(faces.target[0, :, 0], np.arange(68))
    assert faces.schema is IBUG68


def test_numbered_parts_that_no_box_has(tmp_path):
    schema = LandmarkSchema("five", "abcde")
    faces = read_dlib_xml(xml_file(tmp_path, dataset(box("p0", "p3"))), schema=schema)
    np.testing.assert_array_equal(faces.target[0, :, 0], [0, np.nan, np.nan, 1, np.nan])
    # Without a part 0, counting might start at 0 or at 1.
    for names in (("1", "3"), ("0", "5"), "012345", ("x1", "y2"), ("a1b0", "a0b1")):
        with pytest.raises(ValueError, match="schema 'five' expects its own landmark names"):
            read_dlib_xml(xml_file(tmp_path, dataset(box(*names))), schema=schema)


def test_images_stay_in_the_root(tmp_path):
    (tmp_path / "labels").mkdir()
    outside = xml_file(tmp_path / "labels", dataset(box("0"), file="../photos/a.jpg"))
    with pytest.raises(ValueError, match=r"labels\.xml, line 3: .*'\.\./photos/a\.jpg' leaves"):
        read_dlib_xml(outside)
    expected = [str(tmp_path / "photos" / "a.jpg")]
    for root in (tmp_path, tmp_path / "photos", str(tmp_path) + "/", "/"):
        assert read_dlib_xml(outside, root=root).data.paths.tolist() == expected
    for root in (tmp_path / "labels", tmp_path / "photo", tmp_path / "photos" / "a.jpg"):
        with pytest.raises(ValueError, match="leaves the folder"):
            read_dlib_xml(outside, root=root)
    (tmp_path / "b.jpg").touch()
    absolute = xml_file(tmp_path, dataset(box("0"), file=tmp_path / "b.jpg"))
    with pytest.raises(ValueError, match="leaves the folder"):
        read_dlib_xml(absolute, root=tmp_path / "labels")
    assert read_dlib_xml(absolute).data.paths[0] == str(tmp_path / "b.jpg")
    assert read_dlib_xml(absolute, root=tmp_path).data.paths[0] == str(tmp_path / "b.jpg")


def test_names_of_files_in_another_encoding(tmp_path):
    text = "<?xml version='1.0' encoding='ISO-8859-1'?>" + dataset(box("0"), file="für.jpg")
    # imglab states ISO-8859-1 whatever bytes follow; other programs mean it.
    for encoding in ("utf-8", "latin-1"):
        assert read_dlib_xml(xml_file(tmp_path, text, encoding)).names.tolist() == ["für.jpg"]
    for encoding in ("utf-16", "utf-8-sig"):
        text = dataset(box("0"), file="für.jpg")
        assert read_dlib_xml(xml_file(tmp_path, text, encoding)).names.tolist() == ["für.jpg"]


ENTITIES = "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMB = f"<!DOCTYPE dataset [<!ENTITY a 'ha'>{ENTITIES}]>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not well-formed XML: no element"),
        ("<dataset><images/></dataset>", "found no box in 0 images"),
        (dataset(box(attributes="top='1' left='1' ignore='true'")), r"1 boxes are marked ignore"),
        ("<html>\n</html>", "line 1: found <html>, expected <dataset>"),
        (BOMB + dataset("&i;"), r"line 1: .*\(DTD\)"),
        ("\n<!DOCTYPE d SYSTEM 'http://a.b/c.dtd'>\n" + dataset(box()), r"line 2: .*\(DTD\)"),
        ("\n<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>", r"line 2: .*\(DTD\)"),
        (dataset("&x;"), "line 4: not well-formed XML: undefined entity"),
        (dataset(box("0"))[:-20], "line 5: not well-formed XML"),
        (dataset(box("0")) + "<more/>", "line 5: not well-formed XML: junk"),
        (dataset(box("0"), file="a&b.jpg"), "line 3: not well-formed XML"),
        (dataset("<box left='0' left='1'/>"), "line 4: not well-formed XML: duplicate attribute"),
        (dataset("\0"), "line 4: not well-formed XML"),
        (dataset("für").encode("latin-1"), "line 4: not well-formed XML"),
        ("<?xml version='1.0' encoding='x-no'?>" + dataset(box()), "line 1: .*unknown encoding"),
        ("<?xml version='1.0' encoding='shift_jis'?>" + dataset(box()), "line 1: .*encoding"),
        (dataset("<part name='0' x='1' y='2'/>"), "line 4: found <part> outside of a <box>"),
        (dataset("<image file='b'/>"), "line 4: found <image> outside of <images>"),
        ("<dataset><box/></dataset>", "line 1: found <box> outside of an <image>"),
        (dataset("<box top='0' left='0' width='9'/>"), "line 4: found <box> without height"),
        (dataset(box(attributes="top='0' left='0' width='0' height='9'")), "line 4: .* 0 wide"),
        (dataset(box(attributes="top='0' left='0' width='9' height='-3'")), "line 4: .* -3 high"),
        (dataset(box(attributes="top='x' left='0' width='9' height='9'")), "line 4: top of <box>"),
        (dataset(box(attributes="top='0' left='0' width='9' height='9' ignore='x'")), "ignore"),
        (dataset("<box top='nan' left='0' width='9' height='9'/>"), "line 4: top .* a number"),
        (dataset(box("1", "1")), "line 4: found part '1' twice"),
        (dataset(box("1", "01")), "'1' and '01' differ in leading zeros"),
        ("<dataset><images><image/></images></dataset>", "line 1: found <image> without file"),
        (dataset(box("0"), file=""), "line 3: file of <image>: found '', expected the path"),
        (dataset(box("0"), file="C:a.jpg"), "line 3: .* leaves the folder"),
    ],
)
def test_hostile_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"labels\.xml.*{message}"):
        read_dlib_xml(xml_file(tmp_path, text))


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "1_0", "", "a", "0x1"])
@pytest.mark.parametrize("axis", "xy")
def test_coordinates_that_are_no_numbers(tmp_path, axis, value):
    part = f"<part name='7' x='1' y='1' {axis}='{value}'/>".replace(f" {axis}='1'", "", 1)
    path = xml_file(tmp_path, dataset(f"<box top='0' left='0' width='9' height='9'>\n{part}</box>"))
    with pytest.raises(ValueError, match=rf"line 5: {axis} of part '7': found .* a number"):
        read_dlib_xml(path)


def test_parts_without_an_attribute(tmp_path):
    for key in ("name", "x", "y"):
        part = "<part name='7' x='1' y='1'/>".replace(f"{key}=", "q=")
        path = xml_file(tmp_path, dataset(box().replace("</box>", part + "</box>")))
        with pytest.raises(ValueError, match=rf"line 4: found <part> without {key}"):
            read_dlib_xml(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.xml"):
        read_dlib_xml(tmp_path / "none.xml")
    with pytest.raises(ValueError, match="this is a folder, expected an XML file"):
        read_dlib_xml(tmp_path)
    with pytest.raises(ValueError, match="Unknown schema"):
        read_dlib_xml(tmp_path / "none.xml", schema="ibug69")


def test_a_tag_without_end_is_given_up_early(tmp_path):
    # expat before 2.6 goes over an unfinished tag again with each block: hours for this one.
    path = xml_file(tmp_path, "<dataset>\n<images x='" + "x" * 2**25)
    with pytest.raises(ValueError, match="line 2: found a tag of more than 1048576 bytes"):
        read_dlib_xml(path)


def test_deep_nesting_is_no_recursion(tmp_path):
    deep = 100_000
    path = xml_file(tmp_path, dataset(box("0") + "<x>" * deep + "</x>" * deep))
    assert len(read_dlib_xml(path).data) == 1


def test_a_part_name_of_its_own_for_each_box_does_not_fill_the_memory(tmp_path):
    path = xml_file(tmp_path, dataset("".join(box(f"q{i}") for i in range(5_000))))
    with pytest.raises(ValueError, match="found 5000 part names in 5000 boxes that have 5000"):
        read_dlib_xml(path)


@pytest.mark.slow
def test_many_images_are_read_and_none_opened(tmp_path):
    n = 10_000
    images = "".join(f"<image file='{i}.jpg'>\n{box('0')}\n</image>" for i in range(n))
    path = xml_file(tmp_path, f"<dataset><images>{images}</images></dataset>")
    faces = read_dlib_xml(path)
    assert faces.target.shape == (n, 1, 2)
    assert os.listdir(tmp_path) == ["labels.xml"]


@st.composite
def annotations(draw):
    n, n_landmarks = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    cells = draw(st.lists(finite, min_size=2 * n * n_landmarks, max_size=2 * n * n_landmarks))
    points = np.reshape(cells, (n, n_landmarks, 2))
    absent = st.lists(st.booleans(), min_size=n * n_landmarks, max_size=n * n_landmarks)
    points[np.reshape(draw(absent), (n, n_landmarks))] = np.nan
    boxes = draw(
        st.lists(st.tuples(finite, finite, sizes, sizes), min_size=n, max_size=n).map(np.array)
    )
    names = draw(st.lists(file_names, min_size=1, max_size=2))
    files = draw(st.lists(st.sampled_from(names), min_size=n, max_size=n))
    parts = draw(st.lists(file_names, min_size=n_landmarks, max_size=n_landmarks, unique=True))
    return files, boxes, points, LandmarkSchema("drawn", parts)


@pytest.mark.slow
@few
@given(drawn=annotations(), flat=st.booleans())
def test_what_was_written_is_read_to_the_last_digit(tmp_path_factory, drawn, flat):
    files, boxes, points, schema = drawn
    folder = tmp_path_factory.mktemp("xml")
    paths = [str(folder / "photos" / name) for name in files]
    data = BoxedImages(paths, boxes=boxes, schema=schema)
    target = points.reshape(len(points), -1) if flat else points
    write_dlib_xml(folder / "a.xml", data, target)
    faces = read_dlib_xml(folder / "a.xml", schema=schema)
    np.testing.assert_array_equal(faces.target, points)
    np.testing.assert_array_equal(faces.data.boxes, boxes)
    assert faces.data.paths.tolist() == paths
    write_dlib_xml(folder / "b.xml", faces.data, faces.target)
    assert (folder / "b.xml").read_bytes() == (folder / "a.xml").read_bytes()


def test_without_names_landmarks_are_numbered_in_an_order_that_texts_keep(tmp_path):
    points = np.arange(24.0).reshape(1, 12, 2)
    data = BoxedImages([tmp_path / "a.jpg"], boxes=[[1, 2, 3, 4]])
    write_dlib_xml(tmp_path / "a.xml", data, points)
    faces = read_dlib_xml(tmp_path / "a.xml")
    np.testing.assert_array_equal(faces.target, points)
    assert sorted(faces.part_names) == list(faces.part_names)
    points[0, 3] = np.nan
    with pytest.raises(ValueError, match="landmark 3 is missing in all samples"):
        write_dlib_xml(tmp_path / "a.xml", data, points)
    write_dlib_xml(tmp_path / "a.xml", data, points, part_names=faces.part_names)
    schema = LandmarkSchema("twelve", faces.part_names)
    np.testing.assert_array_equal(read_dlib_xml(tmp_path / "a.xml", schema=schema).target, points)


def test_whole_pixels_for_the_tools_that_read_no_others(tmp_path):
    data = BoxedImages([tmp_path / "a.jpg"] * 2, boxes=[[0.6, 2.2, 3.2, 4.1], [5, 5, 0.2, 0.3]])
    points = [[[1.4, -2.6]], [[np.nan, np.nan]]]
    write_dlib_xml(tmp_path / "a.xml", data, points, whole_pixels=True)
    assert (tmp_path / "a.xml").read_text() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<images>\n"
        "  <image file='a.jpg'>\n"
        "    <box top='2' left='1' width='3' height='4'>\n"
        "      <part name='00' x='1' y='-3'/>\n"
        "    </box>\n"
        "    <box top='5' left='5' width='1' height='1'>\n"
        "    </box>\n"
        "  </image>\n</images>\n</dataset>\n"
    )


def test_images_elsewhere_are_written_with_their_whole_path(tmp_path):
    (tmp_path / "labels").mkdir()
    paths = [str(tmp_path / "photos" / "a.jpg")]
    data = BoxedImages(paths, boxes=[[1, 2, 3, 4]])
    write_dlib_xml(tmp_path / "labels" / "a.xml", data, [[[1, 2]]])
    faces = read_dlib_xml(tmp_path / "labels" / "a.xml", root=tmp_path)
    assert faces.data.paths.tolist() == paths


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": BoxedImages(["a.jpg", "b.jpg"])}, r"sample 0 \(a\.jpg\) has no box"),
        ({"data": BoxedImages(np.zeros((2, 8, 8), np.uint8))}, "pixels in memory"),
        ({"target": np.ones((3, 1, 2))}, "data has 2 samples, target has 3"),
        ({"part_names": ["a", "b"]}, "must be 1 different names"),
        ({"part_names": ["a\1"]}, r"the part name 'a\\x01' holds '\\x01', which XML cannot"),
        ({"data": BoxedImages(["\1.jpg"] * 2, boxes=np.ones((2, 4)))}, r"sample 0 .* the path"),
        ({"data": BoxedImages(["\udcff.jpg"] * 2, boxes=np.ones((2, 4)))}, r"sample 0 .*the path"),
    ],
)
def test_what_cannot_be_written(tmp_path, change, message):
    given = {
        "data": BoxedImages(["a.jpg", "b.jpg"], boxes=np.ones((2, 4))),
        "target": np.ones((2, 1, 2)),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        write_dlib_xml(tmp_path / "a.xml", **given)
    assert not os.listdir(tmp_path)


def test_a_real_file(data_dir, tmp_path):
    folder = data_dir / "dlib_faces"
    if not folder.is_dir():
        pytest.skip("no dlib_faces there")
    n_faces = 0
    for name in ("training", "testing"):
        faces = read_dlib_xml(folder / f"{name}_with_face_landmarks.xml", schema="ibug68")
        assert not np.isnan(faces.target).any()
        assert faces.part_names == tuple(f"{i:02}" for i in range(68))
        bare = read_dlib_xml(folder / f"{name}.xml")
        assert bare.data.paths.tolist() == faces.data.paths.tolist()
        assert all(map(os.path.isfile, faces.data.paths))
        # Upright faces: the chin lies below the brows, the eyes at about equal heights.
        assert (faces.target[:, 8, 1] > faces.target[:, 17:27, 1].max(axis=1)).all()
        write_dlib_xml(tmp_path / "a.xml", faces.data, faces.target, part_names=faces.part_names)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = read_dlib_xml(tmp_path / "a.xml", root=folder)
        np.testing.assert_array_equal(again.target, faces.target)
        n_faces += len(faces.data)
    assert n_faces == 43


def test_samples_without_box_and_landmarks_are_images_without_a_box(tmp_path):
    path, nothing = tmp_path / "a.xml", np.full((2, 2), np.nan)
    points = np.array([[[1.0, 2], [3, 4]], nothing])
    boxes = [[1, 2, 3, 4], [np.nan] * 4]
    images = [str(tmp_path / name) for name in ("a.jpg", "b.jpg")]
    write_dlib_xml(path, BoxedImages(images, boxes=boxes), points)
    found = read_dlib_xml(path)
    assert (found.n_images, found.n_without_box) == (2, 1)
    np.testing.assert_array_equal(found.target, points[:1])
    write_dlib_xml(path, BoxedImages(images), [nothing, nothing])
    assert path.read_text().count("<image file") == 2
