"""Checkpoints: files with the state of a fit, from which the same fit continues."""

import os
import time

import numpy as np
import torch

from skwing._prediction.model_file import Kind, read_content, write_content
from skwing._prediction.plain import from_plain, to_plain
from skwing._training.draws import Taken, go_to, place_of, with_places
from skwing._training.identity import differences, digest_of
from skwing._utils import ranks
from skwing._utils.files import check_target
from skwing._utils.random import draws_state, load_draws
from skwing._utils.warnings import warn_caller
from skwing.networks._storage import as_array, as_tensor

ENDING = ".safetensors"
_KIND = Kind("checkpoint", "skwing.checkpoint", 1, "fit with this checkpoint")
_INTERVAL = 60.0  # seconds between two writes
_SHARE = 0.01  # maximum share of the time that is spent on writing
_INSTEAD = (
    "continue with the same parameters and data, delete the file to train anew, or pass a folder "
    f"(a path that does not end in {ENDING}), in which each fit has its own file"
)


def find_checkpoint(path, identity):
    """Checkpoint of a fit, with the content of its file, if there is one.

    Only the first of several processes reads and writes it.

    Parameters
    ----------
    path : str or path-like
        A file if it ends in ``.safetensors``, else a folder, which may not exist yet.
    identity : dict
        See :func:`skwing._training.identity.identity_of`.

    Raises
    ------
    OSError
        If the file or the folder cannot be written.
    ValueError
        If the file is damaged, not a checkpoint, or that of another fit.
    """
    return ranks.from_first(lambda: _find(path, identity))


def _find(path, identity):
    path = os.path.abspath(os.fsdecode(path))
    is_folder = not path.endswith(ENDING)
    if is_folder and os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(
            f"checkpoint: {path} is a file, expected a folder or a file that ends in {ENDING}"
        )
    name = f"fit-{digest_of(identity)}{ENDING}"
    try:
        check_target(os.path.join(path, name) if os.path.isdir(path) and is_folder else path)
    except (OSError, ValueError) as error:
        raise type(error)(f"checkpoint: {error}") from error
    checkpoint = Checkpoint(os.path.join(path, name) if is_folder else path, identity)
    path = checkpoint.path
    if os.path.exists(path):
        checkpoint.read()
    return checkpoint


def new_seed():
    """A seed from the operating system."""
    return int(np.random.SeedSequence().generate_state(1)[0])


class Checkpoint:
    """State of a fit, in memory and in a file."""

    def __init__(self, path, identity):
        self.path = path
        # "stages" are the completed ones, "running" is the one in training, by their number from
        # 0; "random" are the states of generators after the completed stages.
        self._content = {
            "identity": identity,
            "seed": None,
            "pixels": None,
            "random": None,
            "stages": {},
            "running": None,
        }
        self._written, self._cost = -np.inf, 0.0
        self._is_told = False

    @property
    def identity(self):
        """Parameters and data of the fit, see :func:`skwing._training.identity.identity_of`."""
        return self._content["identity"]

    @property
    def is_new(self):
        """Whether nothing is known of the fit but its identity."""
        return not self._content["stages"] and self._content["running"] is None

    def read(self):
        """Read the file."""
        try:
            plain, arrays, _ = read_content(self.path, _KIND)
            content = _as_tensors(from_plain(plain, arrays))
            others = differences(content["identity"], self.identity)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"checkpoint: {error}; to train anew, pass another path, or delete this file if "
                "it is not needed"
            ) from error
        if others:
            raise ValueError(f"checkpoint {self.path} is that of another fit: {_told(others)}")
        self._content = content
        self._written = time.monotonic()

    def seed(self):
        """The seed of this fit, if its `random_state` is None."""
        if self._content["seed"] is None:
            self._content["seed"] = new_seed()
        return self._content["seed"]

    def check_pixels(self, digest):
        """Check that images are the same as in the file, by a digest of their chips."""
        if self._content["pixels"] not in (None, digest):
            raise ValueError(
                f"checkpoint {self.path} is that of another fit: {_told(['images differ'])}"
            )
        self._content["pixels"] = digest

    def rows_of(self, number):
        """Rows of the completed epochs of a stage, counted from 0."""
        if (stage := self._content["stages"].get(str(number))) is not None:
            return stage["rows"]
        running = self._content["running"]
        return running["state"]["rows"] if self._is_running(number) else []

    def take(self, number, stage):
        """Set the weights of a completed stage, and return whether it is one.

        The states of generators are set to those after this stage.
        """
        known = self._content["stages"].get(str(number))
        if known is None:
            return False
        self._load(stage.network.load_state_dict, known["network"])
        stage.network.eval()
        stage.asymmetry = known["asymmetry"].to(stage.asymmetry.device)
        load_draws(known["random"])
        return True

    def finish(self, number, stage, rows):
        """Add a completed stage, and write the file."""
        self._content["stages"][str(number)] = {
            "network": dict(stage.network.state_dict()),
            "asymmetry": stage.asymmetry,
            "rows": [dict(row) for row in rows],
            "random": draws_state(),
        }
        self._content["running"] = None
        self.write()

    def keeper(self, number):
        """Saves the state of a stage in training."""
        return StageKeeper(self, number)

    def begin(self, number, state, place):
        """Load the state of a stage in training, if there is one, else write its first one."""
        if self._is_running(number):
            self._load(state.load, self._content["running"]["state"])
            self._content["running"] = None  # frees memory
        else:
            self.keep(number, state, place, at_once=True)

    def place(self, number):
        """Place in the draws of a stage in training; None if there is none."""
        return self._content["running"]["place"] if self._is_running(number) else None

    def keep(self, number, state, place, *, at_once=False):
        """Write the state of a stage in training if the last write is long enough ago."""
        if not ranks.is_first():
            return
        now = time.monotonic()
        if not at_once and now - self._written < max(_INTERVAL, self._cost / _SHARE):
            return
        self._content["running"] = {"stage": number, "state": state.state(), "place": place}
        self.write(must=self._written == -np.inf)
        self._content["running"] = None

    def write(self, *, must=False):
        """Write the file; later attempts that fail are a warning, and training continues."""
        if not ranks.is_first():
            return
        start = time.monotonic()
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            arrays = {}
            plain = to_plain(_as_arrays(self._content), "", arrays)
            write_content(self.path, _KIND, plain, arrays)
        except OSError as error:
            if must:
                raise
            if not self._is_told:
                warn_caller(f"the checkpoint was not written: {error}; training continues")
                self._is_told = True
        self._written = time.monotonic()
        self._cost = self._written - start

    def _is_running(self, number):
        running = self._content["running"]
        return running is not None and running["stage"] == number

    def _load(self, load, state):
        """Load a state; networks of the user may be others than in the file."""
        try:
            load(state)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(
                f"checkpoint {self.path} is that of another fit: "
                f"{_told([f'the networks differ ({error})'])}"
            ) from error


class StageKeeper:
    """Saves the state of one stage in training, see :func:`skwing._training.loop.train`."""

    def __init__(self, checkpoint, number):
        self._checkpoint, self._number = checkpoint, number
        self._first = self._taken = None

    def placed(self, batches, draws, generator):
        """Batches from the saved place on, each with the place after it, for :meth:`taken`."""
        if (place := self._checkpoint.place(self._number)) is not None:
            go_to(place, draws, generator)
        self._first = place_of(draws, generator)
        return with_places(batches, draws, generator)

    def taken(self, pairs):
        """Batches whose place is saved with the state."""
        self._taken = Taken(pairs, self._first)
        return self._taken

    def begin(self, state):
        """Continue from a saved state, if there is one."""
        self._checkpoint.begin(self._number, state, self._taken.place)

    def keep(self, state):
        """Save the state, if the last write is long enough ago."""
        self._checkpoint.keep(self._number, state, self._taken.place)


def _told(others):
    return f"{'; '.join(others)}. To use the checkpoint, {_INSTEAD}"


def _as_arrays(value):
    """Replace the tensors in nested lists and dicts by arrays, which share memory."""
    return _replaced(value, torch.Tensor, as_array)


def _as_tensors(value):
    """Replace the arrays in nested lists and dicts by tensors."""
    return _replaced(value, np.ndarray, as_tensor)


def _replaced(value, kind, function):
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {key: _replaced(item, kind, function) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, kind, function) for item in value]
    return value
