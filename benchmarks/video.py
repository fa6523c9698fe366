"""Measure the time of `track` for a frame with two faces, and of its parts.

    python benchmarks/video.py --model models/drawn.safetensors [--file models/drawn.onnx]

A generated clip of 960 x 540 pixels, with two faces that move slowly, is written, read and tracked
on one thread; the detector of scikit-image is called every 30 frames, as by `skwing track`. The
times are those of the processor, so that other programs matter little.
"""

import argparse
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from _report import environment, show_environment

from skwing import load_model
from skwing.datasets import make_faces
from skwing.detection import SkimageCascade
from skwing.exceptions import NoticeWarning
from skwing.runtime import OnnxLocalizer
from skwing.tracking import read_video, track

WIDTH, HEIGHT, SIDE = 960, 540, 300  # of the clip, and of the image of a face
N_FRAMES, N_ROUNDS = 60, 3


def write_clip(path):
    """Write a clip of two faces, each of which moves on a circle."""
    faces = make_faces(2, image_size=SIDE, max_yaw=15, occlusion=0, random_state=0)
    images = [faces.data.decode(i) for i in range(2)]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for angle in 2 * np.pi * np.arange(N_FRAMES) / N_FRAMES:
        frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        for i, image in enumerate(images):
            x = round(90 + 480 * i + 40 * np.cos(angle))
            y = round(120 + 40 * np.sin(angle))
            frame[y : y + SIDE, x : x + SIDE] = image
        video.write(frame[..., ::-1])
    video.release()


def milliseconds(function):
    """Processor time of a call for each frame of the clip, and its result."""
    start = time.process_time()
    result = function()
    return 1000 * (time.process_time() - start) / N_FRAMES, result


def followed(model, clip, **settings):
    """Track the faces of the clip; return their mean number."""
    frames = track(model, read_video(clip), detect=SkimageCascade(), **settings)
    return np.mean([len(frame.ids) for frame in frames])


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="model file")
    parser.add_argument("--file", help="exported file, to be compared")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with warnings.catch_warnings(action="ignore", category=NoticeWarning):
        model = load_model(args.model).set_params(device="cpu")
    show_environment(environment(torch.device("cpu")))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.avi")
        write_clip(clip)
        first, detect = next(read_video(clip)), SkimageCascade()
        works = {
            "read": lambda: len(list(map(len, read_video(clip)))),
            "detect": lambda: np.mean([len(detect(first)) for _ in range(-(-N_FRAMES // 30))]),
            "track": partial(followed, model, clip),
            "track, threshold=None": partial(followed, model, clip, threshold=None),
        }
        if args.file:
            works["track, exported file"] = partial(followed, OnnxLocalizer(args.file), clip)
        rounds = [[milliseconds(work) for work in works.values()] for _ in range(N_ROUNDS)]
    for name, spent, n in zip(works, *np.median(rounds, axis=0).T, strict=True):
        told = f", {n:.2f} faces" if name != "read" else ""
        print(f"{name}: {spent:.1f} ms a frame, {1000 / spent:.0f} frames a second{told}")


if __name__ == "__main__":
    main()
