"""Models of versions whose regressor had the augmentation and batch_norm as its own parameters."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from skwing import Augmentation, CascadeLandmarkRegressor, load_model, save_model
from skwing._crops.augmentation import AUGMENTATIONS
from skwing._prediction.before_0_8 import network_of_0_8, of_0_8
from skwing._prediction.model_file import read_model, write_model
from skwing._prediction.plain import from_plain, to_plain
from skwing.networks import PlainCNN, ShapeIndexedCNN, check_network, shape_indexed_64
from skwing.networks._contract import build_and_try
from skwing.networks._storage import as_arrays
from skwing.persistence import describe_model

MODELS = Path(__file__).parent / "models"
MINE = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
SMALL = partial(ShapeIndexedCNN, input_size=16, stride=4, width=8, n_blocks=1, n_hidden=16)


@pytest.fixture
def small_names(monkeypatch):
    """Networks of the usual names that are built in a moment."""
    for name, build in {"cnn6": MINE, "shape_indexed_64": SMALL}.items():
        monkeypatch.setitem(
            check_network.__globals__["NETWORKS"], name, partial(build, batch_norm=True)
        )
    monkeypatch.setitem(check_network.__globals__["NETWORKS"], "cnn6_plain", MINE)


def data(n=6):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, 24, 24), dtype=np.uint8), rng.uniform(4, 20, (n, 3, 2))


def fitted(networks):
    reg = CascadeLandmarkRegressor(networks=networks, max_epochs=1, random_state=0, device="cpu")
    return reg.fit(*data())


def as_before(params, fitted, names, batch_norm):
    """Parameters and fitted state as 0.7 kept them."""
    params = {k: v for k, v in params.items() if k != "augmentation"}
    own = Augmentation(rotation=(7.0, 3.0), blur=0.0).get_params()
    params |= own | {"batch_norm": batch_norm, "networks": names}
    stages = [
        {"network": name, "batch_norm": batch_norm and isinstance(name, str), **stage}
        for name, stage in zip(
            names, [{"weights": s["weights"]} for s in fitted["networks"]], strict=True
        )
    ]
    return params, fitted | {"networks": stages}


NOW = {
    "with batch norm": (("cnn6", MINE), ("cnn6", MINE), True),
    "without": (("cnn6", MINE), ("cnn6_plain", MINE), False),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", NOW)
@pytest.mark.parametrize("kind", ["pickle", "file"])
def test_parameters_become_an_augmentation_and_names_of_networks(case, kind, small_names, tmp_path):
    names, now, batch_norm = NOW[case]
    reg = fitted(now)
    if kind == "pickle":
        state = reg.__getstate__()
        params, own = as_before(state["params"], state["fitted"], names, batch_norm)
        loaded = CascadeLandmarkRegressor()
        loaded.__setstate__(state | {"params": params, "fitted": own})
    else:
        path = tmp_path / "model"
        save_model(reg, path)
        model, arrays, _ = read_model(path)
        node, made = model["estimator"], {}
        parts = [from_plain(node[key], arrays) for key in ("params", "fitted")]
        params, own = as_before(*parts, names, batch_norm)
        node["params"], node["fitted"] = to_plain(params, "p", made), to_plain(own, "f", made)
        write_model(path, model, made)
        loaded = load_model(path)
        assert describe_model(path)["networks"][0] == now[0]
    X, y = data()
    np.testing.assert_array_equal(loaded.predict(X), reg.predict(X))
    assert loaded.networks[0] == now[0]
    expected = Augmentation(rotation=(7.0, 3.0), blur=0.0)
    assert loaded.augmentation.get_params() == expected.get_params()
    loaded.set_params(augmentation__blur=1.0, warm_start=True).fit(X, y)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again.predict(X), loaded.predict(X))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_builders_of_the_first_pickles_become_what_was_given(batch_norm, small_names):
    reg = fitted(("cnn6" if batch_norm else "cnn6_plain", MINE))
    state = dict(vars(reg))
    del state["augmentation"]
    state |= Augmentation(rotation=5.0).get_params()
    state |= {"batch_norm": batch_norm, "networks": ("cnn6", MINE)}
    del state["deformation"]  # as before it was there
    state["_builders"] = [
        partial(MINE.func, *MINE.args, **MINE.keywords, batch_norm=batch_norm),
        partial(build_and_try, MINE),
    ]
    state["networks_"] = [as_arrays(network) for network in reg.networks_]
    loaded = CascadeLandmarkRegressor()
    loaded.__setstate__(state)
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    assert loaded.networks == (reg.networks[0], MINE)
    assert loaded.augmentation.get_params() == Augmentation(rotation=5.0).get_params()


@pytest.mark.parametrize("name", ["format-0.pickle", "format-1.pickle", "format-1.safetensors"])
def test_stored_models_have_an_augmentation(name):
    path = MODELS / name
    model = load_model(path) if path.suffix != ".pickle" else pickle.loads(path.read_bytes())
    params = model.named_steps["reg"].get_params()
    assert {n: params[f"augmentation__{n}"] for n in AUGMENTATIONS} == Augmentation().get_params()


def test_a_network_by_name_without_batch_norm_is_built_so_still():
    assert network_of_0_8("cnn7", False) == "cnn7_plain"
    assert network_of_0_8("resnet50", False) == "resnet50"  # which always had it
    assert network_of_0_8(MINE, False) is MINE
    assert network_of_0_8("unknown", False) == "unknown"
    build = network_of_0_8("shape_indexed_64", False)
    assert build.func is shape_indexed_64 and build.keywords == {"batch_norm": False}


@pytest.mark.parametrize("odd", [None, 3, [], {}, {"networks": 3}, {"networks": [3, {}]}])
def test_what_is_no_model_is_left_for_others_to_refuse(odd):
    _, fitted = of_0_8(None, odd)
    assert fitted == odd
    params, _ = of_0_8(odd, None)
    assert params == odd or isinstance(params["augmentation"], Augmentation)
