"""The models of the repository load, find landmarks, and tell their terms."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest

from skwing import load_model
from skwing._crops.chips import cut_chips
from skwing.datasets import make_faces
from skwing.exceptions import NoticeWarning
from skwing.metrics import nme

MODELS = Path(__file__).resolve().parents[1] / "models"
TERMS = {"faces": "research only", "drawn": None}

pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="the models are in a checkout only")


@pytest.fixture(scope="module", params=sorted(TERMS))
def model(request):
    with warnings.catch_warnings(action="ignore", category=NoticeWarning):
        return request.param, load_model(MODELS / f"{request.param}.safetensors")


@pytest.fixture(scope="module")
def faces():
    return make_faces(12, max_yaw=30, occlusion=0, jaw="outline", image_size=160, random_state=0)


def test_terms_are_told(model):
    name, regressor = model
    assert (regressor.notice_ is None) == (TERMS[name] is None)
    assert TERMS[name] is None or TERMS[name] in regressor.notice_
    assert regressor.device == "auto"


def test_landmarks_are_found(model, faces):
    found = model[1].predict(faces.data)
    errors = nme(faces.target, found, normalizer="inter_ocular", schema="ibug68", per_sample=True)
    assert np.median(errors) < {"faces": 0.08, "drawn": 0.03}[model[0]]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "most"), [("onnx", 0.5), ("int8.onnx", 3)])
def test_the_onnx_file_has_the_same_landmarks(model, faces, suffix, most):
    runtime = pytest.importorskip("onnxruntime")
    name, regressor = model
    chips = cut_chips(faces.data, regressor._frame)
    session = runtime.InferenceSession(MODELS / f"{name}.{suffix}")
    (points,) = session.run(None, {"chips": chips.pixels})
    found = chips.to_image(points.astype(float))
    once = copy.deepcopy(regressor).set_params(retry=False).predict(faces.data)
    np.testing.assert_allclose(found, once, atol=most)
    assert np.abs(found - once).mean() < 0.1 * most
    assert ("notice" in session.get_modelmeta().custom_metadata_map) == (TERMS[name] is not None)
