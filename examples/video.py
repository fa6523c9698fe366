"""Track faces in a video and draw their landmarks.

    python examples/video.py
    python examples/video.py --video clip.mp4 --model landmarks.safetensors

Without arguments, a model is trained on generated faces, which takes two to three minutes on two
cores, and tracks two faces in a generated clip. One face swings from side to side; the other
one passes it, leaves the image and is dropped. For your own video and model, faces are
detected every 30 frames with scikit-image; alternatively, use --box for the boxes of the faces
in the first frame. The command ``skwing track`` does the same, and writes a table.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from skwing import Augmentation, CascadeLandmarkRegressor, geometry, load_model
from skwing.datasets import make_faces
from skwing.detection import SkimageCascade
from skwing.metrics import nme
from skwing.schema import IBUG68
from skwing.tracking import read_video, track

HEIGHT, WIDTH = 280, 360
FPS = 25


def train(n_samples, epochs, seed):
    """Fit a model on generated faces."""
    print(f"Training on {n_samples} generated faces ...", flush=True)
    faces = make_faces(n_samples, max_yaw=45, random_state=seed)
    reg = CascadeLandmarkRegressor(
        networks=("cnn6",),
        max_epochs=epochs,
        # Larger than the default, because boxes are those of the previous frame.
        augmentation=Augmentation(shift=0.1),
        random_state=seed,
        verbose=1,
    )
    return reg.fit(faces.data, faces.target)


def plan_moves(n_frames):
    """Matrices from pixels of the two images to pixels of the clip, shape (n, 2, 2, 3)."""
    time = np.linspace(0, 1, n_frames)
    swing = np.sin(2 * np.pi * time)
    angle = np.stack([0.2 * swing, np.zeros(n_frames)], 1)
    scale = np.stack([1.0 + 0.15 * swing, np.full(n_frames, 0.8)], 1)
    x = np.stack([150 + 50 * swing, 60 + 420 * time], 1)
    y = np.stack([195 + 10 * np.cos(6 * time), np.full(n_frames, 65.0)], 1)
    middle = np.full(2, 79.5)  # of the images
    return geometry.from_parts(angle, scale, np.stack([x, y], -1) - middle, middle)


def cut_out(image, box):
    """Image of a head without background, with an alpha channel from 0 to 1."""
    x, y, width, height = box
    middle = (round(x + width / 2), round(y + 0.42 * height))
    axes = (round(0.62 * width), round(0.85 * height))
    mask = np.zeros(image.shape[:2], np.float32)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, None, 3)[..., None]
    return np.concatenate([mask * image, mask], axis=2)


def make_clip(n_frames, seed):
    """Clip of two faces: frames, true landmarks (n, 2, 68, 2), boxes in the first frame."""
    faces = make_faces(
        2, pose=[[8, 0, 0], [-15, 5, 0]], faces_per_identity=1, image_size=160, occlusion=0,
        box_error=0, random_state=seed,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    wall = cv2.resize(
        rng.uniform(90, 170, (6, 9, 1)) + rng.uniform(-15, 15, 3),
        (WIDTH, HEIGHT),
        interpolation=cv2.INTER_CUBIC,
    )
    cuts = [cut_out(faces.data.decode(i), box) for i, box in enumerate(faces.data.boxes)]
    matrices = plan_moves(n_frames)
    frames = []
    for moves in matrices:
        frame = wall
        for cut, matrix in zip(cuts, moves, strict=True):
            moved = cv2.warpAffine(cut, matrix, (WIDTH, HEIGHT))
            frame = frame * (1 - moved[..., 3:]) + moved[..., :3]
        frames.append(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8))
    truth = geometry.apply(matrices, faces.target)
    x, y, width, height = faces.data.boxes.T
    corners = np.stack([np.stack([x, y], 1), np.stack([x + width - 1, y + height - 1], 1)], 1)
    low, high = geometry.apply(matrices[0], corners).swapaxes(0, 1)
    return frames, truth, np.concatenate([low, high - low + 1], axis=1)


class Writer:
    """Writer of a video file, or of numbered PNG files if OpenCV cannot write the video."""

    def __init__(self, path, fps):
        self.path, self.fps, self.video, self.n_frames = Path(path), fps, None, 0

    def write(self, image):
        """Write a frame, RGB."""
        if self.n_frames == 0:
            self._open(image.shape)
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if self.video is not None:
            self.video.write(image)
        else:
            cv2.imwrite(str(self.path / f"{self.n_frames:05d}.png"), image)
        self.n_frames += 1

    def _open(self, shape):
        code = "MJPG" if self.path.suffix == ".avi" else "mp4v"
        size = (shape[1], shape[0])
        self.video = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*code), self.fps, size)
        if not self.video.isOpened():
            self.video, self.path = None, self.path.with_suffix("")
            self.path.mkdir(parents=True, exist_ok=True)

    def close(self):
        """Close the file."""
        if self.video is not None:
            self.video.release()


def follow(regressor, frames, boxes, detect, path, fps=FPS):
    """Track faces and write the video; return the tracked frames without images."""
    writer, found, start = Writer(path, fps), [], time.perf_counter()
    for frame in track(regressor, frames, boxes, detect=detect):
        writer.write(frame.draw())
        found.append((frame.index, frame.ids, frame.landmarks))
        for number in frame.lost:
            print(f"frame {frame.index}: face {number} is lost")
    writer.close()
    rate = len(found) / (time.perf_counter() - start)
    print(f"{len(found)} frames at {rate:.0f} per second, including drawing: {writer.path}")
    return found


def measure(found, truth):
    """Errors of the two faces in percent of the inter-ocular distance; NaN if not tracked."""
    errors = np.full(truth.shape[:2], np.nan)
    for index, ids, landmarks in found:
        for number, points in zip(ids, landmarks, strict=True):
            if number < 2 and np.isfinite(points).all():
                errors[index, number] = 100 * nme(
                    truth[index, [number]], points[None], schema=IBUG68
                )
    for number, column in enumerate(errors.T):
        seen = np.isfinite(column)
        mean = f", NME {column[seen].mean():.1f} %" if seen.any() else ""
        print(f"face {number}: seen in {seen.sum()} of {len(seen)} frames{mean}")
    return errors


def main(argv=None):
    """Run the example; return the errors of the generated faces, or the tracked frames."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", help="video file; default: a generated clip")
    parser.add_argument("--model", help="model file written by skwing.save_model")
    parser.add_argument("--box", type=float, nargs=4, action="append", metavar=("X", "Y", "W", "H"))
    parser.add_argument("--out", default="tracked.mp4", help="output file, .mp4 or .avi")
    parser.add_argument(
        "--frames", type=int, default=150, help="number of frames of the generated clip"
    )
    parser.add_argument("--n-samples", type=int, default=400, help="number of training faces")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.model:
        regressor = load_model(args.model)
    else:
        regressor = train(args.n_samples, args.epochs, args.seed)
    if args.video:
        detect = None if args.box else SkimageCascade()
        return follow(regressor, read_video(args.video), args.box, detect, args.out)
    frames, truth, boxes = make_clip(args.frames, args.seed + 1)
    return measure(follow(regressor, frames, boxes, None, args.out), truth)


if __name__ == "__main__":
    main()
