"""Image files give what viewers show, or an error: never a part, never a guess."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from skwing import BoxedImages
from skwing.images import _decode
from skwing.images._headers import read_header

# A picture of patches with some noise; how damage of its files shows depends on its content.
_RNG = np.random.default_rng(0)
FACE = cv2.resize(_RNG.integers(40, 216, (16, 16, 3), np.uint8), (128, 128))
FACE = FACE + _RNG.integers(0, 8, FACE.shape, np.uint8)
SIDES = np.zeros((24, 48, 3), np.uint8)
SIDES[:, 36:] = (250, 40, 20)
SIDES[:6] = 90


def encoded(image, suffix=".jpg", *options):
    order = [2, 1, 0, 3][: image.shape[2]]
    return cv2.imencode(suffix, image[..., order], list(options))[1].tobytes()


def decoded(folder, data, name="a.jpg"):
    path = folder / name
    path.write_bytes(data)
    return BoxedImages([path]).decode(0)


# ---------------------------------------------------------------------------------------
# Damage
# ---------------------------------------------------------------------------------------
KINDS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
}


def with_segment(jpeg, marker, payload):
    """JPEG bytes with one more segment right after their start."""
    segment = b"\xff" + bytes([marker]) + (len(payload) + 2).to_bytes(2, "big") + payload
    return jpeg[:2] + segment + jpeg[2:]


def start_of_scan(jpeg):
    return jpeg.index(b"\xff\xda") + 14


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_decodes_as_opencv_does(tmp_path, kind):
    jpeg = encoded(FACE, ".jpg", *KINDS[kind])
    wanted = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decoded(tmp_path, jpeg), wanted)
    grey = cv2.imencode(".jpg", FACE[..., 1])[1].tobytes()
    wanted = cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded(tmp_path, grey), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_cut_anywhere_is_an_error(tmp_path, kind):
    jpeg = encoded(FACE, ".jpg", *KINDS[kind])
    thumbnail = encoded(SIDES)
    for whole in (jpeg, with_segment(jpeg, 0xE1, thumbnail)):
        scan, end = start_of_scan(whole), len(whole) - 2
        for cut in (3, 21, 100, (scan + end) // 2, end - 1, end, end + 1):
            with pytest.raises(ValueError, match=r"sample 0 \(.*a\.jpg\): .*damaged"):
                decoded(tmp_path, whole[:cut])
    decoded(tmp_path, jpeg + b"\0trailing bytes")


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_was_mended_with_an_end_marker_is_an_error(tmp_path, kind):
    jpeg = encoded(FACE, ".jpg", *KINDS[kind])
    half = (start_of_scan(jpeg) + len(jpeg)) // 2
    with pytest.raises(ValueError, match=r"damaged: .*(premature end|extraneous)"):
        decoded(tmp_path, jpeg[:half] + b"\xff\xd9")


def test_a_scan_that_is_zeros_in_part_is_an_error(tmp_path):
    jpeg = encoded(FACE)
    half, n_zeros = (start_of_scan(jpeg) + len(jpeg)) // 2, int(len(jpeg) * 0.3)
    with pytest.raises(ValueError, match="damaged"):
        decoded(tmp_path, jpeg[:half] + bytes(n_zeros) + jpeg[half + n_zeros :])


def test_most_damage_that_shows_is_found(tmp_path):
    """A changed bit may leave a stream that is as valid as the first; others are found."""
    jpeg, rng = encoded(FACE), np.random.default_rng(0)
    scan, found, shows = start_of_scan(jpeg), 0, 0
    for place in rng.integers(scan, len(jpeg) - 2, 200):
        damaged = bytearray(jpeg)
        damaged[place] ^= 1 << int(rng.integers(8))
        image = cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR)
        if image is None or (np.abs(image[..., ::-1] - FACE.astype(int)) > 40).mean() < 0.01:
            continue
        shows += 1
        try:
            decoded(tmp_path, bytes(damaged))
        except ValueError:
            found += 1
    assert shows > 20
    assert found / shows > 0.5


def test_a_few_bytes_of_padding_are_no_damage(tmp_path):
    jpeg = encoded(FACE)
    padded = [jpeg[:-2] + b"\0" * n + b"\xff\xd9" for n in (0, 1, 3)]
    first = decoded(tmp_path, padded[0])
    for data in padded[1:]:
        np.testing.assert_array_equal(decoded(tmp_path, data), first)
    with pytest.raises(ValueError, match=r"(4\d|50) extraneous bytes"):
        decoded(tmp_path, jpeg[:-2] + b"\0" * 50 + b"\xff\xd9")


def test_inks_are_converted(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image_module.fromarray(SIDES).convert("CMYK").save(buffer, "JPEG", quality=95)
    jpeg = buffer.getvalue()
    assert np.abs(decoded(tmp_path, jpeg).astype(int) - SIDES)[2:4, 2:30].max() < 12
    with pytest.raises(ValueError, match="damaged"):
        decoded(tmp_path, jpeg[: len(jpeg) * 2 // 3] + b"\xff\xd9")


# ---------------------------------------------------------------------------------------
# As viewers show it
# ---------------------------------------------------------------------------------------
SHOWN = {
    1: SIDES,
    2: SIDES[:, ::-1],
    3: SIDES[::-1, ::-1],
    4: SIDES[::-1],
    5: SIDES.transpose(1, 0, 2),
    6: np.rot90(SIDES, -1),
    7: SIDES[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(SIDES),
}


def exif(orientation):
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    return b"II*\x00\x08\x00\x00\x00\x01\x00" + entry + b"\x00\x00\x00\x00"


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def with_chunk(png, name, content):
    return png[:33] + chunk(name, content) + png[33:]


@pytest.mark.parametrize("orientation", SHOWN)
def test_exif_orientation_is_obeyed(tmp_path, orientation):
    jpeg = with_segment(encoded(SIDES), 0xE1, b"Exif\0\0" + exif(orientation))
    assert np.abs(decoded(tmp_path, jpeg) - SHOWN[orientation].astype(float)).mean() < 3
    opencv = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decoded(tmp_path, jpeg), opencv)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    jpeg = encoded(SIDES)
    turned = with_segment(jpeg, 0xE1, b"Exif\0\0" + exif(orientation))
    np.testing.assert_array_equal(decoded(tmp_path, turned), decoded(tmp_path, jpeg))


@pytest.mark.parametrize("orientation", SHOWN)
def test_transparent_pngs_are_turned_like_others(tmp_path, orientation):
    alpha = np.full((*SIDES.shape[:2], 1), 255, np.uint8)
    plain = decoded(tmp_path, with_chunk(encoded(SIDES, ".png"), b"eXIf", exif(orientation)))
    alpha[0, 0] = 0
    png = with_chunk(encoded(np.dstack([SIDES, alpha]), ".png"), b"eXIf", exif(orientation))
    both = decoded(tmp_path, png)
    assert both.shape == plain.shape
    assert (both != plain).any(-1).sum() == 1  # the transparent corner


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_a_drawing_in_alpha_alone_is_seen(tmp_path, suffix):
    drawing = np.zeros((40, 60, 4), np.uint8)
    drawing[10:30, 10:40, 3] = 255
    try:
        data = encoded(drawing, suffix)
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {suffix}")
    wanted = np.where(drawing[..., 3:] == 255, 0, 255)
    np.testing.assert_allclose(decoded(tmp_path, data, f"a{suffix}"), wanted + [0, 0, 0], atol=25)


def test_the_opacity_of_a_tiff_counts_once(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    rgba = np.dstack([SIDES, np.full(SIDES.shape[:2], 255, np.uint8)])
    rgba[:, :20, 3] = 128
    buffer = io.BytesIO()
    image_module.fromarray(rgba).save(buffer, "TIFF")
    shown = decoded(tmp_path, buffer.getvalue(), "a.tiff")
    np.testing.assert_allclose(shown[:, :20], 255 - (255 - SIDES[:, :20] * 1.0) / 2, atol=2)
    np.testing.assert_array_equal(shown[:, 20:], SIDES[:, 20:])


def test_opaque_images_keep_their_colours(tmp_path):
    for alpha in (0, 128, 255):  # the same everywhere: a fourth channel, no drawing
        rgba = np.dstack([SIDES, np.full(SIDES.shape[:2], alpha, np.uint8)])
        np.testing.assert_array_equal(decoded(tmp_path, encoded(rgba, ".png"), "a.png"), SIDES)


def avif(*properties, brand=b"avif"):
    """The boxes of an AVIF file that tell of its image; there is none in it."""

    def box(name, content):
        return struct.pack(">I4s", len(content) + 8, name) + content

    inner = box(b"ispe", struct.pack(">4xII", 48, 24)) + b"".join(
        box(name, content) for name, content in properties
    )
    meta = box(b"meta", b"\0\0\0\0" + box(b"iprp", box(b"ipco", inner)))
    return box(b"ftyp", brand + b"\0\0\0\0avifmif1") + meta


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (b"irot", b"\1", "displayed turned"),
        (b"imir", b"\1", "mirrored"),
        (b"clap", b"\0" * 32, "cropped"),
    ],
)
def test_what_viewers_do_to_an_avif_and_opencv_does_not_is_an_error(
    tmp_path, name, content, message
):
    with pytest.raises(ValueError, match=rf"a\.avif\): .*{message}"):
        decoded(tmp_path, avif((name, content)), "a.avif")
    header = read_header(io.BytesIO(avif((b"irot", b"\0"))))
    assert (header.width, header.height, header.changes) == (48, 24, ())


# ---------------------------------------------------------------------------------------
# Files of several images
# ---------------------------------------------------------------------------------------
def gif(n_frames, palette=b"\0\0\0\xff\xff\xff"):
    frame = b"!\xf9\x04\0\0\0\0\0" + b",\0\0\0\0\1\0\1\0\0" + b"\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + palette + n_frames * frame + b";"


def webp_of_frames(n_frames):
    frame = b"ANMF" + struct.pack("<I", 24) + bytes(24)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\x2f\0\0\x17\0\0"
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + n_frames * frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def several():
    ok, tiff = cv2.imencodemulti(".tiff", [SIDES, SIDES])
    assert ok
    png = encoded(SIDES, ".png")
    ppm = encoded(SIDES, ".ppm")
    return {
        "a.tiff": (encoded(SIDES, ".tiff"), tiff.tobytes()),
        "a.png": (png, with_chunk(png, b"acTL", b"\0\0\0\2\0\0\0\0")),
        "a.gif": (gif(1), gif(2)),
        "a.webp": (encoded(SIDES, ".webp"), webp_of_frames(3)),
        "a.ppm": (ppm, ppm + ppm),
        "a.avif": (None, avif(brand=b"avis")),
    }


@pytest.mark.parametrize("name", ["a.tiff", "a.png", "a.gif", "a.webp", "a.ppm", "a.avif"])
def test_a_file_of_several_images_is_an_error(tmp_path, name):
    one, many = several()[name]
    if one is not None:
        assert read_header(io.BytesIO(one)).n_images == 1
    with pytest.raises(ValueError, match=rf"{name}\): .* several pages or frames"):
        decoded(tmp_path, many, name)


def test_a_smaller_copy_in_a_tiff_is_no_page(tmp_path):
    tiff = bytearray(cv2.imencodemulti(".tiff", [SIDES, SIDES])[1].tobytes())
    (first,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, first)
    (second,) = struct.unpack_from("<I", tiff, first + 2 + 12 * count)
    # NewSubfileType is the lowest tag, so that it stands first.
    tag, kind, number = struct.unpack_from("<HHI", tiff, second + 2)
    assert (tag, kind, number) == (254, 4, 1)
    struct.pack_into("<I", tiff, second + 10, 1)
    np.testing.assert_array_equal(decoded(tmp_path, bytes(tiff), "a.tiff"), SIDES[..., ::-1])


# ---------------------------------------------------------------------------------------
# What is too large, and what is no file
# ---------------------------------------------------------------------------------------
def test_a_file_that_would_take_the_memory_is_refused_by_its_header(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(_decode, "imdecode", refuse)
    monkeypatch.setattr(_decode, "_decode_jpeg", refuse)
    size = struct.pack(">II", 32000, 32000)
    png, jpeg = encoded(SIDES, ".png"), encoded(SIDES)
    frame = jpeg.index(b"\xff\xc0")
    bombs = {
        "a.png": png[:16] + size + png[24:],
        "a.jpg": jpeg[: frame + 5] + b"\x7d\0\x7d\0" + jpeg[frame + 9 :],
        "a.ppm": b"P6 32000 32000 255\n",
        "a.bmp": encoded(SIDES, ".bmp")[:18] + struct.pack("<ii", 32000, -32000) + bytes(40),
        "a.gif": b"GIF89a" + struct.pack("<HH", 32000, 32000) + bytes(10),
    }
    for name, data in bombs.items():
        with pytest.raises(
            ValueError, match=rf"{name}\): .*32000 x 32000 pixels, expected at most"
        ):
            decoded(tmp_path, data, name)


def test_a_chunk_longer_than_its_file_is_refused_before_room_is_made_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_decode, "imdecode", lambda *_: pytest.fail("it was decoded"))
    png = encoded(SIDES, ".png")
    for data in (png[:33] + b"\xff" + png[34:], png[:-30]):
        with pytest.raises(ValueError, match=r"a\.png\): .*damaged: it is truncated"):
            decoded(tmp_path, data, "a.png")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_what_is_decoded_lies_in_memory_row_by_row(tmp_path, suffix):
    rgba = np.dstack([SIDES, SIDES[..., 0]])
    for image in (SIDES, rgba):
        assert decoded(tmp_path, encoded(image, suffix), f"a{suffix}").flags.c_contiguous


def test_the_limit_holds_where_no_header_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(_decode, "MAX_PIXELS", 100)
    data = cv2.imencode(".ras", SIDES)[1].tobytes()
    with pytest.raises(ValueError, match="48 x 24 pixels, expected at most 100"):
        decoded(tmp_path, data, "a.ras")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, kind in ((tmp_path / "pipe.jpg", "named pipe"), ("/dev/zero", "device")):
        with pytest.raises(ValueError, match=f"this is a {kind}, expected an image file"):
            BoxedImages([path]).decode(0)


def test_no_header_makes_the_reader_fail():
    rng = np.random.default_rng(0)
    whole = [data for pair in several().values() for data in pair if data is not None]
    whole += [encoded(SIDES), with_segment(encoded(SIDES), 0xE1, b"Exif\0\0" + exif(6)), avif()]
    for data in whole:
        for _ in range(40):
            damaged = bytearray(data[: rng.integers(4, len(data) + 1)])
            for place in rng.integers(0, min(len(damaged), 200), 3):
                damaged[place] = int(rng.choice([0, 1, 255, rng.integers(256)]))
            read_header(io.BytesIO(damaged))
