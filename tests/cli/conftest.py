import shutil

import numpy as np
import pytest
from small import build_small

from skwing import CascadeLandmarkRegressor, save_model
from skwing._cli import main
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces, write_coco, write_csv, write_tps
from skwing.images import BoxedImages

N = 12


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """Commands build small networks in place of those with a name."""
    with pytest.MonkeyPatch.context() as patch:
        build_small(patch)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Images, annotation files in several formats, and two models."""
    folder = tmp_path_factory.mktemp("cli")
    faces = make_faces(N, image_size=64, random_state=0)
    for i in range(N):
        cv2.imwrite(str(folder / f"{i:02}.png"), faces.data.decode(i)[..., ::-1])
    paths = [str(folder / f"{i:02}.png") for i in range(N)]
    data = BoxedImages(paths, boxes=faces.data.boxes, schema="ibug68")
    write_csv(folder / "faces.csv", data, faces.target)
    write_tps(folder / "faces.tps", data, faces.target)
    write_coco(folder / "faces.json", data, faces.target)
    tiny = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    with pytest.MonkeyPatch.context() as patch:
        build_small(patch)
        save_model(tiny.fit(data, faces.target), folder / "boxed.safetensors")
        save_model(tiny.fit(data.with_boxes(None), faces.target), folder / "whole.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """A copy of these files for the tests of a module, which write others."""
    return shutil.copytree(made, tmp_path_factory.mktemp("cli"), dirs_exist_ok=True)


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Run a command in the folder; its exit code, output and messages."""
    monkeypatch.chdir(folder)

    def run(*args):
        code = main([str(arg) for arg in args])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


class TwoTiles:
    """Detector that finds a face in each square tile of a photograph that is not black."""

    def __call__(self, image):
        side = image.shape[0]
        n_tiles = image.shape[1] // side if image.any() else 0
        return [(i * side, 0, side - i, side - i) for i in range(n_tiles)]


@pytest.fixture
def photos(folder, tmp_path, monkeypatch):
    """Folder of photographs with no face, one face and two faces, and their detector."""
    one, two = (cv2.imread(str(folder / f"{i:02}.png")) for i in range(2))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros_like(one))
    cv2.imwrite(str(tmp_path / "b.png"), one)
    cv2.imwrite(str(tmp_path / "c.png"), np.hstack([one, two]))
    monkeypatch.setattr("skwing._cli.samples.SkimageCascade", TwoTiles)
    return tmp_path
