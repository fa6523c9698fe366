"""Common functions of the benchmarks: environment and storage of results."""

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import numpy as np
import sklearn
import torch

import skwing


def environment(device="cpu"):
    """Date, machine, device and versions, for a line of results."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {_processor()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores",
        # A load above the number of threads means that other programs use the cores too.
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "device": name,
        "versions": f"skwing {skwing.__version__}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}, Python {platform.python_version()}",
    }


def _commit():
    """Commit of the package, with a + for uncommitted changes; None outside of git."""
    folder = Path(__file__).parent.parent
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _processor():
    """Name of the processor, if available."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def show_environment(row):
    """Print the environment of a row."""
    print(f"{row['date']}, {row['machine']}, device {row['device']}")
    print(f"{row['versions']}; load average {row['load_average']}\n", flush=True)


def add_out(parser, name):
    """Add the option ``--out`` to a parser."""
    default = Path(__file__).parent / "results" / f"{name}.jsonl"
    parser.add_argument(
        "--out", type=Path, default=default, help="file of results, one line per run"
    )


class Interruptions:
    """Memory of Ctrl-C: `fit` ends early with a warning, and its result must not be stored."""

    def __init__(self):
        self.seen = False

    def watch(self):
        """Remember Ctrl-C from now on, in the main thread of a process."""
        own_thread = threading.current_thread() is threading.main_thread()
        if own_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number, frame):
        self.seen = True
        signal.default_int_handler(number, frame)

    def check(self):
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.seen:
            raise KeyboardInterrupt("the result of the interrupted training is not stored")


INTERRUPTIONS = Interruptions()
INTERRUPTIONS.watch()  # also in processes of joblib, which import this module


def append(row, path):
    """Append a row to a file of JSON lines, unless Ctrl-C was pressed."""
    INTERRUPTIONS.check()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row, default=str) + "\n")


def peak_bytes():
    """Highest resident memory of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # In a child process, this may be the peak of the parent.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
