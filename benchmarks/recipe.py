"""Compare training parameters on the same folds, and store all results.

    python benchmarks/recipe.py --data 300w --trial "wing: loss=wing" --trial "l2: loss=l2"
    python benchmarks/recipe.py --data youtube_faces --faces youtube --use 2 3 --seeds 0 1 2
    python benchmarks/recipe.py --data 300w --quick

A trial is a name and parameters of `CascadeLandmarkRegressor` that override the defaults::

    --trial "small: networks=cnn6 max_epochs=50"
    --trial "two: networks=cnn6,cnn7 learning_rate=0.002 weight_decay=(0.5, 0.1)"
    --trial "own: networks=mynets:wide"          a name in an importable module
    --trial "paper: recipe=paper balance=no"     a recipe of skwing.recipes, no PoseBalancer
    --trial "rare: balance__max_repeats=5"       a parameter of the PoseBalancer
    --trial "turned: augmentation__rotation=40"  a parameter of the augmentation
    --trial "still: augmentation=None"           no augmentation
    --trial "default:"                           the default parameters, as without --trial

``--set``, ``--recipe`` and ``--balance`` apply to all trials, unless a trial overrides them.
``--balance yes no`` runs each trial with and without balancing. Each trial runs on each fold with
each seed. For a given fold and seed, all trials use the same photographs; paired differences
to the first trial are printed at the end.

Each finished run is appended to ``--out``, with environment, parameters, seconds, and the errors
of each stage on test faces and on a sample of the training faces. Runs with the same
parameters, fold, seed and package version are skipped, so an interrupted command can be
resumed. Use ``--again`` after changes of the code within a version.

``--jobs`` runs several trials concurrently, because a single small network uses only a small
part of a GPU. ``--models`` is a folder in which the models are saved, with weights of float16.
"""

import argparse
import inspect
import time
from pathlib import Path

from _errors import error_table, show_differences, show_row, show_spread
from _folds import add_options as add_face_options
from _folds import chosen, load_faces, make_folds
from _report import add_out, environment
from _runs import add_options as add_run_options
from _runs import add_settings, parse_trial, plain, resolve, run_all
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer, save_model
from skwing._utils.device import check_device
from skwing.schema import IBUG68

YES_NO = {"yes": True, "no": False, True: True, False: False}
QUICK = {"max_epochs": (15, 8)}


def find_recipe(name, n_samples):
    """Parameters of a recipe of the package for the given number of training faces."""
    from skwing import recipes

    if name not in recipes.__all__:
        raise SystemExit(f"unknown recipe {name!r}: choose from {', '.join(recipes.__all__)}")
    recipe = getattr(recipes, name)
    known = {"n_samples": n_samples, "n_landmarks": IBUG68.n_landmarks}
    asked = inspect.signature(recipe).parameters
    return recipe(**{key: value for key, value in known.items() if key in asked})


def make_pipeline(settings, n_samples):
    """Pipeline of a trial: an optional balancer, and the regressor."""
    name = settings.get("recipe")
    recipe = {} if name is None else find_recipe(name, n_samples)
    own = {"balance": True, **recipe, **settings}
    own.pop("recipe", None)
    if own["balance"] not in YES_NO:
        raise SystemExit(f"balance must be yes or no, got {own['balance']!r}")
    balance = YES_NO[own.pop("balance")]
    if isinstance(own.get("networks"), str):
        own["networks"] = (own["networks"],)
    pipeline = Pipeline(
        [
            ("balance", PoseBalancer() if balance else "passthrough"),
            ("reg", CascadeLandmarkRegressor()),
        ]
    )
    names = {key: key if key.startswith("balance__") else f"reg__{key}" for key in own}
    try:
        return pipeline.set_params(**{names[key]: resolve(own[key]) for key in own})
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise SystemExit(f"{settings}: {error}") from None


def all_parameters(settings, n_samples):
    """All parameters of a trial, including defaults, as stored in the results."""
    return parameters_of(make_pipeline(settings, n_samples))


def parameters_of(pipeline):
    """All parameters of a pipeline, except for device and random state."""
    balancer, regressor = (step for _, step in pipeline.steps)
    shown = plain(regressor.get_params(deep=False))
    if regressor.augmentation is not None:  # "default" is replaced by its parameters
        found = regressor.get_params().items()
        start = "augmentation__"
        shown["augmentation"] = {k[len(start) :]: plain(v) for k, v in found if k.startswith(start)}
    for key in ("verbose", "random_state", "device"):
        del shown[key]
    return shown | {"balance": False if balancer == "passthrough" else plain(balancer.get_params())}


def run(task, threads):
    """Fit on the training faces of a fold, and measure on the test faces."""
    faces = load_faces(task["_source"])
    train, test = make_folds(faces, task["_source"])[task["fold"]]
    pipeline = make_pipeline(task["_settings"], len(train)).set_params(
        reg__random_state=task["seed"], reg__device=task["_device"], reg__verbose=task["_verbose"]
    )
    told = environment(check_device(task["_device"]))
    start = time.perf_counter()
    pipeline.fit(faces.data[train], faces.target[train])
    seconds = time.perf_counter() - start
    regressor = pipeline.named_steps["reg"]
    if task["_models"] is not None:
        name = f"{task['trial']}-fold{task['fold']}-seed{task['seed']}.safetensors"
        task["_models"].mkdir(parents=True, exist_ok=True)
        save_model(regressor, task["_models"] / name, dtype="float16")
    history = regressor.history_
    return {
        **told,
        "fit_seconds": round(seconds, 1),
        "seconds_of_stages": [
            round(sum(row["seconds"] for row in history if row["stage"] == i + 1), 1)
            for i in range(len(regressor.n_iter_))
        ],
        "epochs": regressor.n_iter_,
        "fit_samples_per_second": round(sum(row["n_samples"] for row in history) / seconds, 1),
        **error_table(faces, train, test, lambda images: list(regressor.staged_predict(images))),
    }


def read_trials(args):
    """Name and parameters of each trial, in the order of the command line."""
    common = args.set | ({} if args.recipe is None else {"recipe": args.recipe})
    trials = {}
    for text in args.trial or ["default:"]:
        name, settings = parse_trial(text)
        for balance in args.balance if "balance" not in settings else [None]:
            own = (QUICK if args.quick else {}) | common
            own |= {"balance": balance} if balance is not None else {}
            full = f"{name}, balance {balance}" if balance and len(args.balance) > 1 else name
            if full in trials:
                raise SystemExit(f"two trials are called {full!r}")
            trials[full] = own | settings
    return trials


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_face_options(parser)
    parser.add_argument(
        "--trial", action="append", help='"name: setting=value ..."; can be repeated'
    )
    add_settings(parser, "parameters of all trials")
    parser.add_argument("--recipe", help="recipe of skwing.recipes, for all trials")
    parser.add_argument("--balance", nargs="+", default=[None], choices=["yes", "no"])
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--quick", action="store_true", help="few faces, few epochs, one fold: minutes on a CPU"
    )
    add_run_options(parser)
    add_out(parser, "recipe")
    parser.add_argument("--models", type=Path, help="folder for the models")
    parser.add_argument("--verbose", type=int, default=0, help="verbosity of fit, with --jobs 1")
    args = parser.parse_args(argv)
    if args.quick:
        args.n_faces = args.n_faces or 300
        args.use = args.use or ([0] if args.faces == "300w" else [2])
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    trials = read_trials(args)
    for settings in trials.values():
        make_pipeline(settings, 1000)  # raises errors for invalid names before files are read
    source, folds = chosen(args)
    cut = make_folds(load_faces(source), source)
    tasks = [
        {
            "trial": name,
            **source.told(),
            "fold": fold,
            "seed": seed,
            "recipe": trials[name].get("recipe"),
            "parameters": all_parameters(trials[name], len(cut[fold][0])),
            "_settings": trials[name],
            "_source": source,
            "_device": args.device,
            "_models": args.models,
            "_verbose": args.verbose if args.jobs == 1 else 0,
        }
        for seed in args.seeds
        for fold in folds
        for name in trials
    ]
    print(f"{len(tasks)} runs: {', '.join(trials)}; folds {folds}, seeds {args.seeds}", flush=True)
    rows = run_all(tasks, run, args, show_row)
    if rows:
        show_spread(rows)
        show_differences(rows)


if __name__ == "__main__":
    main()
