"""Write the measurements of `starting_models.py` into the tables of models/README.md."""

import numpy as np
from _runs import read_lines

TITLES = {
    "all": ("all faces", {"all": "all"}),
    "subset": (
        "subset",
        {"lfpw/trainset": "LFPW", "helen/trainset": "HELEN", "afw": "AFW"},
    ),
    "yaw": (
        "yaw",
        {
            "yaw_0_15": "up to 15 degrees",
            "yaw_15_30": "15 to 30 degrees",
            "yaw_30_90": "more than 30 degrees",
        },
    ),
    "size": (
        "longer side of the landmark bounding box",
        {
            "size_0_60": "up to 60 pixels",
            "size_60_90": "60 to 90 pixels",
            "size_90_130": "90 to 130 pixels",
            "size_130_10000": "more than 130 pixels",
        },
    ),
}
HEAD = ["faces", "number", "inter-pupil", "inter-ocular", "of the box", "above 10 % inter-pupil"]


def _added(rows, kind, name):
    """Sums over folds of one bin."""
    parts = [row["sums"][kind].get(name, {}) for row in rows]
    return {key: sum(part.get(key, 0) for part in parts) for key in parts[0] or ("n",)}


def _line(title, sums):
    means = [f"{sums[by] / sums['n']:.2f} %" for by in ("pupil", "ocular", "box")]
    return [title, sums["n"], *means, f"{100 * sums['above_10'] / sums['n']:.1f} %"]


def table_of(rows):
    """Markdown table of the errors of a model, added over folds."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for kind, (what, bins) in TITLES.items():
        for name, title in bins.items():
            sums = _added(rows, kind, name)
            if sums["n"]:
                lines.append(_line(title if kind in ("all", "subset") else f"{what} {title}", sums))
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
