"""Processes that train together end with the model of one process."""

import contextlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import together
import torch
import torch.distributed as dist

from skwing import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_gloo_available(), reason="torch has no gloo"),
]
TESTS = Path(together.__file__).parent
LIMIT = 400
NEAR = 1e-3  # in pixels of the images
WITH_THREE = ["shape-indexed", "uneven parts", "a sample each"]
WITH_TWO = [case for case in together.EQUAL if case not in WITH_THREE]


def results(folder, n, cases):
    """Results of cases in each of n processes; one that is killed has those before its end."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, together.__file__]
    started = [
        subprocess.Popen(
            [*command, str(i), str(n), str(folder), *cases],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(n)
    ]
    try:
        errors = [process.communicate(timeout=LIMIT)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    found = [unpickled(folder / f"{i}.pickle") for i in range(n)]
    assert all(cases[0] in own for own in found), errors
    return found


def unpickled(path):
    """Results that a process has written one after the other."""
    found = {}
    with open(path, "rb") as file, contextlib.suppress(EOFError):
        while True:
            found |= pickle.load(file)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    # One start of the processes for all cases. In the last one, a process dies.
    cases = [*WITH_TWO, *together.OTHERS, *together.DYING]
    return results(tmp_path_factory.mktemp("two"), 2, cases)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return results(tmp_path_factory.mktemp("three"), 3, WITH_THREE)


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


def test_the_script_of_the_documentation_runs(tmp_path):
    page = TESTS.parents[1] / "docs" / "how_to" / "several_devices.md"
    if not page.is_file():
        pytest.skip("no docs beside the tests")
    (code,) = re.findall(r"^```py\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert "make_faces(60, " in code
    small = code.replace("make_faces(60, ", "make_faces(8, image_size=64, ")
    (tmp_path / "train.py").write_text(small)
    command = "-m torch.distributed.run --standalone --nproc-per-node 2 train.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=LIMIT,
    )
    model = load_model(tmp_path / "landmarks.safetensors")
    assert len(model.networks_) == 2
