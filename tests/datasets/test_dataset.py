import numpy as np

from skwing.datasets._dataset import as_bunch
from skwing.images import BoxedImages


def test_a_bunch_carries_the_schema_of_its_images():
    data = BoxedImages(["a.jpg", "b.jpg"], schema="aflw19")
    target = np.zeros((2, 19, 2), dtype=np.float32)
    faces = as_bunch(data, target, names=["a", "b"], descr="two", extra=3)
    assert faces.data is data
    assert faces.schema is data.schema
    assert faces.target.dtype == np.float64
    assert faces.groups.tolist() == ["a.jpg", "b.jpg"]
    assert faces.names.dtype.kind == faces.groups.dtype.kind == "U"
    assert (faces.DESCR, faces.extra) == ("two", 3)
    grouped = as_bunch(data, target, names=["a", "b"], descr="", groups=["p", "p"])
    assert grouped.groups.tolist() == ["p", "p"]
    images, points = as_bunch(data, target, names=[], descr="", return_X_y=True)
    assert images is data
    assert points.shape == (2, 19, 2)


def test_one_long_name_does_not_fill_the_memory():
    n = 50_000
    data = BoxedImages(["a.jpg"] * n)
    names = ["a"] * (n - 1) + ["b" * 100_000]
    faces = as_bunch(data, np.zeros((n, 1, 2)), names=names, descr="")
    assert faces.names.nbytes < 10**7
    assert faces.names[-1] == names[-1]
