"""Loaded once before the processes of benchmarks/night.py are forked: what a first fit loads."""

import warnings

import torch
from _night_child import regressor

from skwing.datasets import make_faces

torch.set_num_threads(1)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _FACES = make_faces(20, image_size=64, random_state=0)
    regressor(None, 1).fit(_FACES.data, _FACES.target)
