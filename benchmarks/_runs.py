"""Parsing of parameters, and runs in parallel processes with stored results."""

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import re
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

import torch
from _report import append

import skwing

# Fields that identify a run.
IDENTITY = (
    "skwing",
    "faces",
    "boxes",
    "n_faces",
    "n_folds",
    "n_train_asked",
    "fold",
    "seed",
    "parameters",
)


def parse_value(text):
    """Parse a value: a Python literal, or names without quotes, separated by commas."""
    text = text.strip()
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        if "," not in text or text[0] in "([{":
            return text
        return tuple(parse_value(part) for part in text.split(",") if part.strip())


def parse_settings(text):
    """Dict of settings from ``"loss=wing networks=cnn6,cnn7 max_epochs=(150, 100)"``."""
    settings = {}
    for part in re.split(r"\s+(?=[A-Za-z_]\w*=)", text.strip()):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier() or not value.strip():
            raise SystemExit(f"expected settings such as loss=wing, got {part!r}")
        settings[name] = parse_value(value)
    return settings


class _Settings(argparse.Action):
    """Option with several ``name=value``; its value is a dict."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, parse_settings(" ".join(values)))


def add_settings(parser, text):
    """Add the option ``--set setting=value ...`` to a parser, with its help."""
    parser.add_argument(
        "--set", nargs="+", default={}, action=_Settings, metavar="setting=value", help=text
    )


def parse_trial(text):
    """Name and settings of a trial, from ``"name: loss=l2"``, ``"name:"`` or ``"loss=l2"``."""
    found = re.fullmatch(r"([^=:]+):(.*)", text, re.DOTALL)
    name, settings = found.groups() if found else (text, text)
    return name.strip(), parse_settings(settings) if settings.strip() else {}


def resolve(value):
    """Resolve a parameter: ``module:name`` is imported, in tuples too."""
    if isinstance(value, (tuple, list)):
        return type(value)(resolve(part) for part in value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        module, name = value.split(":")
        return getattr(importlib.import_module(module), name)
    return value


def plain(value):
    """Representation of a parameter in files, without memory addresses."""
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if hasattr(value, "get_params"):
        return plain(value.get_params())
    if hasattr(value, "func"):  # functools.partial
        return {"partial": plain(value.func), "args": plain(value.args), **plain(value.keywords)}
    if callable(value):
        return f"{value.__module__}:{getattr(value, '__qualname__', type(value).__name__)}"
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def add_options(parser):
    """Add the options of runs to a parser."""
    parser.add_argument("--jobs", type=int, default=1, help="number of concurrent processes")
    parser.add_argument(
        "--threads", type=int, help="threads per run; default: cores divided by --jobs"
    )
    parser.add_argument(
        "--again", action="store_true", help="repeat runs that are already in the file"
    )


def identity(row):
    """Text that identifies a run."""
    return json.dumps([row.get(key) for key in IDENTITY], sort_keys=True)


def read_lines(path):
    """Rows of a file of results, in order."""
    rows = []
    if path.exists():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                print(f"{path}, line {number}: no JSON, left out")
    return rows


def read_rows(path):
    """Last line of each run in a file of results."""
    return {identity(row): row for row in read_lines(path)}


def run_all(tasks, run, args, show):
    """Run all tasks that are not in the file; return the rows of all tasks.

    Parameters
    ----------
    tasks : list of dict
        Fields of a result known before the run: `IDENTITY`, the name of the trial, and further
        arguments of `run` with keys that start with an underscore.
    run : callable
        Function of a task and the number of threads that returns a dict of results.
    args : Namespace
        Options jobs, threads, again and out.
    show : callable
        Function that prints a row.
    """
    tasks = [{"skwing": skwing.__version__, **task} for task in tasks]
    kept = {} if args.again else read_rows(args.out)
    threads = args.threads or max(1, (os.cpu_count() or 1) // args.jobs)
    rows, waiting = {}, []
    for number, task in enumerate(tasks):
        old = kept.get(identity(task))
        if old is None:
            waiting.append(number)
        else:
            print(f"{_name(task)}: measured on {old['date']}, commit {old.get('commit')}; skipped")
            rows[number] = {**old, "trial": task["trial"]}
    n_failed = 0
    for number, result in _results(waiting, tasks, run, args.jobs, threads):
        if isinstance(result, str):
            n_failed += 1
            print(f"\n{_name(tasks[number])} failed:\n{result}", flush=True)
            continue
        told = {key: value for key, value in tasks[number].items() if key[0] != "_"}
        rows[number] = {**told, "jobs": args.jobs, "threads": threads, **result}
        append(rows[number], args.out)
        show(rows[number])
    if n_failed:
        print(f"\n{n_failed} of {len(tasks)} runs failed")
    # In the order of the command line: the first trial is the reference.
    return [rows[number] for number in sorted(rows)]


def _name(task):
    return f"{task['trial']}, fold {task['fold']}, seed {task['seed']}"


def _results(waiting, tasks, run, jobs, threads):
    """Yield index and result of each finished task: a dict, or an error message."""
    if jobs == 1:
        for number in waiting:
            yield number, _try(run, tasks[number], threads)
        return
    # Read by the libraries in child processes before they start threads.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(_try, run, tasks[n], threads): n for n in waiting}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _try(run, task, threads):
    torch.set_num_threads(threads)
    try:
        return run(task, threads)
    except Exception:  # other trials continue after a failure
        return traceback.format_exc()
