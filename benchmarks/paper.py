"""Reproduce the tables of the Wing-loss paper (Feng et al., CVPR 2018).

    python benchmarks/paper.py losses --data 300w --protocol 300w --seeds 0 1 2
    python benchmarks/paper.py grid --data aflw --protocol aflw --jobs 4
    python benchmarks/paper.py balancing --protocol faces --quick
    python benchmarks/paper.py architectures --data 300w --protocol 300w --backend dask --jobs 4

Tables:

- ``losses``: L2, L1, smooth L1 and Wing, as in tables 1 and 4 and figure 4 (as in the paper,
  CNN-6/7 with balancing on 300-W, otherwise CNN-6 without balancing), with a figure of the
  cumulative errors if matplotlib is installed;
- ``grid``: w by epsilon, as in table 2;
- ``balancing``: each loss with and without balancing, CNN-6 and CNN-6/7, as in table 3;
- ``architectures``: CNN-6, CNN-7, CNN-6/7, the networks of skwing and ResNet-50: number of
  parameters, size, error, and faces per second on the CPU and, if available, on a GPU.

Protocols: ``aflw`` is AFLW-Full, with 20000 training and 4386 test faces. ``300w`` uses folds of
the training folders by photograph, or all training folders and the published test sets.
``faces`` uses generated faces of different persons and needs no data.

Each training is called a cell. It is a candidate of a `GridSearchCV` with the split as a
`PredefinedSplit`. Cells are distributed by the backend of joblib: processes (``--backend
loky``) or a Dask cluster, local or at the address ``--scheduler`` (its workers need this folder
on their PYTHONPATH and a shared disk for ``--out``). Finished cells are appended to
``paper_PROTOCOL.jsonl``. A cell with the same parameters, split, seed and package version is
not trained again, also for other tables, so an interrupted command can be resumed. CNN-6 is
the first stage of CNN-6/7; ``--stages 1`` trains only this stage.

By default, networks have batch normalisation and are trained for fewer steps with AdamW, and all
losses have the same learning rate. ``--recipe paper`` uses the parameters of the paper, which
takes days on a CPU; L2 then has a tenth of the learning rate for SGD, as in the paper. The
networks of skwing and ResNet-50 always use the default training, ResNet-50 with a quarter of
the epochs, from random weights or from ``--weights``. Predictions of mirrored crops are not
averaged.

``paper_TABLE_PROTOCOL.md`` and ``.json`` list the results beside those of the paper, with mean
and standard deviation over seeds and splits.
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
from _runs import add_settings


def command_of(argv):
    """The command line, without local paths."""
    words, shown = iter(argv), []
    for word in words:
        if word == "--data":
            shown += [word, Path(next(words, "")).name]
        elif word in ("--out", "--scheduler"):
            next(words, None)
        elif word != "--report":  # which measures nothing
            shown.append(word)
    return f"python benchmarks/paper.py {shlex.join(shown)}"


def parse(argv=None):
    """Parse the command line."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", choices=list(TABLES))
    add_face_options(parser)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="random seeds of training"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few faces, few epochs, to see that all works: 2 to 4 minutes for each table",
    )
    parser.add_argument(
        "--stages",
        type=int,
        choices=[1, 2],
        help="number of stages to train; with 1, CNN-6/7 is CNN-6, which is much faster",
    )
    parser.add_argument(
        "--recipe", choices=["paper"], help="train with the parameters of the paper"
    )
    parser.add_argument("--weights", help="file of the initial weights of ResNet-50")
    add_settings(parser, "parameters of all cells")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="number of concurrent processes")
    parser.add_argument(
        "--threads", type=int, help="threads per process; default: cores divided by --jobs"
    )
    parser.add_argument("--backend", default="loky", choices=["loky", "dask"])
    parser.add_argument("--scheduler", help="address of an existing Dask cluster")
    parser.add_argument("--again", action="store_true", help="repeat existing measurements")
    parser.add_argument(
        "--report", action="store_true", help="only write the report of existing results"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of results"
    )
    args = parser.parse_args(argv)
    args.command = command_of(argv)
    args.threads = args.threads or max(1, (os.cpu_count() or 1) // args.jobs)
    args.cells = args.out / f"paper_{args.protocol}.jsonl"
    if args.quick:
        args.n_faces = args.n_faces or QUICK_FACES
    return args


def run_cells(args, splits):
    """Trials, their results, and the number of missing results."""
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
    """Size and speed of each network, by name."""
    rows = [measure_speed(trial, split, args) for trial in trials]
    return {stage["name"]: stage for row in rows if row is not None for stage in row["stages"]}


def main(argv=None):
    """Run the trainings and write the report."""
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
