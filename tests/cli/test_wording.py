"""Messages on the command line speak of its options."""

import ast
from pathlib import Path

import numpy as np
import pytest

import skwing
from skwing._cli.wording import REPLACED, in_options
from skwing._training import loop
from skwing.datasets import write_csv

SOURCE = Path(skwing.__file__).parent


@pytest.fixture(scope="module")
def texts():
    """All string constants of the library, those of f-strings joined, with {} for values."""
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "_cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


@pytest.mark.parametrize("old", REPLACED)
def test_what_is_replaced_is_said_by_the_library(texts, old):
    assert old in texts


@pytest.mark.parametrize("old", REPLACED)
def test_replacements_are_final(old):
    new = in_options(old)
    assert in_options(new) == new


def test_images_without_boxes_are_said_in_options(run):
    told = run("evaluate", "faces.tps", "--model", "boxed.safetensors")[2]
    assert "the images have no boxes, but the model was trained with boxes" in told
    assert "--detect" in told and "X." not in told and "detect_boxes" not in told


def test_an_interruption_says_how_to_continue(run, folder, monkeypatch):
    epoch, done = loop._train_epoch, []

    def interrupted(*args, **options):
        if done:
            raise KeyboardInterrupt
        done.append(True)
        return epoch(*args, **options)

    monkeypatch.setattr(loop, "_train_epoch", interrupted)
    args = ("--out", "i.safetensors", "--epochs", 2, "--set", "networks=('cnn6',)", "-q")
    code, _, told = run("train", "faces.csv", *args)
    assert code == 0 and (folder / "i.safetensors").exists()
    assert "train --start MODEL continues" in told and "warm_start" not in told


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("image,left_x,left_y,nose_x,nose_y\n00.png,1,2,3,4\n", "--schema"),
        ("image,x,y\n00.png,1,2\n00.png,3,4\n", "in Python, read_csv(landmarks="),
        ("image,xmin,ymin,xmax,ymax,x0,y0\n00.png,1,2,3,4,5,6\n", "in Python, read_csv(boxes="),
        ("image;x0;y0\n00.png;1,5;2,5\n", "in Python, read_csv(decimal="),
    ],
)
def test_readers_name_options_or_functions(run, folder, text, option):
    (folder / "odd.csv").write_text(text)
    told = run("convert", "odd.csv", "odd.json")[2]
    assert option in told and "pass " not in told and "Pass " not in told


def test_a_folder_of_images_is_no_annotation(run, folder):
    (folder / "images").mkdir()
    told = run("train", "images", "--out", "m.safetensors")[2]
    assert "name a file of annotations (.csv, .tps, .json, .xml)" in told


def test_a_missing_image_says_how_to_name_its_folder(run, folder):
    (folder / "labels").mkdir()
    text = "image,a_x,a_y,b_x,b_y\n00.png,1,2,3,4\n"
    for name in ("00.png", "../00.png"):
        (folder / "labels" / "here.csv").write_text(text.replace("00.png", name))
        code, _, told = run("train", "labels/here.csv", "--out", "m.safetensors", "--hold-out", 0)
        assert code == 1 and "--images names the folder" in told
        assert len(told.splitlines()) == 1
        assert run("convert", "labels/here.csv", "out.tps", "--images", ".")[0] == 0


def test_columns_of_visibilities_are_said_without_arrays(run, folder):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (12, 2, 3))
    points[..., 2] = rng.integers(0, 2, (12, 2))
    paths = [str(folder / f"{i:02}.png") for i in range(12)]
    write_csv("v.csv", paths, points.reshape(12, 3, 2))
    args = ("--out", "v.safetensors", "--epochs", 1, "--set", "networks=('cnn6',)", "-q")
    _, _, told = run("train", "v.csv", *args)
    assert "of y" not in told and "y.reshape" not in told
