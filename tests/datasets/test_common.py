import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets import _common as common
from skwing.images import BoxedImages

few = settings(max_examples=30, deadline=None)


def text_file(tmp_path, raw):
    path = tmp_path / "labels.csv"
    path.write_bytes(raw)
    return path


def test_a_bunch_carries_the_schema_of_its_images():
    data = BoxedImages(["a.jpg", "b.jpg"], schema="aflw19")
    target = np.zeros((2, 19, 2), dtype=np.float32)
    faces = common.as_bunch(data, target, names=["a", "b"], descr="two", extra=3)
    assert faces.data is data
    assert faces.schema is data.schema
    assert faces.target.dtype == np.float64
    assert faces.groups.tolist() == ["a.jpg", "b.jpg"]
    assert faces.names.dtype.kind == faces.groups.dtype.kind == "U"
    assert (faces.DESCR, faces.extra) == ("two", 3)
    grouped = common.as_bunch(data, target, names=["a", "b"], descr="", groups=["p", "p"])
    assert grouped.groups.tolist() == ["p", "p"]
    images, points = common.as_bunch(data, target, names=[], descr="", return_X_y=True)
    assert images is data
    assert points.shape == (2, 19, 2)


def test_one_long_name_does_not_fill_the_memory():
    n = 50_000
    data = BoxedImages(["a.jpg"] * n)
    names = ["a"] * (n - 1) + ["b" * 100_000]
    faces = common.as_bunch(data, np.zeros((n, 1, 2)), names=names, descr="")
    assert faces.names.nbytes < 10**7
    assert faces.names[-1] == names[-1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("./a//b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("a/../b.jpg", "b.jpg"),
        ("a/b/../../c/d.jpg", "c/d.jpg"),
        ("...jpg", "...jpg"),
        ("ab:c.jpg", "ab:c.jpg"),
    ],
)
def test_paths_below_the_folder(name, expected):
    assert common.inside("root", name, "x") == os.path.join("root", *expected.split("/"))


@pytest.mark.parametrize(
    "name",
    ["/a.jpg", "\\a.jpg", "\\\\host\\a.jpg", "C:\\a.jpg", "c:a.jpg", "../a.jpg", "a/../../b.jpg"],
)
def test_paths_that_leave_the_folder(name):
    with pytest.raises(ValueError, match=r"^labels.csv, line 3: .* leaves the folder root"):
        common.inside("root", name, "labels.csv, line 3")


@pytest.mark.parametrize("name", ["", ".", "a/..", "a/", "a\0.jpg", None, 3])
def test_paths_of_no_file(name):
    with pytest.raises(ValueError, match=r"^here: found .* expected the path of an image"):
        common.inside("root", name, "here")


@few
@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), max_size=8))
def test_inside_agrees_with_the_system_on_what_leaves(parts):
    name = "/".join(parts)
    full = os.path.normpath(os.path.join("/root", name))
    # What leaves and comes back would depend on the name of the folder.
    steps = np.cumsum([{"..": -1, ".": 0, "": 0}.get(part, 1) for part in parts] or [0])
    if name.startswith("/") or steps.min() < 0 or full == "/root" or name.endswith("/"):
        with pytest.raises(ValueError):
            common.inside("/root", name, "here")
    else:
        assert common.inside("/root", name, "here") == full


def test_text_is_read_with_any_line_ends_and_mark(tmp_path):
    path = text_file(tmp_path, "\ufeffä,1\r\nb\rc\n".encode())
    assert common.read_text(path) == "ä,1\nb\nc\n"
    assert common.read_text(str(path)) == common.read_text(path)
    assert common.read_text(text_file(tmp_path, b"")) == ""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("a\nfür".encode("latin-1"), r"labels.csv, line 2: not UTF-8 text \(byte 0xfc\)"),
        ("a\n".encode("utf-16"), r"labels.csv, line 1: not UTF-8 text \(byte 0xff\)"),
        ("a\nb\n".encode("utf-16-le"), r"labels.csv, line 1: .*NUL"),
        (b"a\r\nb\rc\n\0", r"labels.csv, line 4: .*NUL"),
    ],
)
def test_text_of_another_encoding(tmp_path, raw, message):
    with pytest.raises(ValueError, match=message) as caught:
        common.read_text(text_file(tmp_path, raw))
    assert type(caught.value) is ValueError


def test_text_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        common.read_text(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="this is a folder"):
        common.read_text(tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        common.read_text("a\0b")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_their_text(number):
    text = common.number_text(number)
    assert common.as_number(text, "here") == number
    assert math.copysign(1, common.as_number(text, "here")) == math.copysign(1, number)
    assert len(text) <= len(repr(number))


def test_numbers_of_a_json_parser():
    assert common.as_number(3, "here") == 3.0
    assert common.as_number(np.float32(0.5), "here") == 0.5
    assert math.isnan(common.as_number(None, "here", missing=(None,)))


@pytest.mark.parametrize(
    "text",
    ["abc", "", "nan", "NaN", "inf", "-Infinity", "1e999", "1_000", "1,5", "٣", "0x1p3", "1 2"],
)
def test_no_numbers(text):
    with pytest.raises(ValueError, match=r"^f.csv, line 3: found .*, expected a number"):
        common.as_number(text, "f.csv, line 3")


@pytest.mark.parametrize("value", [None, True, [], {}, math.nan, math.inf, 10**400, 1j, b"1"])
def test_no_numbers_of_a_json_parser(value):
    with pytest.raises(ValueError, match="expected a number"):
        common.as_number(value, "here")


def test_a_missing_value_is_what_the_format_says():
    assert math.isnan(common.as_number(" NA ", "here", missing=("NA",)))
    with pytest.raises(ValueError, match="found 'na'"):
        common.as_number("na", "here", missing=("NA",))


def test_names_are_sorted_as_people_count():
    names = ["p10", "p2", "p1", "a", "10", "9", "p2b", "p02", ""]
    assert sorted(names, key=common.natural_key) == [
        *("", "9", "10", "a", "p1", "p02", "p2", "p2b", "p10")
    ]


@few
@given(st.lists(st.text(alphabet="0129aé²", max_size=6), unique=True))
def test_the_natural_order_is_total(names):
    order = sorted(names, key=common.natural_key)
    assert order == sorted(reversed(names), key=common.natural_key)
    assert len({common.natural_key(name) for name in names}) == len(names)
    numbers = [name for name in order if name.isascii() and name.isdigit()]
    assert [int(name) for name in numbers] == sorted(int(name) for name in numbers)


def test_digits_without_end_are_compared_all_the_same():
    long = "9" * 100_000  # int() refuses more than a few thousand digits
    assert common.natural_key(long) > common.natural_key("8" + "9" * 50_000)


def test_paths_are_written_relative_to_the_file(tmp_path):
    assert common.relative_path(tmp_path / "a" / "b.jpg", tmp_path) == "a/b.jpg"
    elsewhere = tmp_path.parent / (tmp_path.name + "2") / "b.jpg"
    written = common.relative_path(elsewhere, tmp_path)
    assert os.path.isabs(written)
    assert os.path.normpath(written) == str(elsewhere)


def test_what_a_writer_gets():
    data = BoxedImages(["a.jpg", "b.jpg"])
    for target in (np.ones((2, 3, 2)), np.ones((2, 6))):
        images, points = common.check_written(data, target)
        assert images is data
        assert points.shape == (2, 3, 2)
    with pytest.raises(ValueError, match="data has 2 samples, target has 3"):
        common.check_written(data, np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match="expected 19"):
        common.check_written(BoxedImages(["a.jpg"], schema="aflw19"), np.ones((1, 3, 2)))
    pixels = BoxedImages(np.zeros((2, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="pixels in memory"):
        common.check_written(pixels, np.ones((2, 3, 2)))
    assert common.check_written(pixels, np.ones((2, 3, 2)), needs_paths=False)[0] is pixels
