"""scikit-learn's own checks, through adapters that make images of its tables.

scikit-learn checks estimators on tables of numbers. An adapter validates such a table as
every estimator of tables does, paints each row into a small image, makes landmarks of the
targets, and calls the real methods with them. So everything that is not about tables (the
parameters, random states, cloning, pickling, weights, idempotence) is checked for real.
"""

import inspect
from functools import partial

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import RegressorMixin, is_regressor
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from small import UNBENT

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.networks import PlainCNN

SIDE = 8
TINY = partial(PlainCNN, widths=(4, 8), input_size=SIDE, n_hidden=16)


def paint(table):
    """Images whose pixels are the numbers of a row, over and over."""
    pixels = (255 * expit(table)).astype(np.uint8)
    return pixels[:, np.arange(SIDE**2) % table.shape[1]].reshape(-1, SIDE, SIDE)


def as_table(y):
    return y.reshape(len(y), -1).astype(np.float64)


class TableRegressor(CascadeLandmarkRegressor):
    """Each target is how far to the right a landmark of its own lies."""

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._is_column = y.ndim == 1
        x = as_table(y)
        heights = np.broadcast_to(3.0 * np.arange(x.shape[1]), x.shape)
        return super().fit(paint(X), np.stack([x, heights], axis=-1), sample_weight)

    def predict(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        answer = super().predict(paint(X))[..., 0]
        return answer[:, 0] if self._is_column else answer

    def score(self, X, y, sample_weight=None):
        return RegressorMixin.score(self, X, y, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class TableBalancer(PoseBalancer):
    """Each target is how far a tent leans; the repeats are a further column."""

    def _landmarks(self, y):
        pegs = [[0.0, 0.0], [8.0, 0.0]]
        return np.array([pegs + [[4 + lean, 8.0] for lean in row] for row in as_table(y)])

    def fit(self, X, y):
        X, y = self._validate(X, y)
        return super().fit(paint(X), self._landmarks(y))

    def fit_transform(self, X, y):
        X, y = self._validate(X, y)
        images = PoseBalancer(**self.get_params()).fit_transform(paint(X), self._landmarks(y))
        self.fit(X, y)
        return np.column_stack([X, images.repeats])

    def transform(self, X):
        check_is_fitted(self)
        return super().transform(validate_data(self, X, dtype=np.float64, reset=False))

    def _validate(self, X, y):
        return validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.allow_nan = False  # validate_data refuses it
        return tags


def regressor():
    # Enough steps that predictions differ by more than what the checks let pass.
    return TableRegressor(
        networks=(TINY,),
        **UNBENT,
        max_epochs=4,
        batch_size=8,
        learning_rate=1e-2,
        device="cpu",
        random_state=0,
    )


REGRESSOR_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a sample of weight 2 is drawn into one batch, the same sample twice into two"
    ),
}
BALANCER_FAILURES = {
    "check_transformer_general": (
        "fit_transform tells how often each sample is to be drawn, transform leaves X as it "
        "is, so that only training is balanced"
    ),
    "check_transformer_data_not_an_array": "as check_transformer_general",
}


def expected_failures(estimator):
    return REGRESSOR_FAILURES if isinstance(estimator, TableRegressor) else BALANCER_FAILURES


# The targets of a table are no pixels of an image.
def test_a_subclass_has_the_signature_of_the_regressor():
    """Also in Python 3.11.2, which would take that of `__new__`."""
    assert inspect.signature(TableRegressor) == inspect.signature(CascadeLandmarkRegressor)


@pytest.mark.filterwarnings("ignore::skwing.exceptions.DataWarning")
@parametrize_with_checks([regressor(), TableBalancer()], expected_failed_checks=expected_failures)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_real_estimators_say_that_they_take_no_tables():
    for estimator in (CascadeLandmarkRegressor(), PoseBalancer()):
        tags = estimator.__sklearn_tags__()
        assert not tags.input_tags.two_d_array
        assert tags.target_tags.required
        assert tags.target_tags.multi_output
    assert is_regressor(CascadeLandmarkRegressor())


def test_a_table_is_no_image():
    """What the adapters are for: a table itself is an error that says what is expected."""
    table = np.random.default_rng(0).uniform(size=(20, 5))
    with pytest.raises(ValueError, match=r"shape \(20, 5\), expected an array of images"):
        CascadeLandmarkRegressor().fit(table, table[:, :4])
