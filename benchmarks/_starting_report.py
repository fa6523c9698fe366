"""Write the measurements of `starting_models.py` into the tables of models/README.md."""

import numpy as np
from _runs import read_lines

# Title of each line, and the bins of the results that it adds up.
LINES = {
    "all": ("all", ["all"]),
    "LFPW": ("subset", ["lfpw/trainset"]),
    "HELEN": ("subset", ["helen/trainset"]),
    "AFW": ("subset", ["afw"]),
    "yaw up to 15 degrees": ("yaw", ["yaw_0_15"]),
    "yaw 15 to 30 degrees": ("yaw", ["yaw_15_30"]),
    "yaw more than 30 degrees": ("yaw", ["yaw_30_90"]),
    "face up to 130 pixels": ("size", ["size_0_60", "size_60_90", "size_90_130"]),
    "face more than 130 pixels": ("size", ["size_130_10000"]),
}
UNITS = ("pupil", "ocular", "box")
HEAD = ["faces", "number", "inter-pupil", "inter-ocular", "of the box", "above 10 % inter-pupil"]


def _added(rows, kind, names):
    """Sums over folds of some bins."""
    parts = [row["sums"][kind][name] for row in rows for name in names if name in row["sums"][kind]]
    return {key: sum(part[key] for part in parts) for key in ("n", "above_10", *UNITS)}


def _line(title, sums):
    means = [f"{sums[by] / sums['n']:.2f} %" for by in UNITS]
    return [title, sums["n"], *means, f"{100 * sums['above_10'] / sums['n']:.1f} %"]


def table_of(rows):
    """Markdown table of the errors of a model, added over folds."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for title, (kind, names) in LINES.items():
        sums = _added(rows, kind, names)
        if sums["n"]:
            lines.append(_line(title, sums))
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    weights = [row["sums"]["all"]["all"]["n"] for row in rows]
    parts = {
        name: np.average([row["parts"][name] for row in rows], weights=weights)
        for name in rows[0]["parts"]
    }
    told = ", ".join(f"{name} {value:.1f} %" for name, value in parts.items())
    return f"{text}\n\nBy part of the face, inter-pupil: {told}.\n"


def latest(rows, model):
    """Last row of each fold of a model."""
    return list({row["fold"]: row for row in rows if row["model"] == model}.values())


def write_report(results, path):
    """Replace the tables of the model cards."""
    rows, text = read_lines(results), path.read_text()
    for model in ("faces", "drawn"):
        measured = latest(rows, model)
        begin, end = f"<!-- {model}: begin -->\n", f"<!-- {model}: end -->"
        if measured and begin in text:
            head, rest = text.split(begin)
            text = head + begin + table_of(measured) + end + rest.split(end)[1]
    path.write_text(text)
