"""Messages of the command line: counts, names of files and notes."""

import os
import sys

_N_NAMED = 10


def say(text):
    """Print a message to stderr."""
    print(text, file=sys.stderr)


def count(n, noun):
    """Number with its noun.

    Examples
    --------
    >>> from skwing._cli.words import count
    >>> count(1, "face"), count(25, "faces"), count(2, "box")
    ('1 face', '25 faces', '2 boxes')
    """
    single = noun.removesuffix("s")
    plural = f"{single}es" if single.endswith("x") else f"{single}s"
    return f"{n} {single if n == 1 else plural}"


def named(paths):
    """Names of the first files, each once, and the number of further ones.

    Examples
    --------
    >>> from skwing._cli.words import named
    >>> named(["in/a.jpg", "in/b.jpg", "in/a.jpg"])
    'a.jpg, b.jpg'
    """
    names = list(dict.fromkeys(os.path.basename(path) for path in paths))
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    return ", ".join(names[:_N_NAMED]) + more
