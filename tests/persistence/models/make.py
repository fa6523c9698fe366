"""Write the models that later versions must load, with images and what is predicted there.

    python tests/persistence/models/make.py NAME

writes NAME.npz and NAME.pickle beside this script and, where skwing has `save_model`,
NAME.safetensors. ``format-0`` was made by skwing 0.6.0, ``format-1`` by the first version
that saved models in files of its own, ``version-0.8`` by the first with an `Augmentation`, and
``format-2``, with halved weights, by the first that writes format 2, ``format-3``, with a
confidence, by the first that writes format 3, and ``format-4``, with marks of the training
samples, by the first that writes format 4. Each is made once, by the version that it stands for.
"""

import pickle
import sys
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

import skwing
from skwing.networks import PlainCNN, ShapeIndexedCNN

HERE = Path(__file__).parent
FACE = np.array([[-0.4, -0.3], [0.4, -0.3], [0.0, 0.1], [-0.3, 0.5], [0.3, 0.5]])
NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
SIZE = 40


def draw(n_samples, seed):
    """Grey ovals with five dark dots, and where those are."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1)
    images, landmarks = [], []
    for _ in range(n_samples):
        middle, radius = rng.uniform(17, 22, 2), rng.uniform(11, 14)
        yaw = rng.uniform(-0.25, 0.25)
        points = middle + radius * (FACE + [[0, 0], [0, 0], [yaw, 0], [0, 0], [0, 0]])
        far = np.linalg.norm((grid - middle) / radius / [0.9, 1.1], axis=-1)
        image = np.where(far < 1, 200 - 40 * far, rng.integers(20, 80))
        for point in points:
            image = np.where(np.linalg.norm(grid - point, axis=-1) < 2.2, 60, image)
        images.append(image.astype(np.uint8))
        landmarks.append(points)
    return np.array(images), np.array(landmarks)


def train():
    """A pipeline of all that is saved: balancer, two stages, a schema, a calibration."""
    X, y = draw(48, seed=0)
    schema = skwing.LandmarkSchema(
        "dots", NAMES, (1, 0, 2, 4, 3), (("mouth", (3, 4), False),), {"inter_ocular": ((0,), (1,))}
    )
    networks = (
        partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=16, batch_norm=True),
        partial(
            ShapeIndexedCNN,
            input_size=32,
            width=8,
            n_blocks=1,
            n_features=4,
            n_condensed=4,
            n_hidden=16,
            n_steps=1,
            n_overview=16,
        ),
    )
    regressor = skwing.CascadeLandmarkRegressor(
        networks=networks,
        schema=schema,
        w=(5.0, 10.0),
        max_epochs=40,
        batch_size=16,
        margin=(0.0, 0.2),
        device="cpu",
        precision="float32",
        random_state=0,
    )
    model = Pipeline(
        [("balance", skwing.PoseBalancer(n_bins=3, schema=schema)), ("reg", regressor)]
    )
    model.fit(X, y)
    model.named_steps["reg"].calibrate(*draw(16, seed=1))
    return model


def main(name):
    """Write the files of a model."""
    model = train()
    images, truth = draw(4, seed=2)
    regressor = model.named_steps["reg"]
    first, _ = regressor.staged_predict(images)
    points, std = regressor.predict(images, return_std=True)
    further = {}
    if getattr(regressor, "_certainty", None) is not None:
        further["confidence"] = regressor.predict(images, return_confidence=True)[1]
    print("mean error in pixels:", np.linalg.norm(points - truth, axis=-1).mean())
    repeats = model.named_steps["balance"].repeats_
    np.savez_compressed(
        HERE / f"{name}.npz",
        images=images,
        first=first,
        points=points,
        std=std,
        repeats=repeats,
        **further,
    )
    (HERE / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
    if hasattr(skwing, "save_model"):
        half = {"dtype": "float16"} if name == "format-2" else {}
        skwing.save_model(model, HERE / f"{name}.safetensors", **half)


if __name__ == "__main__":
    main(sys.argv[1])
