"""Arguments of the command line, and how its errors are shown."""

import argparse
import sys
import warnings

from skwing._cli import commands
from skwing._cli.formats import FORMATS
from skwing._utils.version import __version__
from skwing.schema import SCHEMAS

_EXAMPLES = """examples:
  skwing predict photos/ --model faces.safetensors --draw faces.jpg
  skwing predict wings.tps --model wings.safetensors --out predicted.tps
  skwing train annotated.json --images photos/ --out model.safetensors
  skwing evaluate test.json --images photos/ --model model.safetensors
  skwing convert annotated.xml annotated.csv
  skwing export model.safetensors model.onnx
  skwing plot annotated.csv --out annotated.png

exit codes: 0 success; 1 an error, or images without landmarks; 2 wrong arguments;
130 interrupted
"""
# What a user can mend; anything else is a fault of skwing and keeps its traceback.
_USER_ERRORS = (ValueError, TypeError, OSError, ImportError)


def make_parser():
    """Parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="skwing",
        description="Train landmark localisers, and locate landmarks in images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"skwing {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(subparsers)
    _add_train(subparsers)
    _add_evaluate(subparsers)
    _add_convert(subparsers)
    _add_export(subparsers)
    _add_plot(subparsers)
    _add_describe(subparsers)
    return parser


def _add(subparsers, name, text, epilog=None):
    parser = subparsers.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    return parser


def _add_reading(parser, what):
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help=f"of {what}; default: by its suffix"
    )
    parser.add_argument("--images", help=f"folder of the images; default: that of {what}")
    parser.add_argument(
        "--schema",
        choices=sorted(SCHEMAS),
        help="definition of the landmarks, if the file has none",
    )


def _add_data(parser):
    parser.add_argument("data", help="annotation file (.csv, .tps, .json, .xml) or .pts folder")
    _add_reading(parser, "DATA")


def _add_predict(subparsers):
    parser = _add(
        subparsers,
        "predict",
        "locate landmarks in images",
        "example:\n  skwing predict a.jpg b.jpg --model faces.safetensors --draw faces.jpg",
    )
    parser.add_argument(
        "images", nargs="+", help="images, folders of images, or one annotation file"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), help="of an annotation file")
    parser.add_argument("--model", required=True, help="file of save_model or of `skwing train`")
    parser.add_argument(
        "--to", choices=tuple(FORMATS), help="format of the landmarks; default: csv"
    )
    parser.add_argument("--out", help="file for the landmarks; default: landmarks.csv")
    parser.add_argument("--draw", help="picture of the landmarks, such as faces.jpg")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--yunet", help="model file of OpenCV's YuNet, to detect faces with")
    boxes.add_argument(
        "--whole", action="store_true", help="take each image as a whole, without a detector"
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="skip images that fail to decode",
    )


def _add_train(subparsers):
    parser = _add(
        subparsers,
        "train",
        "train a model on annotated images",
        "example:\n  skwing train wings.tps --out wings.safetensors --epochs 60 160",
    )
    _add_data(parser)
    parser.add_argument("--out", required=True, help="file for the model, .safetensors")
    parser.add_argument("--epochs", type=int, nargs="+", help="of each stage")
    parser.add_argument("--balance", action="store_true", help="balance the poses of the samples")
    parser.add_argument(
        "--hold-out",
        type=float,
        default=0.1,
        help="fraction of the images to measure the error on; default: 0.1",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; default: auto")
    parser.add_argument("--seed", type=int, default=0, help="of random numbers; default: 0")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another parameter of CascadeLandmarkRegressor; may be given several times",
    )


def _add_evaluate(subparsers):
    parser = _add(
        subparsers,
        "evaluate",
        "measure the errors of a model on annotated images",
        "example:\n  skwing evaluate test.json --model faces.safetensors --normalizer inter_pupil",
    )
    _add_data(parser)
    parser.add_argument("--model", required=True, help="file of save_model or of `skwing train`")
    parser.add_argument("--normalizer", default="auto", help="of the error; default: auto")
    parser.add_argument("--landmarks", action="store_true", help="print each landmark's errors")
    parser.add_argument("--draw", help="picture of the images with the largest errors")


def _add_convert(subparsers):
    parser = _add(
        subparsers,
        "convert",
        "convert landmarks from one file format to another",
        "example:\n  skwing convert annotated.xml annotated.tps",
    )
    parser.add_argument("source", help="annotation file or .pts folder to read")
    parser.add_argument("target", help="file or folder to write")
    _add_reading(parser, "SOURCE")
    parser.add_argument("--to", choices=tuple(FORMATS), help="of TARGET; default: by its suffix")


def _add_export(subparsers):
    parser = _add(
        subparsers,
        "export",
        "write a model as an ONNX file",
        "example:\n  skwing export faces.safetensors faces.onnx",
    )
    parser.add_argument("model", help="file of save_model or of `skwing train`")
    parser.add_argument("out", help="ONNX file to write")


def _add_plot(subparsers):
    parser = _add(
        subparsers,
        "plot",
        "draw annotated images, errors or poses",
        "example:\n  skwing plot annotated.csv --out annotated.png",
    )
    _add_data(parser)
    parser.add_argument("--out", required=True, help="picture to write")
    parser.add_argument(
        "--kind",
        choices=("landmarks", "errors", "poses"),
        default="landmarks",
        help="images with landmarks, cumulative errors (takes --model), or the poses",
    )
    parser.add_argument("--model", help="draw its predictions too")


def _add_describe(subparsers):
    parser = _add(subparsers, "describe", "print what a file of a model says about it")
    parser.add_argument("model", help="file of save_model or of `skwing train`")


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None takes those of the program.

    Returns
    -------
    code : int
        Exit code: 0 for success, 1 for an error that the user can mend or images without
        landmarks, 130 for Ctrl-C.
    """
    args = make_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return getattr(commands, args.command)(args)
        except KeyboardInterrupt:
            print("skwing: interrupted", file=sys.stderr)
            return 130
        except _USER_ERRORS as error:
            if args.traceback:
                raise
            print(f"skwing {args.command}: error: {error}", file=sys.stderr)
            return 1


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"skwing: warning: {message}", file=sys.stderr)
