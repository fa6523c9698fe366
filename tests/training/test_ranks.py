"""Processes that train together end with the model of one process."""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import together
import torch
import torch.distributed as dist
from small import build_small

from skwing import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="torch has no gloo"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked"),
]
TESTS = Path(together.__file__).parent
PAGE = TESTS.parents[1] / "docs" / "how_to" / "several_devices.md"
LIMIT = 400
NEAR = 1e-3  # in pixels of the images
WITH_THREE = ["shape-indexed", "uneven parts", "a sample each"]
WITH_TWO = [case for case in together.EQUAL if case not in WITH_THREE]


def script_of_the_documentation():
    """Code of the page, with few faces."""
    if not PAGE.is_file():
        return ""
    (code,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "make_faces(60, " in code
    return code.replace("make_faces(60, ", "make_faces(8, image_size=64, ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def groups(folder):
    """Results of each process of each group; one that is killed has those before its end."""
    (folder / "train.py").write_text(script_of_the_documentation())
    cases = [*WITH_TWO, *together.OTHERS, "dying"]
    told = [(2, cases), (3, WITH_THREE), (2, ["script"])]
    started = subprocess.Popen(
        [sys.executable, together.__file__, str(folder), json.dumps(told)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
            "OMP_NUM_THREADS": "1",
        },
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        errors = started.communicate(timeout=LIMIT)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    found = [
        [unpickled(folder / f"{group}-{i}.pickle") for i in range(n)]
        for group, (n, _) in enumerate(told)
    ]
    for (_, cases), processes in zip(told, found, strict=True):
        assert all(cases[0] in own for own in processes), errors
    return found


def unpickled(path):
    """Results that a process has written one after the other."""
    found = {}
    with open(path, "rb") as file, contextlib.suppress(EOFError):
        while True:
            found |= pickle.load(file)
    return found


@pytest.fixture
def two(groups):
    return groups[0]


@pytest.fixture
def three(groups):
    return groups[1]


def assert_same_model(found, other, atol=NEAR / 2):
    """Weights, rows and predictions agree, the latter to a fraction of a pixel of the images."""
    for (name, value), (_, wanted) in zip(found["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=atol, err_msg=name)
    np.testing.assert_allclose(found["points"], other["points"], rtol=0, atol=10 * atol)
    np.testing.assert_allclose(found["asymmetry"], other["asymmetry"], rtol=0, atol=atol)
    for row, wanted in zip(found["rows"], other["rows"], strict=True):
        assert row == pytest.approx(wanted, rel=max(atol, 1e-12))
    assert found["limit"] == pytest.approx(other["limit"], rel=0.01)
    assert found["layers"] == other["layers"]
    assert not any(found["own attributes"])


@pytest.mark.parametrize("case", WITH_TWO)
def test_two_processes_equal_one(two, case):
    alone = together.run(case)
    for found in two:
        assert_same_model(found[case], alone)
    assert_same_model(two[0][case], two[1][case], atol=0)


@pytest.mark.parametrize("case", WITH_THREE)
def test_three_processes_equal_one(three, case):
    alone = together.run(case)
    assert_same_model(three[0][case], alone)
    for found in three[1:]:
        assert_same_model(found[case], three[0][case], atol=0)


def test_both_default_networks_equal_those_of_one_process(two):
    alone = together.run("default")
    assert len(alone["asymmetry"]) == 2
    for found in two:
        assert_same_model(found["default"], alone)


def test_training_in_these_cases_changes_the_weights():
    """Otherwise all of them would be equal."""
    few, more = together.fit(max_epochs=1), together.fit(max_epochs=2)
    assert (np.abs(few["points"] - more["points"]).max((1, 2, 3)) > 10 * NEAR).all()


def test_weights_that_are_not_exchanged_would_be_noticed():
    alone = together.fit()
    other = together.fit(batch_size=4)
    with pytest.raises(AssertionError):
        assert_same_model(other, alone)


@pytest.mark.parametrize("case", ["seeds", "random layers"])
def test_all_processes_end_with_one_model(two, case):
    assert_same_model(two[0][case], two[1][case], atol=0)


def test_statistics_are_those_of_whole_batches(two):
    alone, near = together.norms(), {"rtol": 1e-5, "atol": 1e-4}
    for found in two:
        for own, wanted in zip(found["norms"], alone, strict=True):
            torch.testing.assert_close(own["state"], wanted["state"])
            torch.testing.assert_close(own["gradients"], wanted["gradients"], **near)
            torch.testing.assert_close(own["evaluated"], wanted["evaluated"])
    for own, other, wanted in zip(two[0]["norms"], two[1]["norms"], alone, strict=True):
        torch.testing.assert_close(own["images"] + other["images"], wanted["images"], **near)


def test_only_the_first_process_reports_and_its_callback_stops_all(two):
    assert [found["callback"] for found in two] == [([2, 2], 4), ([2, 2], 0)]
    assert [found["told"] for found in two] == [(2, 1), (0, 0)]


def test_only_the_first_process_writes_a_checkpoint_and_all_continue(two):
    for i, found in enumerate(two):
        again, exists, whole = found["resumed"]
        assert exists == (i == 0)
        assert_same_model(again, whole, atol=0)
    assert_same_model(two[0]["resumed"][0], two[1]["resumed"][0], atol=0)


FAILURES = {
    "other data": [("ValueError", r"landmarks \(y\) differ")] * 2,
    "other parameters": [("ValueError", "w in process 0 is 10.0, in process 1 is 11.0")] * 2,
    "invalid data": [
        ("FailedElsewhere", "process 1 of 2 failed: ValueError: X has 13 samples"),
        ("ValueError", "X has 13 samples, but y has 12"),
    ],
    "unreadable": [("ValueError", "sample 0"), ("ValueError", "sample 6")],
    "small batch": [("ValueError", "a batch of 1 samples is divided among 2 processes")] * 2,
    "failing step": [
        ("FailedElsewhere", "process 1 of 2 failed: OSError: no such thing"),
        ("OSError", "no such thing"),
    ],
    "failing callback": [
        ("KeyError", "a callback"),
        ("FailedElsewhere", "process 0 of 2 failed: KeyError: 'a callback'"),
    ],
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_of_one_ends_the_fit_in_all(two, case):
    for found, (kind, text) in zip(two, FAILURES[case], strict=True):
        assert found[case][0] == kind, found[case]
        assert re.search(text, found[case][1]), found[case]


def test_after_failures_processes_train_together_again(two):
    assert_same_model(two[1]["after failures"], two[0]["two stages"], atol=0)


def test_the_death_of_a_process_ends_the_fit_in_the_other(two):
    found, killed = two
    assert "dying" not in killed
    assert found["dying"] == ("ProcessLost", "another process has ended")


def test_the_script_of_the_documentation_runs(groups, folder, monkeypatch):
    if not PAGE.is_file():
        pytest.skip("no docs beside the tests")
    assert [found["script"] for found in groups[2]] == [False] * 2
    build_small(monkeypatch)
    model = load_model(folder / "landmarks.safetensors")
    assert len(model.networks_) == 2
