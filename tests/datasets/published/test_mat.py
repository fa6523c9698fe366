import struct
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from skwing.datasets._published.mat import as_numbers, read_mat
from skwing.datasets._published.mat5 import parse_mat5

DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@pytest.fixture
def saved(tmp_path):
    def saved(compress=True, **variables):
        scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compress)
        return tmp_path / "a.mat"

    return saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mat")


@pytest.mark.slow
@given(
    array=strategies.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=4, min_side=0))
    ),
    compress=strategies.booleans(),
)
@settings(max_examples=30)
def test_numbers_are_read_as_they_were_saved(folder, array, compress):
    path = folder / "a.mat"
    scipy.io.savemat(path, {"other": "x" * 700, "a": array}, do_compression=compress)
    found = read_mat(path, ["a"])
    assert list(found) == ["a"]
    assert found["a"].dtype == array.dtype
    np.testing.assert_array_equal(found["a"], array)


def test_cells_structs_and_texts(saved):
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0] = {"name": "a b.jpg", "box": np.arange(4.0)}
    cells[0, 1] = np.array([["x", "y"]], dtype=object)
    path = saved(cells=cells, text="caf\xe9", rows=np.array(["ab", "cd"]), flags=np.array([True]))
    found = read_mat(path, ["cells", "text", "rows", "flags"])
    first = found["cells"][0, 0].item()
    assert first["name"].tolist() == ["a b.jpg"]
    assert first["box"].tolist() == [[0, 1, 2, 3]]
    assert [cell.tolist() for cell in found["cells"][0, 1].ravel()] == [["x"], ["y"]]
    assert found["text"].tolist() == ["caf\xe9"]
    assert found["rows"].tolist() == ["ab", "cd"]
    assert found["flags"].dtype == bool


def element(kind, data):
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def big_endian(contents, kind=6, shape=(1, 2), name=b"a"):
    """A file as machines of the other byte order wrote it."""
    header = b"MATLAB 5.0".ljust(124) + b"\1\0MI"
    parts = [
        element(6, struct.pack(">II", kind, 0)),
        element(5, struct.pack(f">{len(shape)}i", *shape)),
        struct.pack(">HH", len(name), 1) + name.ljust(4, b"\0"),  # a short name lies in the tag
        contents,
    ]
    return header + element(14, b"".join(parts))


def test_other_byte_order_and_numbers_stored_small():
    raw = big_endian(element(4, struct.pack(">2H", 1, 515)))
    found = parse_mat5(raw, ["a"])["a"]
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 515]]


def test_variables_of_other_kinds_are_an_error_only_if_asked_for(saved):
    path = saved(a=np.ones(3), b=np.ones(3) * 1j, c=scipy.sparse.eye_array(3, format="csc"))
    assert read_mat(path, ["a"])["a"].tolist() == [[1, 1, 1]]
    for name in "bc":
        with pytest.raises(ValueError, match=r"a\.mat: this MATLAB file cannot be read: an array"):
            read_mat(path, [name])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "does not begin"),
        (b"MATLAB 5.0".ljust(124) + b"\1\0MI" + b"\0\0\0", "cut short"),
        (b"MATLAB 7.3".ljust(124) + b"\2\0MI", "does not begin"),
        (big_endian(element(9, bytes(24))), r"shape \(1, 2\) has 3 numbers"),
        (big_endian(element(9, bytes(16)), shape=(1, -2)), "sensible dimensions"),
        (big_endian(element(9, bytes(16)), shape=(2,)), "sensible dimensions"),
        (big_endian(element(9, bytes(15))), "part of a number"),
        (big_endian(element(99, bytes(16))), "type 99, expected numbers"),
        (big_endian(struct.pack(">II", 9, 2**31) + bytes(16)), "cut short"),
        (big_endian(b"", kind=1, shape=(2**31 - 1, 2**31 - 1)), "do not fit into the file"),
        (big_endian(element(5, struct.pack(">i", 0)) + element(1, b"ab"), kind=2), "field names"),
    ],
)
def test_damaged_file_is_an_error(tmp_path, raw, message):
    (tmp_path / "bad.mat").write_bytes(raw)
    with pytest.raises(
        ValueError, match=rf"bad\.mat: this MATLAB file cannot be read: .*{message}"
    ):
        read_mat(tmp_path / "bad.mat", ["a"])


def test_cells_nested_deeply_are_an_error():
    contents = element(9, bytes(16))
    for _ in range(2000):
        one = big_endian(contents, kind=1, shape=(1, 1))[128:]
        contents = one
    with pytest.raises(ValueError, match="nested more than 8 deep"):
        parse_mat5(big_endian(contents, kind=1, shape=(1, 1)), ["a"])


def test_small_file_that_would_fill_the_memory_is_an_error():
    inner = big_endian(element(2, bytes(2**23)), kind=9, shape=(1, 2**23))[128:]
    packed = zlib.compress(inner, 9)
    raw = b"MATLAB 5.0".ljust(124) + b"\1\0MI" + struct.pack(">II", 15, len(packed)) + packed
    with pytest.raises(ValueError, match="a claims more than"):
        parse_mat5(raw, ["a"])
    assert parse_mat5(raw, ["b"]) == {}


def test_numbers_are_checked():
    variables = {"a": np.array([[1, 2], [3, np.nan]])}
    assert np.isnan(as_numbers(variables, "a", (None, 2), "f", missing=True)[1, 1])
    with pytest.raises(ValueError, match=r"f: a\(2, 2\) is not a finite number"):
        as_numbers(variables, "a", (2, 2), "f")
    with pytest.raises(ValueError, match=r"f: a is an array of .* expected numbers, n x 3"):
        as_numbers(variables, "a", (None, 3), "f")
