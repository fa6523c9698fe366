"""What each table trains: the settings of its trials, and which rows they give."""

from dataclasses import dataclass, replace
from functools import partial

from _paper_figures import GRID_EPSILON, GRID_W, LOSSES

from skwing import recipes
from skwing.networks import resnet50

CASCADE = ("cnn6", "cnn7")
STAGES = ("CNN-6", "CNN-6/7")  # what the stages of CASCADE are called
DRAWS = (100_000, 64_000)  # training samples drawn for each stage, to save time
LEAST_EPOCHS, MOST_EPOCHS = (10, 6), (100, 64)
QUICK_FACES, QUICK_EPOCHS, QUICK_INPUT = 400, (30, 24), 96
# Pixels of the input of 224; the paper says 10 and 2 for 64, others say 15 and 3 for 128.
RESNET_WING = {"w": 20.0, "epsilon": 4.0}


@dataclass(frozen=True)
class Trial:
    """Settings of one training, and the names of the networks that its stages make up."""

    name: str
    settings: dict
    stages: tuple[str, ...]
    loss: str = "wing"
    balance: bool = False


def base_settings(args, recipe, n_train, n_landmarks):
    """Settings that all trials share, before those of the table."""
    if recipe == "paper":
        base = recipes.paper(n_samples=n_train, n_landmarks=n_landmarks)
    else:
        epochs = [
            min(most, max(least, round(draws / n_train)))
            for draws, least, most in zip(DRAWS, LEAST_EPOCHS, MOST_EPOCHS, strict=True)
        ]
        base = {"w": (10.0, 15.0), "epsilon": (2.0, 3.0)}
        # As in the recipe: nothing says that the paper reads mirrored crops as well.
        base |= {"max_epochs": tuple(epochs), "average_mirrored": False}
    if args.quick:
        base["max_epochs"] = QUICK_EPOCHS
    # The paper's networks have no batch normalisation; those by the same name here have.
    return base | args.settings | {"networks": base.get("networks", CASCADE)}


def _trial(base, name, stages, *, balance, loss="wing", **settings):
    settings = {**base, **settings, "loss": loss, "balance": balance}
    if loss == "l2" and settings.get("optimizer") == "sgd":
        # As in the caption of table 1. AdamW divides the size of the gradients out.
        settings["learning_rate"] = _scaled(settings["learning_rate"], 0.1)
    if not balance:
        settings = {k: v for k, v in settings.items() if not k.startswith("balance__")}
    return Trial(name, settings, stages, loss, balance)


def _scaled(rates, factor):
    """Rates by stage, or one rate, times a factor."""
    return tuple(factor * r for r in rates) if isinstance(rates, tuple) else factor * rates


def losses(base, own, args):
    """Each loss; with 300-W as the paper has it: the cascade, balanced."""
    if args.protocol == "300w":
        return [trial for trial in balancing(base, own, args) if trial.balance]
    one = {"networks": base["networks"][:1]}
    return [
        _trial(base, f"CNN-6, {word}", STAGES[:1], loss=loss, balance=False, **one)
        for loss, word in LOSSES.items()
    ]


def grid(base, own, args):
    """Wing losses of CNN-6 by w and epsilon."""
    return [
        _trial(
            base,
            f"w={w} epsilon={epsilon}",
            STAGES[:1],
            balance=False,
            networks=base["networks"][:1],
            w=float(w),
            epsilon=float(epsilon),
        )
        for epsilon in GRID_EPSILON
        for w in GRID_W
    ]


def balancing(base, own, args):
    """Each loss with and without balancing; the first stage of CNN-6/7 is CNN-6."""
    return [
        _trial(
            base, f"{word}, {'' if balance else 'not '}balanced", STAGES, loss=loss, balance=balance
        )
        for loss, word in LOSSES.items()
        for balance in (False, True)
    ]


def _later(value):
    """What holds for stages after the first."""
    return value[-1] if isinstance(value, tuple) else value


def architectures(base, own, args):
    """Networks with the Wing loss, balanced; those that are not the paper's as `own` says."""
    # Alone, CNN-7 reads the box, so it is disturbed as a first stage is, but learns as it
    # does in the cascade.
    later = {key: _later(base[key]) for key in ("w", "epsilon", "learning_rate") if key in base}
    options = {"weights": args.weights} if args.weights else {}
    if args.quick:
        options["input_size"] = QUICK_INPUT
    network = partial(resnet50, **options) if options else "resnet50"
    epochs = own["max_epochs"]
    few = max(1, (epochs[0] if isinstance(epochs, tuple) else epochs) // 4)
    return [
        _trial(base, "CNN-6/7", STAGES, balance=True),
        _trial(base, "CNN-7", ("CNN-7",), balance=True, networks=base["networks"][1:], **later),
        _trial(
            own,
            "shape-indexed",
            ("shape_indexed_64", "shape_indexed_64+128"),
            balance=True,
            networks=("shape_indexed_64", "shape_indexed_128"),
            w=10.0,
            epsilon=2.0,
        ),
        _trial(
            own,
            "ResNet-50",
            ("ResNet-50",),
            balance=True,
            networks=(network,),
            max_epochs=few,
            **RESNET_WING,
        ),
    ]


TABLES = {f.__name__: f for f in (losses, grid, balancing, architectures)}


def first_stages(trial, n):
    """The trial without the stages after the n-th."""
    settings = trial.settings | {"networks": trial.settings["networks"][:n]}
    return replace(trial, settings=settings, stages=trial.stages[:n])


def make_trials(table, args, n_train, n_landmarks):
    """Trials of a table for so many training faces."""
    base, own = (
        base_settings(args, recipe, n_train, n_landmarks) for recipe in (args.recipe, None)
    )
    return [first_stages(trial, args.stages) for trial in TABLES[table](base, own, args)]
