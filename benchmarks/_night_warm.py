"""Loaded once before the processes of benchmarks/night.py are forked: what a first fit loads."""

import warnings

import torch
from _night_child import drawn, regressor

torch.set_num_threads(1)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _FACES = drawn(40)
    regressor(None, 1).fit(_FACES.data, _FACES.target)
