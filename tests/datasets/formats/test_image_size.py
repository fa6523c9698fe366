import struct

import cv2
import numpy as np
import pytest

from skwing.datasets._formats import image_size as image_size_module
from skwing.datasets._formats.image_size import image_size, image_sizes
from skwing.images._decode import read_image

PIXELS = np.random.default_rng(0).integers(0, 255, (11, 23, 3), dtype=np.uint8)


def write(path, suffix=None, *options):
    _, data = cv2.imencode(suffix or path.suffix, PIXELS, list(options))
    path.write_bytes(data.tobytes())
    return str(path)


def exif(order, orientation):
    """EXIF block with a width, which is to be ignored, and an orientation."""
    sign = b"II" if order == "<" else b"MM"
    entry = struct.pack(order + "HHII", 0x100, 4, 1, 999)
    entry += struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    head = sign + struct.pack(order + "HIH", 42, 8, 2)
    return b"Exif\0\0" + head + entry + struct.pack(order + "I", 0)


def insert_segment(path, payload):
    data = path.read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    path.write_bytes(data[:2] + segment + data[2:])


def sizes_agree(path):
    height, width = read_image(path, "it").shape[:2]
    return image_size(path, "it") == (width, height)


@pytest.fixture
def no_decoding(monkeypatch):
    def refuse(path, describe):
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr(image_size_module, "read_image", refuse)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_common_files_are_not_decoded(tmp_path, no_decoding, suffix):
    assert image_size(write(tmp_path / f"a{suffix}"), "it") == (23, 11)


def test_progressive_jpeg_is_not_decoded(tmp_path, no_decoding):
    assert image_size(write(tmp_path / "a.jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "it") == (
        23,
        11,
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(10))
def test_turned_jpegs_have_the_size_they_decode_to(tmp_path, order, orientation):
    path = tmp_path / "a.jpg"
    write(path)
    insert_segment(path, exif(order, orientation))
    assert sizes_agree(str(path))


def test_turned_jpeg_is_not_decoded(tmp_path, no_decoding):
    path = tmp_path / "a.jpg"
    write(path)
    insert_segment(path, exif("<", 6))
    insert_segment(path, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    assert image_size(str(path), "it") == (11, 23)


@pytest.mark.parametrize("suffix", [".webp", ".ppm", ".gif"])
def test_less_common_files_are_not_decoded(tmp_path, no_decoding, suffix):
    assert image_size(write(tmp_path / f"a{suffix}"), "it") == (23, 11)


@pytest.mark.parametrize("suffix", [".ras", ".hdr"])
def test_other_files_are_decoded(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pixels = PIXELS if suffix == ".ras" else PIXELS.astype(np.float32) / 255
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    assert image_size(str(path), "it") == (23, 11)


def test_bmp_from_the_top_down(tmp_path):
    path = tmp_path / "a.bmp"
    write(path)
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack("<i", -11)
    path.write_bytes(data)
    assert sizes_agree(str(path))


def test_turned_tiff_is_decoded(tmp_path):
    path = tmp_path / "a.tiff"
    write(path)
    data = bytearray(path.read_bytes())
    (offset,) = struct.unpack("<4xI", data[:8])
    (count,) = struct.unpack_from("<H", data, offset)
    # The last tag is overwritten by an orientation of 6, a quarter turn.
    places = [offset + 2 + 12 * i for i in range(count)]
    struct.pack_into("<HHIHH", data, places[-1], 0x112, 3, 1, 6, 0)
    path.write_bytes(data)
    assert sizes_agree(str(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_broken_files_are_errors_or_sizes(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for n in [*range(0, 60, 2), *rng.integers(0, len(data), 10)]:
        cut, flipped = data[:n], bytearray(data)
        flipped[n % len(data)] ^= 1 << (n % 8)
        for broken in (cut, bytes(flipped)):
            path.write_bytes(broken)
            try:
                width, height = image_size(str(path), "photo 7")
            except ValueError as error:
                assert "photo 7" in str(error)
            else:
                assert width > 0 and height > 0


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="photo 7"):
        image_size(str(tmp_path / "no.png"), "photo 7")
    with pytest.raises(ValueError, match=r"photo 7.*folder"):
        image_size(str(tmp_path), "photo 7")
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(ValueError, match="photo 7"):
        image_size(str(tmp_path / "a.jpg"), "photo 7")


def test_each_file_is_looked_at_once(monkeypatch):
    seen = []
    monkeypatch.setattr(
        image_size_module, "image_size", lambda path, _: seen.append(path) or (4, 5)
    )
    sizes = image_sizes(["a", "b", "a"], str)
    np.testing.assert_array_equal(sizes, [[4, 5]] * 3)
    assert seen == ["a", "b"]
    assert image_sizes([], str).shape == (0, 2)
