"""Argument parser of the command line."""

import argparse

from skwing._cli.formats import FORMATS
from skwing._cli.measure import names_of_normalizers
from skwing._cli.numbers import length_or_column, positive_number, seed, whole_number
from skwing._utils.version import __version__
from skwing.schema import SCHEMAS

_EXAMPLES = """examples:
  skwing predict photos/ --model faces.safetensors --draw faces.jpg
  skwing predict wings.tps --model wings.safetensors --out predicted.tps
  skwing train annotated.json --images photos/ --out model.safetensors
  skwing evaluate test.json --images photos/ --model model.safetensors
  skwing convert annotated.xml annotated.csv
  skwing track clip.mp4 --model faces.safetensors --draw tracked.mp4
  skwing export model.safetensors model.onnx
  skwing plot annotated.csv --out annotated.png

exit codes: 0 success; 1 error, or images without landmarks; 2 invalid arguments;
130 interrupted
"""
_MODEL = "model file written by save_model or `skwing train`"


def make_parser():
    """Create the argument parser."""
    parser = argparse.ArgumentParser(
        prog="skwing",
        description="Train landmark localisers, and locate landmarks in images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_global(parser, default=False)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(subparsers)
    _add_train(subparsers)
    _add_evaluate(subparsers)
    _add_convert(subparsers)
    _add_track(subparsers)
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
    # Without a default, which would replace the value of an option before the command.
    _add_global(parser, default=argparse.SUPPRESS)
    return parser


def _add_global(parser, default):
    """Add the options that all commands have, before and after the name of the command."""
    parser.add_argument("--version", action="version", version=f"skwing {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", default=default, help="show the traceback of errors"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="do not show progress"
    )


# --- Options of several commands


def _add_model(parser):
    parser.add_argument("--model", required=True, help=_MODEL)


def _add_format(parser, what):
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help=f"format of {what}; default: inferred from the suffix",
    )
    parser.add_argument(
        "--category",
        action="append",
        metavar="NAME",
        help="COCO: category to read, a name or an id; can be repeated for categories with the "
        "same keypoints",
    )


def _add_reading(parser, what):
    _add_format(parser, what)
    parser.add_argument("--images", help=f"folder of the images; default: folder of {what}")
    parser.add_argument(
        "--schema",
        choices=sorted(SCHEMAS),
        help="landmark definition, for files without one",
    )


def _add_data(parser):
    parser.add_argument("data", help="annotation file (.csv, .tps, .json, .xml) or .pts folder")
    _add_reading(parser, "DATA")


def _add_decimals(parser):
    parser.add_argument(
        "--decimals",
        type=whole_number,
        metavar="N",
        help="round coordinates to N decimals; default: not rounded",
    )


def _add_writing(parser, what, default):
    parser.add_argument(
        "--to",
        choices=tuple(FORMATS),
        help=f"format of {what}; default: inferred from the suffix{default}",
    )
    _add_decimals(parser)
    parser.add_argument(
        "--whole-pixels",
        action="store_true",
        help="dlib: round landmarks and boxes to integers, as dlib and imglab require; default: "
        "not rounded, so that nothing is lost",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="pts: replace files that are in the folder"
    )


def _add_draw_max(parser):
    parser.add_argument(
        "--draw-max",
        type=positive_number,
        default=12,
        metavar="N",
        help="maximum number of samples in the picture; default: 12",
    )


def _add_yunet(parser):
    parser.add_argument(
        "--yunet",
        metavar="MODEL_FILE",
        help="detect faces with OpenCV's YuNet, whose model file this is; default: the detector "
        "of scikit-image",
    )


def _add_detecting(parser):
    parser.add_argument(
        "--detect",
        action="store_true",
        help="use the faces of a detector as boxes, for DATA without boxes; samples without a "
        "face are left out",
    )
    _add_yunet(parser)


# --- Commands


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
    _add_format(parser, "the annotation file")
    _add_model(parser)
    parser.add_argument("--out", help="output file; default: landmarks.csv")
    _add_writing(parser, "--out", ", else csv")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the landmarks of the annotation file, and predict only samples without any",
    )
    parser.add_argument(
        "--draw",
        help="draw the landmarks to this file, such as faces.jpg; with a calibrated model, the "
        "least sure ones first",
    )
    _add_draw_max(parser)
    parser.add_argument(
        "--all-faces",
        action="store_true",
        help="locate the landmarks of all detected faces; default: of the largest of each image",
    )
    boxes = parser.add_mutually_exclusive_group()
    _add_yunet(boxes)
    boxes.add_argument(
        "--whole", action="store_true", help="use whole images, without a face detector"
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="skip images that cannot be decoded",
    )


def _add_train(subparsers):
    parser = _add(
        subparsers,
        "train",
        "train a model on annotated images",
        "example:\n  skwing train wings.tps --out wings.safetensors --epochs 60 160",
    )
    _add_data(parser)
    _add_detecting(parser)
    parser.add_argument("--out", required=True, help="model file to write, .safetensors")
    parser.add_argument(
        "--start", metavar="MODEL", help="begin with the weights and settings of this model"
    )
    parser.add_argument(
        "--epochs", type=positive_number, nargs="+", help="number of epochs of each stage"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="file (.safetensors) or folder for the state of training, once per minute: after an "
        "interruption, the same command continues from it",
    )
    parser.add_argument(
        "--balance", action="store_true", help="balance the pose distribution of the samples"
    )
    parser.add_argument(
        "--hold-out",
        type=float,
        help="fraction of the images held out to measure the error, at least one image; default: "
        "0.1 if there are several images",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; default: auto")
    parser.add_argument("--seed", type=seed, default=0, help="random seed; default: 0")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter of CascadeLandmarkRegressor; can be repeated",
    )


def _add_evaluate(subparsers):
    parser = _add(
        subparsers,
        "evaluate",
        "measure the errors of a model on annotated images",
        "example:\n  skwing evaluate test.json --model faces.safetensors --normalizer inter_pupil",
    )
    _add_data(parser)
    _add_detecting(parser)
    _add_model(parser)
    parser.add_argument(
        "--normalizer",
        default="auto",
        help=f"length that errors are divided by: {', '.join(names_of_normalizers())}, or another "
        "one of the schema; default: auto, the inter-ocular distance if the schema defines it, "
        "else the size of the box around the landmarks",
    )
    parser.add_argument(
        "--unit", help="measure errors in px, or in a unit such as mm, instead of percent"
    )
    parser.add_argument(
        "--scale",
        type=length_or_column,
        metavar="S",
        help="length of a pixel in --unit, or the column of DATA with it; default: the scales of a "
        "TPS file, or the column scale of a table",
    )
    parser.add_argument(
        "--landmarks", action="store_true", help="print the errors of each landmark"
    )
    parser.add_argument("--draw", help="draw the images with the largest errors to this file")
    _add_draw_max(parser)


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
    _add_writing(parser, "TARGET", "")


def _add_track(subparsers):
    parser = _add(
        subparsers,
        "track",
        "follow faces through a video",
        "example:\n  skwing track clip.mp4 --model faces.safetensors --draw tracked.mp4\n\n"
        "The table has a row for each face of each frame, with the frame (from 0), the time in\n"
        "seconds, the number of the face, a score (1: certain), its box and its landmarks.",
    )
    parser.add_argument("video", help="video file that OpenCV can read")
    _add_model(parser)
    parser.add_argument("--out", help="table to write; default: landmarks.csv, unless --draw")
    parser.add_argument("--draw", help="video to write, .mp4 or .avi, without sound")
    parser.add_argument(
        "--detect-every",
        type=positive_number,
        default=30,
        metavar="N",
        help="look for new faces in every Nth frame; default: 30",
    )
    boxes = parser.add_mutually_exclusive_group()
    _add_yunet(boxes)
    boxes.add_argument(
        "--box",
        type=float,
        nargs=4,
        action="append",
        metavar=("X", "Y", "W", "H"),
        help="box of a face in the first frame, instead of detection; can be repeated",
    )
    _add_decimals(parser)


def _add_export(subparsers):
    parser = _add(
        subparsers,
        "export",
        "export a model to an ONNX file",
        "examples:\n  skwing export faces.safetensors faces.onnx\n"
        "  skwing export faces.safetensors faces.int8.onnx --precision int8 "
        "--calibration annotated.csv",
    )
    parser.add_argument("model", help=_MODEL)
    parser.add_argument("out", help="ONNX file to write")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="type of the numbers in the file: float16 has half the size, int8 a quarter and is "
        "faster; default: float32",
    )
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="annotation file or .pts folder with 200 samples or more, for int8; training samples "
        "will do",
    )
    _add_reading(parser, "--calibration")
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        metavar="N",
        help="number of objects that are located together; default: any number. With 1, OpenVINO "
        "is faster",
    )


def _add_plot(subparsers):
    parser = _add(
        subparsers,
        "plot",
        "draw annotated images, errors or poses",
        "example:\n  skwing plot annotated.csv --out annotated.png",
    )
    _add_data(parser)
    parser.add_argument("--out", required=True, help="figure to write")
    parser.add_argument(
        "--kind",
        choices=("landmarks", "errors", "poses"),
        default="landmarks",
        help="images with landmarks, cumulative errors (requires --model), or poses",
    )
    parser.add_argument("--model", help="also draw the predictions of this model")
    _add_draw_max(parser)


def _add_describe(subparsers):
    parser = _add(subparsers, "describe", "print the metadata of a model file")
    parser.add_argument("model", help=_MODEL)
