"""Local random generators, independent of the global generators of torch and numpy.

Layers of torch draw from its global generators, which are shared by all threads. Networks that
are built and run inside of :func:`drawing` use generators of that context instead. These are
local to the thread, so that concurrent fits give the same results as separate ones.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import sklearn.utils
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode

from skwing._utils.checks import Seed
from skwing._utils.modules import modules_of
from skwing._utils.parts import current_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_DRAWS = ContextVar("_DRAWS", default=None)

# Layers without random numbers. Layers of this package use `generator_on`.
_CALM = {
    nn.AvgPool2d,
    nn.BatchNorm2d,
    nn.Conv2d,
    nn.Flatten,
    nn.Identity,
    nn.Linear,
    nn.MaxPool2d,
    nn.ModuleList,
    nn.ReLU,
    nn.Sequential,
}
_OWN_ROOM = "skwing.networks."


def check_random_state(random_state: object) -> np.random.RandomState:
    """Return the generator for a parameter `random_state`.

    Parameters
    ----------
    random_state : int, RandomState or None
        None takes a seed from the operating system, not from numpy's global generator.

    Returns
    -------
    rng : numpy.random.RandomState

    Raises
    ------
    ValueError
        If `random_state` has another type, or is an integer out of range.

    Examples
    --------
    >>> from skwing._utils.random import check_random_state
    >>> check_random_state(0).randint(100)
    44
    """
    if random_state is None:
        return np.random.RandomState(np.random.MT19937(np.random.SeedSequence()))
    return sklearn.utils.check_random_state(Seed().check(random_state, "random_state"))


class Draws:
    """Generators with the same seed for all devices, created on first use."""

    def __init__(self, seed):
        self.seed = seed
        self._generators = {}
        self._drawn_by = {}

    def on(self, device):
        """Generator for tensors on a device.

        The generator of a GPU draws on the device, without synchronisation. If a CUDA graph
        captures its draws, it must be registered by ``CUDAGraph.register_generator_state``.
        """
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:  # the same as its number
            device = torch.device("cuda", torch.cuda.current_device())
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    def of_part(self, device):
        """Generator for layers that cannot draw the numbers of a whole batch.

        On a part of a batch, it is a new one for each draw, and another for each part.
        """
        part = current_part()
        if part is None:
            return self.on(device)
        seed = int(torch.randint(2**62, (), generator=self.on("cpu")))
        return torch.Generator(device).manual_seed(seed + part.first)

    def draws_by_itself(self, network):
        """Whether a network uses these generators itself or draws no random numbers.

        The result is cached, so the network must not be modified while they are in use.
        """
        if id(network) not in self._drawn_by:
            calm = draws_by_itself(network)
            self._drawn_by[id(network)] = network, calm  # the reference keeps its id valid
        return self._drawn_by[id(network)][1]


def draws_by_itself(network: nn.Module) -> bool:
    """Whether a network uses the generators of :func:`drawing` itself, or draws no numbers."""
    return all(map(_is_calm, modules_of(network)))


def _is_calm(module):
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    return type(module) in _CALM or f"{type(module).__module__}.".startswith(_OWN_ROOM)


@contextlib.contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Context manager with generators of a seed for networks, local to the thread.

    Parameters
    ----------
    seed : int
        Seed of the generators. The numbers on a GPU differ from those on the CPU.

    Examples
    --------
    >>> import torch
    >>> from skwing._utils.random import drawing, redirected
    >>> with drawing(0), redirected():
    ...     first = torch.nn.Linear(3, 2)
    >>> with drawing(0), redirected():
    ...     second = torch.nn.Linear(3, 2)
    >>> torch.equal(first.weight, second.weight)
    True
    """
    with drawing_from(Draws(seed)):
        yield


@contextlib.contextmanager
def drawing_from(draws: Draws | None) -> Iterator[None]:
    """Context manager with given generators for networks, local to the thread."""
    token = _DRAWS.set(draws)
    try:
        yield
    finally:
        _DRAWS.reset(token)


def current_draws() -> Draws | None:
    """Current generators; None outside of `drawing`."""
    return _DRAWS.get()


def alike(n: int) -> list[Draws]:
    """Copies of the current generators, which draw the same numbers as these."""
    draws = _DRAWS.get()
    copies = [Draws(0 if draws is None else draws.seed) for _ in range(n)]
    for copy in copies:
        for device, own in {} if draws is None else draws._generators.items():
            copy.on(device).set_state(own.get_state())
    return copies


def generator_on(device: torch.device) -> torch.Generator | None:
    """Current generator for a device; None (the global generator) outside of `drawing`."""
    draws = _DRAWS.get()
    return None if draws is None else draws.on(device)


def draws_state() -> dict[str, torch.Tensor]:
    """States of the current generators, by the name of their device."""
    draws = _DRAWS.get()
    if draws is None:
        return {}
    return {str(device): own.get_state() for device, own in draws._generators.items()}


def load_draws(states: dict[str, torch.Tensor]) -> None:
    """Set the current generators to the result of :func:`draws_state`.

    Generators of devices that this machine does not have are left out.
    """
    draws = _DRAWS.get()
    for name, state in states.items():
        if draws is not None and (name == "cpu" or torch.cuda.is_available()):
            draws.on(name).set_state(state)


def redirected() -> contextlib.AbstractContextManager[Any]:
    """Context manager in which all torch operations use the generators of :func:`drawing`.

    It costs some microseconds for each call of torch; layers that use `generator_on` are faster.
    """
    draws = _DRAWS.get()
    return contextlib.nullcontext() if draws is None else _Redirected(draws)


def run(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Run any network with the current generators."""
    draws = _DRAWS.get()
    if draws is None or draws.draws_by_itself(network):
        return network(images)
    with _Redirected(draws):
        return network(images)


class _Redirected(TorchDispatchMode):
    """Passes a generator to all operations that would use torch's global one."""

    def __init__(self, draws):
        super().__init__()
        self.draws = draws

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # otherwise the first draw imports the compiler, which takes seconds

    # Not the methods of the base class, which set flags that are global to the process; overlapping
    # blocks in several threads would leave them set.
    def __enter__(self):
        _push_mode(self)
        return self

    def __exit__(self, *error):
        _pop_mode()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in function.tags:
            return function(*args, **kwargs)
        given = dict(zip((a.name for a in function._schema.arguments), args, strict=False))
        given |= kwargs
        device = _device_of(given)
        chosen = given.get("generator") is not None
        # Attention is tagged as random, but is not without dropout.
        if device.type == "meta" or chosen or given.get("dropout_p") == 0:
            return function(*args, **kwargs)
        return _draw(function, given, self.draws.of_part(device))


def _device_of(given):
    """Device of an operation, from its arguments."""
    for value in given.values():
        for tensor in value if isinstance(value, list | tuple) else [value]:
            if isinstance(tensor, torch.Tensor):
                return torch.device(given.get("device") or tensor.device)
    return torch.device(given.get("device") or "cpu")


def _draw(function, given, generator):
    """Run a random operation with the given generator."""
    if function.overloadpacket is torch.ops.aten.native_dropout:  # dropout on a GPU
        return _native_dropout(given["input"], given["p"], given.get("train"), generator)
    variant = _with_generator(function)
    if variant is not None:
        return _call(variant, {**given, "generator": generator})
    # Other operations, such as attention with dropout on a GPU: seed the global generator
    # temporarily.
    device = generator.device
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        return _call(function, given)


def _call(function, given):
    """Call an operation with arguments by name, or by position if they have no keyword."""
    places, names = [], {}
    for argument in function._schema.arguments:
        if argument.name in given:
            if argument.kwarg_only:
                names[argument.name] = given[argument.name]
            else:
                places.append(given[argument.name])
        elif not argument.kwarg_only:
            places.append(argument.default_value)
    return function(*places, **names)


@cache
def _with_generator(function):
    """The operation, or its variant with a generator argument; None if there is none."""
    wanted = [a.name for a in function._schema.arguments]
    if "generator" in wanted:
        return function
    for name in function.overloadpacket.overloads():
        variant = getattr(function.overloadpacket, name)
        names = [a.name for a in variant._schema.arguments]
        if "generator" in names and [n for n in names if n != "generator"] == wanted:
            return variant
    return None


def _native_dropout(values, p, train, generator):
    if train is False or p == 0:
        return values.clone(), torch.ones_like(values, dtype=torch.bool)
    kept = torch.empty_like(values, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    return values * kept * (0.0 if p == 1 else 1 / (1 - p)), kept
