"""Bad input: a right answer, or an error that names the sample before any training."""

import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from small import UNBENT

from skwing import (
    Augmentation,
    BoxedImages,
    CascadeLandmarkRegressor,
    LandmarkSchema,
    PoseBalancer,
)
from skwing._training import loop
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces
from skwing.networks import PlainCNN
from skwing.schema import AFLW19, IBUG68

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
FIVE = [36, 45, 30, 48, 54]
N = 8


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 1, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings})


FACES = make_faces(N, image_size=48, random_state=2)
X = np.stack([FACES.data.decode(i) for i in range(N)])
Y = FACES.target[:, FIVE]
for array in (X, Y):
    array.flags.writeable = False
WHOLE = [0.0, 0.0, 48.0, 48.0]


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(X, Y)


@pytest.fixture
def no_training(monkeypatch):
    """Whoever starts to train fails."""

    def train(*_, **__):
        pytest.fail("training started")

    monkeypatch.setattr(loop, "train", train)


@pytest.fixture
def refuses(no_training):
    """Check that `fit` refuses input, alone and behind a balancer, before it trains."""

    def check(error, match, X, y, *, balanced=True, **settings):
        fit = {name: settings.pop(name) for name in FIT_ARGUMENTS if name in settings}
        reg = tiny(**settings)
        with pytest.raises(error, match=match) as raised:
            reg.fit(X, y, **fit)
        assert not hasattr(reg, "networks_")
        if balanced and not fit:
            with pytest.raises(error):
                make_pipeline(PoseBalancer(), tiny(**settings)).fit(X, y)
        return str(raised.value)

    return check


FIT_ARGUMENTS = ("sample_weight", "X_val", "y_val")


def replaced(array, where, value):
    array = array.copy()
    array[where] = value
    return array


# ---------------------------------------------------------------------------------------
# Few samples
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("empty", [[], X[:0], BoxedImages(X)[:0], pd.DataFrame({"path": []})])
def test_no_sample(refuses, fitted, empty):
    refuses(ValueError, "X has 0 samples: at least one image is needed", empty, Y[:0])
    for ask in (fitted.predict, lambda X: list(fitted.staged_predict(X))):
        with pytest.raises(ValueError, match="X has 0 samples: at least one image is needed"):
            ask(empty)
    with pytest.raises(ValueError, match="X has 0 samples"):
        fitted.score(empty, Y[:0])


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_one_sample_or_two_are_enough(n):
    for model in (tiny(), make_pipeline(PoseBalancer(), tiny())):
        answer = model.fit(X[:n], Y[:n]).predict(X[:n])
        assert answer.shape == (n, 5, 2)
        assert np.isfinite(answer).all()


def test_one_sample_is_too_few_to_hold_one_out(refuses):
    refuses(
        ValueError,
        "validation_fraction=0.1 of 1 samples leaves 1 to train on and 0 to validate on",
        X[:1],
        Y[:1],
        early_stopping=True,
    )


def test_one_image_in_place_of_many(refuses, fitted):
    match = r"shape \(48, 48, 3\), expected an array of images .* pass a list with that image"
    refuses(ValueError, match, X[0], Y[:1])
    with pytest.raises(ValueError, match=match):
        fitted.predict(X[0])
    with pytest.raises(TypeError, match=r"X is the single path 'face.jpg': pass a list"):
        fitted.predict("face.jpg")


# ---------------------------------------------------------------------------------------
# Landmarks
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("y", "match"),
    [
        (None, "y.* None"),
        (replaced(Y, (2, 3, 1), np.nan), "y has x and no y at sample 2, landmark 3"),
        (Y[:-1], "X has 8 samples, but y has 7"),
        (Y[:, :, 0], r"y has shape \(8, 5\); expected \(n_samples, n_landmarks, 2\) or"),
        (Y.ravel(), r"y has shape \(80,\); expected"),
        (Y[:, :0], r"y has shape \(8, 0, 2\): there is no landmark"),
        (replaced(Y, (3, 2), np.inf), r"y is infinite at sample 3, landmark 2: \[inf, inf\]"),
        (replaced(Y, (6, 4, 1), -np.inf), "y is infinite at sample 6, landmark 4"),
        ([*Y[:2], Y[2, :4], *Y[3:]], r"y, sample 2 has shape \(4, 2\), sample 0 has \(5, 2\)"),
        ([*Y[:2].tolist(), [["a", 1]] * 5, *Y[3:].tolist()], "y, sample 2: not numbers"),
        (Y + 1j, "y holds complex numbers"),
        (np.full_like(Y, np.nan), "missing in every sample"),
        (replaced(Y, (slice(None), 2), np.nan), r"landmarks \[2\] are missing in every sample"),
        (np.ones_like(Y), "at least one shape with two distinct points"),
    ],
)
def test_landmarks_that_are_none(refuses, y, match):
    balanced = not match.startswith("landmarks") and "distinct" not in match
    refuses(ValueError, match, X, y, balanced=balanced)


def test_a_landmark_known_only_without_another_has_no_place_in_the_mean_shape(refuses):
    y = replaced(Y, (slice(None), 2), np.nan)
    y[4] = np.nan
    y[4, 2] = 20.0
    refuses(ValueError, r"landmarks \[2\] are known only in samples without", X, y, balanced=False)


def test_one_landmark_takes_one_network(refuses):
    one = Y[:, :1]
    refuses(ValueError, "y has 1 landmark, but a cascade of 2 networks", X, one)


def test_one_landmark_is_learned_by_one_network():
    reg = tiny(networks=(TINY,)).fit(X, Y[:, :1])
    assert reg.predict(X).shape == (N, 1, 2)
    assert reg.score(X, Y[:, :1]) < 0


@pytest.mark.slow
def test_masked_landmarks_are_missing():
    """np.asarray would bring back what the mask hides."""
    hidden = np.ma.masked_array(replaced(Y, (2, 3), 1e9), mask=replaced(Y * 0, (2, 3), 1))
    by_nan = tiny().fit(X, replaced(Y, (2, 3), np.nan))
    np.testing.assert_array_equal(tiny().fit(X, hidden).predict(X), by_nan.predict(X))


@pytest.mark.parametrize("schema", ["aflw19", AFLW19])
def test_landmarks_that_are_not_those_of_the_schema(refuses, schema):
    match = "Schema 'aflw19' has 19 landmarks, the data have 5"
    refuses(ValueError, match, X, Y, schema=schema, balanced=False)
    refuses(ValueError, match, BoxedImages(X, schema=schema), Y)


def test_a_schema_that_there_is_not(refuses):
    match = "Unknown schema 'ibug86'; choose from .*'ibug68'"
    refuses(ValueError, match, X, Y, schema="ibug86", balanced=False)


def test_the_estimators_own_schema_is_the_one_that_counts():
    data = BoxedImages(X, schema=IBUG68)
    with pytest.raises(ValueError, match="68 landmarks, the data have 5"):
        tiny().fit(data, Y)
    five = LandmarkSchema("five", ("a", "b", "c", "d", "e"), mirror=(1, 0, 2, 4, 3))
    assert tiny(schema=five).fit(data, Y).schema_ is five


def test_another_number_of_landmarks_than_in_fit(fitted):
    with pytest.raises(ValueError, match=r"y has 4 landmarks per sample .*; expected 5"):
        fitted.score(X, Y[:, :4])
    with pytest.raises(ValueError, match=r"y_val has 4 landmarks per sample .*; expected 5"):
        tiny().fit(X, Y, X_val=X, y_val=Y[:, :4])


def test_landmarks_in_fractions_of_the_image_are_warned_of():
    with pytest.warns(UserWarning, match="pixels of the image, not in fractions"):
        tiny().fit(X, Y / 48)


def test_landmarks_of_another_image_are_warned_of():
    boxes = np.tile([4.0, 4.0, 8.0, 8.0], (N, 1))
    boxes[:3] = WHOLE
    match = "sample 3: all its landmarks lie outside its box .*for 5 of 8 samples"
    with pytest.warns(UserWarning, match=match):
        tiny().fit(BoxedImages(X, boxes=boxes), Y)


def test_landmarks_beside_their_box_are_no_reason_to_warn():
    """A box may be poor, and single landmarks may lie anywhere."""
    far = [-500.0, 900.0] + np.arange(N)[:, None]  # at one place they would be a mark
    y = replaced(Y, (slice(None), 0), far)
    y[2, 0] = np.nan
    boxes = np.concatenate([Y.min(axis=1) + 3, np.ptp(Y, axis=1) * 0.7], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny().fit(BoxedImages(X, boxes=boxes), y)


# ---------------------------------------------------------------------------------------
# Boxes
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([5, 5, 0, 10], "expected a width and height above 0"),
        ([5, 5, 10, -1], "expected a width and height above 0"),
        ([5, np.nan, 10, 10], "expected finite values, or NaN in all four"),
        ([5, 5, np.inf, 10], "expected finite values, or NaN in all four"),
    ],
)
def test_boxes_that_are_none(box, expected):
    boxes = [WHOLE] * 4 + [box] + [WHOLE] * 3
    with pytest.raises(ValueError, match=rf"sample 4: the box .*, {expected}"):
        BoxedImages(X, boxes=boxes)


@pytest.mark.parametrize("box", [[48, 0, 9, 9], [0, 60, 9, 9], [-9, 0, 9, 9], [0, -30, 9, 20]])
def test_a_box_outside_its_image(refuses, fitted, box):
    data = BoxedImages(X, boxes=[WHOLE] * 4 + [box] + [WHOLE] * 3)
    match = "sample 4: the box .* lies outside the image, which is 48 pixels wide and 48 high"
    refuses(ValueError, match, data, Y)
    refuses(ValueError, f"^X_val: {match}", X, Y, X_val=data, y_val=Y)
    with pytest.raises(ValueError, match=match):
        fitted.predict(data)


@pytest.mark.parametrize(
    "box", [[-1e6, -1e6, 2e6, 2e6], [20, 20, 1e-3, 1e-3], [47.4, 0, 9, 9], [0, 0, 48, 0.01]]
)
def test_an_odd_box_has_an_answer_near_it(fitted, box):
    data = BoxedImages(X, boxes=np.tile(box, (N, 1)))
    answer = fitted.predict(data)
    assert np.isfinite(answer).all()
    centre = np.array(box[:2]) + (np.array(box[2:]) - 1) / 2
    assert np.abs(answer - centre).max() < 2 * max(box[2:])


# ---------------------------------------------------------------------------------------
# Images
# ---------------------------------------------------------------------------------------
@pytest.fixture
def paths(tmp_path):
    names = [str(tmp_path / f"{i}.jpg") for i in range(N)]
    for name, image in zip(names, X, strict=True):
        cv2.imwrite(name, image)
    return names


BROKEN = {
    "missing.jpg": (None, FileNotFoundError, "there is no such file"),
    "empty.jpg": (b"", ValueError, "the file is empty"),
    "text.jpg": (b"<html>not found</html>", ValueError, "the file is damaged, or not an image"),
    "short.jpg": ("half", ValueError, "the JPEG file is damaged"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_image(refuses, fitted, paths, tmp_path, name):
    content, error, reason = BROKEN[name]
    if content == "half":
        with open(paths[5], "rb") as file:
            content = file.read()
        content = content[: len(content) // 2]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    paths[5] = str(tmp_path / name)
    match = rf"sample 5 \(.*{name}\): {reason}"
    refuses(error, match, paths, Y)
    refuses(error, f"^X_val: {match}", X, Y, X_val=paths, y_val=Y)
    refuses(error, match, pd.DataFrame({"path": paths}), Y)
    with pytest.raises(error, match=match):
        fitted.predict(paths)


def test_a_broken_file_in_a_fold_has_the_number_of_the_whole(paths):
    paths[5] = "gone.jpg"
    folds = [(np.arange(4), np.array([7, 5]))]
    with pytest.raises(FileNotFoundError, match=r"sample 5 \(gone.jpg\)"):
        cross_val_score(tiny(), BoxedImages(paths), Y, cv=folds, error_score="raise")


@pytest.mark.slow
def test_a_broken_file_far_down_is_named(fitted, paths):
    many = paths * 40
    many[300] = "gone.jpg"
    with pytest.raises(FileNotFoundError, match=r"sample 300 \(gone.jpg\)"):
        fitted.predict(many)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (X[0].astype(float), r"sample 2: float images must lie in \[0, 1\], found values from"),
        (X[0] * np.nan, r"sample 2: float images must lie in \[0, 1\], found NaN"),
        (X[0].astype(np.uint16), "sample 2: the image is of dtype uint16, expected uint8 or float"),
        (X[0].astype(bool), "sample 2: the image is of dtype bool"),
        (X[0, ..., :2], r"sample 2 is an array of shape \(48, 48, 2\), expected .* 1, 3 or 4"),
        (X[0, :0], r"sample 2 is an array of shape \(0, 48, 3\): no pixels"),
        (X[:2], r"sample 2 is an array of shape \(2, 48, 48, 3\), expected"),
    ],
)
def test_an_image_that_is_none(refuses, fitted, image, match):
    images = [X[0], X[1], image, *X[3:]]
    refuses(ValueError, match, images, Y)
    with pytest.raises(ValueError, match=match):
        fitted.predict(images)


@pytest.mark.parametrize("odd", [None, 3, np.nan, X[0].tolist()])
def test_what_is_neither_image_nor_path(refuses, odd):
    refuses(TypeError, "sample 1 is .* of type .*, expected a numpy array", [X[0], odd], Y[:2])


def test_the_advice_for_images_of_other_libraries_gives_the_same_pixels(refuses):
    image = pytest.importorskip("PIL.Image").fromarray(X[0])
    tensor = torch.from_numpy(X[0].copy()).permute(2, 0, 1)
    png = cv2.imencode(".png", X[0, ..., ::-1])[1].tobytes()
    kinds = {
        r"np\.asarray\(ImageOps\.exif_transpose\(image\)\.convert\('RGB'\)\)": image,
        r"tensor\.permute\(1, 2, 0\)\.cpu\(\)\.numpy\(\)": tensor,
        r"cv2\.imdecode\(np.frombuffer\(data, .*1\)\[\.\.\., ::-1\]": png,
    }
    names = {"image": image, "tensor": tensor, "data": png, "np": np, "cv2": cv2}
    names["ImageOps"] = pytest.importorskip("PIL.ImageOps")
    for advice, odd in kinds.items():
        message = refuses(TypeError, f"(?s)sample 1 .*{advice}", [X[0], odd], Y[:2])
        np.testing.assert_array_equal(eval(re.search(advice, message)[0], names), X[0])


@pytest.mark.parametrize("wrong", [None, 7, iter(X), {"path": []}])
def test_what_holds_no_images(refuses, wrong):
    refuses(TypeError, "X is of type .*, expected an array of images", wrong, Y)


def test_channels_first(refuses):
    refuses(ValueError, "Move the channels last", X.transpose(0, 3, 1, 2), Y)


@pytest.mark.slow
def test_images_of_every_kind_train_together():
    """Grey, with alpha, float: what they are as 8-bit colours is what is trained on."""
    grey = X.mean(axis=3).astype(np.uint8)
    alpha = np.concatenate([X, X[..., :1]], axis=3)
    images = [X[0], grey[1], alpha[2], X[3] / 255, grey[4][..., None], *X[5:]]
    same = X.copy()
    same[[1, 4]] = grey[[1, 4], ..., None]
    opacity = X[2, ..., :1] / 255
    same[2] = np.round(X[2] * opacity + 255 * (1 - opacity))  # on white
    expected = tiny().fit(same, Y).predict(same)
    np.testing.assert_array_equal(tiny().fit(images, Y).predict(images), expected)


# ---------------------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones(N - 1), r"sample_weight has shape \(7,\), expected \(8,\)"),
        (np.ones((N, 1)), r"sample_weight has shape \(8, 1\), expected \(8,\)"),
        (replaced(np.ones(N), 3, -1), "sample_weight of sample 3 is -1.0, expected a number >= 0"),
        (replaced(np.ones(N), 3, np.nan), "sample_weight of sample 3 is nan"),
        (replaced(np.ones(N), 3, np.inf), "sample_weight of sample 3 is inf"),
        (np.zeros(N), "sample_weight is zero for every sample"),
        (["heavy"] * N, "sample_weight must hold numbers"),
    ],
)
def test_weights_that_are_none(refuses, fitted, weight, match):
    refuses(ValueError, match, X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match=match):
        fitted.score(X, Y, sample_weight=weight)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights_of_any_size(scale):
    weight = np.linspace(1, 2, N)
    expected = tiny().fit(X, Y, sample_weight=weight).predict(X)
    answer = tiny().fit(X, Y, sample_weight=weight * scale).predict(X)
    np.testing.assert_allclose(answer, expected, atol=0.01)


def test_samples_that_do_not_count(refuses):
    match = "the repeats of X are zero for every sample"
    none = BoxedImages(X, repeats=np.zeros(N, int))
    refuses(ValueError, match, none, Y)
    half = BoxedImages(X, repeats=np.arange(N) % 2)
    match = "no sample of X has both repeats and a sample_weight above zero"
    refuses(ValueError, match, half, Y, sample_weight=1 - np.arange(N) % 2)


# ---------------------------------------------------------------------------------------
# Validation data
# ---------------------------------------------------------------------------------------
def test_validation_data_that_are_none(refuses):
    refuses(ValueError, "X_val and y_val must be passed together", X, Y, X_val=X)
    refuses(ValueError, "X_val and y_val must be passed together", X, Y, y_val=Y)
    refuses(ValueError, "X_val has 0 samples", X, Y, X_val=[], y_val=Y)
    refuses(ValueError, "X_val has 7 samples, but y_val has 8", X, Y, X_val=X[:7], y_val=Y)
    infinite = replaced(Y, (1, 1), np.inf)
    refuses(ValueError, "y_val is infinite at sample 1", X, Y, X_val=X, y_val=infinite)


def test_validation_data_that_can_not_be_measured(refuses, fitted):
    blank = np.full_like(Y, np.nan)
    refuses(
        ValueError, "no error can be computed for the held-out samples", X, Y, X_val=X, y_val=blank
    )
    with pytest.raises(ValueError, match="no error can be computed"):
        fitted.score(X, blank)
    with pytest.raises(ValueError, match="no error can be computed"):
        fitted.score(X, replaced(Y, slice(4), np.nan), sample_weight=np.arange(N) < 4)


# ---------------------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------------------
BAD_SETTINGS = [
    *[({name: v}, f"{name} must be a number") for name in ("w", "epsilon") for v in (0, -1.0)],
    *[({"w": v}, "w must be a number") for v in (np.nan, np.inf, "10", None, True)],
    ({"w": (10.0, 0.0)}, "w must be a number"),
    ({"w": np.array([[5.0, 6.0]])}, "w must be a number"),
    ({"w": ()}, "w is empty: pass one value for all stages, or one for each"),
    ({"max_epochs": 0}, "max_epochs must be an integer"),
    ({"max_epochs": 1.5}, "max_epochs must be an integer"),
    ({"batch_size": 0}, "batch_size must be an integer"),
    ({"learning_rate": 0.0}, "learning_rate must be a number"),
    ({"momentum": 1.0}, "momentum must be a number"),
    ({"augmentation": Augmentation(mirror=1.1)}, r"augmentation\.mirror must be a number"),
    (
        {"augmentation": "none"},
        "augmentation must be a skwing.Augmentation, 'default' or None, got",
    ),
    ({"augmentation": {"mirror": 0}}, "augmentation must be a skwing.Augmentation"),
    ({"augmentation": Augmentation}, "augmentation must be a skwing.Augmentation"),
    ({"margin": -0.5}, "margin must be a number"),
    ({"validation_fraction": 2}, "validation_fraction must be a number"),
    ({"n_iter_no_change": 0}, "n_iter_no_change must be an integer"),
    ({"optimizer": "adam"}, "optimizer must be one of 'adamw', 'sgd'"),
    ({"schedule": "step"}, "schedule must be one of 'one_cycle'"),
    ({"refine_on": "both"}, "refine_on must be one of 'predicted', 'truth'"),
    ({"precision": "half"}, "precision must be one of 'auto'"),
    ({"loss": "wings"}, "Unknown loss 'wings'; choose from .*'wing'"),
    ({"loss": lambda r: r.abs().mean()}, "must return one value per coordinate"),
    ({"networks": ()}, "networks is empty"),
    ({"networks": ("cnn8",)}, r"networks\[0\]: unknown network 'cnn8': choose from 'cnn6', 'cnn7'"),
    (
        {"networks": (lambda n: PlainCNN(n + 1, (8,), 8),)},
        r"networks\[0\].* for 5 landmarks",
    ),
    ({"random_state": "seed"}, "random_state must be an integer in .* or None, got 'seed'"),
]


@pytest.mark.parametrize(
    ("settings", "match"), BAD_SETTINGS, ids=[match for _, match in BAD_SETTINGS]
)
def test_settings_that_are_none(refuses, settings, match):
    refuses(ValueError, match, X, Y, **settings)
    (value,) = settings.values()
    if isinstance(value, (int, float)):
        refuses(ValueError, rf"got {value!r}", X, Y, **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"networks": "cnn6"}, "networks must be a sequence of names or callables"),
        ({"networks": None}, "networks must be a sequence of names or callables"),
        ({"networks": (TINY, 7)}, r"networks\[1\]: .*must be a name or a callable"),
        ({"loss": 7}, "loss must be one of"),
        ({"schema": 68}, "schema must be one of"),
    ],
    ids=str,
)
def test_settings_of_another_type(refuses, settings, match):
    refuses(TypeError, match, X, Y, **settings)


def test_a_refused_fit_keeps_the_model_of_the_last():
    reg = tiny().fit(X, Y)
    before = reg.predict(X)
    with pytest.raises(ValueError, match="w must be"):
        reg.set_params(w=0).fit(X, Y)
    with pytest.raises(FileNotFoundError):
        reg.set_params(w=10.0).fit(["gone.jpg"] * N, Y)
    np.testing.assert_array_equal(reg.predict(X), before)
