"""What a pickle of a model holds, and that it loads whatever has become of the code."""

import copy
import importlib
import io
import pickle
import pickletools
import random
import threading
from functools import partial
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from torch import nn

from skwing import BoxedImages, CascadeLandmarkRegressor, LandmarkSchema, PoseBalancer
from skwing._prediction.state import ATTRIBUTES
from skwing.balance import PoseResampler
from skwing.detection import SkimageCascade, YuNet
from skwing.losses import rectified_wing
from skwing.metrics import make_nme_scorer
from skwing.networks import PlainCNN, ShapeIndexedCNN, cnn6, resnet50
from skwing.schema import IBUG68

MODELS = Path(__file__).parent / "models"
PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
PLACES = [[8.0, 9], [22, 8], [15, 20]]
EYES = LandmarkSchema(
    "eyes", ("left_eye", "right_eye", "chin"), (1, 0, 2), (), {"inter_ocular": ((0,), (1,))}
)


def data(n_samples=8):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, (n_samples, 32, 32), dtype=np.uint8)
    return X, PLACES + rng.normal(size=(n_samples, 3, 2))


def tiny(**settings):
    defaults = {"networks": (PLAIN, PLAIN), "max_epochs": 1, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**defaults, **settings})


@pytest.fixture(scope="module")
def fitted():
    return tiny(schema=EYES, loss=partial(rectified_wing, r=0.2)).fit(*data()).calibrate(*data())


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline([("balance", PoseBalancer(n_bins=2)), ("reg", tiny())]).fit(*data())


@pytest.fixture(scope="module")
def search(pipeline):
    grid = {"balance": ["passthrough", PoseBalancer(n_bins=2)]}
    scoring = make_nme_scorer("inter_ocular", EYES)
    return GridSearchCV(pipeline, grid, cv=2, scoring=scoring).fit(*data())


class Recorder(pickle.Unpickler):
    """Notes each global that a pickle asks for."""

    def find_class(self, module, name):
        self.seen.append((module, name))
        return super().find_class(module, name)


def globals_in(thing):
    recorder = Recorder(io.BytesIO(pickle.dumps(thing)))
    recorder.seen = []
    recorder.load()
    return recorder.seen


THINGS = {
    "unfitted": lambda request: tiny(loss="l1"),
    "regressor": lambda request: tiny(networks=("cnn6", cnn6), loss="wing").fit(*data()),
    "other networks": lambda request: tiny(
        networks=(
            partial(ShapeIndexedCNN, input_size=32, width=8, n_steps=1),
            partial(resnet50, n_blocks=(1, 1), width=8, input_size=64),
        )
    ).fit(*data()),
    "calibrated": lambda request: request.getfixturevalue("fitted"),
    "pipeline": lambda request: request.getfixturevalue("pipeline"),
    "search": lambda request: request.getfixturevalue("search"),
    "resampler": lambda request: PoseResampler(n_bins=2).fit_resample(*data()) and PoseResampler(),
    "images": lambda request: BoxedImages(data()[0], schema=EYES)[2:5],
    "schema": lambda request: IBUG68,
    "detectors": lambda request: (SkimageCascade, YuNet),
}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[pytest.mark.slow] if k == "regressor" else []) for k in THINGS],
)
def test_a_pickle_names_public_things_only(kind, request):
    thing = THINGS[kind](request)
    ours = [(m, n) for m, n in globals_in(thing) if m.split(".")[0] == "skwing"]
    assert ours
    for module, name in ours:
        assert not any(part.startswith("_") for part in f"{module}.{name}".split(".")), module
        assert hasattr(importlib.import_module(module), name)
    texts = [a for _, a, _ in pickletools.genops(pickle.dumps(thing)) if isinstance(a, str)]
    assert not [text for text in texts if text.startswith("skwing._") or ".networks._" in text]


def test_a_pickle_says_which_version_wrote_it(fitted):
    state = fitted.__getstate__()
    assert (state["format"], state["skwing"]) == (1, __import__("skwing").__version__)


@pytest.mark.parametrize("calibrated", [False, True])
def test_every_fitted_attribute_is_kept_by_name(fitted, calibrated):
    """One that is not in this list would be in no file."""
    reg = fitted if calibrated else tiny().fit(*data())
    foreign = {name for name in vars(reg) if name.startswith(("_skl", "_metadata", "_callback"))}
    own = set(vars(reg)) - set(reg.get_params(deep=False)) - foreign
    assert own == set(ATTRIBUTES) - (set() if calibrated else {"calibration_"})


def by_joblib(thing, folder, **options):
    joblib.dump(thing, folder / "model.joblib", **options)
    return joblib.load(folder / "model.joblib")


def mapped(thing, folder):
    joblib.dump(thing, folder / "model.joblib")
    loaded = joblib.load(folder / "model.joblib", mmap_mode="r")
    (folder / "model.joblib").write_bytes(b"")
    return loaded


WAYS = {
    "pickle": lambda thing, folder: pickle.loads(pickle.dumps(thing)),
    "protocol 2": lambda thing, folder: pickle.loads(pickle.dumps(thing, protocol=2)),
    "joblib": by_joblib,
    "compressed": partial(by_joblib, compress=3),
    "mapped": mapped,
    "cloudpickle": lambda thing, folder: pickle.loads(cloudpickle.dumps(thing)),
    "deepcopy": lambda thing, folder: copy.deepcopy(thing),
    "copy": lambda thing, folder: copy.copy(thing),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_copying_keeps_all(fitted, way, tmp_path):
    loaded = WAYS[way](fitted, tmp_path)
    X, y = data()
    for found, expected in zip(
        loaded.predict(X, return_std=True), fitted.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert loaded.score(X, y) == fitted.score(X, y)
    assert loaded.history_ == fitted.history_
    assert clone(loaded).get_params()["schema"] == EYES
    warm = loaded.set_params(warm_start=True).fit(X, y)  # arrays are its own and can be written
    assert np.isfinite(warm.predict(X)).all()


@pytest.mark.parametrize("way", WAYS)
def test_pipelines_are_kept(pipeline, way, tmp_path):
    loaded = WAYS[way](pipeline, tmp_path)
    np.testing.assert_array_equal(loaded.predict(data()[0]), pipeline.predict(data()[0]))
    for name in ("repeats_", "components_", "target_count_"):
        balancers = [model.named_steps["balance"] for model in (loaded, pipeline)]
        np.testing.assert_array_equal(*(getattr(balancer, name) for balancer in balancers))


def test_what_others_set_is_kept(fitted):
    copied = copy.deepcopy(fitted)
    copied.note, copied._note = "mine", 1
    loaded = pickle.loads(pickle.dumps(copied))
    assert (loaded.note, loaded._note) == ("mine", 1)


# ---------------------------------------------------------------------------------------
# States that do not fit
# ---------------------------------------------------------------------------------------
def restored(state, cls=CascadeLandmarkRegressor):
    estimator = cls.__new__(cls)
    estimator.__setstate__(state)
    return estimator


@pytest.mark.parametrize("part", ["params", "fitted", "other", "skwing"])
def test_a_missing_part_is_an_error_of_loading(fitted, part):
    state = fitted.__getstate__()
    del state[part]
    with pytest.raises(ValueError, match=f"(?s)version.*'{part}'|lacks '{part}'"):
        restored(state)


LATER = (
    "mirrored",
    "n_planned",
    "notice",
    "retry",
    "certainty",
    "seen",
)  # which the first files of this format do not have


def test_a_missing_piece_is_an_error_of_loading():
    reg = tiny().fit(*data())
    keys = set(reg.__getstate__()["fitted"]) - set(LATER)
    assert len(keys) > 8
    for key in keys:
        state = reg.__getstate__() | {"skwing": "9.8"}
        del state["fitted"][key]
        with pytest.raises(ValueError, match=rf"written by skwing 9\.8, lacks '{key}'"):
            restored(state)


def test_what_the_first_files_do_not_tell_is_as_it_was_then(fitted):
    state = fitted.__getstate__()
    for key in LATER:
        del state["fitted"][key]
    again = restored(state)
    schema = fitted.schema_
    mirrors = schema is not None and schema.mirror is not None
    assert again.mirrored_ == [mirrors] * len(fitted.networks_)
    for key, value in {"mirrored": [True, 3], "n_planned": 0}.items():
        wrong = fitted.__getstate__()
        wrong["fitted"][key] = value
        with pytest.raises(ValueError, match=key):
            restored(wrong)


def test_an_unknown_piece_is_an_error_of_loading(fitted):
    state = fitted.__getstate__()
    state["fitted"]["turns"] = 3
    with pytest.raises(ValueError, match="has an unknown part 'turns'"):
        restored(state)
    state = fitted.__getstate__()
    state["params"]["turns"] = 3
    with pytest.raises(ValueError, match=r"parameter 'turns', which skwing .* does not know"):
        restored(state)


def test_a_parameter_that_was_not_there_yet_has_its_default(fitted):
    state = fitted.__getstate__()
    del state["params"]["precision"]
    assert restored(state).precision == "auto"


@pytest.mark.parametrize("estimator", ["fitted", "balancer"])
def test_a_newer_format_names_the_version_that_wrote_it(fitted, estimator):
    model = fitted if estimator == "fitted" else PoseBalancer(n_bins=2).fit(*data())
    state = model.__getstate__() | {"format": 2, "skwing": "9.8"}
    with pytest.raises(ValueError, match=r"written by skwing 9\.8 in format 2, .* up to 1"):
        restored(state, type(model))


BAD = {
    "networks": ([], "networks is empty"),
    "crops": ([], "crops has 0 entries for 2 stages"),
    "asymmetry": ([np.zeros((2, 2))] * 2, r"asymmetry\[0\] is of shape \(2, 2\)"),
    "mean_shape": (np.zeros((3, 2), dtype=int), "mean_shape .* dtype int64, expected floats"),
    "schema": ("eyes", "schema"),
    "frame": ({"size": 0.5, "margin": 0.0}, "size of frame is 0.5"),
    "flat": ("yes", "flat is 'yes'"),
    "history": ({}, "history is {}, expected a list"),
    "n_iter": (3, "n_iter is 3, expected a list"),
    "box_relation": (3, "box_relation is 3"),
    "calibration": ({"own": np.ones(3), "near": -1.0, "whole": 0.0}, "near of calibration is -1"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_piece_of_another_kind_is_an_error_of_loading(fitted, key):
    value, message = BAD[key]
    state = fitted.__getstate__()
    state["fitted"][key] = value
    with pytest.raises(ValueError, match=message):
        restored(state)


def test_crops_of_another_size_than_the_network_reads_are_an_error(fitted):
    state = fitted.__getstate__()
    state["fitted"]["crops"][1]["size"] = 17
    with pytest.raises(ValueError, match=r"crops of stage 2 have 17 pixels, .* is 16"):
        restored(state)


def test_balancers_check_their_state_too():
    state = PoseBalancer(n_bins=2).fit(*data()).__getstate__()
    del state["fitted"]["poses"]
    with pytest.raises(ValueError, match=r"this PoseBalancer, written by skwing .*, lacks 'poses'"):
        restored(state, PoseBalancer)
    state["fitted"]["poses"] = 3
    with pytest.raises(ValueError, match="poses_ is 3"):
        restored(state, PoseBalancer)


def test_images_check_their_state_too():
    images = BoxedImages(data()[0], schema=EYES)[2:5]
    state = images.__getstate__()
    np.testing.assert_array_equal(restored(state, BoxedImages).decode(2), images.decode(2))
    with pytest.raises(
        ValueError, match=r"this BoxedImages was written by skwing 9\.8 in format 2"
    ):
        restored(state | {"format": 2, "skwing": "9.8"}, BoxedImages)
    del state["data"]["store"]
    with pytest.raises(ValueError, match=r"this BoxedImages, written by .*, lacks 'store'"):
        restored(state, BoxedImages)
    before = {f"_{name}": value for name, value in images.__getstate__()["data"].items()}
    assert len(restored(before, BoxedImages)) == 3  # as 0.6 pickled it


# ---------------------------------------------------------------------------------------
# Earlier versions
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["format-0", "format-1", "version-0.8", "format-3", "format-4"])
def test_pickles_of_earlier_versions_load_and_predict_the_same(name):
    known = np.load(MODELS / f"{name}.npz")
    model = pickle.loads((MODELS / f"{name}.pickle").read_bytes())
    reg = model.named_steps["reg"]
    points, std = reg.predict(known["images"], return_std=True)
    # As far as processors and versions of OpenCV differ.
    np.testing.assert_allclose(points, known["points"], atol=0.05)
    np.testing.assert_allclose(std, known["std"], atol=0.05)
    np.testing.assert_allclose(next(reg.staged_predict(known["images"])), known["first"], atol=0.05)
    np.testing.assert_array_equal(model.named_steps["balance"].repeats_, known["repeats"])
    assert reg.w == (5.0, 10.0) and reg.schema_.name == "dots" and len(reg.history_) == 80
    again = pickle.loads(pickle.dumps(model))  # in the format of today
    np.testing.assert_array_equal(again.predict(known["images"]), points)


def first_state():
    """State of a regressor as 0.6 pickled it: attributes as they are."""

    class Taken(CascadeLandmarkRegressor):
        def __setstate__(self, state):
            self.state = state

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            return Taken if name == "CascadeLandmarkRegressor" else super().find_class(module, name)

    with (MODELS / "format-0.pickle").open("rb") as file:
        return Reader(file).load().named_steps["reg"].state


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("asymmetry_", "pickled by skwing 0.4 or an earlier version"),
        ("average_mirrored", "pickled by skwing 0.4 or an earlier version"),
        ("_frame", "pickled by skwing 0.5 or 0.6, lacks '_frame'"),
        ("crops_", "pickled by skwing 0.5 or 0.6, lacks 'crops_'"),
    ],
)
def test_a_state_of_before_that_does_not_fit_names_its_version(missing, message):
    state = first_state()
    assert restored(dict(state)).n_landmarks_ == 5
    del state[missing]
    with pytest.raises(ValueError, match=message):
        restored(state)


# ---------------------------------------------------------------------------------------
# Loading draws nothing
# ---------------------------------------------------------------------------------------
class Noisy(nn.Module):
    """Draws in every way that initialisation has."""

    input_size = 8

    def __init__(self, n_landmarks):
        super().__init__()
        self.n_landmarks = n_landmarks
        self.layer = nn.Linear(3 * 64, 2 * n_landmarks)
        self.kept = nn.Parameter(torch.randn(3) + torch.rand(3) + torch.randn_like(torch.ones(3)))
        for init in (nn.init.xavier_normal_, nn.init.orthogonal_, nn.init.kaiming_uniform_):
            init(self.layer.weight)
        nn.init.trunc_normal_(self.layer.weight)
        nn.init.sparse_(self.layer.weight, 0.5)
        self.register_buffer("order", torch.randperm(5) + torch.randint(3, (5,)))
        self.register_buffer("mask", torch.bernoulli(torch.full((4,), 0.5)))
        self.register_buffer("third", torch.ones(2, dtype=torch.bfloat16) / 3)

    def forward(self, images):
        return self.layer(images.flatten(1)).unflatten(1, (self.n_landmarks, 2))


@pytest.fixture(scope="module")
def noisy_model():
    return pickle.dumps(tiny(networks=(PLAIN, Noisy)).fit(*data()))


def test_loading_neither_reads_nor_moves_the_global_random_states(noisy_model):
    answers = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        random.seed(seed)
        numpys = check_random_state(None)  # the global one
        numpys.seed(seed)
        states = torch.random.get_rng_state(), random.getstate(), numpys.get_state()[1]
        answers.append(pickle.loads(noisy_model).predict(data()[0]))
        assert torch.equal(torch.random.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        np.testing.assert_array_equal(numpys.get_state()[1], states[2])
    np.testing.assert_array_equal(*answers)


@pytest.mark.slow
def test_loading_in_a_thread_leaves_the_numbers_of_another_thread_alone(noisy_model):
    stop = threading.Event()
    torch.manual_seed(0)
    alone = [torch.rand(1).item() for _ in range(3000)]
    loads = []

    def load():
        while not stop.is_set():
            loads.append(pickle.loads(noisy_model))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        while not loads:
            pass
        torch.manual_seed(0)
        beside = [torch.rand(1).item() for _ in range(3000)]
    finally:
        stop.set()
        thread.join()
    assert beside == alone


@pytest.mark.slow
def test_ambient_settings_of_torch_do_not_matter():
    reg = tiny(networks=(PLAIN, partial(resnet50, n_blocks=(1, 1), width=8, input_size=64)))
    stored, X = pickle.dumps(reg.fit(*data())), data()[0]
    expected = pickle.loads(stored).predict(X)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.inference_mode(), torch.device("meta"), torch.autocast("cpu"):
            loaded = pickle.loads(stored)
    finally:
        torch.set_default_dtype(before)
    tensors = [*loaded.networks_[1].parameters(), *loaded.networks_[1].buffers()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32, torch.int64}
    assert not any(tensor.is_inference() or tensor.is_meta for tensor in tensors)
    np.testing.assert_array_equal(loaded.predict(X), expected)


def test_numbers_that_numpy_lacks_are_kept():
    reg = tiny(networks=(Noisy,)).fit(*data())
    loaded = pickle.loads(pickle.dumps(reg))
    for name, value in reg.networks_[0].state_dict().items():
        kept = loaded.networks_[0].state_dict()[name]
        assert kept.dtype == value.dtype and torch.equal(kept, value), name
