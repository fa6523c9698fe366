"""Small benchmarks that fit the regressor once for each seed and fold."""

from _folds import add_options as add_face_options
from _folds import chosen, load_faces, make_folds
from _report import append, environment, show_environment


def add_options(parser):
    """Add the options for faces, folds and the parameters of the regressor to a parser."""
    add_face_options(parser)
    parser.add_argument("--epochs", type=int, nargs="+", help="number of epochs of each stage")
    parser.add_argument("--networks", nargs="+", help="network of each stage")


def run_folds(args, run, show):
    """Run each seed and fold; show and store the row of each.

    Parameters
    ----------
    args : Namespace
        Options of :func:`add_options`, and out.
    run : callable
        Function of the faces, the training and the test indices, and the parameters of the
        regressor, that returns a dict of results.
    show : callable
        Function that prints a row.
    """
    source, folds = chosen(args)
    faces = load_faces(source)
    cut = make_folds(faces, source)
    given = {"max_epochs": args.epochs, "networks": args.networks}
    settings = {name: tuple(value) for name, value in given.items() if value}
    for seed in args.seeds:
        for fold in folds:
            row = {**environment(), **source.told(), "fold": fold, "seed": seed, **settings}
            show_environment(row)
            row |= run(faces, *cut[fold], {**settings, "random_state": seed})
            show(row)
            append(row, args.out)
