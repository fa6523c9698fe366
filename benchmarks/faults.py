"""Put skwing through faults and bad input, and print what came of each.

    python benchmarks/faults.py                  about ten minutes
    python benchmarks/faults.py --quick          a handful of each kind, in a minute
    python benchmarks/faults.py --only JPEG FIFO

Every row is a promise: what is silently wrong, lost, crashes, hangs or is told late or unclearly
would be a fault. A check counts its trials and the faults among them; what may hang or crash
runs in a process of its own with a time limit. The command exits with 1 if there is a fault.
"""

import argparse
import sys
import time
import traceback
import warnings

import _faults_late  # noqa: F401
import _faults_lost  # noqa: F401
import _faults_wrong  # noqa: F401  each adds its checks
from _faults import CHECKS
from _report import add_out, append, environment

QUICK, WHOLE = 0.1, 1.0


def run_check(check, share):
    """A row of results: trials, the faults found, and seconds."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trials, faults = check.run(share)
    except Exception:  # a check that breaks is a fault as well, and ends no other
        trials, faults = 1, [traceback.format_exc()[-800:]]
    return {
        "check": check.name,
        "kind": check.kind,
        "trials": trials,
        "faults": faults[:10],
        "n_faults": len(faults),
        "seconds": round(time.perf_counter() - start, 1),
    }


def show(row):
    """Print a row."""
    verdict = "held" if not row["n_faults"] else f"{row['n_faults']} FAULTS"
    print(
        f"{row['kind']}  {row['check']:58} {row['trials']:7} trials  {row['seconds']:6.1f} s  "
        f"{verdict}",
        flush=True,
    )
    for fault in row["faults"]:
        print(f"     {fault}", flush=True)


def main(argv=None):
    """Run what the command line asks for; the rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    parser.add_argument("--only", nargs="+", help="checks whose name holds one of these words")
    add_out(parser, "faults")
    args = parser.parse_args(argv)
    words = args.only or [""]
    ordered = sorted(CHECKS, key=lambda check: check.kind)
    chosen = [check for check in ordered if any(word in check.name for word in words)]
    if not chosen:
        raise SystemExit(f"--only: there is no such check among {[c.name for c in CHECKS]}")
    rows = []
    for check in chosen:
        rows.append(run_check(check, QUICK if args.quick else WHOLE))
        show(rows[-1])
    n_faults = sum(row["n_faults"] for row in rows)
    print(f"\n{len(rows)} checks, {sum(row['trials'] for row in rows)} trials, {n_faults} faults")
    append({**environment(), "quick": args.quick, "checks": rows}, args.out)
    return rows


if __name__ == "__main__":
    sys.exit(any(row["n_faults"] for row in main()))
