"""Fits of a search: one after the other, and in several processes on one device.

    nvidia-cuda-mps-control -d        # if there is a GPU: several processes then share it well
    python benchmarks/many_fits.py --data DIR --jobs 12

`GridSearchCV` over w and epsilon with three folds and CNN-6: 24 candidates (72 fits) with
``n_jobs=--jobs``, and one candidate (3 fits) with ``n_jobs=1``, whose time is multiplied by 24. The
times include the start of the processes and the refit of the best candidate. A second measurement
trains K networks at once, by one batched pass (`torch.func.vmap` over stacked weights), and states
the time of its step, in tf32 and without dropout, which vmap does not allow in this form. Steps are
replayed as CUDA graphs on a GPU.
"""

import argparse
import time
from functools import partial

import torch
from _gpu_data import load_split
from _report import add_out, append, environment, show_environment
from sklearn.model_selection import GridSearchCV
from sklearn.utils import Bunch
from speed import clock
from torch.func import functional_call, grad, stack_module_state, vmap

from skwing import CascadeLandmarkRegressor
from skwing._training.loop import batch_loss
from skwing._utils.device import check_device
from skwing._utils.graphs import Replayed
from skwing._utils.random import generator_on
from skwing.losses import wing
from skwing.networks import NETWORKS, shape_indexed_64

GRID = {"w": [5.0, 8.0, 10.0, 12.0, 15.0, 20.0], "epsilon": [0.5, 1.0, 2.0, 3.0]}
STAGE = partial(shape_indexed_64, dropout=0.0, landmark_dropout=0.0)
PARTS = ("search", "batched")
ALONE = {"w": [10.0], "epsilon": [2.0]}


def seconds_of_search(args, faces, grid, n_jobs, epochs):
    """Seconds of a search."""
    regressor = CascadeLandmarkRegressor(
        networks=("cnn6",), max_epochs=epochs, random_state=0, device=args.device
    )
    start = time.perf_counter()
    GridSearchCV(regressor, grid, cv=3, n_jobs=n_jobs).fit(faces.data, faces.target)
    return time.perf_counter() - start


def measure_search(args):
    """Seconds of 72 fits in processes, and of 3 fits one after the other."""
    split = load_split(args.data, args.data is None)
    rows = split.rows["few"][: args.n_samples]
    faces = Bunch(data=split.faces.data[rows], target=split.faces.target[rows])
    seconds_of_search(args, faces, ALONE, 1, epochs=1)  # warm-up
    alone = seconds_of_search(args, faces, ALONE, 1, args.epochs)
    n_fits = 4 / 73  # three fits on two thirds of the samples and one on all, of 72 and one
    together = seconds_of_search(args, faces, GRID, args.jobs, args.epochs)
    return {
        "what": "search",
        "n_jobs": args.jobs,
        "n_samples": len(rows),
        "epochs": args.epochs,
        "seconds_alone": round(alone, 2),
        "seconds_of_72_fits": round(together, 2),
        "times_faster": round(alone / n_fits / together, 2),
    }


def step_seconds(build, n_networks, batch_size, device, n_steps):
    """Seconds of the gradients of some networks of the same architecture on one batch each."""
    networks = [without_statistics(build(68)).to(device).train() for _ in range(n_networks)]
    size = networks[0].input_size
    images = torch.rand(n_networks, batch_size, 3, size, size, device=device)
    targets = torch.rand(n_networks, batch_size, 68, 2, device=device) * size
    state, buffers = stack_module_state(networks)

    def loss_of(state, buffers, images, targets):
        points = functional_call(networks[0], (state, buffers), (images,))
        return batch_loss(points, targets, None, wing)

    gradients = vmap(grad(loss_of), in_dims=(0, 0, 0, 0), randomness="different")

    def step(images, targets):
        return tuple(gradients(state, buffers, images, targets).values())

    if device.type == "cuda":
        step = Replayed(step, generator_on(device))
    for _ in range(5):
        step(images, targets)
    start = clock(device)
    for _ in range(n_steps):
        step(images, targets)
    return float((clock(device) - start)[0]) / n_steps


def without_statistics(network):
    """Batch normalisation without running statistics, which vmap does not update."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return network


def measure_batched(args, device):
    """Milliseconds of a step of K networks at once, by K."""
    builds = {"cnn6": NETWORKS["cnn6"], "shape_indexed_64": STAGE}
    rows = []
    for name, build in builds.items():
        for n in args.batched:
            told = {"what": "batched", "network": name, "n_networks": n, "batch_size": 32}
            try:
                seconds = step_seconds(build, n, 32, device, args.steps)
                rows.append({**told, "ms": round(1000 * seconds, 3)})
            except Exception as error:
                rows.append({**told, "error": f"{type(error).__name__}: {error}"[:300]})
            print(rows[-1], flush=True)
    return rows


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder that contains 300w; without it, 40 generated faces")
    parser.add_argument("--jobs", type=int, default=8, help="processes of the search")
    parser.add_argument("--n-samples", type=int, default=900)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batched", nargs="+", type=int, default=[1, 8, 24], help="values of K")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--device", default="auto")
    add_out(parser, "many_fits")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    device = check_device(args.device)
    told = environment(device)
    show_environment(told)
    rows = measure_batched(args, device) if "batched" in args.parts else []
    if "search" in args.parts:
        rows.append(measure_search(args))
        print(rows[-1], flush=True)
    for row in rows:
        append({**told, **row}, args.out)


if __name__ == "__main__":
    main()
