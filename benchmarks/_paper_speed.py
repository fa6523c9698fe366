"""Size and speed of the networks."""

import time

import numpy as np
import torch
from _report import append, environment
from _runs import identity, plain, read_rows

import skwing
from skwing import CascadeLandmarkRegressor
from skwing.images import BoxedImages

N_FACES = 128  # batch size; a quarter of it with --quick
LEAST_CALLS, LEAST_SECONDS = 3, 1.0


def sizes(networks):
    """Number of parameters, and size of the stored state in megabytes."""
    n_parameters = sum(p.numel() for network in networks for p in network.parameters())
    n_bytes = sum(
        value.numel() * value.element_size()
        for network in networks
        for value in network.state_dict().values()
    )
    return {"parameters": n_parameters, "megabytes": round(n_bytes / 1e6, 1)}


def _median_seconds(call):
    """Median seconds of a call, after a warm-up call."""
    call()
    seconds, start = [], time.perf_counter()
    while len(seconds) < LEAST_CALLS or time.perf_counter() - start < LEAST_SECONDS:
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


def faces_per_second(regressor, images):
    """Faces per second of predict, in one batch and one by one."""
    one = images[:1]
    # The result is a numpy array, so the device is synchronised.
    batch = _median_seconds(lambda: regressor.predict(images))
    single = _median_seconds(lambda: regressor.predict(one))
    return {"batch": round(len(images) / batch, 1), "single": round(1 / single, 1)}


def decoded(images, n):
    """The first faces, decoded in memory."""
    some = images[:n]
    pixels = [some.decode(i) for i in range(len(some))]
    return BoxedImages(pixels, boxes=some.boxes, schema=some.schema)


def _devices():
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _cell(settings, n_landmarks, n_faces):
    """Fields that identify a speed measurement in the results."""
    told = {key: value for key, value in environment().items() if key == "machine"}
    if torch.cuda.is_available():
        told["gpu"] = torch.cuda.get_device_name()
    return {
        "skwing": skwing.__version__,
        "faces": "speed",
        "parameters": {
            **plain(settings),
            "n_landmarks": n_landmarks,
            "n_faces": n_faces,
            **told,
        },
    }


def measure_speed(trial, split, args):
    """Size and speed of each stage of a trial, from the file or measured; or None.

    The networks are trained for one epoch on a few faces, because size and speed do not depend
    on the training. Measured in this process after all trainings.
    """
    n_faces = N_FACES // 4 if args.quick else N_FACES
    settings = {key: trial.settings[key] for key in ("networks", "average_mirrored", "retry")}
    cell = _cell(settings, split.target.shape[1], n_faces)
    old = None if args.again else read_rows(args.cells).get(identity(cell))
    if old is not None or args.report:
        return old
    images = decoded(split.data, n_faces)
    stages = []
    for n_stages, name in enumerate(trial.stages, 1):
        own = settings | {"networks": settings["networks"][:n_stages]}
        regressor = CascadeLandmarkRegressor(
            **own, max_epochs=1, batch_size=4, device="cpu", random_state=0
        )
        regressor.fit(images, split.target[: len(images)])
        row = {"name": name, **sizes(regressor.networks_)}
        for device in _devices():
            regressor.set_params(device=device)
            row[device] = faces_per_second(regressor, images)
        stages.append(row)
        print(f"{name}: {row}", flush=True)
    row = {**cell, **environment(), "trial": f"speed of {trial.name}", "stages": stages}
    append(row, args.cells)
    return row
