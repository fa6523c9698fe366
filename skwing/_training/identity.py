"""What decides the result of a fit: parameters, data, and the weights that it begins with.

A checkpoint continues only the fit that wrote it.
"""

import hashlib
import json

import numpy as np
import sklearn.utils

from skwing._prediction.plain import name_of, to_plain
from skwing._utils.checks import told
from skwing._utils.version import __version__
from skwing.images._identity import images_digest
from skwing.networks._storage import as_arrays

_WITHOUT_EFFECT = ("cache", "callbacks", "checkpoint", "device", "verbose")  # on the result
_PORTION = 1024  # number of chips


def identity_of(given, before, train, held_out):
    """Parameters and data of a fit.

    Parameters
    ----------
    given : object
        Validated parameters as attributes.
    before : object or None
        Fitted model whose weights training begins with.
    train : Samples
        All samples, before some are held out.
    held_out : Samples or None
        Held-out samples passed by the user.

    Returns
    -------
    identity : dict of str to list of str
        For each parameter and each part of the data, a text for messages and a digest; the
        text is empty for data. Functions and networks of the user are represented by their
        names.
    """
    parameters = {k: v for k, v in vars(given).items() if k not in _WITHOUT_EFFECT}
    augmentation = vars(parameters.pop("augmentation"))
    parameters |= {f"augmentation.{name}": value for name, value in augmentation.items()}
    del parameters["start"]  # its weights count
    identity = {"version of skwing": [__version__, __version__]}
    identity |= {name: _of_value(name, value) for name, value in parameters.items()}
    data = {"weights that training begins with": _of_weights(before), **_of_samples(train, "")}
    if held_out is not None:
        data |= _of_samples(held_out, "_val")
    return identity | {name: ["", digest] for name, digest in data.items()}


def differences(found, wanted, words=("was", "is")):
    """Describe the parts of two identities that differ, one text for each.

    They are those of a file and of the present fit; `words` precede the value of each.
    """
    was, is_ = words
    texts = []
    for name in {**wanted, **found}:
        old, new = found.get(name, ["", None]), wanted.get(name, ["", None])
        if old[1] != new[1]:
            values = old[0] or new[0]
            both = f"{name} {was} {old[0]}, {is_} {new[0]}"
            texts.append(both if values else f"{name} differ")
    return texts


def digest_of(identity):
    """A digest of an identity, as part of a file name."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def chips_digest(*several):
    """Digest of the pixels of chips; None stands for no chips."""
    total = hashlib.sha256()
    for chips in several:
        if chips is None:
            continue
        for first in range(0, len(chips), _PORTION):
            pixels = chips.pixels[first : first + _PORTION]
            pixels = pixels if isinstance(pixels, np.ndarray) else pixels.cpu().numpy()
            total.update(np.ascontiguousarray(pixels).data)
    return total.hexdigest()


def _of_value(name, value):
    if name == "random_state" and value is not None and not isinstance(value, int):
        value = sklearn.utils.check_random_state(value)  # numpy.random is one too
    arrays = {}
    plain = to_plain(value, name, arrays)
    shown = name_of(value) if callable(value) else told(value)
    return [shown, _digest(json.dumps(plain), arrays)]


def _of_weights(model):
    arrays = {}
    for i, network in enumerate([] if model is None else model.networks_):
        arrays |= {f"{i}.{key}": array for key, array in as_arrays(network).items()}
    return _digest("", arrays)


def _of_samples(samples, suffix):
    """Digests of the parts of samples, by their names for the user."""
    data = samples.data
    schema = None if data.schema is None else data.schema.to_json()
    parts = {
        f"images of X{suffix}": images_digest(data),
        f"boxes of X{suffix}": _digest(str(data.has_boxes), {"": data.boxes}),
        f"landmarks (y{suffix})": _digest("", {"": samples.points}),
    }
    if not suffix:
        weights = {} if samples.weights is None else {"": samples.weights}
        parts |= {
            "sample weights": _digest("", weights),
            "repeats of X": _digest("", {"": samples.repeats}),
            "landmark names (schema) of X": _digest(str(schema), {}),
        }
    return parts


def _digest(text, arrays):
    total = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.shape} {array.dtype};".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
