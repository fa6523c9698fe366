"""What processes agree on before they train together, and the checkpoint of a fit."""

from skwing._training.checkpoint import find_checkpoint, new_seed
from skwing._training.identity import differences, identity_of
from skwing._utils import ranks


def agree(given, device, before, train, held_out):
    """Check that all processes train the same, choose their seed and find their checkpoint.

    The parameters, `given`, are changed: a `random_state` of None is replaced if it must be known
    in several processes or to a checkpoint.

    Raises
    ------
    ValueError
        If parameters or data differ between processes, or the checkpoint is that of another fit.
    """
    several, checkpoint = ranks.n_processes() > 1, None
    if not several and given.checkpoint is None:
        return None
    identity = identity_of(given, before, train, held_out)
    if several:
        used = {name: getattr(given, name) is not None for name in ("cache", "checkpoint")}
        further = {name: str(value) for name, value in {"device": device.type, **used}.items()}
        check_same(identity | {name: [value, value] for name, value in further.items()})
    if given.checkpoint is not None:
        checkpoint = find_checkpoint(given.checkpoint, identity)
    if given.random_state is None:
        given.random_state = ranks.from_first(new_seed if checkpoint is None else checkpoint.seed)
    return checkpoint


def check_parts(batch_size):
    """Check, in all processes that train together, that each has a part of each batch."""
    if batch_size < ranks.n_processes():
        raise ValueError(
            f"a batch of {batch_size} samples is divided among {ranks.n_processes()} processes: "
            "expected at least one sample for each"
        )


def check_same(identity):
    """Check, in all processes that train together, that an identity is the same."""
    first, *others = ranks.gathered(identity)
    for number, other in enumerate(others, start=1):
        if texts := differences(first, other, ("in process 0 is", f"in process {number} is")):
            raise ValueError(
                "processes that train together need the same parameters and data: "
                f"{'; '.join(texts)}"
            )
