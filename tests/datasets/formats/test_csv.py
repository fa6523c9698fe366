import os
import string
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._formats.csv import read_csv
from skwing.datasets._formats.csv_write import write_csv
from skwing.exceptions import DataWarning
from skwing.images import BoxedImages
from skwing.schema import IBUG68, LandmarkSchema

KAGGLE = [
    *("left_eye_center", "right_eye_center", "left_eye_inner_corner", "left_eye_outer_corner"),
    *("right_eye_inner_corner", "right_eye_outer_corner", "left_eyebrow_inner_end"),
    *("left_eyebrow_outer_end", "right_eyebrow_inner_end", "right_eyebrow_outer_end", "nose_tip"),
    *("mouth_left_corner", "mouth_right_corner", "mouth_center_top_lip"),
    "mouth_center_bottom_lip",
]
NAN = np.nan


@pytest.fixture
def write(tmp_path):
    def write(text, name="labels.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sep", [";", ",", "\t", "|"])
def test_a_first_line_may_state_the_separator(write, sep, end):
    rows = ["path,a_x,a_y", "a.png,1,2", "b.png,3,x"]
    lines = [f"sep={sep}", *(row.replace(",", sep) for row in rows)]
    found = read_csv(write("\ufeff" + end.join(lines[:-1]) + end))
    assert found.target.tolist() == [[[1, 2]]] and found.data.paths[0].endswith("a.png")
    with pytest.raises(ValueError, match="line 4, column 'a_y'"):
        read_csv(write(end.join(lines)))


# ---------------------------------------------------------------------------------------
# The layouts as published
# ---------------------------------------------------------------------------------------
def test_wide_table_with_boxes_and_further_columns(write, tmp_path):
    path = write(
        "image,x,y,width,height,nose_x,nose_y,left_eye_x,left_eye_y,right_eye_x,right_eye_y,"
        "person,fold,target,code\n"
        "d/a.jpg,1,2,30,40,5.5,6,1e1,8,,,Bo,2,t,007\n"
        "\n"
        "b.jpg,,,,,NaN,nan,1,2,3,4,Li,10,u,010\n"
    )
    faces = read_csv(path)
    assert isinstance(faces.data, BoxedImages)
    assert list(faces.data.paths) == [str(tmp_path / "d" / "a.jpg"), str(tmp_path / "b.jpg")]
    np.testing.assert_array_equal(faces.data.boxes, [[1, 2, 30, 40], [NAN] * 4])
    np.testing.assert_array_equal(
        faces.target, [[[5.5, 6], [10, 8], [NAN, NAN]], [[NAN, NAN], [1, 2], [3, 4]]]
    )
    assert faces.target.dtype == np.float64
    assert faces.schema is faces.data.schema
    assert faces.schema.landmark_names == ("nose", "left_eye", "right_eye")
    assert faces.schema.mirror == (0, 2, 1)
    assert faces.names.tolist() == ["d/a.jpg", "b.jpg"]
    assert faces.groups.tolist() == list(faces.data.paths)
    assert faces.person.tolist() == ["Bo", "Li"]
    assert faces.fold.tolist() == [2, 10]
    assert faces.target_.tolist() == ["t", "u"]
    assert faces.code.tolist() == ["007", "010"]  # a number with leading zeros is a name
    assert read_csv(path, groups="fold").groups.tolist() == ["2", "10"]
    data, target = read_csv(path, return_X_y=True)
    np.testing.assert_array_equal(target, faces.target)
    np.testing.assert_array_equal(data.boxes, faces.data.boxes)


def test_kaggle_facial_keypoints(write):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 96, 96))
    points = rng.uniform(0, 96, (3, 15, 2)).round(6)
    points[1, 2:] = NAN  # Kaggle's files leave the cells of missing points empty
    header = [f"{name}_{axis}" for name in KAGGLE for axis in "xy"]
    rows = [
        [*("" if np.isnan(v) else repr(v) for v in p.ravel().tolist()), " ".join(map(str, i.flat))]
        for p, i in zip(points, pixels, strict=True)
    ]
    path = write("\n".join(",".join(row) for row in [[*header, "Image"], *rows]))
    faces = read_csv(path)
    np.testing.assert_array_equal(faces.target, points)
    assert faces.names.tolist() == faces.groups.tolist() == ["0", "1", "2"]
    for i in range(3):
        np.testing.assert_array_equal(faces.data.decode(i)[..., 0], pixels[i])
    schema = faces.schema
    assert schema.landmark_names == tuple(KAGGLE)
    # Their left is the person's: the eye nearer the image's left edge is "right".
    ((left,), (right,)) = schema.normalizers["inter_ocular"]
    assert (KAGGLE[left], KAGGLE[right]) == ("right_eye_outer_corner", "left_eye_outer_corner")
    assert [KAGGLE[i] for i in schema.mirror[10:13]] == ["nose_tip", KAGGLE[12], KAGGLE[11]]
    # test.csv, which has no landmarks
    path = write("ImageId,Image\n" + "".join(f"{i + 1},{row[-1]}\n" for i, row in enumerate(rows)))
    faces = read_csv(path, landmarks=())
    assert faces.target.shape == (3, 0, 2)
    assert faces.schema is None
    assert faces.ImageId.tolist() == [1, 2, 3]


def test_numbered_columns_are_x_and_y_in_turn(write):
    rows = "a.jpg,1.00,2.00,3.00,4.00\nb.jpg,5.00,6.00,7.00,8.00\n"
    expected = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    for header in (",0,1,2,3\n", "name,1,2,3,4\n", "", ",x0,y0,x1,y1\n"):
        faces = read_csv(write(header + rows))
        np.testing.assert_array_equal(faces.target, expected)
        assert faces.schema is None
        assert faces.names.tolist() == ["a.jpg", "b.jpg"]
    for sep in "; \t":
        faces = read_csv(write(rows.replace(",", sep)))
        np.testing.assert_array_equal(faces.target, expected)
    # Without an ending the first cells might be names of columns.
    faces = read_csv(write("a,0,1,2,3\nb,5,6,7,8\n"), header=False)
    assert faces.names.tolist() == ["a", "b"]


@pytest.mark.parametrize("visible", [False, True])
def test_long_table(write, visible):
    text = (
        "image,landmark,x,y,visible\n"
        "a.jpg,nose,1,2,1\na.jpg,left_eye,3,4,2\nb.jpg,right_eye,5,6,true\nb.jpg,nose,7,8,0\n"
    )
    if not visible:
        text = text.replace(",0\n", ",\n").replace("7,8", ",")
        text = "".join(line.rpartition(",")[0] + "\n" for line in text.splitlines())
    faces = read_csv(write(text))
    missing = [NAN, NAN]
    np.testing.assert_array_equal(
        faces.target, [[[1, 2], [3, 4], missing], [missing, missing, [5, 6]]]
    )
    assert faces.names.tolist() == ["a.jpg", "b.jpg"]
    assert faces.schema.landmark_names == ("nose", "left_eye", "right_eye")
    other = read_csv(write(text), landmarks=["right_eye", "left_eye", "nose"])
    np.testing.assert_array_equal(other.target, faces.target[:, ::-1])
    if visible:  # what stands for a hidden landmark is not looked at
        again = read_csv(write(text.replace("7,8,0", "-,-,0")))
        np.testing.assert_array_equal(again.target, faces.target)


@pytest.mark.parametrize(
    ("header", "half"),
    [
        ("x0,y0,x1,y1,x2,z2", "x2"),
        ("a_x,a_y,b_x,b_y,c_y", "c_y"),
        ("p.x,p.y,r.y", "r.y"),
        ("lm_x_0,lm_y_0,lm_y_1", "lm_y_1"),
    ],
)
def test_a_coordinate_without_the_other_is_no_landmark_and_a_warning(write, header, half):
    def table(header):
        numbers = [str(i) for i in range(header.count(",") + 1)]
        return write(f"image,{header}\n" + ",".join(["a.png", *numbers]) + "\n")

    told = rf"no landmark is read from the columns \['{half}'\]: each lacks the column of the other"
    with pytest.warns(DataWarning, match=told):
        faces = read_csv(table(header))
    assert np.isfinite(faces.target).all()
    assert faces.target.shape[1] == header.count(",") // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_csv(table(header), landmarks=[tuple(header.split(",")[:2])])  # as the message says
        read_csv(table(header.replace(half, "mm_per_pixel")))  # an ordinary further column


@pytest.mark.parametrize("names", ["bbox_x,bbox_y", "box_x,box_y,box_size", "Bbox_X,Bbox_Y"])
def test_a_part_of_a_box_is_no_landmark_in_silence(write, names):
    numbers = ",".join(str(i) for i in range(names.count(",") + 3))
    path = write(f"image,{names},nose_x,nose_y\na.png,{numbers}\n")
    first = ", ".join(names.split(",")[:2])
    with pytest.warns(DataWarning, match=f"the columns {first} are read as landmarks"):
        read_csv(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_csv(path, boxes=())  # as the message says
        assert read_csv(path, landmarks=["nose"]).target.shape == (1, 1, 2)


def test_numbered_landmarks_are_sorted_by_number(write):
    numbers = [0, 1, 10, 11, *range(2, 10)]
    header = ",".join(f"x{i},y{i}" for i in numbers)
    text = f"image,{header}\na.jpg,{','.join(f'{i},0' for i in numbers)}\n"
    assert read_csv(write(text)).target[0, :, 0].tolist() == list(range(12))
    text = "image,point,x,y\n" + "".join(f"a.jpg,{i},{i},0\n" for i in numbers)
    assert read_csv(write(text)).target[0, :, 0].tolist() == list(range(12))


def test_schema_brings_landmarks_of_its_names_into_its_order(write):
    names = list(reversed(IBUG68.landmark_names))
    header = ",".join(f"{name}_x,{name}_y" for name in names)
    path = write(f"image,{header}\na.jpg,{','.join(f'{i},0' for i in range(68))}\n")
    faces = read_csv(path, schema="ibug68")
    assert faces.schema is IBUG68
    assert faces.target[0, :, 0].tolist() == list(reversed(range(68)))
    with pytest.raises(ValueError, match=r"labels\.csv: Schema 'aflw19' has 19 .* have 68"):
        read_csv(path, schema="aflw19")


def test_boxes_of_another_file(write, tmp_path):
    path = write(",0,1\nb.jpg,1,2\n./a.jpg,3,4\nb.jpg,5,6\n")
    boxes = write(
        "image,x,y,width,height,person\nc.jpg,9,9,9,9,C\nb.jpg,1,2,3,4,B\na.jpg,,,,,A\n"
        "b.jpg,5,6,7,8,B\n",
        "boxes.csv",
    )
    faces = read_csv(path, images=tmp_path / "photos", boxes=boxes, groups="person")
    np.testing.assert_array_equal(faces.data.boxes, [[1, 2, 3, 4], [NAN] * 4, [5, 6, 7, 8]])
    assert faces.groups.tolist() == faces.person.tolist() == ["B", "A", "B"]
    assert faces.data.paths[1] == str(tmp_path / "photos" / "a.jpg")
    short = write("image,x,y,width,height\nb.jpg,1,2,3,4\na.jpg,,,,\n", "short.csv")
    with pytest.raises(ValueError, match=r"short\.csv: found 1 rows for 'b\.jpg' .*expected 2"):
        read_csv(path, boxes=short)
    short = write("image,x,y,width,height\nb.jpg,1,2,3,4\nb.jpg,1,2,3,4\n", "short.csv")
    with pytest.raises(ValueError, match=r"found 0 rows for './a\.jpg'"):
        read_csv(path, boxes=short)
    with pytest.raises(ValueError, match=r"labels\.csv: expected .* columns x, y, width, height"):
        read_csv(path, boxes=path)
    with pytest.raises(FileNotFoundError, match="none"):
        read_csv(path, boxes=tmp_path / "none.csv")


def test_tables_as_spreadsheets_save_them(write):
    # Semicolons, decimal commas, a code page, Windows' line ends and rows of empty cells.
    text = "image;nose_x;nose_y\r\nM\u00fcller.jpg;1,5;2\r\n;;\r\n"
    faces = read_csv(write(text, encoding="cp1252"), decimal=",", encoding="cp1252")
    assert faces.names.tolist() == ["M\u00fcller.jpg"]
    assert faces.target.tolist() == [[[1.5, 2]]]
    with pytest.raises(ValueError, match=r"line 2: not UTF-8"):
        read_csv(write(text, encoding="cp1252"))
    with pytest.raises(ValueError, match=r"line 2, column 'nose_x': found '1,5'.*decimal=','"):
        read_csv(write(text))
    assert read_csv(write(text.replace(",", "."), encoding="utf-8-sig")).target[0, 0, 0] == 1.5
    tabs = text.replace(",", ".").replace(";", "\t")
    assert read_csv(write(tabs, encoding="utf-16"), encoding="utf-16").target[0, 0, 0] == 1.5
    quoted = 'image,"nose_x","nose_y"\n"a,\nb.jpg","1.5",2\n"c""d.jpg",3,4\n'
    assert read_csv(write(quoted)).names.tolist() == ["a,\nb.jpg", 'c"d.jpg']


# ---------------------------------------------------------------------------------------
# Round trips
# ---------------------------------------------------------------------------------------
LETTERS = string.ascii_letters + string.digits + " _.-,'\"\u00e9\u4e2d"
NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda s: s == s.strip())
FILES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda s: s.strip(" ."))
NUMBERS = st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float) | st.floats(allow_infinity=False)


@st.composite
def samples(draw, unique):
    n_landmarks = draw(st.integers(1, 4))
    n = draw(st.integers(1, 4))
    points = np.array(draw(st.lists(NUMBERS, min_size=2 * n * n_landmarks, max_size=200)))
    points = points[: 2 * n * n_landmarks].reshape(n, n_landmarks, 2)
    points[np.isnan(points).any(axis=2)] = NAN
    points[draw(st.lists(st.booleans(), min_size=n, max_size=n))] = NAN
    files = draw(st.lists(FILES, min_size=n, max_size=n, unique=unique))
    boxes = None
    if draw(st.booleans()):
        boxes = draw(st.lists(st.floats(0.1, 1e5), min_size=4 * n, max_size=4 * n))
        boxes = np.reshape(boxes, (n, 4))
        boxes[draw(st.lists(st.booleans(), min_size=n, max_size=n))] = NAN
    schema = None
    if draw(st.booleans()):
        names = draw(
            st.lists(NAMES, min_size=n_landmarks, max_size=n_landmarks, unique_by=str.lower)
        )
        schema = LandmarkSchema("any", names)
    return files, boxes, schema, points


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Schema")
@pytest.mark.parametrize("layout", ["wide", "long"])
def test_what_is_written_reads_back(tmp_path, layout):
    @settings(max_examples=40, deadline=None)
    @given(samples(unique=layout == "long"))
    def check(sample):
        files, boxes, schema, points = sample
        paths = [str(tmp_path / "x" / (file + ".jpg")) for file in files]
        data = BoxedImages(paths, boxes=boxes, schema=schema)
        path = tmp_path / "out.csv"
        try:
            write_csv(path, data, points, layout=layout)
        except ValueError as error:
            # Names that a header cannot tell apart are refused, and only these.
            assert schema is not None
            assert "read back" in str(error) or "corners" in str(error)
            return
        again = read_csv(path, layout=layout)
        assert list(again.data.paths) == paths
        np.testing.assert_array_equal(again.target, points)
        if layout == "wide":
            np.testing.assert_array_equal(again.data.boxes, data.boxes)
        if schema is not None and again.schema is not None:
            assert again.schema.landmark_names == schema.landmark_names

    check()


def test_names_of_written_columns(tmp_path):
    paths = [tmp_path / "a.jpg"]
    path = tmp_path / "a.csv"
    write_csv(path, paths, [[1, 2, NAN, NAN]])
    assert path.read_text() == "image,x0,y0,x1,y1\na.jpg,1,2,,\n"
    schema = LandmarkSchema("s", ["x", "y_p"])
    write_csv(path, BoxedImages(paths, [[0, 0, 5, 5.5]], schema=schema), [[1, 2, 3, 4]])
    header, row = path.read_text().splitlines()
    assert header == "image,x,y,width,height,x_x,x_y,y_p_x,y_p_y"
    assert row == "a.jpg,0,0,5,5.5,1,2,3,4"
    assert read_csv(path).schema.landmark_names == schema.landmark_names
    write_csv(path, paths, [[1, 2]], layout="long", names=["tip"], images=tmp_path.parent)
    assert path.read_text() == f"image,landmark,x,y\n{tmp_path.name}/a.jpg,tip,1,2\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "auto"}, "'wide' or 'long'; got 'auto'"),
        ({"names": ["a"]}, "1 names, 1 of them different; expected 2"),
        ({"names": ["a", "a"]}, "2 names, 1 of them different"),
        ({"names": ["a\n", "b"]}, r"the name 'a\\n' of a landmark"),
        ({"names": ["p2", "p1"]}, "be ascending"),
        ({"names": ["p2", "p1"], "layout": "long"}, "be ascending"),
        ({"names": ["min", "max"]}, "corners"),
        ({"target": [[1, NAN, 3, 4]]}, "has x and no y at sample 0, landmark 0"),
        ({"target": [[1, 2, 3, 4]] * 2}, "data has 1 samples, target has 2"),
        ({"data": np.zeros((1, 9, 9), np.uint8)}, "pixels in memory"),
        ({"further": {"sex": ["m", "f"]}}, r"further\['sex'\] has shape \(2,\), expected \(1,\)"),
        ({"further": {"tail_x": [1], "tail_y": [2]}}, "'tail_y' cannot be read back"),
        ({"further": {"path": ["b.jpg"], "image": ["c.jpg"]}}, "cannot be read back"),
        ({"further": {" a": [1]}}, "cannot be read back"),
        ({"further": {"a": [1]}, "layout": "long"}, "no further columns such as 'a'"),
        ({"data": ["a\nb.jpg"]}, r"sample 0 \(a\nb.*cannot be written"),
        ({"data": ["\udcff.jpg"]}, "sample 0 .*cannot be written"),
        (
            {"data": ["a.jpg"] * 2, "target": [[1, 2]] * 2, "layout": "long"},
            r"sample 0 .* and sample 1 .* are of one image",
        ),
    ],
)
def test_what_cannot_be_written_is_an_error_and_leaves_no_file(tmp_path, options, message):
    path = tmp_path / "a.csv"
    path.write_text("before")
    data, target = options.pop("data", ["a.jpg"]), options.pop("target", [[1, 2, 3, 4]])
    with pytest.raises(ValueError, match=message):
        write_csv(path, data, target, **options)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("boxes", [None, [[1, 2, 30, 40]] * 3])
def test_further_columns_are_read_back(tmp_path, boxes):
    further = {
        "sex": ["m", "", None],
        "age": np.array([1, 2, 3]),
        "length": [0.1, np.nan, 2.0],
        "note": ['a "b", c', "two\nlines", "x;y"],
        "code": ["01", "02", "10"],
    }
    data = BoxedImages([tmp_path / f"{i}.png" for i in range(3)], boxes=boxes)
    write_csv(tmp_path / "a.csv", data, np.arange(12).reshape(3, 4), further=further)
    found = read_csv(tmp_path / "a.csv")
    assert found.target.ravel().tolist() == list(range(12))
    assert found.sex.tolist() == ["m", "", ""] and found.age.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.length, [0.1, np.nan, 2.0])
    assert found.note.tolist() == further["note"] and found.code.tolist() == further["code"]
    assert found.data.has_boxes == (boxes is not None) and found.unread == ()


# ---------------------------------------------------------------------------------------
# What can be wrong
# ---------------------------------------------------------------------------------------
HEAD = "image,nose_x,nose_y\n"
LONG = "image,landmark,x,y,visible\n"
PIXELS = " ".join(["7"] * 25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n,,\n", "the file is empty"),
        (HEAD, "a header and no row"),
        (HEAD + "a.jpg,1\n", "line 2: found 2 fields, expected 3"),
        (HEAD + "a.jpg,1,2\n\nb.jpg,1,2,3\n", "line 4: found 4 fields, expected 3"),
        (HEAD + "a.jpg,1,b\n", "line 2, column 'nose_y': found 'b', expected a number"),
        (HEAD + "a.jpg,1,2\n" * 3000 + "a.jpg,1_0,2\n", "line 3002, column 'nose_x': found '1_0'"),
        (HEAD + "a.jpg,1,\u0663\n", "line 2, column 'nose_y': found '\u0663'"),
        (HEAD + 'a.jpg,1,2\n"b.jpg,1,2\n"c.jpg",1,2\n', "line 3: .*expected after"),
        (HEAD + "a.jpg,True,2\nb.jpg,False,2\n", "line 2, column 'nose_x': found True"),
        (HEAD + f"a.jpg,1,{'9' * 400}\n", "line 2, column 'nose_y'"),
        (HEAD + "a.jpg,1,2\n,,\nb.jpg,1\n", "line 4: found 2 fields, expected 3"),
        (HEAD + '"a\n\nb.jpg",1,2\nc.jpg,oops,2\n', "line 5, column 'nose_x': found 'oops'"),
        (HEAD.replace(",", " ") + "a.jpg 1 2\nb.jpg 1\n", "line 3: found 2 fields, expected 3"),
        (HEAD + "a.jpg,1,inf\n", "line 2, column 'nose_y': found inf, expected a finite"),
        (HEAD + "a.jpg,1,1e999\n", "line 2, column 'nose_y'.*finite"),
        (HEAD + "a.jpg,1,\n", "line 2: landmark 'nose' has x and no y"),
        (HEAD + " ,1,2\n", "line 2, column 'image': found ' '"),
        (HEAD + "a" * 5000 + ",1,2\n", "line 2, column 'image': found 'aaa"),
        (HEAD + "../a.jpg,1,2\n", r"line 2: the image path '\.\./a\.jpg' leaves the folder"),
        (HEAD + "C:a.jpg,1,2\n", "line 2: .* leaves the folder"),
        (HEAD + 'a.jpg,1,2\nb.jpg,"1,2\nc.jpg,1,2\n', "line 3: .*quotation mark not closed"),
        (HEAD + 'a.jpg,"' + "1" * 200_000 + '",2\n', "line 2: .*field larger than"),
        (HEAD + "a.jpg," + "1" * 200_000 + ",2\n", "line 2, column 'nose_x'"),
        (HEAD + "a.jpg,1,2\0\n", "line 2: .*NUL"),
        (b"\xff\xfei\0m\0a\0g\0e\0", "line 1: not UTF-8"),
        ("image,nose_x,nose_y,nose_x\na.jpg,1,2,3\n", "columns 2 and 4 are both named 'nose_x'"),
        ("image,nose_x,nose_y,x_nose,y_nose\na,1,2,3,4\n", "all of landmark 'nose'"),
        ("image,nose,chin\na.jpg,1,2\n", "no columns of landmarks"),
        ("who,what,x0,y0\nbo,li,1,2\n", "which column holds the image"),
        ("a" * 5000 + ",x0,y0\na.jpg,1,2\n", "line 1: found 'aaa.* of 5000 characters"),
        ("a.jpg,1,2,3\n", "found 3 columns of numbers, expected pairs"),
        ("image,x,y,width,height,x0,y0\na.jpg,1,2,0,4,1,2\n", "line 2: the box .* above 0"),
        ("image,x,y,width,height,x0,y0\na.jpg,1,2,,4,1,2\n", "line 2: the box .* or none"),
        ("image,xmin,ymin,xmax,ymax,x0,y0\na.jpg,1,2,3,4,1,2\n", r"corners.*boxes=\(\)"),
        ("image,bbox_x1,bbox_y1,bbox_x2,bbox_y2,a_x,a_y\na.jpg,1,2,3,4,1,2\n", "corners"),
        ("image,left,top,right,bottom,a_x,a_y\na.jpg,1,2,3,4,1,2\n", "corners"),
        ("image,box.xmin,box.ymin,box.xmax,box.ymax,a_x,a_y\na.jpg,1,2,3,4,1,2\n", "corners"),
        (f"x0,y0,Image\n1,2,{PIXELS} 1\n", "line 2: found 26 grey levels.* square"),
        (f"x0,y0,Image\n1,2,{PIXELS}\n1,2,9 9\n", "line 3: found 2 grey levels, expected 25"),
        (f"x0,y0,Image\n1,2,{PIXELS[:-1]}256\n", "line 2: .*grey levels from 0 to 255"),
        (f"x0,y0,Image\n1,2,{PIXELS}\n1,2,a.jpg\n", "line 3: found 'a.jpg', expected grey"),
        (
            LONG + "a,p,1,2,1\nb,p,1,2,1\na,q,1,2,1\na,p,3,4,1\n",
            "line 5: landmark 'p' .*line 2\\b",
        ),
        (LONG + "a,p,1,,1\n", "line 2: .*has x and no y"),
        (LONG + "a,,1,2,1\n", "line 2: found '', expected the name of a landmark"),
        (LONG + ",p,1,2,1\n", "line 2, column 'image': found ''"),
        (LONG + "a,p,1,2,3\n", "line 2, column 'visible': found '3' for the visibility"),
        (LONG + "a,p,1,2,\u0663\n", "line 2, column 'visible': found '\u0663' for the visibility"),
        (LONG + "../a,p,1,2,1\n", "leaves the folder"),
        (LONG + "".join(f"{i},{i},1,2,1\n" for i in range(1100)), "1100 landmarks in only 1100"),
    ],
)
def test_malformed_table_is_an_error_that_names_file_and_line(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=rf"labels\.csv.*{message}"):
        read_csv(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "tall"}, "layout must be one of 'auto', 'wide', 'long'; got 'tall'"),
        ({"layout": "long"}, "needs columns image, landmark, x and y"),
        ({"column": "photo"}, "no column 'photo' for the image; found .*'nose_x'"),
        ({"groups": "who"}, "no column 'who' for the groups"),
        ({"landmarks": ["chin"]}, "landmark 'chin'; found landmarks .*'nose'"),
        ({"landmarks": ["nose", "nose"]}, "'nose' is selected twice"),
        ({"landmarks": [("nose_x", "z")]}, "no column 'z' for the landmarks"),
        ({"landmarks": [("nose_x",)]}, "expected a name or a pair"),
        ({"landmarks": "nose"}, "must be a sequence"),
        ({"boxes": ["nose_x"]}, "boxes names 1 columns, expected 4"),
        ({"sep": "::"}, "sep must be one character"),
        ({"decimal": "x"}, "decimal must be"),
        ({"encoding": "nope"}, "cannot be read as 'nope'"),
        ({"encoding": "ascii"}, "cannot be read as 'ascii'"),
        ({"schema": "ibug68"}, "'ibug68' has 68 landmarks, the data have 1"),
    ],
)
def test_wrong_option_is_an_error(write, options, message):
    path = write(HEAD + "\u00e9.jpg,1,2\n")
    with pytest.raises(ValueError, match=message):
        read_csv(path, **options)


def test_without_pandas_the_error_says_how_to_install_it(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    path = write(HEAD + "a.jpg,1,2\n")
    with pytest.raises(ImportError, match=r'needs pandas: `pip install "skwing\[csv\]"`'):
        read_csv(path)
    write_csv(path, ["a.jpg"], [[1, 2]])  # needs none


def test_missing_file_is_an_error(tmp_path):
    for options in ({}, {"encoding": "latin-1"}):
        with pytest.raises(FileNotFoundError, match=r"none\.csv"):
            read_csv(tmp_path / "none.csv", **options)
        with pytest.raises(ValueError, match="folder"):
            read_csv(tmp_path, **options)


def test_one_long_name_does_not_cost_its_room_in_every_row(write):
    rows = "".join(f"{i}.jpg,1,2,b\n" for i in range(1000))
    text = f"image,x0,y0,note\n{rows}c.jpg,1,2,{'n' * 100_000}\n"
    assert read_csv(write(text)).note.nbytes < 1e6


# ---------------------------------------------------------------------------------------
# The data set itself, where it is
# ---------------------------------------------------------------------------------------
def test_real_youtube_faces_are_all_there(data_dir):
    folder = data_dir / "youtube_faces"
    if not folder.is_dir():
        pytest.skip("there is no folder youtube_faces in SKWING_DATA")
    path = folder / "training_frames_keypoints.csv"
    options = {"images": folder / "training", "boxes": folder / "boxes.csv"}
    faces = read_csv(path, **options, groups="person", schema="ibug68")
    assert len(faces.data) == len(faces.target) == 3283
    assert faces.target.shape[1:] == (68, 2)
    assert np.isfinite(faces.target).all()
    assert len(set(faces.groups)) == 269
    assert sorted(set(faces.fold)) == list(range(2, 10))
    assert len({(p, f) for p, f in zip(faces.person, faces.fold, strict=True)}) == 269
    # Every box that the file has is of the row beside it: it holds most of the landmarks.
    boxes = faces.data.boxes
    has_box = np.isfinite(boxes[:, 0])
    assert (~has_box).sum() == 35
    low, high = boxes[has_box, None, :2], (boxes[:, :2] + boxes[:, 2:])[has_box, None]
    points = faces.target[has_box]
    share = ((points >= low) & (points <= high)).all(axis=2).mean(axis=1)
    assert np.median(share) > 0.9
    for i in range(0, 3283, 200):
        height, width = faces.data.decode(i).shape[:2]
        assert (faces.target[i].max(axis=0) < [width, height]).all()
    images = {os.path.basename(p) for p in faces.data.paths}
    assert images == set(os.listdir(folder / "training"))


# ---------------------------------------------------------------------------------------
# Visibility in wide tables
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "names", ["nose_x,nose_y,nose_v", "noseX,noseY,noseVisible", "x0,y0,v0", "x,y,visibility"]
)
def test_landmarks_of_visibility_0_are_missing_in_both_layouts(write, names):
    cells = [(3, 4, "1"), (0, 0, "0"), (5, 6, "2"), (7, 8, ""), (9, 9, "False")]
    rows = [f"{i}.jpg,{x},{y},{v}\n" for i, (x, y, v) in enumerate(cells)]
    wide = read_csv(write(f"image,{names}\n" + "".join(rows)))
    long = [row.replace(",", ",nose,", 1) for row in rows]
    long = read_csv(write("image,landmark,x,y,visible\n" + "".join(long), "long.csv"))
    np.testing.assert_array_equal(wide.target, long.target)
    np.testing.assert_array_equal(np.isnan(wide.target[:, 0, 0]), [0, 1, 0, 0, 1])


def test_only_the_landmark_of_the_column_is_missing(write):
    header = "image,a_x,a_y,a_v,b_x,b_y,v\n"
    table = read_csv(write(header + "a.jpg,1,2,0,3,4,0\n"))
    np.testing.assert_array_equal(table.target, [[[NAN, NAN], [3, 4]]])
    assert table.a_v.tolist() == [0]
    with pytest.raises(ValueError, match=r"line 2, column 'a_v': found '0\.87' for the visib"):
        read_csv(write(header + "a.jpg,1,2,0.87,3,4,0\n"))


# ---------------------------------------------------------------------------------------
# Rows with one field more than the header
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "more", "column"),
    [("path,x0,y0", "", None), ("photo,x0,y0", "", None), ("photo,x0,y0", "", "photo")]
    + [("image,landmark,x,y", "nose,", None)],
)
def test_a_field_too_many_is_not_the_name_of_a_row(write, header, more, column):
    text = f"{header}\na.jpg,{more}1,2,3\nb.jpg,{more}3,4,5\n"
    n = header.count(",") + 1
    with pytest.raises(ValueError, match=f"line 2: found {n + 1} fields, expected {n} as"):
        read_csv(write(text), column=column)


@pytest.mark.parametrize("header", ["x0,y0", "x,y,width,height,x0,y0", "sex,x0,y0"])
def test_names_of_rows_are_images(write, header):
    fields = ["m" if name == "sex" else str(i) for i, name in enumerate(header.split(","), 1)]
    table = read_csv(write(f"{header}\na.jpg,{','.join(fields)}\n"))
    assert table.names.tolist() == ["a.jpg"]
    assert table.target.tolist() == [[[len(fields) - 1, len(fields)]]]
