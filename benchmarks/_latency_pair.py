"""Two models in turn in one process, for `latency.py --against`.

Times of processes that run one after the other differ by more than two similar models do, if
other programs use the machine.
"""

import numpy as np
from _latency_child import KINDS, milliseconds

N_FACES = 40


def compare(name, kind, options, faces, n_rounds):
    """Row of results: milliseconds of single faces by two models, and the ratio of both.

    `options` are those of each model for a predictor of :mod:`_latency_child`; `faces` is the
    file that :func:`latency.write_faces` has written. All results are medians over the rounds, of
    processor time.
    """
    with np.load(faces) as file:
        boxes = file["boxes"][:N_FACES]
        ones = [([file[f"image{i}"]], boxes[i : i + 1]) for i in range(len(boxes))]
    pair = [KINDS[kind](**own) for own in options]
    for predict in pair:
        predict(*ones[0])
    times = np.empty((n_rounds, 2))
    for number in range(n_rounds):
        for i in (0, 1) if number % 2 else (1, 0):
            times[number, i] = milliseconds(pair[i], ones, 1)
    ratio = float(np.median(times[:, 0] / times[:, 1]))
    return {"name": name, "ms": np.median(times, axis=0).tolist(), "ratio": ratio}


def show(rows, models):
    """Print the table, in Markdown."""
    print(f"| | ms a face, {models[0]} | {models[1]} | ratio |\n" + "|---" * 4 + "|")
    for row in rows:
        first, second = row["ms"]
        print(f"| {row['name']} | {first:.2f} | {second:.2f} | {row['ratio']:.2f} |")
