"""The runtime finds what predict finds, from a file, without what training needs."""

import importlib.util
import json
import pickle
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from skwing import BoxedImages, geometry, runtime
from skwing._crops.chips import ChipFrame, cut_chips
from skwing.runtime import OnnxLocalizer, chip_matrix, cut_chip
from skwing.tracking import track

onnx = pytest.importorskip("onnx")
ENGINES = ("onnxruntime", "openvino")
SIZE, MARGIN = 16, 0.5
CHILD = """
import sys
import skwing.runtime
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "sklearn", "scipy", "joblib", "onnxruntime", "openvino"}, loaded
others = {name for name in sys.modules if name.startswith("skwing.")}
assert others == {"skwing.runtime", "skwing._utils", "skwing._utils.version"}, others
"""


def write_colours(path, n="n", **metadata):
    """Write a model whose landmarks are the mean red, green and blue of a chip, twice each."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["chips"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "sides"], ["means"], keepdims=0),
        helper.make_node("Unsqueeze", ["means", "last"], ["column"]),
        helper.make_node("Concat", ["column", "column"], ["points"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("chips", TensorProto.UINT8, [n, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, [n, 3, 2])],
        [
            helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    told = {"chip_size": str(SIZE), "chip_margin": str(MARGIN), **metadata}
    helper.set_model_props(model, {name: text for name, text in told.items() if text})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return write_colours(
        tmp_path_factory.mktemp("colours") / "colours.onnx",
        landmarks=json.dumps(["red", "green", "blue"]),
        notice="For tests only.",
        further="kept",
    )


@pytest.fixture(scope="module", params=ENGINES)
def localizer(request, colours):
    pytest.importorskip(request.param)
    return OnnxLocalizer(colours, engine=request.param)


def seen(points, boxes):
    """Mean colours of chips: the landmarks of the model above, in chip pixels."""
    matrices = np.stack([chip_matrix(box, SIZE, MARGIN) for box in np.atleast_2d(boxes)])
    return geometry.apply(matrices, points.reshape(-1, 3, 2))[..., 0]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def wanted_colours(image, boxes):
    frame = ChipFrame(SIZE, MARGIN)
    data = BoxedImages([image] * len(boxes), boxes)
    return cut_chips(data, frame).pixels.mean((1, 2))


# ---------------------------------------------------------------------------------------
# Without the training stack
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_importing_the_runtime_loads_nothing_of_training():
    root = Path(runtime.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", CHILD], cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


# ---------------------------------------------------------------------------------------
# Chips
# ---------------------------------------------------------------------------------------
def test_the_matrix_of_a_chip_is_that_of_geometry():
    rng = np.random.default_rng(0)
    for box in rng.uniform(1, 500, (50, 4)):
        for size, margin in ((224, 0.5), (17, 0.0)):
            expected = geometry.from_box(box, size, margin)
            np.testing.assert_array_equal(chip_matrix(box, size, margin), expected)


@pytest.mark.parametrize("side", [3.0, 16, 100])  # enlarged, and reduced
def test_a_chip_is_the_mean_of_what_each_of_its_pixels_covers(side):
    ramp = np.arange(250, dtype=np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    matrix = chip_matrix([40, 50, side, side], SIZE, 0.5)
    chip = cut_chip(ramp, matrix, SIZE)
    centres = geometry.apply(geometry.invert(matrix), np.stack([np.arange(SIZE)] * 2, -1))[:, 0]
    inside = (centres > side / 8) & (centres < 249 - side / 8)
    assert inside.sum() >= 14
    np.testing.assert_allclose(chip[5, inside, 0], centres[inside], atol=1)


# ---------------------------------------------------------------------------------------
# Images and boxes
# ---------------------------------------------------------------------------------------
BOXES = np.array([[10.0, 5, 30, 20], [-5, 3, 12, 40], [0, 0, 64, 48]])


def test_one_image_has_one_box_or_several(localizer):
    image = noise(48, 64, 3)
    several = localizer.predict(image, BOXES)
    assert several.shape == (3, 3, 2) and several.dtype == np.float64
    np.testing.assert_allclose(seen(several, BOXES), wanted_colours(image, BOXES), atol=1e-3)
    one = localizer.predict(image, BOXES[1])
    np.testing.assert_allclose(one, several[1], atol=1e-6)
    np.testing.assert_allclose(localizer.predict(image), several[2], atol=1e-6)  # the whole image
    assert localizer.predict(image, []).shape == (0, 3, 2)
    assert localizer.predict(image, np.empty((0, 4))).shape == (0, 3, 2)


def test_a_sequence_has_one_box_for_each_image(localizer, tmp_path):
    images = [noise(48, 64, 3, seed=i) for i in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    wanted = [localizer.predict(image, box) for image, box in zip(images, BOXES, strict=True)]
    for X in (images, tuple(images), np.stack(images), paths, [str(path) for path in paths]):
        np.testing.assert_allclose(localizer.predict(X, BOXES), wanted, atol=1e-6)
    np.testing.assert_allclose(localizer.predict(str(paths[0]), BOXES[0]), wanted[0], atol=1e-6)
    whole = localizer.predict(paths)
    np.testing.assert_allclose(whole[2], wanted[2], atol=1e-6)


def test_images_with_their_boxes_are_those_of_a_regressor(localizer, tmp_path):
    images = [noise(48, 64, 3, seed=i) for i in range(3)]
    boxes = BOXES.copy()
    boxes[1] = np.nan
    wanted = localizer.predict(images, boxes)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    for sources in (images, paths):
        X = BoxedImages(sources, boxes)
        np.testing.assert_array_equal(localizer.predict(X), wanted)
        np.testing.assert_array_equal(localizer.predict(X[::-1]), wanted[::-1])
        np.testing.assert_array_equal(
            localizer.predict(X.with_boxes(None)), localizer.predict(images)
        )
        np.testing.assert_array_equal(localizer.predict(X, BOXES), localizer.predict(images, BOXES))


def test_faces_are_tracked_by_a_file(colours):
    """As by a regressor with the same predictions."""
    pytest.importorskip("onnxruntime")
    localizer = OnnxLocalizer(colours)

    class Regressor:
        def predict(self, X):
            return localizer.predict([X.decode(i) for i in range(len(X))], X.boxes)

    frames = [noise(48, 64, 3, seed=i) for i in range(3)]
    for threshold in (None, -5.0):
        pairs = [
            list(track(each, frames, [[10, 5, 30, 20]], threshold=threshold, patience=9))
            for each in (localizer, Regressor())
        ]
        for found, wanted in zip(*pairs, strict=True):
            for name in ("ids", "landmarks", "scores", "boxes", "lost"):
                np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_a_missing_box_gives_nan_and_its_image_is_not_read(localizer):
    boxes = BOXES.copy()
    boxes[1] = np.nan
    points = localizer.predict([noise(48, 64, 3), "nowhere.jpg", noise(48, 64, 3)], boxes)
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()
    assert np.isnan(localizer.predict(noise(48, 64, 3), [np.nan] * 4)).all()


def test_arrays_are_read_as_everywhere(localizer):
    grey, clear = noise(48, 64), noise(48, 64, 4)
    for image in (grey, grey[..., None], clear, noise(48, 64, 3)[:, ::-1], clear / 255):
        (found,) = seen(localizer.predict(image, BOXES[0]), BOXES[0])
        np.testing.assert_allclose(found, wanted_colours(image, BOXES[:1])[0], atol=1e-3)
    stack = noise(3, 48, 64)
    wanted = [localizer.predict(image, box) for image, box in zip(stack, BOXES, strict=True)]
    np.testing.assert_allclose(localizer.predict(stack, BOXES), wanted, atol=1e-6)


IMAGE = noise(48, 64, 3)


@pytest.mark.parametrize(
    ("images", "boxes", "error", "told"),
    [
        ([IMAGE] * 2, [[0, 0, 9, 9], [70, 0, 9, 9]], ValueError, r"sample 1: .*outside .* 64 pix"),
        (IMAGE, [[0, 0, 9, 9], [0, 0, 0, 9]], ValueError, r"sample 1: .*height above 0"),
        (IMAGE, [0, 0, np.nan, 9], ValueError, r"sample 0: .*NaN in all four"),
        (IMAGE, [0, 0, 2e9, 9], ValueError, r"sample 0: .*at most 1e\+09"),
        ([IMAGE] * 2, [0, 0, 9, 9], ValueError, r"boxes have shape \(4,\), expected \(2, 4\)"),
        ([IMAGE] * 2, [[0, 0, 9, 9]], ValueError, r"shape \(1, 4\), expected \(2, 4\)"),
        (IMAGE, "a box", ValueError, "boxes must be numbers"),
        (IMAGE.astype(np.uint16), None, ValueError, "sample 0: .*dtype uint16"),
        ([IMAGE, IMAGE * 1.0], None, ValueError, r"sample 1: float images must lie in \[0, 1\]"),
        ([IMAGE, np.zeros((9, 9, 2), np.uint8)], None, ValueError, r"sample 1 .*\(9, 9, 2\)"),
        ([IMAGE, 5], None, TypeError, "sample 1 is 5 of type int"),
        ([IMAGE, b"PNG\0"], None, TypeError, "sample 1 is b'PNG.*of type bytes"),
        ([IMAGE[:0]], None, ValueError, "sample 0 .*no pixels"),
        (5, None, TypeError, "images is of type int"),
        (["a.jpg"], None, FileNotFoundError, r"sample 0 \(a.jpg\): .*No such file"),
        ([str(Path(__file__).parent)], None, ValueError, r"sample 0 \(.*\): this is a folder"),
        ([__file__], None, ValueError, r"sample 0 \(.*\): expected a JPEG"),
    ],
)
def test_bad_input_is_an_error_that_names_the_sample(localizer, images, boxes, error, told):
    with pytest.raises(error, match=told):
        localizer.predict(images, boxes)


def test_images_are_run_in_portions_and_read_once(colours, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    localizer, sizes, reads = OnnxLocalizer(colours), [], []
    run, read = localizer._engine.run, runtime._read_image
    monkeypatch.setattr(
        localizer._engine, "run", lambda chips: sizes.append(len(chips)) or run(chips)
    )
    monkeypatch.setattr(runtime, "_read_image", lambda *args: reads.append(args) or read(*args))
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), IMAGE)
    localizer.predict(path, [[0, 0, 9, 9]] * 70)
    assert sizes == [32, 32, 6] and len(reads) == 1
    localizer.predict([str(path), path, IMAGE], [[0, 0, 9, 9]] * 3)
    assert len(reads) == 2


def test_threads_share_one_object(localizer):
    images = [noise(48, 64, 3, seed=i) for i in range(40)]
    wanted = [localizer.predict(image, BOXES) for image in images]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: localizer.predict(image, BOXES), images))
    np.testing.assert_array_equal(found, wanted)


# ---------------------------------------------------------------------------------------
# Files of images
# ---------------------------------------------------------------------------------------
def exif(orientation):
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    return b"Exif\0\0II*\x00\x08\x00\x00\x00\x01\x00" + entry + b"\x00\x00\x00\x00"


def image_files():
    """Content of files by a name, most of which both readers read."""
    smooth = cv2.resize(noise(6, 8, 3), (64, 48))
    alpha = np.dstack([smooth, np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)])
    opaque = np.dstack([smooth, np.full((48, 64), 255, np.uint8)])

    def encode(suffix, image, *options):
        return cv2.imencode(suffix, image, list(options))[1].tobytes()

    files = {f"{suffix} colour": encode(suffix, smooth) for suffix in (".jpg", ".png", ".bmp")}
    files |= {f"{suffix} colour": encode(suffix, smooth) for suffix in (".tiff", ".webp")}
    files |= {f"{suffix} grey": encode(suffix, smooth[..., 0]) for suffix in (".jpg", ".png")}
    files |= {f"{suffix} alpha": encode(suffix, alpha) for suffix in (".png", ".tiff", ".webp")}
    png = files[".png alpha"]
    turned = b"eXIf" + exif(6)[6:]
    turned = (len(turned) - 4).to_bytes(4, "big") + turned + zlib.crc32(turned).to_bytes(4, "big")
    files[".png alpha turned"] = png[:33] + turned + png[33:]
    files[".png opaque"] = encode(".png", opaque)
    files[".png 16"] = encode(".png", smooth.astype(np.uint16) * 256)
    files[".tiff float"] = encode(".tiff", (smooth / 255).astype(np.float32))
    files[".tiff pages"] = cv2.imencodemulti(".tiff", [smooth, smooth])[1].tobytes()
    jpeg = files[".jpg colour"]
    for orientation in range(1, 9):
        block = exif(orientation)
        segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
        files[f".jpg turned {orientation}"] = jpeg[:2] + segment + jpeg[2:]
    for name in (".jpg colour", ".png colour", ".tiff colour", ".webp colour", ".png alpha"):
        files[f"{name} cut"] = files[name][: len(files[name]) * 2 // 3]
        files[f"{name} of 9 bytes"] = files[name][:9]
    files[".jpg with preview, cut"] = jpeg[:2] + b"\xff\xfe" + (len(jpeg) + 2).to_bytes(2, "big")
    files[".jpg with preview, cut"] += jpeg + jpeg[2 : len(jpeg) // 2]
    files[".png empty"] = b""
    return files


FILES = image_files()
STRICTER = (".tiff alpha", ".png alpha turned")  # to be decoded by others


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_everywhere_or_an_error(tmp_path, name):
    path = tmp_path / f"a{name.split()[0]}"
    path.write_bytes(FILES[name])
    try:
        wanted = BoxedImages([path]).decode(0)
    except ValueError:
        wanted = None
    if wanted is None or name in STRICTER:
        with pytest.raises(ValueError, match=r"sample 4 \(.*a\."):
            runtime._read_image(str(path), f"sample 4 ({path})")
    else:
        assert not name.endswith(("cut", "bytes", "16", "pages", "empty"))
        np.testing.assert_array_equal(runtime._read_image(str(path), ""), wanted)


def test_formats_that_opencv_shows_in_another_way_are_errors(tmp_path):
    for start in (b"GIF89a", b"\0\0\0\x1cftypavif"):
        (tmp_path / "a").write_bytes(start + bytes(100))
        with pytest.raises(ValueError, match="expected a JPEG, PNG, BMP, TIFF or WebP file"):
            runtime._read_image(str(tmp_path / "a"), "sample 0")


# ---------------------------------------------------------------------------------------
# Model files
# ---------------------------------------------------------------------------------------
def test_a_pickle_opens_the_file_again(localizer, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickle.dumps(localizer))
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(again.predict(image), localizer.predict(image))
    assert type(again._engine) is type(localizer._engine)


def test_what_the_file_states_is_told(localizer):
    assert localizer.landmark_names_ == ["red", "green", "blue"]
    assert localizer.notice_ == "For tests only."
    assert (localizer.chip_size_, localizer.chip_margin_) == (SIZE, MARGIN)
    assert localizer.n_landmarks_ == 3
    assert localizer.metadata_["further"] == "kept"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_a_fixed_number_of_chips(tmp_path, engine):
    pytest.importorskip(engine)
    localizer = OnnxLocalizer(write_colours(tmp_path / "a.onnx", n=2), engine=engine)
    assert localizer.landmark_names_ is None and localizer.notice_ is None
    assert localizer.box_relation_ is None
    points = localizer.predict(IMAGE, BOXES)  # 2 + 1
    np.testing.assert_allclose(seen(points, BOXES), wanted_colours(IMAGE, BOXES), atol=1e-3)


def test_openvino_computes_batches_of_files_that_allow_it(tmp_path, monkeypatch):
    """Files of version 0.10, which do not tell the precision, are wrong in batches."""
    openvino = pytest.importorskip("openvino")
    sizes, infer = [], openvino.InferRequest.infer

    def noted(request, inputs):
        sizes.append(len(inputs[0]))
        return infer(request, inputs)

    monkeypatch.setattr(openvino.InferRequest, "infer", noted)
    for told, wanted in (({}, [1, 1, 1, 1]), ({"precision": "int8"}, [3, 1])):
        path = write_colours(tmp_path / "a.onnx", **told)
        localizer = OnnxLocalizer(path, engine="openvino")
        points = localizer.predict(IMAGE, BOXES)
        np.testing.assert_allclose(seen(points, BOXES), wanted_colours(IMAGE, BOXES), atol=1e-3)
        one = localizer.predict(IMAGE, BOXES[:1])
        np.testing.assert_allclose(one, points[:1], atol=1e-3)
        assert sizes == wanted
        sizes.clear()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_no_model_of_skwing_is_an_error(tmp_path, engine):
    pytest.importorskip(engine)
    other = write_colours(tmp_path / "other.onnx", chip_size="")
    with pytest.raises(ValueError, match=r"other\.onnx was not written by .* no chip_size"):
        OnnxLocalizer(other, engine=engine)
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ValueError, match=rf"text\.onnx is no ONNX model for {engine}"):
        OnnxLocalizer(tmp_path / "text.onnx", engine=engine)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.onnx"):
        OnnxLocalizer(tmp_path / "nothing.onnx", engine=engine)


def test_wrong_parameters_are_errors(colours, monkeypatch):
    with pytest.raises(ValueError, match="engine must be one of onnxruntime, openvino, got 'tf'"):
        OnnxLocalizer(colours, engine="tf")
    with pytest.raises(ValueError, match="n_threads must be an integer of 1 or more"):
        OnnxLocalizer(colours, n_threads=0)
    for engine in ENGINES:
        monkeypatch.setitem(sys.modules, engine, None)
        with pytest.raises(ImportError, match=f"`pip install {engine}`"):
            OnnxLocalizer(colours, engine=engine)


def test_the_example_of_deployment_is_this_class(colours):
    pytest.importorskip("onnxruntime")
    path = Path(__file__).parents[1] / "examples" / "deploy.py"
    spec = importlib.util.spec_from_file_location("deploy", path)
    deploy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deploy)
    wanted = OnnxLocalizer(colours).predict([IMAGE] * 3, BOXES)
    np.testing.assert_array_equal(deploy.locate(colours, [IMAGE] * 3, BOXES), wanted)


def test_the_distribution_has_the_licence_of_the_package():
    root = Path(__file__).parents[1]
    if not (root / "runtime").is_dir():
        pytest.skip("no distribution of the runtime beside the tests")
    assert (root / "runtime" / "LICENSE").read_text() == (root / "LICENSE").read_text()
