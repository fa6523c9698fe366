import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.datasets._text import as_number, natural_key, number_text, read_text

few = settings(max_examples=30, deadline=None)


def text_file(tmp_path, raw):
    path = tmp_path / "labels.csv"
    path.write_bytes(raw)
    return path


def test_text_is_read_with_any_line_ends_and_mark(tmp_path):
    path = text_file(tmp_path, "\ufeffä,1\r\nb\rc\n".encode())
    assert read_text(path) == "ä,1\nb\nc\n"
    assert read_text(str(path)) == read_text(path)
    assert read_text(text_file(tmp_path, b"")) == ""


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
        read_text(text_file(tmp_path, raw))
    assert type(caught.value) is ValueError


def test_text_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="this is a folder"):
        read_text(tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_text("a\0b")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_their_text(number):
    text = number_text(number)
    assert as_number(text, "here") == number
    assert math.copysign(1, as_number(text, "here")) == math.copysign(1, number)
    assert len(text) <= len(repr(number))


def test_numbers_of_a_json_parser():
    assert as_number(3, "here") == 3.0
    assert as_number(np.float32(0.5), "here") == 0.5
    assert math.isnan(as_number(None, "here", missing=(None,)))


@pytest.mark.parametrize(
    "text",
    ["abc", "", "nan", "NaN", "inf", "-Infinity", "1e999", "1_000", "1,5", "٣", "0x1p3", "1 2"],
)
def test_no_numbers(text):
    with pytest.raises(ValueError, match=r"^f.csv, line 3: found .*, expected a number"):
        as_number(text, "f.csv, line 3")


@pytest.mark.parametrize("value", [None, True, [], {}, math.nan, math.inf, 10**400, 1j, b"1"])
def test_no_numbers_of_a_json_parser(value):
    with pytest.raises(ValueError, match="expected a number"):
        as_number(value, "here")


def test_a_missing_value_is_what_the_format_says():
    assert math.isnan(as_number(" NA ", "here", missing=("NA",)))
    with pytest.raises(ValueError, match="found 'na'"):
        as_number("na", "here", missing=("NA",))


def test_names_are_sorted_as_people_count():
    names = ["p10", "p2", "p1", "a", "10", "9", "p2b", "p02", ""]
    assert sorted(names, key=natural_key) == [
        *("", "9", "10", "a", "p1", "p02", "p2", "p2b", "p10")
    ]


@few
@given(st.lists(st.text(alphabet="0129aé²", max_size=6), unique=True))
def test_the_natural_order_is_total(names):
    order = sorted(names, key=natural_key)
    assert order == sorted(reversed(names), key=natural_key)
    assert len({natural_key(name) for name in names}) == len(names)
    numbers = [name for name in order if name.isascii() and name.isdigit()]
    assert [int(name) for name in numbers] == sorted(int(name) for name in numbers)


def test_digits_without_end_are_compared_all_the_same():
    long = "9" * 100_000  # int() refuses more than a few thousand digits
    assert natural_key(long) > natural_key("8" + "9" * 50_000)
