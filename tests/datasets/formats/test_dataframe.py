from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._formats.csv import read_csv
from skwing.datasets._formats.csv_write import write_csv
from skwing.datasets._formats.dataframe import from_dataframe
from skwing.schema import LandmarkSchema

pd = pytest.importorskip("pandas")
NAN = np.nan


def table(**columns):
    return pd.DataFrame({"path": ["a.jpg", "b.jpg"], **columns})


@pytest.mark.parametrize(
    "names",
    [
        ("nose_x", "nose_y", "chin_x", "chin_y"),
        ("nose.x", "nose.y", "chin.x", "chin.y"),
        ("nose x", "nose y", "chin-x", "chin-y"),
        ("noseX", "noseY", "chinX", "chinY"),
        ("nose_X", "nose_Y", "chin_X", "chin_Y"),
        ("x_nose", "y_nose", "x_chin", "y_chin"),
        ("xNose", "yNose", "xChin", "yChin"),
        ("lm_x_nose", "lm_y_nose", "lm_x_chin", "lm_y_chin"),
        ("x0", "y0", "x1", "y1"),
        ("x1", "y1", "x2", "y2"),
        ("p1x", "p1y", "p2x", "p2y"),
        ("p1.x", "p1.y", "p2.x", "p2.y"),
        ("x_0", "y_0", "x_1", "y_1"),
        ("lm_x_0", "lm_y_0", "lm_x_1", "lm_y_1"),
        ("landmark_0_x", "landmark_0_y", "landmark_1_x", "landmark_1_y"),
        ("0", "1", "2", "3"),
        (0, 1, 2, 3),
    ],
)
def test_landmarks_are_pairs_of_columns(names):
    values = [[1, 10], [2, 20], [3, 30], [4, 40]]
    df = table(**{str(n): v for n, v in zip(names, values, strict=True)})
    df.columns = ["path", *names]
    faces = from_dataframe(df)
    expected = [[[1, 2], [3, 4]], [[10, 20], [30, 40]]]
    np.testing.assert_array_equal(faces.target, expected)
    named = "nose" in str(names[0]).lower()
    assert (faces.schema is not None) == named
    if named:
        assert "nose" in faces.schema.landmark_names[0].lower()
    if isinstance(names[0], str) and not names[0].isdigit():
        # All x first and then all y, as others write.
        mixed = from_dataframe(df[["path", *names[::2], *names[1::2]]])
        np.testing.assert_array_equal(mixed.target, expected)


def test_other_columns_are_not_landmarks():
    df = table(
        index=[5, 6],
        fox=[1, 2],
        foy=[1, 2],
        matrix=[1, 2],
        tip_x=[3, 4],
        tip_y=[5, 6],
        tip_z=[7, 8],
    )
    leaf = from_dataframe(df)
    assert leaf.schema.landmark_names == ("tip",)
    assert leaf.schema.mirror is None
    assert leaf.tip_z.tolist() == [7, 8]
    assert leaf.fox.tolist() == [1, 2]
    # Two families of one name: the user has to say which.
    df = table(x_0=[1, 2], y_0=[3, 4], X_0=[5, 6], Y_0=[7, 8])
    with pytest.raises(ValueError, match="X_0, Y_0 and x_0, y_0 are all of landmark '0'"):
        from_dataframe(df)
    faces = from_dataframe(df, landmarks=[("X_0", "Y_0")])
    assert faces.target.tolist() == [[[5, 7]], [[6, 8]]]


def test_boxes_by_name_and_by_choice():
    point = {"x0": [1, 2], "y0": [3, 4]}
    box = [[1, 2, 3, 4], [NAN] * 4]
    columns = np.transpose(box).tolist()
    for names in (
        ("x", "y", "width", "height"),
        ("X", "Y", "W", "H"),
        ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ):
        df = table(**dict(zip(names, columns, strict=True)), **point)
        np.testing.assert_array_equal(from_dataframe(df).data.boxes, box)
        none = from_dataframe(df, boxes=())
        assert np.isnan(none.data.boxes).all()
        assert none.target.shape == (2, 1, 2)
    df = table(left=columns[0], top=columns[1], w=columns[2], h=columns[3], **point)
    assert np.isnan(from_dataframe(df).data.boxes).all()
    faces = from_dataframe(df, boxes=("left", "top", "w", "h"))
    np.testing.assert_array_equal(faces.data.boxes, box)
    df = table(xmin=[1, 2], ymin=[1, 2], xmax=[3, 4], ymax=[3, 4], **point)
    with pytest.raises(ValueError, match="the columns xmin, ymin, xmax, ymax look like corners"):
        from_dataframe(df)
    assert from_dataframe(df, boxes=()).xmax.tolist() == [3, 4]


def test_column_of_the_images():
    point = {"x0": [1.0, 2], "y0": [3.0, 4]}
    df = pd.DataFrame({"Frame": ["a.jpg", "b.jpg"], "id": [1, 2], **point})
    assert list(from_dataframe(df).data.paths) == ["a.jpg", "b.jpg"]
    df["who"] = ["Bo", "Li"]  # two texts, one of which names image files
    assert list(from_dataframe(df).data.paths) == ["a.jpg", "b.jpg"]
    df["mask"] = ["c.png", "d.png"]
    with pytest.raises(ValueError, match=r"which column holds the image.*Frame.*mask"):
        from_dataframe(df)
    assert list(from_dataframe(df, path="Frame").data.paths) == ["a.jpg", "b.jpg"]
    by_index = df[["x0", "y0"]].set_index(pd.Index(["a.jpg", "b.jpg"]))
    assert list(from_dataframe(by_index).data.paths) == ["a.jpg", "b.jpg"]
    df = pd.DataFrame({"file": [Path("a.jpg"), Path("b.jpg")], **point})
    faces = from_dataframe(df, images=Path("photos"))
    assert list(faces.data.paths) == [str(Path("photos", n)) for n in ("a.jpg", "b.jpg")]
    assert faces.names.tolist() == ["a.jpg", "b.jpg"]
    pixels = [np.full((4, 6), 7, np.uint8), np.zeros((5, 5, 3), np.uint8)]
    faces = from_dataframe(pd.DataFrame({"image": pixels, **point}, index=[8, 9]))
    assert faces.data.decode(0).shape == (4, 6, 3)
    assert faces.names.tolist() == faces.groups.tolist() == ["8", "9"]
    text = " ".join(map(str, range(36)))
    faces = from_dataframe(pd.DataFrame({"Image": [text, text], **point}))
    assert faces.data.decode(1)[..., 0].ravel().tolist() == list(range(36))


def test_missing_values_of_every_kind():
    df = table(
        a_x=[1, 2],
        a_y=[1, 2],
        b_x=pd.array([1, None], dtype="Int64"),
        b_y=pd.array([1.5, None], dtype="Float64"),
        c_x=[None, "2.5"],
        c_y=["", 3],
    )
    np.testing.assert_array_equal(
        from_dataframe(df).target,
        [[[1, 1], [1, 1.5], [NAN, NAN]], [[2, 2], [NAN, NAN], [2.5, 3]]],
    )


def test_groups_and_schema():
    df = table(l_x=[1, 2], l_y=[3, 4], r_x=[5, 6], r_y=[7, 8], who=["Bo", "Bo"])
    assert from_dataframe(df, groups="who").groups.tolist() == ["Bo", "Bo"]
    assert from_dataframe(df, groups=[1, 2]).groups.tolist() == ["1", "2"]
    with pytest.raises(ValueError, match=r"groups have shape \(1,\)"):
        from_dataframe(df, groups=["a"])
    with pytest.raises(ValueError, match="no column 'whom' for the groups"):
        from_dataframe(df, groups="whom")
    schema = LandmarkSchema("pair", ["r", "l"], (1, 0))
    faces = from_dataframe(df, schema=schema)
    assert faces.schema is faces.data.schema is schema
    assert faces.target[0].tolist() == [[5, 7], [1, 3]]
    data, target = from_dataframe(df, schema=schema, return_X_y=True)
    np.testing.assert_array_equal(target, faces.target)
    assert data.schema is schema


def test_columns_of_several_levels_as_of_deeplabcut():
    columns = pd.MultiIndex.from_product([["Ann"], ["nose", "tail"], ["x", "y"]])
    df = pd.DataFrame([[1, 2, 3, 4.0]], index=["labeled-data/v/a.png"], columns=columns)
    mouse = from_dataframe(df)
    assert mouse.schema.landmark_names == ("nose", "tail")
    assert mouse.target.tolist() == [[[1, 2], [3, 4]]]
    assert mouse.names.tolist() == ["labeled-data/v/a.png"]


@pytest.mark.slow
@given(st.integers(1, 4), st.integers(1, 3), st.data())
@settings(max_examples=20, deadline=None)
def test_a_frame_that_pandas_read_is_the_table_that_read_csv_reads(tmp_path_factory, n, k, data):
    numbers = st.floats(-1e6, 1e6)
    points = np.reshape(
        data.draw(st.lists(numbers, min_size=n * k * 2, max_size=n * k * 2)), (n, k, 2)
    )
    points[data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), 0] = NAN
    folder = tmp_path_factory.mktemp("tables")
    path = folder / "a.csv"
    write_csv(path, [folder / f"{i}.jpg" for i in range(n)], points)
    ours = read_csv(path)
    theirs = from_dataframe(pd.read_csv(path), images=folder)
    np.testing.assert_array_equal(ours.target, points)
    np.testing.assert_allclose(theirs.target, points, rtol=1e-14)  # as exact as pandas parses
    assert list(ours.data.paths) == list(theirs.data.paths)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x0": [1, "two"], "y0": [3, 4]}, "row 'r2', column 'x0': found 'two', expected a number"),
        ({"x0": [1, np.inf], "y0": [3, 4]}, "row 'r2', column 'x0': found inf"),
        ({"x0": [1, NAN], "y0": [3, 4]}, "row 'r2': landmark '0' has y and no x"),
        ({"path": ["a.jpg", None], "x0": [1, 2], "y0": [3, 4]}, "row 'r2', column 'path'"),
        ({"path": ["a.jpg", ""], "x0": [1, 2], "y0": [3, 4]}, "row 'r2', column 'path'"),
        ({"path": ["a.jpg", ".."], "x0": [1, 2], "y0": [3, 4]}, "row 'r2': .*leaves"),
        ({"x": [1, 1], "y": [1, 1], "width": [1, 0], "height": [1, 1]}, "row 'r2': the box"),
        ({"nose": [1, 2]}, "the DataFrame: no columns of landmarks"),
        ({"x0": [1j, 2], "y0": [3, 4]}, "row 'r1', column 'x0'"),
        ({"x0": pd.to_datetime(["2020-01-01"] * 2), "y0": [3, 4]}, "row 'r1', column 'x0'"),
        ({"x0": [[1], [2]], "y0": [3, 4]}, r"row 'r1', column 'x0': found \[1\]"),
    ],
)
def test_wrong_cell_is_an_error_that_names_row_and_column(columns, message):
    if "width" in columns:
        columns = {**columns, "x0": [1, 2], "y0": [1, 2]}
    df = table(**columns)
    df.index = ["r1", "r2"]
    with pytest.raises(ValueError, match=message):
        from_dataframe(df, images="photos")


def test_wrong_frame_is_an_error():
    with pytest.raises(TypeError, match="df is of type list, expected a pandas DataFrame"):
        from_dataframe([["a.jpg", 1, 2]])
    with pytest.raises(ValueError, match="no rows"):
        from_dataframe(table()[:0])
    df = pd.DataFrame([["a.jpg", 1, 2, 3]], columns=["path", "x0", "y0", "y0"])
    with pytest.raises(ValueError, match="columns 3 and 4 are both named 'y0'"):
        from_dataframe(df)


@pytest.mark.parametrize("values", [[0, 1, 2], [False, True, True], [0.0, np.nan, 1.0]])
def test_landmarks_of_visibility_0_are_missing(values):
    df = pd.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"], "nose_x": [1, 2, 3], "nose_y": 4})
    target = from_dataframe(df.assign(nose_v=values)).target
    np.testing.assert_array_equal(np.isnan(target[:, 0]).all(axis=-1), [True, False, False])
    np.testing.assert_array_equal(target[1:], from_dataframe(df).target[1:])
