"""A predictor in a process of its own, for `latency.py`: only what it needs is imported.

The command line is one JSON object. The result is a line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def resident_bytes():
    """Resident memory of this process; None where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def by_dlib(path):
    """Predictor of dlib: a function of images and boxes."""
    import _dlib
    import dlib

    predictor = dlib.shape_predictor(path)

    def predict(images, boxes):
        return [_dlib.locate(dlib, predictor, *face) for face in zip(images, boxes, strict=True)]

    return predict


def by_torch(path, average_mirrored):
    """Regressor of skwing."""
    import warnings

    import torch

    from skwing import BoxedImages, load_model

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # terms of use
        model = load_model(path)
    model.set_params(retry=False, average_mirrored=average_mirrored, device="cpu")
    return lambda images, boxes: model.predict(BoxedImages(images, boxes))


def by_file(path, engine):
    """ONNX file of skwing."""
    from skwing.runtime import OnnxLocalizer

    return OnnxLocalizer(path, engine=engine).predict


KINDS = {"dlib": by_dlib, "torch": by_torch, "onnx": by_file}
IMPORTS = {
    "dlib": ("dlib", "cv2"),
    "torch": ("skwing.cascade", "skwing.persistence"),
    "onnxruntime": ("skwing.runtime", "onnxruntime"),
    "openvino": ("skwing.runtime", "openvino"),
}


def milliseconds(predict, batches, n_repeats):
    """Median over repeats of the milliseconds of processor time per face."""
    times = []
    for _ in range(n_repeats):
        start = time.process_time()
        for images, boxes in batches:
            predict(images, boxes)
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times)) / sum(len(images) for images, _ in batches)


def main(task):
    """Import, load, predict and measure."""
    before = resident_bytes()
    start = time.perf_counter(), time.process_time()
    for name in IMPORTS[task["library"]]:
        __import__(name)
    told = {
        "import_seconds": time.perf_counter() - start[0],
        "import_cpu_seconds": time.process_time() - start[1],
    }
    predict = KINDS[task["kind"]](**task["options"])
    warm = np.zeros((256, 256, 3), np.uint8)
    predict([warm], np.array([[64.0, 64, 128, 128]]))
    told["memory_mb"] = None if before is None else (resident_bytes() - before) / 1e6
    with np.load(task["faces"]) as file:
        boxes = file["boxes"]
        images = [file[f"image{i}"] for i in range(len(boxes))]
    if task["points"] is not None:
        starts = range(0, len(boxes), 64)
        points = [predict(images[i : i + 64], boxes[i : i + 64]) for i in starts]
        np.save(task["points"], np.concatenate(points))
    few = range(min(64, len(boxes)))
    ones = [([images[i]], boxes[i : i + 1]) for i in few]
    told["ms_1"] = milliseconds(predict, ones, task["n_repeats"])
    told["ms_64"] = milliseconds(predict, [(images[:64], boxes[:64])], task["n_repeats"])
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
