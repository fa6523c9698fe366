"""Every snippet of the README runs as it is written, one after the other."""

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import scipy.io
from small import build_small, train_at_most

from skwing import geometry
from skwing.datasets import make_faces, write_pts

ROOT = Path(__file__).parent.parent
SUBSETS = {"lfpw/trainset": "image_000{}", "helen/trainset": "{}_1", "afw": "{}_1"}
N_FACES = 12

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="no README here")


def snippets(path):
    """Python snippets of a page, each with the number of its first line."""
    text = (ROOT / path).read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start(1)].count("\n") + 1, match[1]) for match in found]


def write_300w(root, faces):
    """The training folders of 300-W with a few drawn faces, as they are published."""
    rows = np.arange(len(faces.target)).reshape(len(SUBSETS), -1)
    boxes = geometry.boxes_of(faces.target)
    for (subset, name), some in zip(SUBSETS.items(), rows, strict=True):
        (root / subset).mkdir(parents=True)
        cells = np.empty((1, len(some)), dtype=object)
        for k, i in enumerate(some):
            stem = root / subset / name.format(i + 1)
            write_pts(stem.with_suffix(".pts"), faces.target[i])
            cv2.imwrite(f"{stem}.jpg", faces.data.decode(i)[..., ::-1])
            corners = np.concatenate([boxes[i, :2] + 1, boxes[i, :2] + boxes[i, 2:]])[None]
            entry = {"imgName": f"{stem.name}.jpg", "bb_detector": corners}
            cells[0, k] = entry | {"bb_ground_truth": corners}
        (root / "Bounding Boxes").mkdir(exist_ok=True)
        file = root / "Bounding Boxes" / f"bounding_boxes_{subset.replace('/', '_')}.mat"
        scipy.io.savemat(file, {"bounding_boxes": cells})


def write_table(path, faces):
    """The CSV file that the README reads: path, box, and landmarks in turn."""
    columns = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    frame = pd.DataFrame(faces.target.reshape(len(faces.target), -1), columns=columns)
    boxes = geometry.boxes_of(faces.target)
    for k, name in reversed(list(enumerate(("x", "y", "width", "height")))):
        frame.insert(0, name, boxes[:, k])
    files = [path.parent / f"face{i}.png" for i in range(len(frame))]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), faces.data.decode(i)[..., ::-1])
    frame.insert(0, "path", [str(file) for file in files])
    frame.to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that snippets read; few faces, small networks, short trainings."""
    faces = make_faces(N_FACES, image_size=96, random_state=0)
    write_300w(tmp_path / "path/to/300w", faces)
    write_table(tmp_path / "faces.csv", faces)
    portrait = make_faces(1, image_size=256, random_state=0)
    cv2.imwrite(str(tmp_path / "photo.jpg"), portrait.data.decode(0)[..., ::-1])
    monkeypatch.chdir(tmp_path)
    few = lambda n, **settings: make_faces(min(n, 29), image_size=64, **settings)  # noqa: E731
    monkeypatch.setattr("skwing.datasets.make_faces", few)
    build_small(monkeypatch)
    train_at_most(monkeypatch, 1)
    return tmp_path


@pytest.mark.slow
def test_snippets_of_the_readme_run(folder):
    namespace = {}
    for line, code in snippets("README.md"):
        # The place in the page stands in the traceback of one that fails.
        exec(compile("\n" * (line - 1) + code, str(ROOT / "README.md"), "exec"), namespace)
    assert namespace["points"].shape == (4, 68, 2)
    assert namespace["std"].shape == (4, 68)
    assert np.isfinite(namespace["std"]).all()
    model, faces = namespace["model"], namespace["faces"]
    np.testing.assert_array_equal(
        model.predict(faces.data), namespace["search"].predict(faces.data)
    )
    for name in ("landmarks.png", "landmarks.safetensors", "landmarks.onnx"):
        assert (folder / name).stat().st_size > 10_000


def test_files_that_the_readme_names_are_there():
    text = (ROOT / "README.md").read_text("utf-8")
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    named = re.findall(r"`(?:python )?((?:examples|benchmarks)/[\w./]+\.py)", text)
    assert len(linked) > 3
    assert len(named) > 3
    for path in {*linked, *named}:
        assert (ROOT / path).exists(), path
