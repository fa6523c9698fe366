"""Parser of the XML files of dlib and imglab: boxes and parts in flat arrays."""

import contextlib
import math
import os
from array import array
from xml.parsers import expat

from skwing._utils.files import there_is_no
from skwing.datasets._text import as_number, number_text

_BLOCK = 2**16  # bytes passed to the parser at once
_LONGEST_TAG = 2**20  # expat scans an unfinished tag again for each block
_READ = frozenset(["left", "top", "width", "height", "ignore"])  # attributes of boxes
_UNSET = ("", "0", "0.0", "false", "no")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


class Parser:
    """Collects boxes and parts in flat arrays, because files may have millions of parts."""

    def __init__(self, locate):
        self.locate = locate
        self.line = 1  # of the first error
        self.stack = []
        self.encoding = ""
        self.path = self.name = self.size = None  # of the current image
        self.n_boxes_here = self.n_images = self.n_without_box = self.n_ignored = 0
        self.paths, self.names, self.boxes, self.sizes = [], [], array("d"), array("d")
        self.parts = {}  # name of a part -> its number, by first appearance
        self.unread = {}  # names of attributes and elements of boxes that are not read, in order
        self.last_box = []  # index of the last box with this part
        self.box_of, self.part_of, self.points = array("q"), array("q"), array("d")
        self.expat = expat.ParserCreate()
        self.expat.StartElementHandler = self._on_start
        self.expat.EndElementHandler = self._on_end
        self.expat.XmlDeclHandler = self._on_declaration
        self.expat.StartDoctypeDeclHandler = self._on_doctype

    def read(self, file):
        """Parse a whole file; the line of an error is stored in `line`."""
        n_bytes = 0
        while block := file.read(_BLOCK):
            self.expat.Parse(block)
            n_bytes += len(block)
            if n_bytes - self.expat.CurrentByteIndex > _LONGEST_TAG:
                self.line = self.expat.CurrentLineNumber
                raise ValueError(f"found a tag of more than {_LONGEST_TAG} bytes.")
        self.expat.Parse(b"", True)

    def _on_declaration(self, version, encoding, standalone):
        self.encoding = (encoding or "").lower()

    def _on_doctype(self, *_):
        """Reject DTDs, whose entities can exhaust the memory or include other files."""
        self.line = self.expat.CurrentLineNumber
        raise ValueError(
            "found a document type definition (DTD), which dlib's format does not have; it is not "
            "read, for safety."
        )

    def _on_start(self, tag, attributes):
        try:
            parent = self.stack[-1] if self.stack else None
            self.stack.append(tag)
            if tag == "part":
                self._part(parent, attributes)
            elif tag == "box":
                self._box(parent, attributes)
            elif tag == "image":
                self._image(parent, attributes)
            elif parent == "box":
                self.unread[tag] = None
            elif parent is None and tag != "dataset":
                raise ValueError(f"found <{tag:.60}>, expected <dataset>.")
        except ValueError:
            # Checked here, because expat continues to the end of the block.
            self.line = self.expat.CurrentLineNumber
            raise

    def _on_end(self, tag):
        self.stack.pop()
        if tag == "image":
            self.n_without_box += not self.n_boxes_here

    def _image(self, parent, attributes):
        if parent != "images":
            raise ValueError("found <image> outside of <images>.")
        name = _attribute(attributes, "file", "<image>")
        if not name.isascii() and self.encoding == "iso-8859-1":
            # imglab states this encoding but writes the bytes of the file system.
            with contextlib.suppress(UnicodeError):
                name = name.encode("latin-1").decode("utf-8")
        self.path, self.name = self.locate(name), name
        self.size = [_side(attributes.get(key, "")) for key in ("width", "height")]
        self.n_boxes_here = 0
        self.n_images += 1

    def _box(self, parent, attributes):
        if parent != "image":
            raise ValueError("found <box> outside of an <image>.")
        ignored = attributes.get("ignore", "").strip().lower()
        if ignored in _TRUE:
            self.n_ignored += 1
            self.stack[-1] = "ignored box"
            return
        if ignored not in _FALSE:
            raise ValueError(f"ignore of <box>: found {ignored!r:.60}, expected 0 or 1.")
        box = [
            as_number(_attribute(attributes, key, "<box>"), f"{key} of <box>")
            for key in ("left", "top", "width", "height")
        ]
        if min(box[2:]) <= 0:
            raise ValueError(
                f"found a <box> {number_text(box[2])} wide and {number_text(box[3])} high, "
                "expected a width and height above 0."
            )
        self.boxes.extend(box)
        self.paths.append(self.path)
        self.names.append(self.name)
        self.sizes.extend(self.size)
        self.n_boxes_here += 1
        for key, text in attributes.items():
            if key not in _READ and text.strip().lower() not in _UNSET:
                self.unread[key] = None

    def _part(self, parent, attributes):
        if parent != "box":
            if parent == "ignored box":
                return
            raise ValueError("found <part> outside of a <box>.")
        try:
            name, x_text, y_text = attributes["name"], attributes["x"], attributes["y"]
            x, y = float(x_text), float(y_text)
            plain = x - x == 0 == y - y and "_" not in x_text and "_" not in y_text
        except (KeyError, ValueError):
            plain = False
        if not plain:  # use the slower path for its error messages
            name, *texts = (_attribute(attributes, key, "<part>") for key in ("name", "x", "y"))
            x, y = (
                as_number(text, f"{axis} of part {name!r:.60}")
                for axis, text in zip("xy", texts, strict=True)
            )
        number = self.parts.setdefault(name, len(self.parts))
        box = len(self.paths) - 1
        if number == len(self.last_box):
            self.last_box.append(box)
        elif self.last_box[number] == box:
            raise ValueError(f"found part {name!r:.60} twice in one <box>.")
        self.last_box[number] = box
        self.box_of.append(box)
        self.part_of.append(number)
        self.points.append(x)
        self.points.append(y)


def _side(text):
    """Number of pixels stated in a file; NaN if it is not stated."""
    plain = text.isascii() and text.isdigit() and len(text) < 10
    return (float(text) if plain else 0) or math.nan


def _attribute(attributes, key, tag):
    try:
        return attributes[key]
    except KeyError:
        raise ValueError(f"found {tag} without {key}.") from None


def parse(path, locate):
    """Parser that has read the file."""
    parser = Parser(locate)
    try:
        with open(path, "rb") as file:
            parser.read(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{there_is_no(f'file {path}', path)}.") from None
    except (IsADirectoryError, PermissionError) as error:
        what = "this is a folder" if os.path.isdir(path) else f"the file cannot be read: {error}"
        raise ValueError(f"{path}: {what}, expected an XML file.") from None
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ValueError(f"{path}, line {error.lineno}: not well-formed XML: {reason}.") from None
    except LookupError as error:
        raise ValueError(f"{path}, line 1: {error}, expected UTF-8 or ISO-8859-1.") from None
    except ValueError as error:
        raise ValueError(f"{path}, line {parser.line}: {error}") from None
    return parser
