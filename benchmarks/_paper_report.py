"""Reports of the results of a table, as JSON, Markdown and a figure."""

import json

import numpy as np
from _paper_cells import ENDS
from _paper_data import PUBLISHED
from _paper_figures import (
    ARCHITECTURES,
    GRID,
    GRID_EPSILON,
    GRID_W,
    LOSSES,
    MARKS,
    PARTS_300W,
    WITHIN_2,
    published,
)

LARGE_YAW = "nme_box_yaw_30_90"
TRAINING = {
    None: "fewer steps than the paper's, with batch normalisation and AdamW, one learning rate "
    "for all losses.",
    "paper": "the paper's settings as far as they are known, but for networks that are not the "
    "paper's CNNs.",
}
UNITS = {
    "aflw": "of the face size, the side of the given box",
    "300w": "of the distance of the pupils",
    "faces": "of the distance of the pupils",
}


def spread(values):
    """Mean, standard deviation and number of values that are not None."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return None
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"mean": float(known.mean()), "std": deviation, "n": len(known)}


def text_of(found, digits=2):
    """Text of the mean and, for several values, the standard deviation; a dash without values."""
    if found is None:
        return "-"
    text = f"{found['mean']:.{digits}f}"
    return text if found["std"] is None else f"{text} ± {found['std']:.{digits}f}"


def _record(trial, stage, name, runs, args):
    """Row of a table: results of a stage of a trial over splits and seeds."""
    rows = [run["stages"][stage] for run in runs]
    parts = sorted({part for row in rows for part in row["by_part"]}, key=PARTS_300W.index)
    figures = ("nme", "within_2", "failures", "auc", LARGE_YAW)
    ours = {key: spread([row.get(key) for row in rows]) for key in figures}
    ours |= {f"nme_{part}": spread([row["by_part"].get(part) for row in rows]) for part in parts}
    told = {"loss": trial.loss, "balance": trial.balance}
    beside = {
        part: published(args.table, args.protocol, name, part=part, **told)
        for part in (PARTS_300W if args.protocol == "300w" else ("full",))
    }
    return {
        "trial": trial.name,
        "network": name,
        **told,
        **{key: trial.settings[key] for key in ("w", "epsilon") if args.table == "grid"},
        "epochs": [sum(run["epochs"][: stage + 1]) for run in runs],
        "runs": {
            f"split {run['fold']}, seed {run['seed']}": row["nme"]
            for run, row in zip(runs, rows, strict=True)
        },
        **ours,
        "paper": {key: value._asdict() for key, value in beside.items() if value is not None},
        "_stages": {(run["fold"], run["seed"]): row for run, row in zip(runs, rows, strict=True)},
    }


def make_records(trials, runs, args):
    """Records of all stages of all trials, with paired differences."""
    records = [
        _record(trial, stage, name, runs[trial.name], args)
        for trial in trials
        for stage, name in enumerate(trial.stages)
    ]
    for record in records:
        other = _partner(record, records, args.table)
        record["difference"] = None if other is None else _difference(other, record, "nme")
        if args.table == "balancing":
            yaw = None if other is None else _difference(other, record, LARGE_YAW)
            record["difference_large_yaw"] = yaw
    return records


def _partner(record, records, table):
    """Reference record of a comparison: Wing loss, or no balancing."""
    if table == "losses":
        wanted = {"network": record["network"], "loss": "wing"}
    elif table == "balancing" and record["balance"]:
        wanted = {key: record[key] for key in ("network", "loss")} | {"balance": False}
    else:
        return None
    found = [r for r in records if wanted.items() <= r.items() and r is not record]
    return found[0] if found else None


def _difference(a, b, key):
    """Differences b - a over pairs of runs with the same split and seed."""
    pairs = [
        (a["_stages"][run].get(key), row.get(key))
        for run, row in b["_stages"].items()
        if run in a["_stages"]
    ]
    steps = [later - first for first, later in pairs if None not in (first, later)]
    return spread(steps)


def _signed(found):
    if found is None:
        return "-"
    error = "" if found["std"] is None else f" (s.e. {found['std'] / np.sqrt(found['n']):.2f})"
    return f"{found['mean']:+.2f}{error}"


def _paper(record, part="full"):
    found = record["paper"].get(part)
    return "-" if found is None else f"{found['value']:.2f} {found['mark']}".strip()


def markdown_table(rows):
    """Lines of a Markdown table from rows of texts; the first row is the header.

    Columns without any value are left out.
    """
    places = range(len(rows[0]))
    filled = [i for i in places if len(rows) == 1 or any(row[i] != "-" for row in rows[1:])]
    rows = [[row[i] for i in filled] for row in rows]
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body]


def _losses_table(records, args, speeds):
    end = ENDS["aflw" if args.protocol == "aflw" else "300w"]
    parts = [part for part in PARTS_300W if any(r.get(f"nme_{part}") for r in records)]
    figures = {"failures": f"above {end:g} %", "auc": f"AUC at {end:g} %"}
    beside = {part: f"paper: {part}" for part in PARTS_300W}
    if args.protocol != "300w":  # the curve in the paper is for AFLW
        figures = {"within_2": "within 2 %"} | figures
        beside = {"full": "paper: NME"}
    head = ["network", "loss", "NME", *parts, *figures.values(), "minus Wing's, in pairs"]
    rows = [[*head, *beside.values()]]
    for r in records:
        row = [r["network"], LOSSES[r["loss"]], text_of(r["nme"])]
        row += [text_of(r.get(f"nme_{part}")) for part in parts]
        row += [text_of(r[key], 1) for key in figures]
        rows.append([*row, _signed(r["difference"]), *(_paper(r, part) for part in beside)])
    if args.protocol != "300w":
        rows[0].append("paper: within 2 %")
        for row, r in zip(rows[1:], records, strict=True):
            row.append(str(WITHIN_2.get(r["loss"], "-")))
    return markdown_table(rows)


def _grid_table(records, args, speeds):
    found = {(r["w"], r["epsilon"]): r for r in records}
    rows = [["epsilon \\ w", *map(str, GRID_W)]]
    for epsilon in GRID_EPSILON:
        cells = [f"{text_of(found[w, epsilon]['nme'])} ({GRID[w, epsilon]})" for w in GRID_W]
        rows.append([str(epsilon), *cells])
    return ["Ours, and in brackets the paper's on AFLW-Full.", "", *markdown_table(rows)]


def _balancing_table(records, args, speeds):
    rows = [["network", "loss", "not balanced", "balanced", "balanced minus not, in pairs"]]
    yaw = any(r[LARGE_YAW] for r in records)
    rows[0] += ["above 30° yaw: not", "balanced", "balanced minus not, in pairs"] if yaw else []
    rows[0] += ["paper: not balanced", "paper: balanced"]
    pairs = [(_unbalanced(r, records), r) for r in records if r["balance"]]
    for without, with_ in sorted(pairs, key=lambda pair: pair[0]["network"]):
        row = [with_["network"], LOSSES[with_["loss"]]]
        for key, step in (("nme", "difference"), (LARGE_YAW, "difference_large_yaw")):
            if key == "nme" or yaw:
                row += [text_of(without[key]), text_of(with_[key]), _signed(with_[step])]
        rows.append([*row, _paper(without), _paper(with_)])
    note = "Errors above 30° of yaw (estimated) are percent of the box of the true landmarks: the "
    note += "distance of the eyes shrinks as a face turns."
    return [*([note, ""] if yaw else []), *markdown_table(rows)]


def _unbalanced(record, records):
    wanted = {key: record[key] for key in ("network", "loss")} | {"balance": False}
    return next(r for r in records if wanted.items() <= r.items())


def _architectures_table(records, args, speeds):
    devices = [d for d in ("cpu", "cuda") if any(d in speed for speed in speeds.values())]
    head = ["network", "parameters", "MB", "epochs", "NME"]
    head += [
        f"{'GPU' if d == 'cuda' else 'CPU'}, {way}" for d in devices for way in ("batch", "single")
    ]
    rows = [[*head, "paper: NME", "million parameters", "faces/s GPU", "CPU"]]
    for r in records:
        speed, known = speeds.get(r["network"]), ARCHITECTURES.get(r["network"], {})
        row = [r["network"]]
        row += (
            ["-", "-"]
            if speed is None
            else [f"{speed['parameters'] / 1e6:.2f} M", f"{speed['megabytes']:.1f}"]
        )
        row += [", ".join(map(str, sorted(set(r["epochs"])))) or "-", text_of(r["nme"])]
        row += [
            "-" if speed is None or d not in speed else f"{speed[d][way]:.0f}"
            for d in devices
            for way in ("batch", "single")
        ]
        row += [_paper(r), *(str(known.get(key, "-")) for key in ("parameters", "gpu", "cpu"))]
        rows.append(row)
    note = "Faces a second are those of `predict` on decoded images, the crops and the way back "
    note += "to image pixels included; a cascade's are those of all its stages."
    return [note, "", *markdown_table(rows)]


MARKDOWN = {
    "losses": _losses_table,
    "grid": _grid_table,
    "balancing": _balancing_table,
    "architectures": _architectures_table,
}


def _whose(args, rows):
    """Data of the published results, and of ours if they differ."""
    if args.table != "grid" and args.protocol == "300w":
        here = all(row["fold"] == PUBLISHED for row in rows)
        return "300-W's test sets" + ("" if here else ", ours of a fold of its training faces")
    return "AFLW-Full" + ("" if args.protocol == "aflw" else ", ours of other faces")


def _notes(args, runs, n_missing):
    """Notes that explain the results and their origin."""
    rows = [run for of_trial in runs.values() for run in of_trial]
    told = {
        key: sorted({str(row[key]) for row in rows})
        for key in ("machine", "device", "versions", "commit", "date", "n_train", "n_test")
    }
    seeds = sorted({row["seed"] for row in rows})
    splits = sorted({str(row["fold"]) for row in rows})
    lines = [
        f"- Errors in percent {UNITS[args.protocol]}; mean ± standard deviation over "
        f"{len(splits)} splits ({', '.join(splits)}) and {len(seeds)} seeds "
        f"({', '.join(map(str, seeds))}). Differences are between runs with the same faces and "
        "seed.",
        f"- Faces: {', '.join(told['n_train'])} for training, {', '.join(told['n_test'])} for "
        "testing.",
        f"- Training: {TRAINING[args.recipe]}"
        + (" `--quick`: to see that all works." if args.quick else ""),
        *([f"- Changed: {args.set}."] if args.set else []),
        f"- The paper's figures are of {_whose(args, rows)}. "
        + "; ".join(f"{mark or 'unmarked'}: {what}" for mark, what in MARKS.items())
        + "; -: not reported or not measured.",
        *(
            f"- {key}: {'; '.join(told[key])}"
            for key in ("date", "machine", "device", "versions", "commit")
        ),
        f"- Command: `{args.command}`",
    ]
    return [*lines, f"- {n_missing} cells are not measured yet."] if n_missing else lines


def make_markdown(records, runs, speeds, args, n_missing):
    """Text of the report."""
    quick = " (quick run: the figures mean nothing)" if args.quick else ""
    title = f"# Table `{args.table}` of the paper, protocol `{args.protocol}`{quick}"
    table = MARKDOWN[args.table](records, args, speeds)
    return "\n".join([title, "", *table, "", *_notes(args, runs, n_missing), ""])


def make_json(records, runs, speeds, args, n_missing):
    """Report as JSON, with the results of each run."""
    keep = ("machine", "device", "versions", "commit", "date")
    rows = [run for of_trial in runs.values() for run in of_trial]
    places = sorted({json.dumps({key: row[key] for key in keep}) for row in rows})
    return json.dumps(
        {
            "table": args.table,
            "protocol": args.protocol,
            "recipe": args.recipe,
            "quick": args.quick,
            "command": args.command,
            "measured": list(map(json.loads, places)),
            "cells_missing": n_missing,
            "rows": [{k: v for k, v in r.items() if k[0] != "_"} for r in records],
            "speed": speeds,
        },
        indent=1,
    )


def draw_ced(records, args, path):
    """Draw the cumulative errors, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture of the cumulative errors: matplotlib is not installed")
        return
    from skwing.display import CumulativeErrorDisplay
    from skwing.metrics import ced_curve

    networks = list(dict.fromkeys(r["network"] for r in records if r["nme"] is not None))
    end = ENDS["aflw" if args.protocol == "aflw" else "300w"]
    figure = Figure(figsize=(6 * len(networks), 4.5), layout="constrained")
    for network, ax in zip(networks, np.atleast_1d(figure.subplots(1, len(networks))), strict=True):
        for r in records:
            if r["network"] == network and r["nme"] is not None:
                errors = np.concatenate([s["quantiles"] for s in r["_stages"].values()]) / 100
                thresholds, fractions = ced_curve(errors)
                CumulativeErrorDisplay(
                    thresholds=thresholds,
                    fractions=fractions,
                    threshold=end / 100,
                    auc=r["auc"]["mean"] / 100,
                    failure_rate=r["failures"]["mean"] / 100,
                    name=LOSSES[r["loss"]],
                    normalizer="box" if args.protocol == "aflw" else "inter_pupil",
                ).plot(ax)
        ax.set_title(f"{network}{' (quick run: not meaningful)' if args.quick else ''}")
    figure.savefig(path, dpi=100)
    print(path)
