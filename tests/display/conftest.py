import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from skwing.datasets import make_faces


class Remembered(RegressorMixin, BaseEstimator):
    """Predicts what it was told, whatever X is."""

    def __init__(self, y_pred=None, schema=None):
        self.y_pred = y_pred
        self.schema = schema

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.y_pred


@pytest.fixture(scope="session")
def faces():
    return make_faces(30, random_state=0)


@pytest.fixture(scope="session")
def predicted(faces):
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.2, 4, (30, 1, 1))
    return faces.target + scale * rng.normal(0, 1, faces.target.shape)


@pytest.fixture
def remembered():
    return Remembered
