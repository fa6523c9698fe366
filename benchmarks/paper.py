"""Make the tables of the Wing-loss paper again (Feng et al., CVPR 2018).

    python benchmarks/paper.py losses --data 300w --protocol 300w --seeds 0 1 2
    python benchmarks/paper.py grid --data aflw --protocol aflw --jobs 4
    python benchmarks/paper.py balancing --protocol faces --quick
    python benchmarks/paper.py architectures --data 300w --protocol 300w --backend dask --jobs 4

Tables:

- ``losses``: L2, L1, smooth L1 and Wing, as tables 1 and 4 and figure 4 (on 300-W with
  CNN-6/7 and balancing, else CNN-6 without, as the paper has them), with a picture of the
  cumulative errors if matplotlib is there;
- ``grid``: w by epsilon, as table 2;
- ``balancing``: each loss with and without, CNN-6 and CNN-6/7, as table 3;
- ``architectures``: CNN-6, CNN-7, CNN-6/7, the package's own and ResNet-50: parameters,
  size, error, and faces a second on the CPU and on a GPU where there is one.

Protocols: ``aflw`` is AFLW-Full, 20000 faces and 4386 to test on; ``300w`` folds of the
training folders by photograph, or all of them and the published test sets; ``faces`` drawn
faces of different persons, which need no data.

Each training is a cell, a candidate of a `GridSearchCV` that has the split as a
`PredefinedSplit`; joblib's backend spreads them, processes (``--backend loky``) or a Dask
cluster, on this machine or where ``--scheduler`` says (its workers need this folder on
their PYTHONPATH and a common disk for ``--out``). A cell is kept as a line of
``paper_PROTOCOL.jsonl`` as it ends and is not trained again, for another table either,
while its settings, split, seed and the version of the package are the same: a command that
was interrupted goes on where it stopped. CNN-6 is the first stage of CNN-6/7; ``--stages 1``
trains no other.

Unless ``--recipe paper`` asks for the paper's settings (days on a CPU), networks have batch
normalisation and train for fewer steps with AdamW. For it the losses share one learning
rate; for SGD, L2 has a tenth, as in the paper. The package's own networks and ResNet-50
train so with ``--recipe paper`` too, ResNet-50 for a quarter of the epochs, from random
numbers or from ``--weights``. Answers of mirrored crops are not averaged.

Beside the cells, ``paper_TABLE_PROTOCOL.md`` and ``.json`` have the figures beside the
paper's, mean and standard deviation over seeds and splits.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from _paper_cells import cluster, make_cells, measure
from _paper_data import add_options as add_face_options
from _paper_data import load_splits
from _paper_report import draw_ced, make_json, make_markdown, make_records
from _paper_speed import measure_speed
from _paper_tables import QUICK_FACES, TABLES, make_trials
from _runs import parse_settings


def command_of(argv):
    """The command, without what only this machine knows: where the files are."""
    words, shown = iter(argv), []
    for word in words:
        if word == "--data":
            shown += [word, Path(next(words, "")).name]
        elif word in ("--out", "--scheduler"):
            next(words, None)
        elif word != "--report":  # as that makes no figures
            shown.append(word)
    return f"python benchmarks/paper.py {shlex.join(shown)}"


def parse(argv=None):
    """Arguments of the command line."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", choices=list(TABLES))
    add_face_options(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training")
    parser.add_argument(
        "--quick", action="store_true", help="few faces, few epochs: all tables in 20 minutes"
    )
    parser.add_argument(
        "--stages",
        type=int,
        choices=[1, 2],
        help="leave out later stages: with 1, CNN-6/7 is CNN-6, far cheaper",
    )
    parser.add_argument("--recipe", choices=["paper"], help="train as the paper did")
    parser.add_argument("--weights", help="file that ResNet-50 starts from")
    parser.add_argument("--set", nargs="+", metavar="setting=value", help="settings for all cells")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, a process each")
    parser.add_argument("--threads", type=int, help="of each; default: the cores shared by --jobs")
    parser.add_argument("--backend", default="loky", choices=["loky", "dask"])
    parser.add_argument("--scheduler", help="address of a Dask cluster that is there")
    parser.add_argument("--again", action="store_true", help="repeat what is measured already")
    parser.add_argument("--report", action="store_true", help="train nothing, write what there is")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of results"
    )
    args = parser.parse_args(argv)
    args.command = command_of(argv)
    args.settings = parse_settings(" ".join(args.set)) if args.set else {}
    args.threads = args.threads or max(1, (os.cpu_count() or 1) // args.jobs)
    args.cells = args.out / f"paper_{args.protocol}.jsonl"
    if args.quick:
        args.n_faces = args.n_faces or QUICK_FACES
    return args


def run_cells(args, splits):
    """Trials, the lines of each that there are, and how many are missing."""
    runs, n_missing = {}, 0
    with cluster(args):
        for split in splits:
            trials = make_trials(args.table, args, split.n_train, split.target.shape[1])
            cells, candidates = make_cells(trials, split, args.seeds)
            rows = measure(cells, candidates, split, args)
            n_missing += len(cells) - len(rows)
            for key in cells:  # in the order of the table
                if key in rows:
                    runs.setdefault(cells[key]["trial"], []).append(rows[key])
    return trials, {trial.name: runs.get(trial.name, []) for trial in trials}, n_missing


def run_speeds(args, trials, split):
    """Size and speed of each network, by its name."""
    rows = [measure_speed(trial, split, args) for trial in trials]
    return {stage["name"]: stage for row in rows if row is not None for stage in row["stages"]}


def main(argv=None):
    """Run what the command line asks for, and write the report."""
    args = parse(argv)
    splits = load_splits(args)
    trials, runs, n_missing = run_cells(args, splits)
    speeds = run_speeds(args, trials, splits[0]) if args.table == "architectures" else {}
    records = make_records(trials, runs, args)
    recipe = "" if args.recipe is None else f"_as_{args.recipe}"
    kind = f"{recipe}{'_quick' if args.quick else ''}"
    kind += f"_stages_{args.stages}" if args.stages else ""
    name = f"paper_{args.table}_{args.protocol}{kind}"
    args.out.mkdir(parents=True, exist_ok=True)
    text = make_markdown(records, runs, speeds, args, n_missing)
    (args.out / f"{name}.md").write_text(text)
    (args.out / f"{name}.json").write_text(make_json(records, runs, speeds, args, n_missing))
    if args.table == "losses" and any(runs.values()):
        draw_ced(records, args, args.out / f"{name}_ced.png")
    print(f"\n{text}")
    return records


if __name__ == "__main__":
    main()
