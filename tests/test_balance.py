import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skwing.balance import PoseBalancer, PoseResampler
from skwing.geometry import apply, from_parts
from skwing.images import BoxedImages
from skwing.schema import AFLW19, IBUG68, LandmarkSchema, mirror_from_names
from skwing.shapes._poses import bin_poses, count_repeats, mirror_parity, pose_modes

# A head in space: x to the right of the image, y down, z towards the camera.
SIDE = {
    "ear": (1.0, 0.0, -0.8),
    "jaw": (0.7, 0.8, -0.3),
    "eye_outer": (0.6, -0.3, 0.25),
    "eye_inner": (0.25, -0.3, 0.35),
    "brow": (0.5, -0.5, 0.3),
    "nostril": (0.15, 0.2, 0.55),
    "mouth_corner": (0.35, 0.55, 0.3),
}
MIDDLE = {
    "nose_bridge": (0.0, -0.2, 0.5),
    "nose_tip": (0.0, 0.1, 0.8),
    "upper_lip": (0.0, 0.45, 0.5),
    "chin": (0.0, 1.0, 0.25),
}
NAMES = (*(f"left_{n}" for n in SIDE), *(f"right_{n}" for n in SIDE), *MIDDLE)
HEAD = np.array([*((-x, y, z) for x, y, z in SIDE.values()), *SIDE.values(), *MIDDLE.values()])
HEAD_SCHEMA = LandmarkSchema("head", NAMES, mirror_from_names(NAMES))


def draw_heads(yaw, pitch, rng, noise=0.01):
    """Heads turned by these angles, each rolled, scaled and shifted in its image a little."""
    n = len(yaw)
    x = HEAD[:, 0] * np.cos(yaw)[:, None] + HEAD[:, 2] * np.sin(yaw)[:, None]
    z = HEAD[:, 2] * np.cos(yaw)[:, None] - HEAD[:, 0] * np.sin(yaw)[:, None]
    y = HEAD[:, 1] * np.cos(pitch)[:, None] + z * np.sin(pitch)[:, None]
    points = (x + 1j * y) * np.exp(rng.normal(0, 0.1, (n, 1)) * 1j) * rng.uniform(30, 90, (n, 1))
    points = points + rng.uniform(50, 200, (n, 1)) * (1 + 1j)
    shapes = np.stack([points.real, points.imag], -1)
    size = np.ptp(shapes, axis=1).max(1)[:, None, None]
    return shapes + noise * size * rng.normal(size=shapes.shape)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def angles(rng):
    """Yaw and pitch of 600 heads, most of them near frontal, in radians."""
    spread = np.where(rng.random(600) < 0.7, 10, 40)
    yaw = np.radians(np.clip(rng.normal(0, spread), -75, 75))
    return yaw, np.radians(rng.normal(0, 6, 600))


@pytest.fixture
def heads(angles, rng):
    return draw_heads(*angles, rng)


def pixels(n):
    return np.zeros((n, 6, 6), dtype=np.uint8)


def fitted(y, **parameters):
    return PoseBalancer(**{"schema": HEAD_SCHEMA, **parameters}).fit(pixels(len(y)), y)


# ---------------------------------------------------------------------------------------
# The published algorithm, read plainly
# ---------------------------------------------------------------------------------------
def published_copies(shapes, n_bins=9):
    """How often the authors' pdb.m puts each shape on its list, one shape at a time.

    One pass of MATLAB's procrustes (scaling, reflection where better) to the plain mean,
    first principal component, absolute coefficients; the fullest bin of MATLAB's hist over
    [min, max]; bins from 0 to max with both edges; round half away from zero.
    """
    reference = shapes.mean(axis=0)
    target = reference - reference.mean(axis=0)
    aligned = []
    for shape in shapes:
        source = shape - shape.mean(axis=0)
        u, s, vt = np.linalg.svd(source.T @ target)
        aligned.append((s.sum() / (source**2).sum() * source @ (u @ vt)).T.ravel())
    aligned = np.array(aligned)
    _, vectors = np.linalg.eigh(np.cov(aligned.T))
    pose = [abs(vectors[:, -1] @ (row - aligned.mean(axis=0))) for row in aligned]

    least, most = min(pose), max(pose)
    histogram = [0] * n_bins
    for b in pose:
        place = 0
        while place < n_bins - 1 and b > least + (place + 1) * (most - least) / n_bins:
            place += 1
        histogram[place] += 1

    copies = np.zeros(len(shapes), dtype=int)
    sizes = []
    for i in range(n_bins):
        low, high = i * most / n_bins, (i + 1) * most / n_bins
        if i == n_bins - 1:
            high = most
        members = [k for k, b in enumerate(pose) if low <= b <= high]
        sizes.append(len(members))
        for k in members:
            copies[k] += int(max(histogram) / len(members) + 0.5)
    return copies, sizes


@pytest.mark.slow
@pytest.mark.parametrize("n_bins", [3, 9, 17])
@pytest.mark.parametrize("seed", range(3))
def test_repeats_are_those_of_the_published_algorithm(seed, n_bins):
    rng = np.random.default_rng(seed)
    yaw = rng.exponential(0.3, 1500).clip(0, 1.2) * np.sign(rng.normal(size=1500))
    shapes = draw_heads(yaw, rng.normal(0, 0.1, 1500), rng)
    balancer = fitted(shapes, component=0, max_repeats=None, n_bins=n_bins)
    copies, sizes = published_copies(shapes, n_bins)
    assert balancer.bin_counts_.tolist() == sizes
    assert balancer.repeats_.tolist() == copies.tolist()
    assert copies.max() > 3


def test_a_mirrored_shape_is_reflected_as_published(rng):
    # Lopsided shapes, some of them mirrored without renaming, fit better when reflected.
    solid = 30 * rng.normal(size=(8, 2))
    shapes = solid + rng.normal(size=(200, 8, 2)) * rng.exponential(2, (200, 1, 1))
    shapes[::5] *= [-1, 1]
    balancer = PoseBalancer(component=0, max_repeats=None).fit(pixels(200), shapes)
    assert balancer.repeats_.tolist() == published_copies(shapes)[0].tolist()
    unmirrored = np.where((np.arange(200) % 5 == 0)[:, None, None], shapes * [-1, 1], shapes)
    assert balancer.explained_variance_ratio_[0] < 2 * shape_ratio(unmirrored)


def shape_ratio(shapes):
    return PoseBalancer(component=0).fit(pixels(len(shapes)), shapes).explained_variance_ratio_[0]


def load_shapes_300w(data_dir):
    from skwing.datasets import load_300w

    if not (data_dir / "300w").is_dir():
        pytest.skip("no folder 300w")
    faces = load_300w(data_dir / "300w", subsets=("lfpw/trainset", "helen/trainset", "afw"))
    if len(faces.target) != 2009:
        pytest.skip("300w is not the selection of 2009 faces that the golden was made on")
    return faces


def test_repeats_on_300w(data_dir):
    """Against the plain reading, and against the numbers that it gave.

    The 2009 faces of LFPW, HELEN and AFW are those of a copy of 300-W in which each image
    was cut to the face and shrunk to 180 pixels; in others the plain mean differs.
    """
    faces = load_shapes_300w(data_dir)
    balancer = PoseBalancer(component=0, max_repeats=None, n_bins=9).fit(faces.data, faces.target)
    copies, sizes = published_copies(faces.target)
    assert balancer.repeats_.tolist() == copies.tolist()
    assert sizes == [505, 373, 282, 240, 221, 181, 122, 65, 20]
    repeats, counts = np.unique(balancer.repeats_, return_counts=True)
    assert dict(zip(repeats.tolist(), counts.tolist(), strict=True)) == {
        1: 878,
        2: 743,
        3: 181,
        4: 122,
        8: 65,
        25: 20,
    }


# ---------------------------------------------------------------------------------------
# Bins and repeats
# ---------------------------------------------------------------------------------------
def repeats_of(values, n_bins, max_repeats=None, absolute=True):
    values = np.array(values, dtype=float)
    return count_repeats(values, *bin_poses(values, n_bins, absolute), max_repeats).tolist()


def test_a_value_on_an_inner_edge_is_in_both_bins():
    values = np.array([0.0, 0.2, 0.3, 1.0, 1.9, 2.0])
    edges, counts, target = bin_poses(values, 2, from_zero=True)
    assert edges.tolist() == [0, 1, 2]
    assert counts.tolist() == [4, 3]
    assert target == 4  # the histogram's bins own their upper edge
    assert count_repeats(values, edges, counts, target).tolist() == [1, 1, 1, 2, 1, 1]


def test_half_is_rounded_up():
    # 5 in the fullest bin, 2 in the other: 2.5 copies are 3, not the 2 of round half to even.
    assert repeats_of([0, 0.1, 0.2, 0.3, 0.4, 1.5, 2], 2) == [1, 1, 1, 1, 1, 3, 3]


def test_empty_bins_are_passed_over():
    values = [0, 0.1, 0.2, 0.3, 10]
    edges, counts, target = bin_poses(np.array(values), 10, from_zero=True)
    assert counts.tolist() == [4, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert count_repeats(np.array(values), edges, counts, target).tolist() == [1, 1, 1, 1, 4]


def test_the_target_is_the_histogram_from_least_to_greatest():
    # From 0: [0, 5) and [5, 10] hold 1 and 5. From the least, 4: [4, 7] and (7, 10] hold 4, 2.
    values = [4, 5.5, 6, 6.5, 8, 10]
    _, counts, target = bin_poses(np.array(values), 2, from_zero=True)
    assert (counts.tolist(), target) == ([1, 5], 4)
    assert repeats_of(values, 2) == [4, 1, 1, 1, 1, 1]


def test_no_sample_is_lost_where_the_histogram_is_much_wider():
    values = np.linspace(9, 10, 45)
    assert repeats_of(values, 9) == [1] * 45


def test_the_greatest_value_is_always_in_the_last_bin():
    # 11 * top / 11 may round to less than top.
    for top in np.random.default_rng(0).random(2000):
        edges, counts, _ = bin_poses(np.array([0.0, top]), 11, from_zero=True)
        assert edges[-1] == top
        assert counts[-1] == 1


def test_signed_poses_are_binned_from_the_least_to_the_greatest():
    values = np.array([-2.0, -1.9, -1.5, 0, 1])
    edges, counts, target = bin_poses(values, 3, from_zero=False)
    assert edges.tolist() == [-2, -1, 0, 1]
    assert (counts.tolist(), target) == ([3, 1, 2], 3)
    assert repeats_of(values, 3, absolute=False) == [1, 1, 1, 5, 2]


def test_max_repeats_caps(heads):
    free, capped = fitted(heads, max_repeats=None), fitted(heads, max_repeats=4)
    assert free.repeats_.max() > 4
    assert capped.repeats_.tolist() == free.repeats_.clip(max=4).tolist()
    assert fitted(heads).repeats_.max() <= 20


def test_balanced_poses_are_spread_more_evenly(heads):
    balancer = fitted(heads, max_repeats=None)
    before, _ = np.histogram(np.abs(balancer.poses_), balancer.bin_edges_)
    after, _ = np.histogram(np.abs(balancer.poses_)[balancer.sample_indices_], balancer.bin_edges_)
    assert before.max() > 10 * before.min()
    assert after.max() < 1.6 * after.min()


@pytest.mark.parametrize("absolute", [True, False])
def test_fitted_attributes_agree(heads, absolute):
    balancer = fitted(heads, absolute=absolute)
    n = len(heads)
    assert balancer.mean_shape_.shape == (len(HEAD), 2)
    assert balancer.components_.shape[1:] == balancer.mean_shape_.shape
    assert balancer.explained_variance_ratio_.shape == balancer.components_.shape[:1]
    np.testing.assert_allclose(balancer.explained_variance_ratio_.sum(), 1)
    assert balancer.poses_.shape == balancer.repeats_.shape == (n,)
    assert balancer.bin_edges_.shape == (10,)
    assert balancer.bin_counts_.sum() == n
    assert np.bincount(balancer.sample_indices_).tolist() == balancer.repeats_.tolist()
    assert (balancer.bin_edges_[0] == 0) == absolute


def test_one_bin_and_one_sample_and_no_difference(heads):
    assert (fitted(heads, n_bins=1).repeats_ == 1).all()
    one = fitted(heads[:1])
    assert (one.repeats_.tolist(), one.poses_.tolist()) == ([1], [0.0])
    same = heads[:1] * np.linspace(1, 2, 20)[:, None, None]
    assert (fitted(same).repeats_ == 1).all()


# ---------------------------------------------------------------------------------------
# The pose is the pose
# ---------------------------------------------------------------------------------------
def test_poses_follow_yaw(heads, angles):
    balancer = fitted(heads)
    assert balancer.component_ == 0
    assert np.corrcoef(balancer.poses_, angles[0])[0, 1] > 0.96
    # Above 0 where the nose, last but two, points to the right of the image.
    turned = np.abs(angles[0]) > 0.3
    assert (np.sign(balancer.poses_) == np.sign(angles[0]))[turned].all()


@pytest.mark.slow
def test_auto_passes_over_pitch(rng):
    yaw, pitch = rng.normal(0, 0.15, 500), rng.normal(0, 0.3, 500)
    heads = draw_heads(yaw, pitch, rng)
    balancer = fitted(heads)
    assert balancer.component_ == 1
    assert abs(np.corrcoef(balancer.poses_, yaw)[0, 1]) > 0.95
    assert abs(np.corrcoef(fitted(heads, component=0).poses_, pitch)[0, 1]) > 0.95
    parity = mirror_parity(pose_modes(heads)[0], HEAD_SCHEMA)
    np.testing.assert_allclose(parity[:2], [1, -1], atol=0.05)
    nameless = LandmarkSchema("head", NAMES)
    assert fitted(heads, schema=nameless).component_ == 0
    assert fitted(heads, schema=None).component_ == 0


def test_auto_finds_yaw_in_few_shapes(rng):
    """Yaw and pitch of few shapes are correlated, so that components mix them."""
    for _ in range(40):
        yaw, pitch = rng.normal(0, 0.3, 12), rng.normal(0, 0.3, 12)
        shapes = draw_heads(yaw, pitch, rng)
        balancer = fitted(shapes)
        found = np.abs(np.corrcoef(yaw, pose_modes(shapes)[1].T)[0, 1:])
        assert found[balancer.component_] > 0.9 * found.max()
        assert balancer.explained_variance_ratio_[balancer.component_] > 0.1


def test_parity_is_about_the_axis_of_the_shape(heads):
    # All turned by a quarter: the mirror line is no longer upright in the image.
    lying = heads @ np.array([[0.0, 1], [-1, 0]])
    upright = mirror_parity(pose_modes(heads)[0], HEAD_SCHEMA)
    np.testing.assert_allclose(
        mirror_parity(pose_modes(lying)[0], HEAD_SCHEMA)[:3], upright[:3], atol=1e-6
    )


def mirrored(shapes, schema=HEAD_SCHEMA):
    return schema.mirror_points(shapes * [-1, 1] + [640, 0])


def test_mirroring_all_shapes_changes_the_sign_of_their_poses(heads):
    np.testing.assert_allclose(fitted(mirrored(heads)).poses_, -fitted(heads).poses_, atol=1e-8)


def test_a_shape_and_its_mirror_image_have_opposite_poses(heads):
    poses = fitted(np.concatenate([heads, mirrored(heads)])).poses_
    np.testing.assert_allclose(poses[600:], -poses[:600], atol=1e-8)


def test_poses_do_not_depend_on_the_unit_of_the_pixels(heads):
    small, large = fitted(heads), fitted(heads * 1000 + 77)
    np.testing.assert_allclose(large.poses_, small.poses_, rtol=1e-6, atol=1e-9)
    assert large.repeats_.tolist() == small.repeats_.tolist()


def test_flat_layout_and_order_of_samples_make_no_difference(heads, rng):
    order = rng.permutation(600)
    balancer = fitted(heads)
    np.testing.assert_array_equal(fitted(heads.reshape(600, -1)).repeats_, balancer.repeats_)
    np.testing.assert_array_equal(fitted(heads[order]).repeats_, balancer.repeats_[order])


def test_new_shapes_have_the_pose_of_the_same_shapes_in_the_fit(heads, rng):
    balancer = fitted(heads)
    matrix = from_parts(np.array(0.3), np.array(2.5), np.array([40.0, -9]), np.zeros(2))
    new = rng.permutation(600)[:40]
    poses = balancer.pose_coefficients(apply(matrix, heads[new]).reshape(40, -1))
    np.testing.assert_allclose(poses, balancer.poses_[new], atol=0.01)
    assert np.corrcoef(poses, balancer.poses_[new])[0, 1] > 0.9999
    one = [balancer.pose_coefficients(heads[i : i + 1])[0] for i in new[:5]]
    np.testing.assert_allclose(one, poses[:5], atol=1e-9)
    resampler = PoseResampler(schema=HEAD_SCHEMA)
    resampler.fit_resample(pixels(600), heads)
    np.testing.assert_array_equal(
        resampler.pose_coefficients(heads), balancer.pose_coefficients(heads)
    )


def test_the_pose_of_new_shapes_is_of_the_balanced_component(heads):
    first, second = (fitted(heads, component=k) for k in (0, 1))
    assert abs(first.pose_coefficients(heads) - second.pose_coefficients(heads)).max() > 0.1
    np.testing.assert_allclose(second.pose_coefficients(heads), second.poses_, atol=0.02)


def test_new_shapes_that_lack_points_have_a_pose(heads, angles):
    balancer = fitted(heads)
    holes = heads[:60].copy()
    holes[::2, :4] = np.nan
    np.testing.assert_allclose(balancer.pose_coefficients(holes), balancer.poses_[:60], atol=0.1)
    alone = np.array([balancer.pose_coefficients(holes[i : i + 1])[0] for i in range(0, 60, 2)])
    assert np.corrcoef(alone, balancer.poses_[:60:2])[0, 1] > 0.9
    empty = np.full((2, *heads.shape[1:]), np.nan)
    empty[1, 0] = 5.0
    assert np.isnan(balancer.pose_coefficients(empty)).all()


def test_a_landmark_that_no_sample_of_the_fit_had_takes_no_part_in_new_poses(heads):
    holes = heads.copy()
    holes[:, 3] = np.nan
    balancer = fitted(holes)
    wild = heads[:20].copy()
    wild[:, 3] = 1e4
    np.testing.assert_array_equal(
        balancer.pose_coefficients(wild), balancer.pose_coefficients(holes[:20])
    )


def test_new_shapes_are_checked(heads):
    with pytest.raises(NotFittedError):
        PoseBalancer().pose_coefficients(heads)
    with pytest.raises(ValueError, match="landmarks"):
        fitted(heads).pose_coefficients(heads[:, :4])


# ---------------------------------------------------------------------------------------
# Missing points
# ---------------------------------------------------------------------------------------
def hide_far_side(shapes, yaw):
    """The far side of heads that turn by more than 25 degrees is missing."""
    far = (np.sign(yaw)[:, None] * HEAD[:, 0] > 0.2) & (np.abs(yaw) > 0.44)[:, None]
    return np.where(far[..., None], np.nan, shapes)


def test_poses_survive_that_the_far_side_is_hidden(heads, angles):
    yaw = angles[0]
    poses = fitted(hide_far_side(heads, yaw)).poses_
    np.testing.assert_allclose(poses, fitted(heads).poses_, atol=0.25 * np.ptp(poses))
    assert np.corrcoef(poses, yaw)[0, 1] > 0.97
    turned = np.abs(yaw) > 0.3
    assert (np.sign(poses) == np.sign(yaw))[turned].all()
    # Heads with a hidden side must not seem less turned than those with none.
    hidden = np.abs(yaw) > 0.44
    assert np.median(np.abs(poses[hidden])) > np.quantile(np.abs(poses[~hidden]), 0.98)


def test_points_missing_here_and_there_change_little(heads, rng):
    holes = np.where(rng.random((600, len(HEAD), 1)) < 0.2, np.nan, heads)
    assert np.corrcoef(fitted(holes).poses_, fitted(heads).poses_)[0, 1] > 0.98


def test_a_sample_without_a_shape_is_kept_once(heads):
    y = heads.copy()
    y[3] = np.nan
    y[4, 1:] = np.nan
    y[5] = 12.3
    balancer = fitted(y)
    assert balancer.repeats_[3:6].tolist() == [1, 1, 1]
    assert np.isnan(balancer.poses_[3:6]).all()
    assert balancer.bin_counts_.sum() == 597
    rest = np.delete(np.arange(600), [3, 4, 5])
    np.testing.assert_allclose(balancer.poses_[rest], fitted(y[rest]).poses_)
    with pytest.raises(ValueError, match="none of the 3 samples"):
        fitted(y[3:6])


def test_a_landmark_that_nobody_has_takes_no_part(heads):
    y = heads.copy()
    y[:, 0] = np.nan
    balancer = fitted(y)
    np.testing.assert_allclose(
        np.abs(balancer.poses_), np.abs(fitted(heads[:, 1:], schema=None).poses_)
    )
    assert balancer.component_ == 0


# ---------------------------------------------------------------------------------------
# Real faces
# ---------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def aflw(data_dir):
    """Landmarks of AFLW with self-occluded points missing, and how the faces are turned."""
    path = data_dir / "aflw_merl_rav" / "train_68.npz"
    if not path.is_file():
        pytest.skip("no aflw_merl_rav/train_68.npz")
    with np.load(path) as arrays:
        return arrays["landmarks"].astype(float), arrays["pose"]


def test_yaw_is_the_first_mode_on_300w(data_dir):
    faces = load_shapes_300w(data_dir)
    balancer = PoseBalancer().fit(faces.data, faces.target)
    assert balancer.component_ == 0
    # Seen from the side, the nose is nearer to one corner of the eyes than to the other.
    nose = faces.target[:, 30] - faces.target[:, [36, 45]].mean(1)
    eyes = faces.target[:, 45] - faces.target[:, 36]
    turn = (nose * eyes).sum(1) / (eyes**2).sum(1)
    assert np.corrcoef(balancer.poses_, turn)[0, 1] > 0.95
    both = np.concatenate([faces.target, mirrored(faces.target, IBUG68)])
    poses = PoseBalancer(schema=IBUG68).fit(pixels(len(both)), both).poses_
    np.testing.assert_allclose(poses[2009:], -poses[:2009], atol=1e-8)


def test_aflw_profiles_fall_on_opposite_sides(aflw):
    y, label = aflw
    balancer = PoseBalancer(schema="ibug68").fit(pixels(len(y)), y)
    assert balancer.component_ == 0
    left, right = (np.char.startswith(label, side) for side in ("left", "right"))
    # "left" says which side of the face is seen, as it lies in the image: the nose points
    # to the right.
    assert (balancer.poses_[left] > 0).mean() > 0.995
    assert (balancer.poses_[right] < 0).mean() > 0.995
    amount = np.abs(balancer.poses_)
    half = np.char.endswith(label, "half")
    frontal = label == "frontal"
    medians = [np.median(amount[part]) for part in (frontal, half, ~half & ~frontal)]
    assert medians[1] > 2.5 * medians[0]
    assert medians[2] > 1.2 * medians[1]


def test_yaw_is_the_second_mode_of_complete_aflw_shapes(aflw):
    complete = aflw[0][~np.isnan(aflw[0]).any((1, 2))]
    assert PoseBalancer(schema="ibug68").fit(pixels(len(complete)), complete).component_ == 1


# ---------------------------------------------------------------------------------------
# As a step of a pipeline
# ---------------------------------------------------------------------------------------
class RepeatsRegressor(RegressorMixin, BaseEstimator):
    """Predicts the mean of y over its samples, each counted as often as it is repeated."""

    def fit(self, X, y):
        self.repeats_ = getattr(X, "repeats", None)
        weights = np.ones(len(X)) if self.repeats_ is None else self.repeats_
        self.mean_ = np.average(y, axis=0, weights=weights)
        return self

    def predict(self, X):
        self.seen_ = X
        return np.repeat(self.mean_[None], len(X), axis=0)


@pytest.fixture
def X(heads):
    return BoxedImages(pixels(len(heads)), schema=HEAD_SCHEMA)


def test_fit_transform_adds_repeats_and_nothing_else(X, heads):
    balancer = PoseBalancer()
    images = balancer.fit_transform(X, heads)
    assert isinstance(images, BoxedImages)
    assert len(images) == len(X)
    assert images.repeats.tolist() == balancer.repeats_.tolist()
    assert images.schema == HEAD_SCHEMA
    assert X.repeats is None


def test_repeats_that_x_has_are_multiplied(X, heads):
    before = np.arange(600) % 3
    images = PoseBalancer().fit_transform(X.with_repeats(before), heads)
    assert images.repeats.tolist() == (before * PoseBalancer().fit(X, heads).repeats_).tolist()


@pytest.mark.parametrize("make", [np.array, list])
def test_plain_images_serve_as_well(heads, make):
    images = PoseBalancer().fit_transform(make(pixels(600)), heads)
    assert images.repeats.tolist() == fitted(heads, schema=None).repeats_.tolist()


def test_transform_returns_the_same_object(X, heads):
    balancer = PoseBalancer().fit(X, heads)
    for anything in (X, pixels(3), ["a.jpg"]):
        assert balancer.transform(anything) is anything
    with pytest.raises(NotFittedError):
        PoseBalancer().transform(X)


def test_pipeline_trains_balanced_and_predicts_untouched(X, heads):
    y = heads.reshape(600, -1)
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", RepeatsRegressor())]).fit(X, y)
    repeats = pipe["balance"].repeats_
    assert pipe["reg"].repeats_.tolist() == repeats.tolist()
    np.testing.assert_allclose(pipe["reg"].mean_, np.repeat(y, repeats, axis=0).mean(0))
    pipe.predict(X)
    assert pipe["reg"].seen_ is X
    assert pipe.set_output(transform="pandas").predict(X).shape == y.shape


def test_a_grid_can_ask_whether_balancing_helps(X, heads):
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", RepeatsRegressor())])
    grid = {"balance": ["passthrough", PoseBalancer(n_bins=5)]}
    search = GridSearchCV(pipe, grid, cv=3, error_score="raise").fit(X, heads.reshape(600, -1))
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] != scores[1]


def test_callbacks_reach_the_balancer_without_a_warning(X, heads):
    pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")

    class Recorder:
        max_propagation_depth = None
        events = []  # noqa: RUF012 - shared by the copies that clone makes

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            self.events.append(("begin", type(estimator).__name__))

        def on_fit_task_end(self, estimator, context):
            self.events.append(("end", type(estimator).__name__))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = Pipeline([("balance", PoseBalancer()), ("last", PoseBalancer())])
        pipe.set_callbacks(Recorder()).fit(X, heads)
    assert Recorder.events.count(("begin", "PoseBalancer")) == 2
    assert Recorder.events.count(("end", "PoseBalancer")) == 2


@pytest.mark.parametrize("estimator", [PoseBalancer, PoseResampler])
def test_estimator_conventions(estimator, X, heads):
    parameters = {"n_bins": 4, "component": 1, "max_repeats": None, "absolute": False}
    step = estimator(schema="aflw19", **parameters)
    assert step.get_params() == {"schema": "aflw19", **parameters}
    assert clone(step).get_params() == step.get_params()
    assert repr(estimator(n_bins=4)) == f"{estimator.__name__}(n_bins=4)"
    tags = get_tags(step)
    assert tags.target_tags.required
    assert not tags.input_tags.two_d_array

    step = estimator()
    step.fit(X, heads) if estimator is PoseBalancer else step.fit_resample(X, heads)
    assert step.get_params() == estimator().get_params()
    again = pickle.loads(pickle.dumps(step))
    assert again.repeats_.tolist() == step.repeats_.tolist()
    assert not hasattr(clone(step), "repeats_")


def test_nothing_passed_in_is_changed(X, heads):
    y = hide_far_side(heads, np.full(600, 0.5))
    before = y.copy()
    y.flags.writeable = False
    PoseBalancer().fit(X, y)
    np.testing.assert_array_equal(y, before)


def test_own_schema_comes_before_that_of_the_data(rng):
    heads = draw_heads(rng.normal(0, 0.15, 300), rng.normal(0, 0.3, 300), rng)
    carrying = BoxedImages(pixels(300), schema=HEAD_SCHEMA)
    assert PoseBalancer().fit(carrying, heads).component_ == 1
    nameless = LandmarkSchema("head", NAMES)
    assert PoseBalancer(schema=nameless).fit(carrying, heads).component_ == 0


# ---------------------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_bins": 0}, r"n_bins must be an integer in \[1, 1000000\], got 0"),
        ({"n_bins": 2.5}, "n_bins must be an integer"),
        ({"max_repeats": 0}, r"max_repeats must be an integer in \[1, 2147483647\] or None, got 0"),
        ({"max_repeats": True}, "max_repeats must be an integer"),
        ({"component": -1}, r"component must be an integer in \[0, .*\] or 'auto', got -1"),
        ({"component": "yaw"}, "component must be an integer .* got 'yaw'"),
        ({"component": 99}, "component=99, but there are 36 components"),
        ({"schema": "ibug86"}, "Unknown schema 'ibug86'"),
        ({"schema": AFLW19}, "has 19 landmarks, the data have 18"),
    ],
)
def test_parameters_are_checked_when_fitted(X, heads, parameters, message):
    with pytest.raises(ValueError, match=message):
        PoseBalancer(**parameters).fit(X, heads)
    with pytest.raises(ValueError, match=message):
        PoseResampler(**parameters).fit_resample(X, heads)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_fit_that_fails_changes_nothing(X, heads, fitted):
    balancer = PoseBalancer()
    if fitted:
        balancer.fit(X, heads)
    before = dict(vars(balancer.set_params(component=99)))
    with pytest.raises(ValueError, match="component=99"):
        balancer.fit(X[:300], heads[:300])
    assert vars(balancer) == before


def test_numpy_integers_are_integers(X, heads):
    one = np.int64(1)
    assert PoseBalancer(n_bins=one, component=one, max_repeats=one).fit(X, heads).component_ == 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "needs y, the landmarks; got None"),
        (np.zeros((599, 18, 2)), "X has 600 samples, y has 599"),
        (np.zeros((600, 7)), r"y has shape \(600, 7\)"),
        (np.zeros((600, 17, 2)), "has 18 landmarks, the data have 17"),
        (np.full((600, 18, 2), np.inf), "infinite at sample 0"),
    ],
)
def test_landmarks_are_checked(X, y, message):
    with pytest.raises(ValueError, match=message):
        PoseBalancer().fit(X, y)
    with pytest.raises(ValueError, match=message):
        PoseResampler().fit_resample(X, y)


# ---------------------------------------------------------------------------------------
# Resampling
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "make", [np.array, list, BoxedImages], ids=["array", "list", "BoxedImages"]
)
def test_resampler_repeats_rows(heads, make):
    images = np.random.default_rng(1).integers(0, 255, (600, 6, 6), np.uint8)
    expected = fitted(heads, schema=None).sample_indices_
    X, y = PoseResampler().fit_resample(make(images), heads)
    assert isinstance(X, type(make(images)))
    assert len(X) == len(expected) > 600
    np.testing.assert_array_equal(y, heads[expected])
    if make is BoxedImages:
        assert [X.describe(i) for i in (0, -1)] == [f"sample {expected[i]}" for i in (0, -1)]
    else:
        np.testing.assert_array_equal(np.array(X), images[expected])


def test_resampler_takes_the_schema_that_x_carries(rng):
    heads = draw_heads(rng.normal(0, 0.15, 300), rng.normal(0, 0.3, 300), rng)
    resampler = PoseResampler()
    resampler.fit_resample(BoxedImages(pixels(300), schema=HEAD_SCHEMA), heads)
    assert resampler.component_ == 1


def test_both_steps_work_in_the_pipeline_of_imbalanced_learn(X, heads):
    imblearn = pytest.importorskip("imblearn.pipeline")
    y = heads.reshape(600, -1)
    means = []
    for step in (PoseResampler(), PoseBalancer()):
        pipe = imblearn.Pipeline([("balance", step), ("reg", RepeatsRegressor())]).fit(X, y)
        means.append(pipe["reg"].mean_)
        assert len(pipe.predict(X)) == 600
        assert pipe["reg"].seen_ is X
    np.testing.assert_allclose(means[0], means[1])
    assert np.abs(means[0] - y.mean(0)).max() > 1e-3


@pytest.mark.parametrize("from_zero", [True, False])
@pytest.mark.parametrize("n_bins", [1, 3, 8, 50])
def test_bins_hold_both_of_their_edges(n_bins, from_zero):
    """The definition itself, bin by bin and value by value."""
    rng = np.random.default_rng(n_bins)
    for values in (rng.integers(0, 9, 60) / 4, rng.uniform(0, 3, 60), np.full(5, 2.0)):
        edges, counts, target = bin_poses(values, n_bins, from_zero)
        inside = (values >= edges[:-1, None]) & (values <= edges[1:, None])
        np.testing.assert_array_equal(counts, inside.sum(1))
        ratios = np.floor(target / np.maximum(counts, 1) + 0.5).astype(int)
        given = np.append(values, np.nan)
        expected = np.append(np.maximum(ratios @ inside, 1), 1)
        np.testing.assert_array_equal(count_repeats(given, edges, counts, target), expected)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5])
def test_poses_that_hardly_differ_are_balanced_all_the_same(spread):
    """The bins reach as far as the poses do, however little that is."""
    lean = spread * np.array([0.0, 0, 0, 0, 0, 0.2, 0.2, 1])
    y = np.array([[[0.0, 0], [8, 0], [4 + a, 8]] for a in lean])
    repeats = PoseBalancer(n_bins=2, absolute=False).fit(np.zeros((8, 9, 9), np.uint8), y).repeats_
    assert repeats.tolist() == [1, 1, 1, 1, 1, 1, 1, 7]


def test_a_shape_that_lacks_points_is_not_reflected():
    """Of a whole one that is mirrored, reflection is allowed, as the authors do."""
    rng = np.random.default_rng(0)
    outline = np.array([[0.0, 0], [40, 0], [38, 30], [10, 50], [5, 22], [25, 12]])
    shapes = outline + rng.normal(0, 0.5, (30, *outline.shape))
    mirrored = outline * [-1, 1]
    lacking = mirrored.copy()
    lacking[[1, 5]] = np.nan
    modes, b = pose_modes(np.concatenate([shapes, [mirrored, lacking]]))
    aligned = modes.mean + np.tensordot(b, modes.components, 1)

    def turns(points):
        """Above 0 where three of the points go round the same way as in the outline."""
        (ax, ay), (bx, by) = points[2] - points[0], points[3] - points[0]
        return ax * by - ay * bx

    assert all(turns(points) > 0 for points in aligned[:-1])
    assert turns(aligned[-1]) < 0
