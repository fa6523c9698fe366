"""Searches and predictions on clusters equal those of one process; only paths travel."""

import os
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from skwing import BoxedImages, CascadeLandmarkRegressor
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
N = 12


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """BoxedImages of paths, and landmarks."""
    folder = tmp_path_factory.mktemp("faces")
    faces = make_faces(N, image_size=64, random_state=0)
    paths = [str(folder / f"{i}.png") for i in range(N)]
    for i, path in enumerate(paths):
        cv2.imwrite(path, faces.data.decode(i))
    return BoxedImages(paths, faces.data.boxes, schema="ibug68"), faces.target


def searches(X, y, folder):
    regressor = CascadeLandmarkRegressor(
        networks=(TINY,), max_epochs=1, random_state=0, cache=folder
    )
    settings = {"cv": 2, "n_jobs": 2}
    return [
        GridSearchCV(regressor, {"w": [5, 10]}, **settings).fit(X, y),
        RandomizedSearchCV(
            regressor, {"w": loguniform(1, 20)}, n_iter=2, random_state=0, **settings
        ).fit(X, y),
    ]


def assert_equal(search, other, X):
    for name, column in search.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(column, other.cv_results_[name], err_msg=name)
    np.testing.assert_array_equal(search.predict(X), other.predict(X))


@pytest.fixture(scope="module")
def serial(faces):
    with parallel_config(backend="sequential"):
        return searches(*faces, None)


@pytest.fixture
def dask_client():
    distributed = pytest.importorskip("distributed")
    # Workers in threads, so that nothing is started, and on a port, so that data are sent.
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster.scheduler_address) as client,
    ):
        yield client


@pytest.mark.slow
def test_dask_searches_as_one_process_does(faces, serial, dask_client, tmp_path):
    with parallel_config(backend="dask"):
        found = searches(*faces, tmp_path)
    for search, other in zip(found, serial, strict=True):
        assert_equal(search, other, faces[0])


@pytest.mark.slow
def test_a_dask_bag_predicts_as_one_process_does(faces, serial, dask_client):
    bag = pytest.importorskip("dask.bag")
    X, model = faces[0], serial[0].best_estimator_

    def predict(rows):
        paths, boxes = zip(*rows, strict=True)
        return [model.predict(BoxedImages(paths, boxes))]

    rows = list(zip(X.paths, X.boxes, strict=True))
    found = bag.from_sequence(rows, npartitions=3).map_partitions(predict).compute()
    np.testing.assert_array_equal(np.concatenate(found), model.predict(X))


@pytest.mark.slow
def test_ray_searches_as_one_process_does(faces, serial, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False)
    try:
        register_ray()
        with parallel_config(backend="ray"):
            found = searches(*faces, tmp_path)
    finally:
        ray.shutdown()
    for search, other in zip(found, serial, strict=True):
        assert_equal(search, other, faces[0])


def test_paths_travel_and_no_pixels(faces):
    X, _ = faces
    per_sample = len(pickle.dumps(X[np.arange(1000) % N])) / 1000
    assert per_sample < 100 < 3 * 64**2


def test_a_scheduler_learns_how_large_images_are():
    # The Dask backend sends arguments of more than 1000 bytes once, and others in each task.
    assert sys.getsizeof(BoxedImages([f"folder/{i}.png" for i in range(20)])) > 1000
    pixels = np.zeros((5, 20, 20, 3), np.uint8)
    assert sys.getsizeof(BoxedImages(pixels)) > pixels.nbytes
    assert sys.getsizeof(BoxedImages(list(pixels))) > pixels.nbytes
    assert sys.getsizeof(BoxedImages([])) < 1000
    paths = BoxedImages([os.fspath(f"{i}.png") for i in range(3)], np.ones((3, 4)))
    assert sys.getsizeof(paths[:0]) < sys.getsizeof(paths)
