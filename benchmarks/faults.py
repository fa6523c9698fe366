"""Fault injection: run skwing with faults and invalid input, and print the results.

    python benchmarks/faults.py                  takes about ten minutes
    python benchmarks/faults.py --quick          takes a minute, with few trials of each kind
    python benchmarks/faults.py --only JPEG FIFO

Each row is a check. Faults are silently wrong results, lost work, crashes, hangs, and late or
unclear errors. A check counts its trials and the faults among them. Trials that may hang or
crash run in a separate process with a time limit. The exit code is 1 if there is a fault.
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
    """Row of results: trials, faults and seconds."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trials, faults = check.run(share)
    except Exception:  # a failing check counts as a fault; the other checks continue
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
    """Run the checks; return the rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="run a tenth of the trials")
    parser.add_argument(
        "--only", nargs="+", help="run only checks whose name contains one of these words"
    )
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
