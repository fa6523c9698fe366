"""Parse headers of image files: size, orientation, number of images, transparency."""

import io
import os
import struct
from dataclasses import dataclass

# Start-of-frame markers of JPEG; C4, C8 and CC have other meanings.
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
# Tags of TIFF, and of the EXIF in other files.
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _ORIENTATION, _EXTRA = 254, 255, 256, 257, 274, 338
_MOST_PAGES = 1000  # limit for TIFF files, whose directories may form a cycle
_AVIF_CHANGES = {b"irot": "turned", b"imir": "mirrored", b"clap": "cropped"}


@dataclass(frozen=True)
class Header:
    """Content of the header of an image file.

    Attributes
    ----------
    kind : str
        Name of the format.
    width, height : int
        Size as stored, before rotation; 0 if unknown.
    orientation : int
        EXIF orientation, from 1 to 8.
    n_images : int
        Number of pages or frames; 2 means two or more.
    has_alpha : bool
        Whether there is transparency.
    changes : tuple of str
        Transforms that viewers apply but OpenCV does not, such as ``"turned"``.
    is_cut : bool
        Whether a part states a length beyond the end of the file. Decoders would allocate
        memory for it.
    """

    kind: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    n_images: int = 1
    has_alpha: bool = False
    changes: tuple = ()
    is_cut: bool = False

    @property
    def shown_size(self):
        """Width and height after rotation."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


def read_header(file):
    """Read the header of an image file, and no more of it than necessary.

    Parameters
    ----------
    file : binary file object
        Positioned at its start.

    Returns
    -------
    header : Header or None
        None for other formats and invalid headers; the decoder reports these errors.
    """
    start = file.read(32)
    for is_one, read in _READERS:
        if is_one(start):
            try:
                return read(file, start)
            except (struct.error, OverflowError, IndexError, ValueError):
                return None
    return None


def _png(file, start):
    width, height, color = struct.unpack(">16xIIxB", start[:26])
    found = {"orientation": 1, "n_images": 1, "has_alpha": color in (4, 6)}
    end = file.seek(0, os.SEEK_END)
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        after = file.tell() + length + 4
        if after > end:
            found["is_cut"] = True
            break
        if kind == b"eXIf":
            found["orientation"] = _orientation(file.read(length))
        elif kind == b"tRNS":
            found["has_alpha"] = True
        elif kind == b"acTL":
            found["n_images"] = min(2, struct.unpack(">I", file.read(4))[0])
        elif kind == b"IEND":
            break
        file.seek(after)
    return Header("PNG", width, height, **found)


def _jpeg(file, start):
    file.seek(2)
    orientation = None
    while (byte := file.read(1)) == b"\xff":
        while byte == b"\xff":
            byte = file.read(1)
        (length,) = struct.unpack(">H", file.read(2))
        if byte[0] in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return Header("JPEG", width, height, orientation or 1)
        if byte[0] == 0xE1 and orientation is None:
            segment = file.read(length - 2)
            if segment.startswith(b"Exif\0\0"):
                orientation = _orientation(segment[6:])
        else:
            file.seek(length - 2, os.SEEK_CUR)
    return Header("JPEG")


def _bmp(file, start):
    header, width, height = struct.unpack("<Iii", start[14:26])
    return Header("BMP", abs(width), abs(height)) if header >= 40 else Header("BMP")


def _gif(file, start):
    width, height, flags = struct.unpack("<6xHHB", start[:11])
    n_images, has_alpha = 0, False
    file.seek(13 + _gif_palette(flags))
    while n_images < 2 and (kind := file.read(1)) in (b"!", b","):
        if kind == b",":
            n_images += 1
            flags = file.read(9)[8]
            file.seek(_gif_palette(flags) + 1, os.SEEK_CUR)
        elif file.read(1) == b"\xf9":
            has_alpha = has_alpha or bool(file.read(2)[1] & 1)
            file.seek(-2, os.SEEK_CUR)
        while (length := file.read(1)) not in (b"\0", b""):
            file.seek(length[0], os.SEEK_CUR)
    return Header("GIF", width, height, n_images=n_images, has_alpha=has_alpha)


def _gif_palette(flags):
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(file, start):
    kind, width, height, has_alpha, orientation, n_frames = start[12:16], 0, 0, False, 1, 0
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", start[26:30]))
    elif kind == b"VP8L":
        (bits,) = struct.unpack("<I", start[21:25])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        has_alpha = bool(bits >> 28 & 1)
    elif kind == b"VP8X":
        width, height = (int.from_bytes(start[i : i + 3], "little") + 1 for i in (24, 27))
        has_alpha = bool(start[20] & 0x10)
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            after = file.tell() + length + length % 2
            n_frames += name == b"ANMF"
            if name == b"EXIF":
                block = file.read(length)
                orientation = _orientation(block.removeprefix(b"Exif\0\0"))
            file.seek(after)
    return Header("WebP", width, height, orientation, min(2, max(1, n_frames)), has_alpha)


def _tiff(file, start):
    order, is_big = ("<" if start[:2] == b"II" else ">"), 43 in start[2:4]
    (offset,) = struct.unpack(order + ("8xQ" if is_big else "4xI"), start[: 16 if is_big else 8])
    pages = []
    while offset and len(pages) < _MOST_PAGES:
        tags, offset = _directory(file, order, offset, is_big)
        # Reduced copies and masks do not count as pages.
        is_copy = tags.get(_SUBFILE, 0) & 0b101 or tags.get(_OLD_SUBFILE) == 2
        if not (pages and is_copy):
            pages.append(tags)
        if len(pages) == 2:
            break
    tags = pages[0]
    return Header(
        "TIFF",
        tags.get(_WIDTH, 0),
        tags.get(_HEIGHT, 0),
        _one_to_eight(tags.get(_ORIENTATION, 1)),
        len(pages),
        has_alpha=tags.get(_EXTRA) in (1, 2),
    )


def _orientation(block):
    """Orientation in an EXIF block; 1 if it is not stated."""
    order = "<" if block[:2] == b"II" else ">"
    try:
        (offset,) = struct.unpack(order + "4xI", block[:8])
        tags, _ = _directory(io.BytesIO(block), order, offset, False)
    except (struct.error, OverflowError):
        return 1
    return _one_to_eight(tags.get(_ORIENTATION, 1))


def _one_to_eight(orientation):
    return orientation if 1 <= orientation <= 8 else 1


def _directory(file, order, offset, is_big):
    """Single short and long integers in a TIFF directory, and the offset of the next one."""
    count_form, entry_form, offset_form = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    file.seek(offset)
    count_size, entry_size = struct.calcsize("=" + count_form), struct.calcsize("=" + entry_form)
    (count,) = struct.unpack(order + count_form, file.read(count_size))
    entries = file.read(entry_size * min(count, 4096))
    tags = {}
    for place in range(0, len(entries) - entry_size + 1, entry_size):
        tag, kind, number, value = struct.unpack_from(order + entry_form, entries, place)
        if kind in (3, 4) and number == 1:
            (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)
    after = file.read(struct.calcsize("=" + offset_form))
    whole = len(after) == struct.calcsize("=" + offset_form)
    return tags, struct.unpack(order + offset_form, after)[0] if whole else 0


def _boxes(data):
    """Names and contents of the boxes of a file in ISO base media format (as MP4)."""
    place = 0
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, place + 8)
            head = 16
        length = length or len(data) - place
        if length < head:
            return
        yield name, data[place + head : place + length]
        place += length


def _inside(data, *names):
    """Content of the box at a path of names."""
    for name in names:
        data = next((content for found, content in _boxes(data) if found == name), b"")
        data = data[4:] if name == b"meta" else data
    return data


def _avif(file, start):
    file.seek(0)
    data = memoryview(file.read())
    properties = list(_boxes(_inside(data, b"meta", b"iprp", b"ipco")))
    sizes = [struct.unpack(">4xII", box[:12]) for name, box in properties if name == b"ispe"]
    changes = [
        _AVIF_CHANGES[name]
        for name, box in properties
        if name in _AVIF_CHANGES and not (name == b"irot" and box[0] & 3 == 0)
    ]
    return Header(
        "AVIF",
        *max(sizes, default=(0, 0)),
        n_images=2 if start[8:12] == b"avis" else 1,
        has_alpha=any(name == b"auxC" and b"alpha" in bytes(box) for name, box in properties),
        changes=tuple(dict.fromkeys(changes)),
    )


def _jpeg2000(file, start):
    file.seek(0)
    if start.startswith(b"\xff\x4f"):
        right, bottom, left, top = struct.unpack(">8x4I", start[:24])
        return Header("JPEG 2000", right - left, bottom - top)
    box = _inside(memoryview(file.read(2**16)), b"jp2h", b"ihdr")
    height, width = struct.unpack(">II", box[:8])
    return Header("JPEG 2000", width, height)


def _netpbm(file, start):
    file.seek(2)
    numbers, token = [], b""
    n_numbers = 2 if start[1:2] in b"14" else 3
    while len(numbers) < n_numbers:
        if (byte := file.read(1)) == b"#":
            file.readline(1000)
            byte = b" "
        if byte.isdigit() and len(token) < 10:
            token += byte
        elif not byte.isspace():
            return None
        elif token:
            numbers, token = [*numbers, int(token)], b""
    width, height = numbers[:2]
    row = {b"4": (width + 7) // 8, b"5": width, b"6": 3 * width}.get(start[1:2])
    n_images = 1
    if row is not None:
        file.seek(row * height * (2 if numbers[-1] > 255 and n_numbers == 3 else 1), os.SEEK_CUR)
        n_images += file.read(2) == start[:2]
    return Header("Netpbm", width, height, n_images=n_images)


def _begins(*signs):
    return lambda start: start.startswith(signs)


_READERS = (
    (_begins(b"\x89PNG\r\n\x1a\n"), _png),
    (_begins(b"\xff\xd8\xff"), _jpeg),
    (_begins(b"BM"), _bmp),
    (_begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (_begins(b"GIF8"), _gif),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", _webp),
    (lambda start: start[4:8] == b"ftyp" and b"avi" in start[8:], _avif),
    (_begins(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _jpeg2000),
    (_begins(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), _netpbm),
)
