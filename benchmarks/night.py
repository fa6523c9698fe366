"""Kill fits and searches at random moments, and compare what they end with.

    python benchmarks/night.py

A fit of two stages runs in a process with a checkpoint, and is killed by SIGKILL at random
moments until it has been killed as often as stated; so is a search. After each kill, the file of
the checkpoint must be readable, and the next process must continue from a state that is at most
an interval (and the time of a write and a step) old. In the end, the model must be the same, bit
by bit, as that of a process that was not killed and had no checkpoint.

The interval between two writes is a minute in normal use; here it is short, so that there are
many writes to interrupt. A pause after each step stands for the work of larger networks.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from _night_child import run as run_child
from _report import add_out, append, environment, show_environment

from skwing._prediction.model_file import read_content
from skwing._training.checkpoint import _KIND


class Killed:
    """A fit or a search in a folder, whose processes are killed."""

    def __init__(self, folder, what, args, context):
        self.folder, self.context = folder, context
        where = folder / ("night.safetensors" if what == "fit" else "night")
        self.log = folder / "log"
        self.options = {
            "what": what,
            "where": os.fspath(where),
            "log": os.fspath(self.log),
            "digest": os.fspath(folder / "digest"),
            "epochs": args.epochs if what == "fit" else args.search_epochs,
            **{name: getattr(args, name) for name in ("n_samples", "interval", "pause")},
        }
        self.kills = []

    def start(self, **changes):
        """Start a process."""
        process = self.context.Process(target=run_child, args=({**self.options, **changes},))
        process.start()
        return process

    def run(self, n_lines, seconds):
        """Run a process until it ends, or for some lines of the log and then some seconds.

        Returns
        -------
        digest : str or None
            None if it was killed.
        """
        process = self.start()
        wanted = self.n_logged() + n_lines
        while process.is_alive() and self.n_logged() < wanted:
            process.join(0.01)
        process.join(seconds)
        if process.is_alive():
            process.kill()
            self.kills.append({"what": "killed", "time": time.time()})
            process.join()
            return None
        if process.exitcode:
            raise RuntimeError("a process failed")
        return Path(self.options["digest"]).read_text()

    def n_logged(self):
        """Number of lines of the log."""
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def lines(self):
        """Lines of the log, with the kills."""
        text = self.log.read_text() if self.log.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()] + self.kills
        return sorted(lines, key=lambda line: line["time"])

    def check_files(self):
        """Read all checkpoints; the number of temporary files, which are removed."""
        for path in self.folder.rglob("*.safetensors"):
            read_content(path, _KIND)  # raises an error if a byte is wrong
        left = list(self.folder.rglob("*.tmp"))
        for path in left:
            path.unlink()
        return len(left)


def judged(lines):
    """Seconds of training that kills lost, and how often a fit continued from an old state.

    Training is lost from the last write, or from the place where a process continued, to the
    last step before the kill.

    Parameters
    ----------
    lines : list of dict
        Log of all processes of a fit or a search, with kills.

    Returns
    -------
    lost : list of float
        For each kill after at least one step of a stage.
    n_old : int
        Number of continuations from a state before the last complete write.
    """
    written, lost, n_old, saved, trained = {}, [], 0, 0.0, None
    for line in lines:
        what = line["what"]
        if what == "begin":
            n_old += (line["stage"], line["step"]) < written.get(line["file"], (0, 0))
            saved, trained = line["time"], None  # this state is in the file
        elif what == "step":
            trained = line["time"]
        elif what == "written":
            written[line["file"]], saved = (line["stage"], line["step"]), line["time"]
        elif what == "killed" and trained is not None:
            lost.append(max(0.0, trained - saved))
            trained = None
    return lost, n_old


def measure(what, n_kills, args, moments, context):
    """Kill a fit or a search as often as stated; a dict of what was found."""
    found = {"kills": 0, "complete": 0, "temporary_files_left": 0, "continued_from_old": 0}
    lost, wanted, equal, done = [], None, True, False
    while found["kills"] < n_kills or not done:
        with tempfile.TemporaryDirectory() as folder:
            killed = Killed(Path(folder), what, args, context)
            if wanted is None:
                process = killed.start(where=None)
                process.join()
                wanted = Path(killed.options["digest"]).read_text()
            digest = None
            while digest is None:
                n_lines = moments.randrange(args.most) if found["kills"] < n_kills else 10**9
                digest = killed.run(n_lines, moments.uniform(0, args.longest))
                found["temporary_files_left"] += killed.check_files()
                found["kills"] += digest is None
            done = True
            own, n_old = judged(killed.lines())
            lost += own
            found["continued_from_old"] += n_old
            found["complete"] += 1
            equal &= digest == wanted
            if digest != wanted:
                print(f"found {digest}, expected {wanted}")
        print(f"{what}: {found}, equal {equal}", flush=True)
    found["equal"] = equal
    found["lost_seconds_mean"] = round(sum(lost) / max(1, len(lost)), 3)
    found["lost_seconds_max"] = round(max(lost, default=0.0), 3)
    return found


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="number of kills of the fit")
    parser.add_argument("--search-kills", type=int, default=20)
    parser.add_argument("--n-samples", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=60, help="number of epochs of each stage")
    parser.add_argument("--search-epochs", type=int, default=15)
    parser.add_argument("--interval", type=float, default=0.3, help="seconds between writes")
    parser.add_argument("--pause", type=float, default=0.03, help="seconds after each step")
    parser.add_argument(
        "--most", type=int, default=40, help="a kill comes after up to this number of steps ..."
    )
    parser.add_argument("--longest", type=float, default=0.3, help="... and up to these seconds")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser, "night")
    args = parser.parse_args(argv)
    row, moments = environment(), random.Random(args.seed)
    show_environment(row)
    context = multiprocessing.get_context("forkserver")  # which imports the libraries once
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    context.set_forkserver_preload(["_night_warm"])
    row["settings"] = {name: value for name, value in vars(args).items() if name != "out"}
    row["fit"] = measure("fit", args.kills, args, moments, context)
    if args.search_kills:
        row["search"] = measure("search", args.search_kills, args, moments, context)
    for name in ("fit", "search"):
        if name in row:
            print(f"{name}: {row[name]}")
    append(row, args.out)
    return 0 if all(row[name]["equal"] for name in ("fit", "search") if name in row) else 1


if __name__ == "__main__":
    sys.exit(main())
