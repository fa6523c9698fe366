"""Write the measurements of `on_gpu.py` into a section of docs/results.md."""

BEGIN, END = "<!-- on_gpu: begin -->", "<!-- on_gpu: end -->"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _latest(rows, part):
    """Last complete row of each name, seed and device of a part."""
    found = {}
    for row in rows:
        if row["part"] == part and "error" not in row:
            found[row["skwing"], row["name"], row.get("seed"), row["device"]] = row
    return list(found.values())


def _tests(rows):
    return [
        f"- {row['skwing']}: tests marked gpu on {row['device']}, {row['date']}: "
        f"{row.get('passed', 0)} passed, "
        f"{row.get('failed', 0)} failed, in {row['seconds']} s."
        for row in _latest(rows, "tests")
    ]


def _speed_line(row, stage):
    graphed = stage.get("graphed_ms")
    return [
        row["skwing"],
        f"{row['name']}: {stage['network']}",
        stage["precision"],
        stage["batch_ms"],
        stage.get("batch_busy_ms", "-"),
        stage["bare_ms"],
        stage.get("bare_busy_ms", "-"),
        "-" if graphed is None else graphed,
        stage["fit_ms"],
        f"{stage['fit_samples_per_second']:.0f}",
        f"{stage['fit_share_of_bare']:.0f} %",
    ]


_SPEED_HEAD = [
    "version",
    "cell",
    "precision",
    "batch, ms",
    "device busy",
    "bare step, ms",
    "device busy",
    "as one graph, ms",
    "fit, ms a step",
    "samples/s",
    "of bare",
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
        ", ".join(errors) if row["complete"] else "interrupted",
    ]


def _fits(rows):
    fits = _latest(rows, "fit")
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
    for part in (_tests(rows), _speeds(rows), _fits(rows)):
        parts += ["", *part] if part else []
    return "\n".join([*parts, END])


def write_report(rows, path):
    """Write the section to a file, replacing the existing one."""
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{path}: expected one {BEGIN} and one {END}")
    before, rest = text.split(BEGIN)
    path.write_text(before + make_report(rows) + rest.split(END)[1])
