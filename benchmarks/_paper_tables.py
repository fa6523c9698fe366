"""Trials of each table, with their parameters."""

from dataclasses import dataclass, replace
from functools import partial

from _paper_figures import GRID_EPSILON, GRID_W, LOSSES

from skwing import recipes
from skwing.networks import resnet50

CASCADE = ("cnn6", "cnn7")
STAGES = ("CNN-6", "CNN-6/7")  # names of the stages of CASCADE
DRAWS = (100_000, 64_000)  # training samples per stage, reduced to save time
LEAST_EPOCHS, MOST_EPOCHS = (10, 6), (100, 64)
QUICK_FACES, QUICK_EPOCHS, QUICK_INPUT = 400, (30, 24), 96
# Pixels of the input of 224; the paper says 10 and 2 for 64, others say 15 and 3 for 128.
RESNET_WING = {"w": 20.0, "epsilon": 4.0}


@dataclass(frozen=True)
class Trial:
    """Parameters of a training, and the names of the networks formed by its stages."""

    name: str
    settings: dict
    stages: tuple[str, ...]
    loss: str = "wing"
    balance: bool = False


def base_settings(args, recipe, n_train, n_landmarks):
    """Parameters common to all trials."""
    if recipe == "paper":
        base = recipes.paper(n_samples=n_train, n_landmarks=n_landmarks)
    else:
        epochs = [
            min(most, max(least, round(draws / n_train)))
            for draws, least, most in zip(DRAWS, LEAST_EPOCHS, MOST_EPOCHS, strict=True)
        ]
        base = {"w": (10.0, 15.0), "epsilon": (2.0, 3.0)}
        # As in the recipe: the paper mentions neither mirrored crops nor repeated predictions.
        base |= {"max_epochs": tuple(epochs), "average_mirrored": False, "retry": False}
    if args.quick:
        base["max_epochs"] = QUICK_EPOCHS
    # Networks of the paper have no batch normalisation, unlike those with the same names here.
    return base | args.set | {"networks": base.get("networks", CASCADE)}


def _trial(base, name, stages, *, balance, loss="wing", **settings):
    settings = {**base, **settings, "loss": loss, "balance": balance}
    if loss == "l2" and settings.get("optimizer") == "sgd":
        # See the caption of table 1. AdamW is invariant to the scale of the gradients.
        settings["learning_rate"] = _scaled(settings["learning_rate"], 0.1)
    if not balance:
        settings = {k: v for k, v in settings.items() if not k.startswith("balance__")}
    return Trial(name, settings, stages, loss, balance)


def _scaled(rates, factor):
    """Learning rates, per stage or single, multiplied by a factor."""
    return tuple(factor * r for r in rates) if isinstance(rates, tuple) else factor * rates


def losses(base, own, args):
    """Trials of each loss; for 300-W, as in the paper, with the balanced cascade."""
    if args.protocol == "300w":
        return [trial for trial in balancing(base, own, args) if trial.balance]
    one = {"networks": base["networks"][:1]}
    return [
        _trial(base, f"CNN-6, {word}", STAGES[:1], loss=loss, balance=False, **one)
        for loss, word in LOSSES.items()
    ]


def grid(base, own, args):
    """Trials of CNN-6 with the Wing loss, by w and epsilon."""
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
    """Trials of each loss with and without balancing; the first stage of CNN-6/7 is CNN-6."""
    return [
        _trial(
            base, f"{word}, {'' if balance else 'not '}balanced", STAGES, loss=loss, balance=balance
        )
        for loss, word in LOSSES.items()
        for balance in (False, True)
    ]


def _later(value):
    """Parameters of stages after the first."""
    return value[-1] if isinstance(value, tuple) else value


def architectures(base, own, args):
    """Trials of networks with Wing loss and balancing; `own` applies to networks of skwing."""
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
    """The trial with only the first n stages."""
    settings = trial.settings | {"networks": trial.settings["networks"][:n]}
    return replace(trial, settings=settings, stages=trial.stages[:n])


def make_trials(table, args, n_train, n_landmarks):
    """Trials of a table for the given number of training faces."""
    base, own = (
        base_settings(args, recipe, n_train, n_landmarks) for recipe in (args.recipe, None)
    )
    return [first_stages(trial, args.stages) for trial in TABLES[table](base, own, args)]
