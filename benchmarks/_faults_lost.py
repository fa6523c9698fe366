"""Checks for lost work."""

import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
from _faults import PRELUDE, check, faces, fitted, in_process, refused, regressor, same, writers

from skwing import BoxedImages, load_model, save_model


@check("Ctrl-C leaves a fitted estimator and a warning", "B")
def _interrupt(share):
    code = """
model = regressor(max_epochs=(3, 100000))
def stop():
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop, daemon=True).start()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model.fit(X, y)
points = model.predict(X)
print("fine" if told and np.isfinite(points).all() and len(model.history_) > 3 else "lost")
"""
    times = (3.0, 4.5, 6.0)[: max(1, int(3 * share))]
    found = [in_process(code, seconds) for seconds in times]
    return len(times), [told for told in found if told != "fine"]


@check("divergence in a later stage leaves the earlier ones", "B")
def _later_divergence(share):
    model = regressor(learning_rate=(1e-3, 1e12), max_epochs=(2, 3))
    told = refused(lambda: model.fit(*faces()), "stage 2")
    faults = [told] if told else []
    try:
        points = model.predict(faces()[0])
    except Exception as error:
        return 1, [*faults, f"{type(error).__name__}: {error}"]
    return 1, faults + ([] if np.isfinite(points).all() else ["NaN"])


@check("writers keep links and modes, and refuse FIFOs and devices", "B")
def _targets(share):
    faults, trials = [], 0
    for name, write in writers().items():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            suffix = {"write_coco": ".json", "write_dlib_xml": ".xml"}.get(name, ".txt")
            real, link, fifo = (folder / f"{kind}{suffix}" for kind in ("real", "link", "fifo"))
            write(real)
            real.chmod(0o600)
            link.symlink_to(real)
            try:
                write(link)
            except FileExistsError:
                write = None
            if write is not None and not (
                link.is_symlink() and real.stat().st_mode & 0o777 == 0o600
            ):
                faults.append(f"{name}: link or mode lost")
            os.mkfifo(fifo)
            trials += 2
            if write is not None and (told := refused(lambda w=write, f=fifo: w(f), str(fifo))):
                faults.append(f"{name}, FIFO: {told}")
            if not fifo.is_fifo():
                faults.append(f"{name}: a FIFO was replaced")
            left = [p.name for p in folder.iterdir() if p not in (real, link, fifo)]
            faults += [f"{name}: {left} left behind"] if left else []
    return trials, faults


@check("a full disk leaves the file that was there", "B")
def _full_disk(share):
    code = """
import resource
from pathlib import Path
folder = Path(sys.argv[1])
model = regressor().fit(X, y)
model.schema_.to_json(folder / "schema.json")
save_model(model, folder / "model.safetensors")
before = {p.name: p.read_bytes() for p in folder.iterdir()}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
writers = {"schema.json": model.schema_.to_json, "model.safetensors": partial(save_model, model)}
for name, write in writers.items():
    try:
        write(folder / name)
        print("no error for", name)
    except OSError as error:
        if name not in str(error): print("error without the name:", error)
after = {p.name: p.read_bytes() for p in folder.iterdir()}
if after != before: print("changed", sorted(after))
"""
    with tempfile.TemporaryDirectory() as folder:
        told = in_process(code, folder)
    return 2, [told] if told else []


@check("SIGKILL while saving leaves a whole file", "B")
def _kill(share):
    code = """
model = regressor().fit(X, y)
save_model(model, sys.argv[1])
print("ready", flush=True)
while True: save_model(model, sys.argv[1])
"""
    faults, trials, rng = [], max(2, int(15 * share)), random.Random(0)
    for _ in range(trials):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            with subprocess.Popen(
                [sys.executable, "-c", PRELUDE + code, str(path)], stdout=subprocess.PIPE
            ) as process:
                process.stdout.readline()
                time.sleep(rng.uniform(0, 0.2))
                process.kill()
            try:
                load_model(path)
            except Exception as error:
                faults.append(f"{type(error).__name__}: {error}")
    return trials, faults


@check("damaged model files are errors", "B")
def _damaged_models(share):
    faults, trials, rng = [], max(20, int(300 * share)), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(fitted(), path)
        whole = path.read_bytes()
        for i in range(trials):
            place = rng.randrange(len(whole) if i % 2 else 3000)
            changed = bytes([whole[place] ^ (1 << rng.randrange(8))])
            content = whole[:place] if i % 5 == 0 else whole[:place] + changed + whole[place + 1 :]
            path.write_bytes(content)
            told = refused(lambda: load_model(path), str(path))
            if told == "accepted" and same(load_model(path), fitted()):
                told = None
            if told:
                faults.append(f"byte {place}: {told}")
    return trials, faults


@check("one unreadable file among many costs one answer", "B")
def _skip(share):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(8):
            paths.append(Path(folder) / f"{i}.png")
            cv2.imwrite(str(paths[-1]), faces()[0].decode(i))
        paths.insert(3, Path(folder) / "missing.png")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            points = fitted().predict(paths, on_error="skip")
        faults = (
            []
            if np.isnan(points[3]).all() and np.isfinite(np.delete(points, 3, 0)).all()
            else ["rows"]
        )
        if not any("missing.png" in str(w.message) for w in told):
            faults.append("no warning names the file")
        if told := refused(lambda: BoxedImages(paths).verify(), "missing.png"):
            faults.append(f"verify: {told}")
    return 2, faults
