"""What the benchmarks share: where and with what a figure was measured, and keeping it."""

import json
import os
import platform
import resource
import subprocess
import sys
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
        # More than the threads of a benchmark alone: other work took part of the cores.
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "device": name,
        "versions": f"skwing {skwing.__version__}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}, Python {platform.python_version()}",
    }


def _commit():
    """Commit of the package, with a + where files differ from it; None outside of git."""
    folder = Path(__file__).parent.parent
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _processor():
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def show_environment(row):
    """Print where and with what a row was measured."""
    print(f"{row['date']}, {row['machine']}, device {row['device']}")
    print(f"{row['versions']}; load average {row['load_average']}\n", flush=True)


def add_out(parser, name):
    """Give a parser the option ``--out``."""
    default = Path(__file__).parent / "results" / f"{name}.jsonl"
    parser.add_argument("--out", type=Path, default=default, help="file that gets a line a run")


def append(row, path):
    """Add a row to a file of JSON lines, so that nothing measured is lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row, default=str) + "\n")


def peak_bytes():
    """Highest resident memory of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # Of a process that was started by another, this may hold the other's peak.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
