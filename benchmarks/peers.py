"""Train alternative packages on the folds, boxes and faces of recipe.py.

    python benchmarks/peers.py --data 300w
    python benchmarks/peers.py --data 300w --peers dlib dlib-tuned --use 0 1 --threads 2
    python benchmarks/peers.py --data 300w --peers skorch-l1 skorch-l2 --set max_epochs=50

dlib's shape predictor (`pip install dlib`), trained from Python objects:

- ``dlib``: the default `shape_predictor_training_options`.
- ``dlib-tuned``: a cascade of depth 15, as in Kazemi and Sullivan (CVPR 2014) and in OpenCV's
  implementation of this method; a feature pool of 800 pixels and 50 test splits per node, at
  least twice the default, as recommended if training time is not important (dlib issue 1256);
  tree depth 4, nu 0.1 and oversampling 20 are unchanged, as all of these sources agree on them;
  and mirrored copies of the training faces, as for dlib's 68-point model (dlib issue 359).

dlib's points and boxes are integers. For small images, rounding reduces the accuracy of
training labels and of predictions. ``--scale 2`` enlarges images, boxes and labels for dlib in
training and prediction. Errors are always measured in the original images.

The network of the first stage, CNN-6 with batch normalisation, trained with skorch's
`NeuralNetRegressor` (`pip install skorch`):

- ``skorch-l1``, ``skorch-l2``: crops of the boxes, 64x64 pixels, cut once with the functions of
  skwing; targets are crop pixels minus the mean shape; training faces and their mirror images,
  without further augmentation; Adam with learning rate 1e-3 and cosine annealing over 100
  epochs with batch size 32; `nn.L1Loss` or `nn.MSELoss`.

``--set`` overrides parameters of the peers that have them; for dlib, these are the names of its
options. Results have the format of recipe.py, with one stage, and are appended to ``--out``;
existing results are skipped.
"""

import argparse
import time
from importlib import import_module

import _dlib
import numpy as np
import torch
from _dlib import dlib_box, grey_part
from _errors import error_table, show_differences, show_row, show_spread
from _folds import add_options as add_face_options
from _folds import chosen, load_faces, make_folds
from _report import add_out, environment
from _runs import add_options as add_run_options
from _runs import add_settings, plain, run_all
from torch import nn

from skwing import geometry
from skwing._crops.chips import ChipFrame, cut_chips
from skwing._utils.device import check_device
from skwing.networks import cnn6
from skwing.schema import IBUG68

DLIB = {
    "cascade_depth": 10,
    "tree_depth": 4,
    "num_trees_per_cascade_level": 500,
    "nu": 0.1,
    "oversampling_amount": 20,
    "oversampling_translation_jitter": 0.0,
    "feature_pool_size": 400,
    "feature_pool_region_padding": 0.0,
    "lambda_param": 0.1,
    "num_test_splits": 20,
}
DLIB_TUNED = DLIB | {"cascade_depth": 15, "feature_pool_size": 800, "num_test_splits": 50}
SKORCH = {"max_epochs": 100, "batch_size": 32, "lr": 1e-3, "mirror": True}


def import_or_say(name):
    """Import a module, or exit with a hint on how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise SystemExit(f"{error}; this peer needs it: pip install {name}") from None


def mirrored(points, width):
    """Landmarks of the mirror image of an image with the given width."""
    return IBUG68.mirror_points(geometry.apply(geometry.reflect(width), points))


# ---------------------------------------------------------------------------------------
# dlib
# ---------------------------------------------------------------------------------------
def dlib_face(dlib, box, points):
    """Box and landmarks in the format of dlib's training."""
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(points)]
    return dlib.full_object_detection(box, points)


def train_dlib(data, points, settings, seed, threads):
    """Train a shape predictor of dlib."""
    dlib = import_or_say("dlib")
    own = dict(settings)
    mirror, scale = own.pop("mirror"), own.pop("scale")
    options = dlib.shape_predictor_training_options()
    for key, value in own.items():
        setattr(options, key, value)
    options.num_threads, options.random_seed, options.be_verbose = threads, str(seed), False
    pictures, detections = [], []
    for i in range(len(data)):
        picture, matrix = grey_part(data.decode(i), data.boxes[i], scale)
        box, shape = data.boxes[i], geometry.apply(matrix, points[i])
        rectangle = dlib_box(dlib, box, matrix)
        pictures.append(picture)
        detections.append([dlib_face(dlib, rectangle, shape)])
        if mirror:
            width = picture.shape[1]
            rectangle = dlib.rectangle(
                width - 1 - rectangle.right(),
                rectangle.top(),
                width - 1 - rectangle.left(),
                rectangle.bottom(),
            )
            pictures.append(np.ascontiguousarray(picture[:, ::-1]))
            detections.append([dlib_face(dlib, rectangle, mirrored(shape, width))])
    return dlib.train_shape_predictor(pictures, detections, options)


def fit_dlib(data, points, settings, seed, threads, device):
    """Train a shape predictor; return a function that locates landmarks."""
    predictor = train_dlib(data, points, settings, seed, threads)

    def locate(images):
        dlib, scale = import_or_say("dlib"), settings["scale"]
        faces = [(images.decode(i), images.boxes[i]) for i in range(len(images))]
        return [np.stack([_dlib.locate(dlib, predictor, *face, scale) for face in faces])]

    return locate


# ---------------------------------------------------------------------------------------
# skorch
# ---------------------------------------------------------------------------------------
def as_input(pixels):
    """Crops as network input."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 255


def fit_skorch(data, points, settings, seed, threads, device):
    """Train a network with skorch; return a function that locates landmarks."""
    skorch = import_or_say("skorch")
    callbacks = import_or_say("skorch.callbacks")
    torch.manual_seed(seed)
    network = cnn6(points.shape[1], batch_norm=True)
    frame = ChipFrame(network.input_size, 0.0)
    chips = cut_chips(data, frame)
    pixels, shapes = chips.pixels, chips.to_chip(points)
    if settings["mirror"]:
        pixels = np.concatenate([pixels, pixels[:, :, ::-1]])
        shapes = np.concatenate([shapes, mirrored(shapes, frame.size)])
    mean = shapes.mean(0)
    regressor = skorch.NeuralNetRegressor(
        network,
        criterion={"l1": nn.L1Loss, "l2": nn.MSELoss}[settings["loss"]],
        optimizer=torch.optim.Adam,
        lr=settings["lr"],
        max_epochs=settings["max_epochs"],
        batch_size=settings["batch_size"],
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[callbacks.LRScheduler("CosineAnnealingLR", T_max=settings["max_epochs"])],
        device=device,
        verbose=0,
    )
    regressor.fit(as_input(pixels), (shapes - mean).astype(np.float32))

    def locate(images):
        chips = cut_chips(images, frame)
        return [chips.to_image(regressor.predict(as_input(chips.pixels)) + mean)]

    return locate


PEERS = {
    "dlib": (fit_dlib, {**DLIB, "mirror": False}),
    "dlib-tuned": (fit_dlib, {**DLIB_TUNED, "mirror": True}),
    "skorch-l1": (fit_skorch, {**SKORCH, "loss": "l1"}),
    "skorch-l2": (fit_skorch, {**SKORCH, "loss": "l2"}),
}


def settings_of(peer, given, scale):
    """Training function of a peer, its parameters, and the version of its library."""
    fit, settings = PEERS[peer]
    settings = settings | {key: value for key, value in given.items() if key in settings}
    library = "dlib" if fit is fit_dlib else "skorch"
    if fit is fit_dlib:
        settings["scale"] = scale
    version = import_or_say(library).__version__
    return settings | {"peer": peer, "library": f"{library} {version}"}


def run(task, threads):
    """Fit on the training faces of a fold, and measure on the test faces."""
    faces = load_faces(task["_source"])
    train, test = make_folds(faces, task["_source"])[task["fold"]]
    settings = {k: v for k, v in task["parameters"].items() if k not in ("peer", "library")}
    fit = PEERS[task["parameters"]["peer"]][0]
    device = check_device(task["_device"]) if fit is fit_skorch else torch.device("cpu")
    told = environment(device)
    start = time.perf_counter()
    locate = fit(faces.data[train], faces.target[train], settings, task["seed"], threads, device)
    seconds = time.perf_counter() - start
    return {
        **told,
        "fit_seconds": round(seconds, 1),
        **error_table(faces, train, test, locate),
    }


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_face_options(parser)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    add_settings(parser, "settings of the peers")
    parser.add_argument("--scale", type=int, default=1, help="enlargement of images for dlib")
    parser.add_argument("--device", default="auto", help="device of the networks")
    add_run_options(parser)
    add_out(parser, "peers")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    known = set().union(*(PEERS[peer][1] for peer in args.peers))
    if unknown := sorted(args.set.keys() - known):
        raise SystemExit(f"--set: no setting {unknown}; there are {sorted(known)}")
    parameters = {peer: settings_of(peer, args.set, args.scale) for peer in args.peers}
    source, folds = chosen(args)
    tasks = [
        {
            "trial": f"{peer}, scale {args.scale}" if "scale" in parameters[peer] else peer,
            **source.told(),
            "fold": fold,
            "seed": seed,
            "parameters": plain(parameters[peer]),
            "_source": source,
            "_device": args.device,
        }
        for seed in args.seeds
        for fold in folds
        for peer in args.peers
    ]
    print(f"{len(tasks)} runs: {args.peers}; folds {folds}, seeds {args.seeds}", flush=True)
    rows = run_all(tasks, run, args, show_row)
    if rows:
        show_spread(rows)
        show_differences(rows)


if __name__ == "__main__":
    main()
