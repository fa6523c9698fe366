import numpy as np
import pytest

from skwing.datasets._checks import check_written
from skwing.images import BoxedImages


def test_what_a_writer_gets():
    data = BoxedImages(["a.jpg", "b.jpg"])
    for target in (np.ones((2, 3, 2)), np.ones((2, 6))):
        images, points = check_written(data, target)
        assert images is data
        assert points.shape == (2, 3, 2)
    with pytest.raises(ValueError, match="data has 2 samples, target has 3"):
        check_written(data, np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match="expected 19"):
        check_written(BoxedImages(["a.jpg"], schema="aflw19"), np.ones((1, 3, 2)))
    pixels = BoxedImages(np.zeros((2, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="pixels in memory"):
        check_written(pixels, np.ones((2, 3, 2)))
    assert check_written(pixels, np.ones((2, 3, 2)), needs_paths=False)[0] is pixels
