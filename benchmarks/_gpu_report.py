"""Write the measurements of `on_gpu.py` into a section of docs/results.md."""

from _paper_figures import GRID, GRID_EPSILON, GRID_W, LOSSES

FACES = {"300w": "300-W", "turned": "300-W and turned faces of AFLW", "drawn": "generated"}
BEGIN, END = "<!-- on_gpu: begin -->", "<!-- on_gpu: end -->"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _latest(rows, part):
    """Last row of each measurement of a part, complete if there is a complete one."""
    found = {}
    for row in rows:
        key = [row.get(name) for name in ("name", "seed", "faces", "fold", "n_train")]
        old = found.get(repr(key), {})
        better = row.get("complete", True) or not old.get("complete", False)
        if row["part"] == part and "error" not in row and better:
            found[repr(key)] = row
    return list(found.values())


def _tests(rows):
    return [
        f"{row.get('passed', 0)} tests marked gpu passed and {row.get('failed', 0)} failed with "
        f"{row['skwing']} on {row['device']}, {row['date']}."
        for row in _latest(rows, "tests")
    ]


def _speed_line(row, stage):
    graphed = stage.get("graphed_ms")
    return [
        row["skwing"],
        row["device"].split(" 80GB")[0],
        f"{row['name']}: {stage['network']}",
        stage["batch_ms"],
        stage.get("batch_busy_ms", "-"),
        stage["bare_ms"],
        "-" if graphed is None else graphed,
        stage["fit_ms"],
        f"{stage['fit_samples_per_second']:.0f}",
    ]


_SPEED_HEAD = [
    "version",
    "device",
    "networks",
    "batch, ms",
    "device busy, ms",
    "bare step, ms",
    "as one graph, ms",
    "step of fit, ms",
    "samples/s",
]


def _speeds(rows):
    cells = _latest(rows, "speed")
    if not cells:
        return []
    lines = [_speed_line(row, stage) for row in cells for stage in row["stages"]]
    predict = [
        [
            row["skwing"],
            row["name"],
            f"{row['predict_whole']['skwing_samples_per_second']:.0f}",
            f"{row['predict_chips'][-1]['skwing_samples_per_second']:.0f}",
            f"{row['predict_chips'][-1]['bare_samples_per_second']:.0f}",
            row["memory_mb"],
        ]
        for row in cells
    ]
    head = [
        "version",
        "cell",
        "predict, faces/s",
        "from chips",
        "bare forward",
        "peak memory of fit, MB",
    ]
    return [_table(_SPEED_HEAD, lines), "", _table(head, predict)]


def _fit_line(row):
    parts = row["fit_stages"]
    per_stage = [f"{part['seconds']:.0f}" for part in parts]
    errors = [f"{stage['nme_pupil']:.2f}" for stage in row.get("stages", [])]
    return [
        row["skwing"],
        row["name"],
        row["seed"],
        row["n_train"],
        " + ".join(str(part["n_samples"]) for part in parts),
        " + ".join(per_stage),
        ", ".join(f"{part['samples_per_second']:.0f}" for part in parts),
        ", ".join(errors),
    ]


def _fits(rows):
    fits = [row for row in _latest(rows, "fit") if row["complete"] and not _in_a_table(row)]
    if not fits:
        return []
    head = [
        "version",
        "training",
        "seed",
        "faces",
        "samples by stage",
        "seconds",
        "samples/s",
        "inter-pupil, %",
    ]
    return [_table(head, [_fit_line(row) for row in fits])]


def _in_a_table(row):
    """Whether a training is in the table of losses, or in that of w and epsilon."""
    return row["name"].startswith(("grid, ", "CNN-6, ")) and not row.get("seed")


def _error(row, key="nme_pupil"):
    return f"{row['stages'][-1][key]:.2f}" if row is not None and row["complete"] else "-"


def _losses(rows):
    """Errors of each loss, with and without balancing, for each set of faces."""
    found = {
        (row["faces"], row["settings"]["loss"], row["settings"]["balance"]): row
        for row in _latest(rows, "fit")
        if row["name"].startswith("CNN-6, ") and row["seed"] == 0
    }
    if not found:
        return []
    head = ["faces", "loss", "not balanced", "balanced"]
    head += ["yaw > 30 degrees, not balanced", "balanced"]
    lines = [
        [FACES[faces], LOSSES[loss]]
        + [
            _error(found.get((faces, loss, balance)), key)
            for key in ("nme_pupil", "nme_pupil_yaw_30_90")
            for balance in (False, True)
        ]
        for faces in FACES
        for loss in LOSSES
        if any((faces, loss, balance) in found for balance in (False, True))
    ]
    return [
        "Losses, CNN-6 on the schedule of the paper, inter-pupil error in percent, one seed:",
        "",
        _table(head, lines),
    ]


def _grid(rows):
    """Errors by w and epsilon, with those of the paper."""
    found = {
        (row["settings"]["w"], row["settings"]["epsilon"]): row
        for row in _latest(rows, "fit")
        if row["name"].startswith("grid, ")
    }
    if not found:
        return []
    lines = [
        [
            epsilon,
            *(f"{_error(found.get((w, epsilon)))} ({GRID[w, epsilon]})" for w in GRID_W),
        ]
        for epsilon in GRID_EPSILON
    ]
    return [
        "Wing loss by w and epsilon, CNN-6 without balancing on a quarter of the schedule, 300-W, "
        "inter-pupil error in percent, one seed; in parentheses, the error in percent of the face "
        "size that the paper reports for AFLW:",
        "",
        _table(["epsilon", *(f"w = {w}" for w in GRID_W)], lines),
    ]


def make_report(rows):
    """Text of the section."""
    machines = sorted({f"{row['device']} ({row['date']})" for row in rows if "date" in row})
    parts = [
        BEGIN,
        "Written by `python benchmarks/on_gpu.py --report` from the results of "
        "`python benchmarks/on_gpu.py --data DIR --minutes 9`.",
        f"Measured on {', '.join(machines)}. Trainings ran concurrently and shared the "
        "device, which their times include; speeds were measured without other load.",
    ]
    for part in (_tests(rows), _speeds(rows), _fits(rows), _losses(rows), _grid(rows)):
        parts += ["", *part] if part else []
    return "\n".join([*parts, END])


def write_report(rows, path):
    """Write the section to a file, replacing the existing one."""
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{path}: expected one {BEGIN} and one {END}")
    before, rest = text.split(BEGIN)
    path.write_text(before + make_report(rows) + rest.split(END)[1])
