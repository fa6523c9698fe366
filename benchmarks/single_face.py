"""Measure the time of `predict` for one face, relative to its networks alone.

    python benchmarks/single_face.py --model models/faces.safetensors

One face from memory, on one thread, `retry=False`. The networks alone are forward passes on random
crops, with folded batch normalisation. Both alternate, so that ratios are valid on a busy machine;
the times are those of the processor.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _report import environment, show_environment

from skwing import load_model
from skwing.datasets import make_faces
from skwing.exceptions import NoticeWarning

N_ROUNDS, N_CALLS = 9, 10


def milliseconds(function):
    """Processor time of a call."""
    start = time.process_time()
    for _ in range(N_CALLS):
        function()
    return 1000 * (time.process_time() - start) / N_CALLS


def bare_networks(stages):
    """Function that runs the networks of all stages, without crops."""
    crops = [torch.rand(1, 3, stage.crop.size, stage.crop.size) for stage in stages]
    crops = [crop.contiguous(memory_format=torch.channels_last) for crop in crops]

    @torch.no_grad()
    def run():
        for stage, crop in zip(stages, crops, strict=True):
            for _ in range(1 if stage.permutation is None else 2):
                stage.network(crop)

    return run


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="model file")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with warnings.catch_warnings(action="ignore", category=NoticeWarning):
        model = load_model(args.model).set_params(device="cpu", retry=False)
    face = make_faces(1, image_size=192, random_state=0).data
    show_environment(environment(torch.device("cpu")))
    for looks in (2, 1):
        model.set_params(average_mirrored=looks == 2)
        bare = bare_networks(model._reading_stages(torch.device("cpu")))
        bare(), model.predict(face)
        times = [
            (milliseconds(bare), milliseconds(lambda: model.predict(face))) for _ in range(N_ROUNDS)
        ]
        networks, predict = np.median(times, axis=0)
        ratio = np.median([whole / part for part, whole in times])
        print(f"looks: {looks}, networks: {networks:.1f} ms, predict: {predict:.1f} ms", end="")
        print(f", ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
