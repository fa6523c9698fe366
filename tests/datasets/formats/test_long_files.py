"""Files of 40,000 lines, damaged at the end: an error with that line, in bounded memory."""

import re
import tracemalloc

import pytest

from skwing.datasets import read_coco, read_csv, read_dlib_xml, read_pts, read_tps

N = 40_000


def _csv(path):
    lines = "".join(f"{i}.png,p0,1,2\n" for i in range(N - 2))
    path.write_text(f"image,landmark,x,y\n{lines}z.png,p0,1,oops\n")
    return lambda: read_csv(path, layout="long")


def _wide(path):
    lines = "".join(f"{i}.png,1,2\n" for i in range(N - 2))
    path.write_text(f"image,tip_x,tip_y\n{lines}z.png,1,oops\n")
    return lambda: read_csv(path)


def _pts(path):
    path.write_text(f"version: 1\nn_points: {N - 3}\n{{\n" + "1 2\n" * (N - 4) + "1 oops\n")
    return lambda: read_pts(path)


def _tps(path):
    specimen = "LM=2\n1 2\n3 4\nIMAGE=a.png\n"
    path.write_text(specimen * (N // 4 - 1) + "LM=2\n1 2\n3 4\n1 oops\n")
    return lambda: read_tps(path, image_height=9)


def _xml(path):
    image = "<image file='a.png'>\n<box top='0' left='0' width='9' height='9'>\n"
    image += "<part name='0' x='1' y='2'/>\n</box></image>\n"
    head = "<?xml version='1.0'?>\n<dataset>\n<images>\n"
    path.write_text(head + image * (N // 4 - 1) + "<image file='a.png'>\n")
    return lambda: read_dlib_xml(path)


def _json(path):
    path.write_text('{"images": [\n' + '{"id": 1},\n' * (N - 2) + "oops\n")
    return lambda: read_coco(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "bytes_a_line"),
    # A fifth more than they take, with modules that are imported late. A name and two numbers are
    # 200 bytes as objects of Python.
    [(_csv, 290), (_wide, 195), (_pts, 216), (_tps, 263), (_xml, 84), (_json, 245)],
)
def test_damage_at_the_end_of_a_long_file_is_named_and_memory_is_bounded(
    tmp_path, write, bytes_a_line
):
    path = tmp_path / "long"
    read = write(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"long.*line \d+") as error:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert N - 10 < int(re.search(r"line (\d+)", str(error.value))[1]) <= N + 1
    assert peak < N * bytes_a_line
