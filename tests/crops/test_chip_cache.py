"""Chips in files: fits with and without them are equal, and no file is ever trusted blindly."""

import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from small import SHAPE_INDEXED, UNBENT

import skwing
from skwing import BoxedImages, CascadeLandmarkRegressor
from skwing._crops import chip_cache, chips
from skwing._crops.chips import ChipFrame, cut_chips
from skwing._crops.pack import StoredPixels
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces

FRAME = ChipFrame(size=32, margin=0.5)
N = 12


@pytest.fixture
def files(tmp_path):
    """Faces in image files: BoxedImages of paths."""
    faces = make_faces(N, image_size=64, random_state=0)
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [str(folder / f"{i}.png") for i in range(N)]
    for i, path in enumerate(paths):
        cv2.imwrite(path, faces.data.decode(i))
    return BoxedImages(paths, faces.data.boxes)


@pytest.fixture
def cut(monkeypatch):
    """Indices of the samples that are decoded."""
    decoded = []
    decode = BoxedImages.decode
    monkeypatch.setattr(
        BoxedImages, "decode", lambda self, i: decoded.append(self._numbers[i]) or decode(self, i)
    )
    return decoded


@pytest.fixture
def small_packs(monkeypatch):
    """Packs of three chips, cut two at a time."""
    monkeypatch.setattr(chip_cache, "_LEAST_PACK", 3 * 3 * FRAME.size**2)
    monkeypatch.setattr(chip_cache, "_BATCH", 2 * 3 * FRAME.size**2)


def packs_in(folder):
    return sorted(folder.rglob("*.chips"), key=lambda path: path.stat().st_mtime)


def assert_equal(some, others):
    np.testing.assert_array_equal(some.pixels[:], others.pixels[:])
    np.testing.assert_array_equal(some.matrices, others.matrices)
    np.testing.assert_array_equal(some.image_sizes, others.image_sizes)


@pytest.mark.parametrize("order", [range(N), [5, 2, 2, 9, 0, 5], [3]])
def test_chips_from_files_equal_those_in_memory(files, tmp_path, order, small_packs):
    data = files[list(order)]
    plain = cut_chips(data, FRAME)
    for _ in range(2):
        stored = cut_chips(data, FRAME, cache=str(tmp_path / "a" / "chips"))
        assert isinstance(stored.pixels, StoredPixels)
        assert stored.pixels.shape == plain.pixels.shape
        assert stored.pixels.nbytes == plain.pixels.nbytes
        assert_equal(stored, plain)
    few = torch.arange(len(data))
    matrices = torch.eye(2, 3).expand(len(data), 2, 3)
    for scale in (1.0, 0.6, 0.3):  # at full, half and a quarter of the resolution
        assert torch.equal(
            stored.sample(few, matrices, 16, scale), plain.sample(few, matrices, 16, scale)
        )


def test_samples_without_a_box_and_arrays_are_stored_too(tmp_path, cut):
    faces = make_faces(4, image_size=64, random_state=0)
    images = [faces.data.decode(i) for i in range(4)]
    floats = [image / np.float32(255) for image in images]
    boxes = faces.data.boxes.copy()
    boxes[2] = np.nan
    for data in (BoxedImages(images, boxes), BoxedImages(np.stack(images)), BoxedImages(floats)):
        plain = cut_chips(data, FRAME)
        assert_equal(cut_chips(data, FRAME, cache=str(tmp_path)), plain)
        cut.clear()
        copies = BoxedImages([np.array(data._store[0][i]) for i in range(4)], data._boxes)
        assert_equal(cut_chips(copies, FRAME, cache=str(tmp_path)), plain)
        assert not cut  # the content counts, not the place in memory


def test_only_what_is_new_is_cut(files, tmp_path, cut, monkeypatch):
    cache = str(tmp_path / "chips")
    cut_chips(files[:8], FRAME, cache=cache)
    cut.clear()
    cut_chips(files[4:], FRAME, cache=cache)
    assert sorted(cut) == [8, 9, 10, 11]
    cut.clear()
    boxes = files.boxes.copy()
    boxes[3, 0] += 1
    cut_chips(files.with_boxes(boxes), FRAME, cache=cache)
    assert cut == [3]
    cut.clear()
    cut_chips(files, ChipFrame(32, 0.25), cache=cache)
    cut_chips(files, ChipFrame(40, 0.5), cache=cache)
    assert len(cut) == 2 * N
    cut.clear()
    path = files.paths[5]
    cv2.imwrite(path, np.full((64, 64, 3), 9, np.uint8))
    assert (cut_chips(files, FRAME, cache=cache).pixels[5] == 9).all()
    assert cut == [5]
    os.utime(path, ns=(1, 1))  # it might have been changed
    cut_chips(files, FRAME, cache=cache)
    assert cut == [5, 5]
    monkeypatch.chdir(os.path.dirname(path))
    relative = BoxedImages([os.path.basename(path) for path in files.paths], files.boxes)
    cut_chips(relative, FRAME, cache=cache)
    assert cut == [5, 5]
    monkeypatch.setattr(chip_cache, "__version__", "another")
    cut_chips(files, FRAME, cache=cache)
    assert len(cut) == 2 + N


DAMAGE = {
    "empty": lambda content: b"",
    "cut in the header": lambda content: content[:20],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "another kind": lambda content: b"x" + content[1:],
    "a pixel": lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
    "the index": lambda content: content[:-30] + bytes([content[-30] ^ 1]) + content[-29:],
    "more chips than there are": lambda content: content[:16] + b"\xff" * 7 + content[23:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_replaced(files, tmp_path, damage, cut):
    whole = cut_chips(files, FRAME, cache=str(tmp_path))
    (path,) = packs_in(tmp_path)
    content = path.read_bytes()
    path.unlink()  # the pack that is open stays as it is
    path.write_bytes(damage(content))
    cut.clear()
    assert_equal(cut_chips(files, FRAME, cache=str(tmp_path)), whole)
    assert len(cut) == N
    assert [path.read_bytes() == content for path in packs_in(tmp_path)] == [True]


def test_a_file_that_is_truncated_while_it_is_read_is_an_error_that_names_it(files, tmp_path):
    stored = cut_chips(files, FRAME, cache=str(tmp_path))
    (path,) = packs_in(tmp_path)
    os.truncate(path, 1000)
    with pytest.raises(OSError, match=str(path)):
        stored.pixels[N - 1]


def test_a_file_that_is_removed_while_it_is_read_does_not_matter(files, tmp_path):
    stored = cut_chips(files, FRAME, cache=str(tmp_path))
    shutil.rmtree(next(tmp_path.glob("chips-*")))
    assert_equal(stored, cut_chips(files, FRAME))


def test_what_fails_leaves_nothing_and_names_the_sample(files, tmp_path, small_packs):
    os.truncate(files.paths[7], 100)
    with pytest.raises(ValueError, match=r"sample 7 .*7\.png"):
        cut_chips(files, FRAME, cache=str(tmp_path))
    assert not list(tmp_path.rglob("*.tmp"))
    os.unlink(files.paths[7])
    with pytest.raises(FileNotFoundError, match=r"sample 7 .*7\.png"):
        cut_chips(files, FRAME, cache=str(tmp_path))


PROGRAM = """
import os, sys, zlib
import numpy as np
from skwing import BoxedImages
from skwing._crops import chip_cache
from skwing._crops.chips import ChipFrame, cut_chips

data, folder = sys.argv[1:]
with np.load(data) as file:
    images = BoxedImages(file["paths"].tolist(), file["boxes"])
chip_cache._LEAST_PACK = 2 * 3 * 32**2
reading, writing = os.pipe()
children = []
for _ in range(2):
    children.append(os.fork())
    if not children[-1]:
        os.close(writing)
        os.read(reading, 1)  # until the other one is there, too
        stored = cut_chips(images, ChipFrame(32, 0.5), cache=folder)
        print(zlib.crc32(stored.pixels[:].tobytes()), flush=True)
        os._exit(0)
os.close(writing)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_processes_at_the_same_time_get_the_same_chips(files, tmp_path):
    np.savez(tmp_path / "data.npz", paths=files.paths.astype(str), boxes=files.boxes)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data.npz"), str(tmp_path / "chips")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=100)
    wanted = zlib.crc32(cut_chips(files, FRAME).pixels.tobytes())
    assert [int(found) for found in done.stdout.split()] == [wanted] * 2


def test_chips_that_another_process_adds_meanwhile_are_not_cut(files, tmp_path, small_packs):
    cut_all, cut = [], []

    def cut_some(data):
        cut.extend(data._numbers)
        if not cut_all:  # another process, which is faster
            cut_all.append(cut_chips(files, FRAME, cache=str(tmp_path)))
        return cut_chips(data, FRAME)

    pixels, matrices, sizes = chip_cache.stored_chips(str(tmp_path), files, FRAME, cut_some)
    assert len(cut) <= 3  # the portion that both were at
    assert_equal(chips.Chips(pixels, matrices, FRAME, image_sizes=sizes), cut_all[0])


def disk(monkeypatch, n_bytes):
    """A disk for this number of bytes in files of chips."""

    def usage(folder):
        there = sum(path.stat().st_size for path in packs_in(Path(folder)))
        return SimpleNamespace(total=n_bytes, free=n_bytes - there)

    monkeypatch.setattr(chip_cache.shutil, "disk_usage", usage)
    monkeypatch.setattr(chip_cache, "_FREE_SHARE", 0.0)


def test_files_that_were_not_used_for_longest_make_room(files, tmp_path, monkeypatch, cut):
    cache = str(tmp_path / "chips")
    parts = [files[start : start + 4] for start in (0, 4, 8)]
    for part in parts:
        cut_chips(part, FRAME, cache=cache)
    for path, age in zip(packs_in(tmp_path), (300, 200, 100), strict=True):
        os.utime(path, (time.time() - age,) * 2)
    cut_chips(parts[0], FRAME, cache=cache)  # now parts[1] is the oldest
    a_part = max(path.stat().st_size for path in packs_in(tmp_path))
    disk(monkeypatch, int(3.5 * a_part))
    in_use = cut_chips(parts[0], FRAME, cache=cache)
    cut_chips(files.with_boxes(files.boxes + 1)[:4], FRAME, cache=cache)
    cut.clear()
    cut_chips(parts[0], FRAME, cache=cache)
    cut_chips(parts[2], FRAME, cache=cache)
    assert not cut
    disk(monkeypatch, 2 * a_part)
    with pytest.raises(OSError, match=r"cache=.*do not fit on its disk"):
        cut_chips(files.with_boxes(files.boxes + 2), FRAME, cache=cache)
    assert not packs_in(tmp_path)
    assert_equal(in_use, cut_chips(parts[0], FRAME))


def test_unfinished_files_of_killed_processes_are_removed_later(files, tmp_path):
    cut_chips(files[:2], FRAME, cache=str(tmp_path))
    (path,) = packs_in(tmp_path)
    left = [path.with_name(f"{path.name}.{age}.tmp") for age in ("old", "new")]
    for each in left:
        each.write_bytes(b"half")
    os.utime(left[0], (time.time() - 2 * 24 * 3600,) * 2)
    cut_chips(files, FRAME, cache=str(tmp_path))
    assert [each.exists() for each in left] == [False, True]


def test_few_files_are_open(files, tmp_path, monkeypatch, cut):
    for i in range(N):
        cut_chips(files[[i]], FRAME, cache=str(tmp_path))
    monkeypatch.setattr(chip_cache, "_MOST_OPEN", 4)
    cut.clear()
    stored = cut_chips(files, FRAME, cache=str(tmp_path))
    assert len(cut) == N - 4
    assert_equal(stored, cut_chips(files, FRAME))


def regressor(**settings):
    defaults = {
        "networks": (SHAPE_INDEXED, SHAPE_INDEXED),
        "max_epochs": 1,
        "random_state": 0,
        **UNBENT,
    }
    return CascadeLandmarkRegressor(**defaults | settings)


def weights(reg):
    return [p.detach().numpy() for network in reg.networks_ for p in network.state_dict().values()]


@pytest.mark.slow
def test_a_fit_is_the_same_with_and_without(tmp_path, cut):
    X, y = make_faces(N, image_size=160, random_state=0, return_X_y=True)
    # In wide boxes, faces are small, and chips are cut a second time at higher resolution.
    X = X.with_boxes(np.tile([-100.0, -100, 360, 360], (N, 1)))
    plain = regressor(early_stopping=True).fit(X, y)
    n_cuts = len(cut)
    assert n_cuts == 2 * (N - 1) + 1
    for cache in (tmp_path, str(tmp_path)):
        reg = regressor(early_stopping=True, cache=cache).fit(X, y)
        for weight, other in zip(weights(reg), weights(plain), strict=True):
            np.testing.assert_array_equal(weight, other)
        assert reg._retry.limit == plain._retry.limit
    assert len(cut) == 2 * n_cuts  # the second fit with a cache decodes nothing
    again = [fit.set_params(warm_start=True).fit(X, y) for fit in (reg, plain)]
    assert len(cut) > 2 * n_cuts  # that of `plain`
    for weight, other in zip(*map(weights, again), strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.slow
def test_a_search_cuts_every_chip_once(tmp_path, cut):
    X, y = make_faces(N, image_size=48, random_state=0, return_X_y=True)
    reg = regressor(networks=(SHAPE_INDEXED,), cache=tmp_path)
    search = GridSearchCV(reg, {"w": [5, 10]}, cv=3, scoring=lambda *_: 0.0)
    search.fit(X, y)
    assert sorted(cut) == list(range(N))
    assert search.best_estimator_.cache == tmp_path


@pytest.mark.slow
def test_a_saved_model_does_not_tell_the_folder(tmp_path):
    X, y = make_faces(6, image_size=48, random_state=0, return_X_y=True)
    reg = regressor(networks=(skwing.networks.NETWORKS["cnn6"],), cache=tmp_path / "secret")
    path = tmp_path / "model.safetensors"
    skwing.save_model(reg.fit(X, y), path)
    assert skwing.load_model(path).cache is None
    assert b"secret" not in path.read_bytes()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    X, y = make_faces(3, image_size=48, random_state=0, return_X_y=True)
    with pytest.raises(ValueError, match="cache must be the path of a folder or None"):
        regressor(cache=tmp_path / "file").fit(X, y)
    with pytest.raises(OSError, match=r"cache=.*cannot be created"):
        regressor(cache=tmp_path / "file" / "within").fit(X, y)
