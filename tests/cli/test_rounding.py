"""Coordinates are rounded where asked, and nowhere else."""

import re

import numpy as np
import pytest

from skwing._cli.formats import FORMATS, read_landmarks
from skwing.datasets import read_dlib_xml


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_decimals_are_rounded_in_every_format(folder, run, tmp_path, name):
    out = tmp_path / f"out{FORMATS[name].suffix}"
    assert run("convert", "faces.csv", out, "--to", name, "--decimals", 1)[0] == 0
    faces = read_landmarks("faces.csv")
    files = [out] if out.is_file() else list(out.iterdir())
    if name == "pts":
        text = files[0].read_text()
        assert max(len(part) for part in re.findall(r"\.(\d+)", text)) == 1
        return
    schema = None if name == "tps" else faces.schema
    found = read_landmarks(out, name, schema=schema).target
    np.testing.assert_allclose(found, faces.target.round(1), atol=1e-9)
    if name == "tps":
        assert max(len(part) for part in re.findall(r"\d\.(\d+)", out.read_text())) == 1


def test_dlib_files_keep_fractions_and_say_so(folder, run):
    code, _, told = run("convert", "faces.csv", "exact.xml")
    faces = read_landmarks("faces.csv")
    assert code == 0 and "--whole-pixels" in told
    np.testing.assert_array_equal(
        read_dlib_xml("exact.xml", schema=faces.schema).target, faces.target
    )
    code, _, told = run("convert", "faces.csv", "whole.xml", "--whole-pixels")
    assert code == 0 and "--whole-pixels" not in told
    whole = read_dlib_xml("whole.xml", schema=faces.schema)
    np.testing.assert_array_equal(whole.target, np.rint(faces.target))
    assert not (whole.data.boxes % 1).any()
    assert "--whole-pixels" not in run("convert", "whole.xml", "again.xml")[2]


def test_whole_pixels_are_for_dlib_only(run):
    code, _, told = run("convert", "faces.csv", "x.tps", "--whole-pixels")
    assert code == 1 and "--whole-pixels is for dlib" in told


def test_predict_rounds(run):
    args = ("--model", "boxed.safetensors", "--out", "r.csv", "--decimals", 0)
    assert run("predict", "faces.csv", *args)[0] == 0
    points = read_landmarks("r.csv").target
    assert not (points % 1).any()


@pytest.mark.parametrize("args", [("--decimals", "-1"), ("--decimals", "x"), ("--draw-max", "0")])
def test_impossible_numbers_exit_with_2(run, args):
    with pytest.raises(SystemExit) as stopped:
        run("predict", "faces.csv", "--model", "boxed.safetensors", *args)
    assert stopped.value.code == 2
