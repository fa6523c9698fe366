from types import SimpleNamespace

import numpy as np
import pytest

from skwing._training.automatic import (
    are_fine,
    networks_for,
    networks_of_model,
    reads_patches,
)
from skwing.networks import check_networks, patches_256

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.5]])
CASCADE = ["shape_indexed_64_coarse", "shape_indexed_128"]


def names_for(networks, extents, margin=0.08):
    return [*networks_for(networks, np.array(extents)[:, None, None] * CORNERS, margin)]


@pytest.mark.parametrize(
    ("extents", "fine"),
    [
        ([200, 200, 200], False),
        ([240, 240, 240], True),
        ([10, 240, 240], True),  # the median counts
        ([10, 10, 240], False),
    ],
)
def test_large_shapes_get_a_stage_of_patches(extents, fine):
    assert names_for("auto", extents) == [*CASCADE, *["patches_256"] * fine]


def test_a_wide_margin_leaves_fewer_pixels_to_the_shape():
    assert names_for("auto", [200] * 3, margin=0.08) == CASCADE
    assert names_for("auto", [200] * 3, margin=0.5) == [*CASCADE, "patches_256"]


def test_networks_that_are_named_stay_as_they_are():
    assert names_for(("cnn6",), [1000]) == ["cnn6"]


def test_a_model_that_is_continued_keeps_its_networks():
    model = SimpleNamespace(_builders=check_networks(["cnn6"]))
    assert networks_of_model("auto", model) == ("cnn6",)
    assert [*networks_of_model("auto", model, 3)] == ["cnn6", CASCADE[1], "patches_256"]
    assert networks_of_model(("cnn7",), model, 3) == ("cnn7",)


def test_missing_landmarks_and_single_ones_tell_no_size():
    points = np.full((3, 4, 2), np.nan)
    points[0] = [[0, 0], [400, 0], [0, 30], [30, 30]]
    points[1, 0] = 7.0
    assert are_fine(points, 0.08)
    assert not are_fine(points[1:], 0.08)


def test_networks_of_patches_are_known_by_name_and_in_partials():
    from functools import partial

    wide = partial(partial(patches_256, width=64), n_steps=1)
    builders = check_networks(["cnn6", "patches_256", patches_256, wide, lambda n: None])
    assert [reads_patches(build) for build in builders] == [False, True, True, True, False]
