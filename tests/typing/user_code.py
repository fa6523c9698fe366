"""What a type checker sees in a user's code: run by mypy, not by pytest.

Each `assert_type` fails where a result is Any, or is of another type than the documentation says.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import assert_type

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

import skwing
from skwing import (
    Augmentation,
    BoxedImages,
    CascadeLandmarkRegressor,
    LandmarkSchema,
    PoseBalancer,
    PoseResampler,
    geometry,
    load_model,
    recipes,
    save_model,
)
from skwing.boxes import BoxRelation, adapt_boxes, box_relation, landmark_boxes, match_boxes
from skwing.datasets import (
    Dataset,
    from_dataframe,
    load_300w,
    load_aflw,
    load_cofw,
    load_wflw,
    make_faces,
    read_coco,
    read_csv,
    read_deeplabcut,
    read_dlib_xml,
    read_pts,
    read_tps,
    write_csv,
    write_dlib_xml,
)
from skwing.detection import SkimageCascade, detect_all, detect_boxes
from skwing.display import CumulativeErrorDisplay, LandmarkDisplay
from skwing.export import to_onnx
from skwing.images import as_boxed_images, concatenate
from skwing.losses import bind_loss, wing
from skwing.metrics import ced_auc, ced_curve, make_nme_scorer, nme
from skwing.networks import LandmarkNetwork, PlainCNN, check_networks, cnn6
from skwing.schema import IBUG68, check_schema
from skwing.shapes import mean_shape, shape_pca
from skwing.tracking import TrackedFrame, read_video, track

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def data() -> None:
    faces = make_faces(20, random_state=0)
    assert_type(faces.data, BoxedImages)
    assert_type(faces.target, Floats)
    assert_type(faces.schema, LandmarkSchema)
    assert_type(faces.visible, Flags)
    assert_type(make_faces(20, return_X_y=True), tuple[BoxedImages, Floats])
    assert_type(load_300w("300w", protocol="train").data, BoxedImages)
    assert_type(load_300w("300w", return_X_y=True), tuple[BoxedImages, Floats])
    assert_type(load_aflw("aflw").face_size, Floats)
    assert_type(load_cofw("cofw").visible, Flags)
    assert_type(load_wflw("wflw").attributes, Flags)
    images = BoxedImages(["a.jpg", "b.jpg"], [[0, 0, 10, 10], [5, 5, 20, 20]], schema="ibug68")
    assert_type(images[:1], BoxedImages)
    assert_type(images.boxes, Floats)
    assert_type(images.schema, LandmarkSchema | None)
    assert_type(images.decode(0), NDArray[np.uint8])
    assert_type(concatenate([images, images]), BoxedImages)
    assert_type(as_boxed_images(np.zeros((2, 8, 8), dtype=np.uint8)), BoxedImages)


def models(X: BoxedImages, y: Floats) -> None:
    regressor = CascadeLandmarkRegressor(networks=("cnn6", "cnn7"), w=(10.0, 15.0), max_epochs=5)
    assert_type(regressor.fit(X, y), CascadeLandmarkRegressor)
    assert_type(regressor.set_params(w=5), CascadeLandmarkRegressor)
    assert_type(regressor.predict(X), Floats)
    assert_type(regressor.predict(X, return_std=True), tuple[Floats, Floats])
    assert_type(regressor.staged_predict(X), Iterator[Floats])
    assert_type(regressor.calibrate(X, y), CascadeLandmarkRegressor)
    assert_type(regressor.score(X, y), float)
    assert_type(regressor.networks_, list[nn.Module])
    assert_type(regressor.mean_shape_, Floats)
    assert_type(regressor.n_landmarks_, int)
    assert_type(regressor.schema_, LandmarkSchema | None)
    assert_type(regressor.history_[0]["loss"], float)
    CascadeLandmarkRegressor(**recipes.paper(n_samples=3148, n_landmarks=68)).fit(X, y)
    assert_type(Augmentation(rotation=(30, 10)).set_params(blur=0.1), Augmentation)
    CascadeLandmarkRegressor(augmentation=Augmentation(occlusion=0)).fit(X, y)
    CascadeLandmarkRegressor(augmentation=None, loss="l1", random_state=0)
    CascadeLandmarkRegressor(start="first.safetensors", learning_rate=("auto", 1e-3))
    CascadeLandmarkRegressor(start=CascadeLandmarkRegressor().fit(X, y), learning_rate="auto")
    CascadeLandmarkRegressor(start=5)  # type: ignore[arg-type]
    CascadeLandmarkRegressor(optimiser="sgd")  # type: ignore[call-arg]
    CascadeLandmarkRegressor(optimizer="lion")  # type: ignore[arg-type]
    balancer = PoseBalancer(n_bins=9, max_repeats=None)
    assert_type(balancer.fit(X, y), PoseBalancer)
    assert_type(balancer.fit_transform(X, y), BoxedImages)
    assert_type(balancer.transform(X), BoxedImages)
    assert_type(balancer.repeats_, Ints)
    assert_type(balancer.pose_coefficients(y), Floats)
    assert_type(PoseResampler().fit_resample(X, y), tuple[BoxedImages, Floats])
    save_model(regressor, "model.safetensors")
    to_onnx(regressor, "model.onnx")
    load_model("model.safetensors").predict(X)
    assert_type(skwing.__version__, str)


def files(X: BoxedImages, y: Floats) -> None:
    assert_type(read_csv("labels.csv", boxes=("x", "y", "w", "h")), Dataset)
    assert_type(read_csv("labels.csv", return_X_y=True), tuple[BoxedImages, Floats])
    from_dataframe({"path": ["a.jpg"]})  # type: ignore[call-overload]
    assert_type(read_coco("labels.json", category="person").left_out, dict[str, int])
    assert_type(read_deeplabcut("labels.h5").likelihood, Floats)
    assert_type(read_dlib_xml("faces.xml").part_names, tuple[str, ...])
    assert_type(read_pts("face.pts"), Floats)
    assert_type(read_tps("specimens.tps").scale, Floats)
    assert_type(read_tps("specimens.tps", return_X_y=True), tuple[BoxedImages, Floats])
    write_csv("predicted.csv", X, y, layout="long")
    write_dlib_xml("predicted.xml", ["a.jpg"], y.reshape(1, -1))


class Tiny(nn.Module):
    input_size = 8

    def __init__(self, n_landmarks: int) -> None:
        super().__init__()
        self.output = nn.Linear(3 * 8 * 8, 2 * n_landmarks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        points: torch.Tensor = self.output(images.flatten(1))
        return points


class NoNetwork(nn.Module):
    pass


def networks() -> None:
    network: LandmarkNetwork = Tiny(5)
    assert_type(network.input_size, int)
    network = cnn6(5)
    CascadeLandmarkRegressor(networks=(Tiny,))
    CascadeLandmarkRegressor(networks=(cnn6, "cnn7", lambda n_landmarks: Tiny(n_landmarks)))
    wide = partial(PlainCNN, widths=(64, 128), input_size=64)
    CascadeLandmarkRegressor(networks=(wide, wide))
    check_networks([lambda n_landmarks: NoNetwork()])  # type: ignore[list-item, return-value]
    loss = bind_loss("wing")
    assert_type(loss, Callable[[torch.Tensor], torch.Tensor])
    assert_type(wing(torch.zeros(3), w=5), torch.Tensor)
    CascadeLandmarkRegressor(loss=wing)


def measures(y: Floats, points: Floats) -> None:
    assert_type(nme(y, points, schema="ibug68"), float)
    errors = nme(y, points, normalizer=1.0, per_sample=True)
    assert_type(errors, Floats)
    assert_type(skwing.metrics.failure_rate(errors, 0.1), float)
    assert_type(ced_auc(errors, 0.1), float)
    assert_type(ced_curve(errors), tuple[Floats, Floats])
    assert_type(make_nme_scorer("inter_pupil"), Callable[[object, object, ArrayLike], float])
    assert_type(mean_shape(y), Floats)
    assert_type(shape_pca(y).components, Floats)
    assert_type(check_schema("ibug68"), LandmarkSchema | None)
    assert_type(IBUG68.mirror_points(y), Floats)
    assert_type(IBUG68.to_json(), str)
    LandmarkSchema("mine", ["left", "right"], [1, 0], normalizers={"width": ([0], [1])})
    assert_type(LandmarkSchema.from_names("mine", ["left", "right"]), LandmarkSchema)
    assert_type(IBUG68.select([0, 16]), LandmarkSchema)


def upper_half(image: NDArray[np.uint8]) -> list[list[int]]:
    height, width = image.shape[:2]
    return [[0, 0, width, height // 2]]


def boxes(X: BoxedImages, y: Floats, regressor: CascadeLandmarkRegressor) -> None:
    found = detect_boxes(X, upper_half, target=y)
    assert_type(found.data, BoxedImages)
    assert_type(found.boxes, Floats)
    assert_type(found.hits, Flags)
    assert_type(found.box_relation, BoxRelation | None)
    assert_type(detect_all(["a.jpg"], SkimageCascade()).source, Ints)
    assert_type(landmark_boxes(y, margin=0.1, jitter=(0.1, 0.1)), Floats)
    assert_type(box_relation(found.boxes, [[0, 0, 1, 1]]), BoxRelation | None)
    assert_type(match_boxes([[0, 0, 1, 1]], found.boxes), tuple[Ints, Floats])
    assert_type(adapt_boxes(X, regressor), BoxedImages)
    frames = track(regressor, read_video("video.mp4"), detect=upper_half)
    assert_type(frames, Iterator[TrackedFrame])
    assert_type(next(frames).landmarks, Floats)


def matrices(points: Floats, tensor: torch.Tensor) -> None:
    matrix = geometry.similarity(points, points)
    assert_type(matrix, Floats)
    assert_type(geometry.apply(matrix, points), Floats)
    assert_type(geometry.invert(tensor), torch.Tensor)
    assert_type(geometry.from_box(geometry.boxes_of(points), size=64, margin=0.1), Floats)
    geometry.apply(matrix, tensor)  # type: ignore[type-var]


def pictures(X: BoxedImages, y: Floats, regressor: CascadeLandmarkRegressor) -> None:
    display = LandmarkDisplay.from_estimator(regressor, X, y, order="worst")
    assert_type(display, LandmarkDisplay)
    display.figure_.savefig("landmarks.png")
    assert_type(CumulativeErrorDisplay.from_estimator(regressor, X, y).auc, float)
