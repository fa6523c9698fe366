"""Run all tests and benchmarks that need a GPU, within a time limit.

    python benchmarks/on_gpu.py --data DIR --minutes 9 --out DIR
    python benchmarks/on_gpu.py --tiny --device cpu --out DIR       the same steps in a minute
    python benchmarks/on_gpu.py --report --out DIR                  writes docs/results.md

Start NVIDIA's Multi-Process Service before (``nvidia-cuda-mps-control -d``), so that concurrent
trainings share the device well.

The most important parts run first. Each result is appended to ``on_gpu.jsonl`` immediately, and
results that are already in the file are skipped:

1. tests marked gpu (the output of pytest is written to ``gpu_tests.txt``);
2. speed of the parts of a training step, of `fit` and of `predict`, one cell after another:
   CNN-6, CNN-7, the default and ResNet-50, with several batch sizes, with memory usage and the
   utilisation of the device (see `_gpu_speed.py`);
3. trainings, ``--jobs`` concurrent processes on the same device until the time limit:
   `recipes.best` and the default, ResNet-50, losses with and without balancing on the paper's full
   schedule of 960,000 samples with far turned faces, w by epsilon on a quarter of the schedule,
   and the losses without these faces (see `_gpu_fits.py`). Their seconds are those of processes
   that share a device. Trainings stopped by the time limit are marked.

``--data`` is a folder that contains ``300w`` and, for more faces, ``300w_helen_rest``, and for
turned ones ``mtfl`` and ``aflw_mtfl_merlrav`` (see `_folds.py`). Without it, generated faces are
used.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import _gpu_fits
import _gpu_speed
import torch
from _gpu_report import write_report
from _report import append, environment
from _runs import read_lines

from skwing import __version__
from skwing._utils.device import check_device

ROOT = Path(__file__).parent.parent
SPEED_SHARE = 0.35  # fraction of the time after which no further speed measurement starts
TEST_SECONDS = 120  # time limit of the tests
LAST_SECONDS = 30  # reserved for measuring the trained models
IDENTITY = ("skwing", "part", "name", "seed", "settings", "n_train", "device")


def identity(row):
    """Fields that are equal in two results of the same measurement."""
    return repr([row.get(key) for key in IDENTITY])


def run_tests(out, device, tiny):
    """Run the tests marked gpu; return a row of results."""
    tests = [str(p) for p in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in p.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rfEs", "-p", "no:cacheprovider"]
    tests = tests[:1] if tiny else tests
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [*command, *tests], cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS
        )
        text = done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        text = f"{error}\n{(error.stdout or b'').decode(errors='replace')}"
    (out / "gpu_tests.txt").write_text(text)
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", text)}
    return {
        "part": "tests",
        "name": "tests marked gpu",
        **environment(device),
        **counts,
        "seconds": round(time.perf_counter() - start, 1),
        "failures": re.findall(r"^(?:FAILED|ERROR) .*$", text, re.MULTILINE),
    }


class Results:
    """File of results."""

    def __init__(self, path, device):
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.path, self.device = path, name
        self.known = {identity(row) for row in read_lines(path) if row.get("complete", True)}

    def has(self, told):
        """Whether the file already contains a result."""
        return identity({**told, "skwing": __version__, "device": self.device}) in self.known

    def add(self, row):
        """Append a line and print its name."""
        append({"skwing": __version__, **row}, self.path)
        told = f"seed {row['seed']}" if "seed" in row else ""
        errors = ", ".join(
            f"{stage['nme_pupil']:.2f} %" for stage in row.get("stages", []) if "nme_pupil" in stage
        )
        broken = "" if row.get("complete", True) else "broken off"
        parts = (row["part"], row["name"], told, errors, broken, row.get("error", "")[-300:])
        print(" | ".join(part for part in parts if part), flush=True)

    def attempt(self, told, call):
        """Append the result of a call, or its error message, so that other parts continue."""
        try:
            self.add(call())
        except Exception:
            self.add(
                {
                    **told,
                    "device": self.device,
                    "complete": False,
                    "error": traceback.format_exc()[-2000:],
                }
            )


def measure_speeds(args, device, results, until):
    """Run the speed measurements one after another."""
    for name, networks, size in _gpu_speed.all_cells(args.tiny):
        told = _gpu_speed.told_of(name, size)
        if not re.search(args.only, told["name"]) or results.has(told) or time.time() > until:
            continue
        results.attempt(
            told,
            lambda n=networks, s=size, name=name: _gpu_speed.run_cell(
                name, n, s, args.data, device, args.tiny
            ),
        )


def measure_fits(args, device, results, deadline):
    """Train concurrently until the deadline."""
    fits = _gpu_fits.all_fits(args.data, args.tiny)
    told = {fit: _gpu_fits.told_of(fit, fit.split(args.data)) for fit in fits}
    wanted = [fit for fit in fits if re.search(args.only, fit.name)]
    waiting = [fit for fit in wanted if not results.has(told[fit])][: args.most_fits]
    pool = ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {
            pool.submit(_gpu_fits.run_fit, fit, args.data, args.device, deadline): fit
            for fit in waiting
        }
        for future in as_completed(futures):
            if future.exception() is not None or future.result() is not None:
                results.attempt(told[futures[future]], future.result)
    finally:
        pool.shutdown(cancel_futures=True)


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder with 300w and optionally 300w_helen_rest")
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, help="concurrent trainings; default: half of the cores")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--most-fits", type=int, help="maximum number of trainings")
    parser.add_argument("--only", default="", help="regular expression for names")
    parser.add_argument("--tiny", action="store_true", help="use few faces and steps")
    parser.add_argument("--report", action="store_true", help="only write docs/results.md")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args(argv)
    args.jobs = args.jobs or max(1, min(8, (os.cpu_count() or 1) // 2))
    return args


PARTS = ("tests", "speed", "fits")


def main(argv=None):
    """Run the benchmark."""
    begun = time.time()
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "on_gpu.jsonl"
    if args.report:
        write_report(read_lines(path), ROOT / "docs" / "results.md")
        return
    seconds, device = 60 * args.minutes, check_device(args.device)
    results = Results(path, device)
    if "tests" in args.parts:
        told = {"part": "tests", "name": "tests marked gpu"}
        results.attempt(told, lambda: run_tests(args.out, device, args.tiny))
    if "speed" in args.parts:
        measure_speeds(args, device, results, begun + SPEED_SHARE * seconds)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if "fits" in args.parts:
        measure_fits(args, device, results, begun + seconds - min(LAST_SECONDS, seconds / 4))
    print(f"{time.time() - begun:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
