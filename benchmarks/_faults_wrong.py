"""Checks for silently wrong results."""

import pickle
import random
import tempfile
import threading
import warnings
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from _faults import check, faces, fitted, refused, regressor, same
from sklearn.model_selection import GridSearchCV

from skwing import PoseBalancer
from skwing.datasets import make_faces


@check("fits in threads equal a fit alone", "A")
def _threads(share):
    trials, found, stop = max(2, int(8 * share)), [], threading.Event()

    def disturb():
        while not stop.is_set():
            torch.rand(100)
            np.random.rand(100)  # noqa: NPY002
            random.random()
            pickle.loads(pickle.dumps(fitted()))

    def fit(_):
        return regressor().fit(*faces())

    before = fitted()
    other = threading.Thread(target=disturb)
    other.start()
    try:
        found = joblib.Parallel(4, backend="threading")(
            joblib.delayed(fit)(i) for i in range(trials)
        )
    finally:
        stop.set()
        other.join()
    return trials, [f"fit {i} differs" for i, reg in enumerate(found) if not same(reg, before)]


@check("a search in threads equals one in processes", "A")
def _search(share):
    scores = []
    for backend in ("threading", "loky"):
        search = GridSearchCV(
            regressor(max_epochs=1), {"w": [2.0, 8.0], "epsilon": [1.0, 2.0]}, cv=2
        )
        with joblib.parallel_config(
            backend, n_jobs=2, inner_max_num_threads=1 if backend == "loky" else None
        ):
            scores.append(search.fit(*faces()).cv_results_["mean_test_score"])
    return 2, [] if np.array_equal(*scores) else [f"{scores}"]


def _states():
    """Global generators of torch, numpy and Python."""
    of_numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    return torch.get_rng_state(), of_numpy, random.getstate()


@check("global random states are neither read nor moved", "A")
def _global_states(share):
    faults = []
    for name, call in {
        "fit": lambda: regressor(random_state=None).fit(*faces()),
        "predict": lambda: fitted().predict(faces()[0]),
        "load": lambda: pickle.loads(pickle.dumps(fitted())),
        "balance": lambda: PoseBalancer().fit(*faces()),
        "draw": lambda: make_faces(2),
    }.items():
        before = _states()
        call()
        after = _states()
        if not (torch.equal(before[0], after[0]) and np.array_equal(before[1], after[1])):
            faults.append(f"{name} moves a global state")
        if before[2] != after[2]:
            faults.append(f"{name} moves Python's state")
    return 5, faults


@check("ambient state of torch changes nothing", "A")
def _ambient(share):
    expected, faults = fitted().predict(faces()[0]), []
    contexts = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "inference mode": torch.inference_mode,
        "no grad": torch.no_grad,
        "device meta": lambda: torch.device("meta"),
    }
    for name, context in contexts.items():
        with context():
            answers = {
                "fit": regressor().fit(*faces()).predict(faces()[0]),
                "predict": fitted().predict(faces()[0]),
                "load": pickle.loads(pickle.dumps(fitted())).predict(faces()[0]),
            }
        faults += [f"{k} in {name}" for k, v in answers.items() if not np.array_equal(v, expected)]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        if not np.array_equal(regressor().fit(*faces()).predict(faces()[0]), expected):
            faults.append("default dtype float64")
    finally:
        torch.set_default_dtype(before)
    return 13, faults


@check("divergence is an error, and predictions are finite", "A")
def _divergence(share):
    faults, trials = [], 0
    rates = (1e3, 1e6, 1e12, 1e30)[: max(1, int(4 * share))]
    for rate in rates:
        for optimizer in ("adamw", "sgd"):
            for epochs in (1, 3):
                trials += 1
                model = regressor(learning_rate=rate, optimizer=optimizer, max_epochs=epochs)
                try:
                    points = model.fit(*faces()).predict(faces()[0])
                except ValueError:
                    continue
                if not np.isfinite(points).all() or np.abs(points).max() > 1e4:
                    faults.append(f"rate {rate}, {optimizer}, {epochs} epochs: {points.max():.3g}")
    far = faces()[1].copy()
    far[3, 5] = 1e30
    if told := refused(lambda: regressor().fit(faces()[0], far), "3"):
        faults.append(f"a landmark at 1e30: {told}")
    return trials + 1, faults


@check("a stage that answers NaN gives NaN and a warning", "A")
def _nan_stage(share):
    model = pickle.loads(pickle.dumps(fitted()))
    with torch.no_grad():
        for parameter in model.networks_[0].parameters():
            parameter.fill_(float("nan"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        points = model.predict(faces()[0])
    faults = [] if np.isnan(points).all() else ["finite landmarks from NaN"]
    return 1, faults + ([] if told else ["no warning"])


def _jpeg():
    """A JPEG file of a face, and the offset of its scan."""
    data = cv2.imencode(".jpg", faces()[0].decode(0)[..., ::-1])[1].tobytes()
    return data, data.index(b"\xff\xda") + 12


@check("damaged JPEGs and PNGs are errors", "A")
def _damaged(share):
    faults, trials = [], 0
    data, scan = _jpeg()
    cuts = {
        "half of it, with an end marker": data[: len(data) // 2] + b"\xff\xd9",
        "the end missing": data[: -len(data) // 5],
        "two fifths of the scan zeroed": data[:scan]
        + bytes(2 * (len(data) - scan) // 5)
        + data[scan + 2 * (len(data) - scan) // 5 :],
    }
    png = cv2.imencode(".png", faces()[0].decode(0))[1].tobytes()
    cuts |= {"half a PNG": png[: len(png) // 2], "nothing": b"", "text": b"no image at all"}
    rng = random.Random(0)
    for _ in range(max(5, int(100 * share))):
        place = rng.randrange(60, len(png) - 16)
        cuts[f"PNG with byte {place} changed"] = (
            png[:place] + bytes([png[place] ^ 255]) + png[place + 1 :]
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in cuts.items():
            path = Path(folder) / "face.img"
            path.write_bytes(content)
            trials += 1
            if told := refused(lambda p=path: fitted().predict([p]), str(path)):
                faults.append(f"{name}: {told}")
    return trials, faults
