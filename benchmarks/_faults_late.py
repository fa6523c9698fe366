"""Checks for crashes, hangs, and late or unclear errors."""

import os
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from _faults import check, faces, in_process, refused, regressor, writers

from skwing import PoseBalancer
from skwing.datasets import (
    read_coco,
    read_csv,
    read_dlib_xml,
    read_pts,
    read_tps,
    write_pts,
)


@check("absurd numbers are refused, not tried", "C")
def _absurd(share):
    X, y = faces()
    far = X.boxes.copy()
    far[2] = [0, 0, 1e300, 1e300]
    trials = {
        "repeats of 2**60": lambda: regressor().fit(X.with_repeats(np.full(len(y), 2**60)), y),
        "n_bins of 10**9": lambda: PoseBalancer(n_bins=10**9).fit(X, y),
        "a box of 1e300": lambda: regressor().fit(X.with_boxes(far), y),
        "shapes of 1e200": lambda: regressor().fit(X, y * 1e200),
        "w of 10**400": lambda: regressor(w=10**400).fit(X, y),
        "a bad random_state": lambda: regressor(random_state="one").fit(X, y),
    }
    found = {name: refused(call, errors=(ValueError, TypeError)) for name, call in trials.items()}
    return len(trials), [f"{name}: {told}" for name, told in found.items() if told]


@check("an image of a thousand megapixels is refused", "C")
def _bomb(share):
    code = """
import zlib, struct, resource
def chunk(kind, data):
    end = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + end
side = 32000
z, pixels = zlib.compressobj(), b""
for _ in range(side): pixels += z.compress(bytes(1 + side * 3))
header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
data = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header)
data += chunk(b"IDAT", pixels + z.flush()) + chunk(b"IEND", b"")
open(sys.argv[1], "wb").write(data)
model = regressor().fit(X, y)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    model.predict([sys.argv[1]])
    print("accepted")
except ValueError as error:
    if sys.argv[1] not in str(error): print("unnamed:", error)
if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > before + 500_000: print("took memory")
"""
    with tempfile.TemporaryDirectory() as folder:
        told = in_process(code, Path(folder) / "bomb.png")
    return 1, [told] if told else []


READERS = {
    "pts": (read_pts, lambda path: write_pts(path, faces()[1][0])),
    "tps": (read_tps, "write_tps"),
    "csv": (read_csv, "write_csv"),
    "json": (read_coco, "write_coco"),
    "xml": (read_dlib_xml, "write_dlib_xml"),
}


def _mutate(data, rng):
    """Bytes with a few random changes."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : place + rng.randrange(1, 40)]
        elif kind == 2:
            data[place:place] = rng.choice(
                [b"nan", b"1e999", b"-1", b"\0", b",", b"\n", b"99999999999"]
            )
        else:
            data[place:place] = data[: rng.randrange(1, 80)]
        if not data:
            return b""
    return bytes(data)


@check("mutated files of five formats: read, or an error", "C")
def _fuzz(share):
    faults, trials, rng = [], 0, random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, (read, write) in READERS.items():
            path = Path(folder) / f"labels.{suffix}"
            (write if callable(write) else writers()[write])(path)
            whole = path.read_bytes()
            for _ in range(int(3000 * share)):
                path.write_bytes(_mutate(whole, rng))
                trials += 1
                start = time.perf_counter()
                try:
                    read(path)
                except (ValueError, TypeError, OSError):
                    pass
                except Exception as error:
                    faults.append(f"{suffix}: {type(error).__name__}: {str(error)[:100]}")
                if time.perf_counter() - start > 10:
                    faults.append(f"{suffix}: took {time.perf_counter() - start:.0f} s")
    return trials, faults


@check("a FIFO as an image is refused", "D")
def _fifo(share):
    code = """
model = regressor().fit(X, y)
try:
    model.predict([sys.argv[1]])
    print("accepted")
except (ValueError, OSError) as error:
    if sys.argv[1] not in str(error): print("unnamed:", error)
"""
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(Path(folder) / "pipe.png")
        told = in_process(code, Path(folder) / "pipe.png", limit=60)
    return 1, [told] if told else []


@check("predict in a forked child answers or is refused", "D")
def _fork(share):
    code = """
torch.set_num_threads(2)
model = regressor().fit(X, y)
expected = model.predict(X)
child = os.fork()
if child == 0:
    try: os._exit(0 if np.abs(model.predict(X) - expected).max() < 0.1 else 1)
    except RuntimeError: os._exit(0)
if os.waitpid(child, 0)[1]: print("another answer")
"""
    told = in_process(code, limit=60)
    return 1, [told] if told else []


@check("flags, numbers and names of the wrong kind are named", "E")
def _settings(share):
    X, y = faces()
    bad = {
        "warm_start": ("no", "False", 1, None),
        "early_stopping": ("False", 0.5),
        "average_mirrored": ("yes", None),
        "verbose": ("yes", -1, 1.5),
        "momentum": (-0.1, 1.0, "much"),
        "max_epochs": (0, -3, 1.5, "many"),
        "batch_size": (0, 2.5, None),
        "learning_rate": (0, -1, float("nan"), "fast"),
        "networks": ("cnn6", ("cnn8",), (), (3,)),
        "loss": ("best", 3),
        "device": ("gpu", 7.5),
        "random_state": ("zero", -1, 1.5),
        "schedule": ("up", None),
        "w": (0, -1, 10**400, (), np.array(["a"])),
    }
    faults, trials = [], 0
    for name, values in bad.items():
        for value in values:
            trials += 1
            told = refused(
                lambda n=name, v=value: regressor(**{n: v}).fit(X, y),
                name,
                errors=(ValueError, TypeError),
            )
            if told:
                faults.append(f"{name}={str(value)[:20]}: {told}")
    for optimizer in ("adamw", "sgd"):
        regressor(momentum=0, optimizer=optimizer, learning_rate=1e-4).fit(X, y)
    regressor(w=np.array([5.0, 6.0]), batch_size=np.int64(8)).fit(X, y)
    return trials + 3, faults
