"""Measure the time of PoseBalancer for many shapes with missing points.

    python benchmarks/balance_speed.py --data aflw_merl_rav/train_68.npz

The file contains an array `landmarks` of shape (n, 68, 2), with NaN for missing points.
"""

import argparse
import statistics
import time

import numpy as np
from _report import add_out, append, environment, show_environment

from skwing import BoxedImages, PoseBalancer


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="file of landmarks (.npz)")
    parser.add_argument("--repeats", type=int, default=3)
    add_out(parser, "balance_speed")
    args = parser.parse_args(argv)
    points = np.load(args.data)["landmarks"]
    # The balancer does not access images, so the paths need not exist.
    images = BoxedImages(["unread.jpg"] * len(points), schema="ibug68")
    seconds, cpu_seconds = [], []
    for _ in range(args.repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        balancer = PoseBalancer().fit(images, points)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    incomplete = int(np.isnan(points).any((1, 2)).sum())
    row = {
        **environment(),
        "n_shapes": len(points),
        "n_incomplete": incomplete,
        "seconds": [round(s, 3) for s in seconds],
        "cpu_seconds": [round(s, 3) for s in cpu_seconds],
        "component": balancer.component_,
        "max_repeats": int(balancer.repeats_.max()),
    }
    show_environment(row)
    print(
        f"PoseBalancer.fit on {len(points)} shapes ({incomplete} of them with missing points): "
        f"median of {args.repeats} {statistics.median(seconds):.2f} s, slowest "
        f"{max(seconds):.2f} s, of CPU time {statistics.median(cpu_seconds):.2f} s; "
        f"component {balancer.component_}, repeats up to {balancer.repeats_.max()}"
    )
    append(row, args.out)


if __name__ == "__main__":
    main()
