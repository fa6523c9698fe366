import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from small import PLAIN

from skwing import Augmentation, CascadeLandmarkRegressor, PoseBalancer, geometry
from skwing.datasets import make_faces
from skwing.display import CropDisplay

MOVES = Augmentation(
    rotation=30,
    shift=0.1,
    scale=0.2,
    deformation=1.5,
    occlusion=0,
    blur=0,
    brightness=0,
    contrast=0,
)


@pytest.fixture(scope="module")
def dots():
    """Black images with a white square at each landmark, the mean of a face and its variants."""
    faces = make_faces(8, schema="aflw19", occlusion=0, max_yaw=20, random_state=0)
    images = np.zeros((8, 128, 128), dtype=np.uint8)
    for image, points in zip(images, faces.target.round().astype(int), strict=True):
        for x, y in points:
            image[y - 1 : y + 2, x - 1 : x + 2] = 255
    boxes = geometry.boxes_of(faces.target) + [-12, -12, 24, 24]
    return type(faces.data)(images, boxes, schema=faces.schema), faces.target


@pytest.mark.slow
def test_landmarks_follow_all_changes(dots):
    reg = CascadeLandmarkRegressor(augmentation=MOVES, random_state=0)
    display = CropDisplay.from_estimator(reg, *dots, n_images=3, n_variants=6)
    assert display.crops.shape == (3, 7, 64, 64, 3)
    assert display.points.shape == (3, 7, 19, 2)
    assert display.axes_.shape == (3, 7)
    for row, column in np.ndindex(3, 7):
        shown = display.points[row, column].round().astype(int)
        inside = ((shown >= 0) & (shown < 64)).all(axis=1)
        assert inside.mean() > 0.7
        x, y = shown[inside].T
        crop = display.crops[row, column, ..., 0]
        assert crop[y, x].mean() > 3 * crop.mean()
        np.testing.assert_array_equal(
            display.axes_[row, column].lines[0].get_xydata(), display.points[row, column]
        )
    moved = np.abs(display.points[:, 1:] - display.points[:, :1]).max(axis=(2, 3))
    assert (moved > 1).all()
    assert not hasattr(reg, "mean_shape_")


def test_the_first_column_is_not_augmented(dots):
    data, y = dots
    display = CropDisplay.from_estimator(
        CascadeLandmarkRegressor(augmentation=MOVES), data, y, n_variants=0
    )
    expected = geometry.apply(geometry.from_box(data.boxes, 64), y)
    np.testing.assert_allclose(display.points[:, 0], expected[:4], atol=1e-3)
    assert display.axes_.shape == (4, 1)


def test_mirrored_crops_have_renamed_landmarks(dots):
    data, y = dots
    off = dict.fromkeys(Augmentation().get_params(), 0)
    reg = CascadeLandmarkRegressor(augmentation=Augmentation(**{**off, "mirror": 1}))
    display = CropDisplay.from_estimator(reg, data, y, n_images=1, n_variants=1)
    as_it_is, mirrored = display.points[0]
    reflected = geometry.apply(geometry.reflect(64), as_it_is)
    np.testing.assert_allclose(mirrored, reflected[list(data.schema.mirror)], atol=1e-3)


@pytest.mark.slow
def test_the_same_seed_draws_the_same_crops(dots):
    reg = CascadeLandmarkRegressor(random_state=3)
    first, again = (CropDisplay.from_estimator(reg, *dots, n_images=1) for _ in range(2))
    np.testing.assert_array_equal(first.crops, again.crops)


@pytest.mark.slow
def test_later_stages_turn_the_object_upright():
    pose = [[0, 0, roll] for roll in (-30, -20, -10, 0, 10, 20, 30, 5)]
    faces = make_faces(8, pose=pose, schema="aflw19", occlusion=0, box_error=0, random_state=0)
    reg = CascadeLandmarkRegressor(
        networks=(PLAIN, PLAIN), refine_on="truth", max_epochs=1, random_state=0
    )
    pipe = make_pipeline(PoseBalancer(n_bins=2), reg)
    with pytest.raises(NotFittedError, match="crops of stage 2"):
        CropDisplay.from_estimator(pipe, faces.data, faces.target, stage=2)
    pipe.fit(faces.data, faces.target)

    def slopes(stage):
        """Angle of the line through the eyes in the crops without augmentation."""
        display = CropDisplay.from_estimator(
            pipe, faces.data, faces.target, stage=stage, n_images=8, n_variants=0
        )
        names = list(faces.schema.landmark_names)
        left, right = (names.index(f"{side}_eye_center") for side in ("left", "right"))
        x, y = (display.points[:, 0, right] - display.points[:, 0, left]).T
        return np.degrees(np.arctan2(y, x))

    assert np.ptp(slopes(1)) > 45
    assert np.ptp(slopes(2)) < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": 3}, "stage is 3, but there are 2 stages"),
        ({"stage": 0}, "stage"),
        ({"n_images": 0}, "n_images"),
        ({"n_variants": -1}, "n_variants"),
    ],
)
def test_crops_refuse(dots, change, message):
    with pytest.raises(ValueError, match=message):
        CropDisplay.from_estimator(CascadeLandmarkRegressor(), *dots, **change)
