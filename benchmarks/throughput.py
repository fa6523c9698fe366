"""Measure how many faces per second `predict` of a trained model locates.

    python benchmarks/throughput.py --model models/faces.safetensors
    python benchmarks/throughput.py --model fold1.safetensors --data 300w --fold 1

With all that a model does by default; with a single attempt for each face (``retry=False``); and
with a single look at each crop in addition (``average_mirrored=False``). The share of faces whose
prediction is repeated depends on the model and the faces. These are generated and in memory, or
with ``--data`` the photographs of a fold of 300-W, read from their files. The settings alternate,
and results are medians over the rounds. Faces per second are by wall-clock time, and only valid
without other load; faces per second of processor time, of one core, are nearly so with it.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _folds import Source, load_faces, make_folds
from _report import add_out, append, environment, show_environment

from skwing import load_model
from skwing.datasets import make_faces
from skwing.exceptions import NoticeWarning

SETTINGS = {
    "default": {"retry": True, "average_mirrored": True},
    "retry=False": {"retry": False, "average_mirrored": True},
    "retry=False, average_mirrored=False": {"retry": False, "average_mirrored": False},
}


def chosen_faces(args):
    """Images with boxes, and what they are."""
    if args.data is None:
        return make_faces(args.n_samples, random_state=0).data, "generated, in memory"
    source = Source(args.data, boxes=args.boxes)
    faces = load_faces(source)
    _, test = make_folds(faces, source)[args.fold]
    return faces.data[test[: args.n_samples]], f"300-W, fold {args.fold}, files"


def clock():
    """Wall-clock time and processor time of all threads."""
    return np.array([time.perf_counter(), time.process_time()])


def measure(model, images, n_rounds):
    """Median faces per second, and per second of processor time, of each setting."""
    seconds = {name: [] for name in SETTINGS}
    model.predict(images[:32])
    for _ in range(n_rounds):
        for name, own in SETTINGS.items():
            model.set_params(**own)
            start = clock()
            model.predict(images)
            seconds[name].append(clock() - start)
    return {
        name: (len(images) / np.median(own, axis=0)).round(1).tolist()
        for name, own in seconds.items()
    }


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="model file that has not seen the faces")
    parser.add_argument("--data", help="folder of 300-W; by default, faces are generated")
    parser.add_argument("--fold", type=int, default=0, help="fold of 300-W")
    parser.add_argument("--boxes", default="detector", choices=["detector", "landmarks"])
    parser.add_argument("--n-samples", type=int, default=256, help="number of faces")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of torch; by default, all cores")
    add_out(parser, "throughput")
    args = parser.parse_args(argv)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    with warnings.catch_warnings(action="ignore", category=NoticeWarning):
        model = load_model(args.model).set_params(device="cpu")
    told = environment()
    show_environment(told)
    images, told["faces"] = chosen_faces(args)
    told |= {"n_faces": len(images), "faces_per_second": measure(model, images, args.rounds)}
    print(f"{told['faces']}: {len(images)} faces, batches")
    for name, (whole, core) in told["faces_per_second"].items():
        print(f"  {name}: {whole:.0f} faces/s; {core:.0f} per second of processor time")
    append(told, args.out)


if __name__ == "__main__":
    main()
