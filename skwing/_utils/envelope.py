"""What the pickle of every estimator holds: versions, parameters, and what was fitted, as data.

No private class or module stands in it, so that the code may move while old pickles load.
"""

import inspect

from skwing._utils.version import __version__

__all__ = [
    "FORMAT",
    "check_format",
    "check_keys",
    "pack",
    "packed_of_first_pickles",
    "set_params_of",
    "unpack",
    "written_by",
]

# Of pickles and files alike. A later version reads earlier formats; it raises this number
# where an earlier version would take what is written for something else.
FORMAT = 1


def pack(estimator, state, own, fitted):
    """State of an estimator for a pickle.

    Parameters
    ----------
    estimator : BaseEstimator
    state : dict
        All its attributes, as scikit-learn's `__getstate__` gives them.
    own : collection of str
        Attributes that `fitted` stands for.
    fitted : dict or None
        What was fitted: numbers, texts, lists, dicts, arrays and public objects.

    Returns
    -------
    packed : dict
        With what others have set on the estimator, such as scikit-learn's metadata
        requests, under "other".
    """
    params = estimator.get_params(deep=False)
    other = {k: v for k, v in state.items() if k not in params and k not in own}
    return {
        "format": FORMAT,
        "skwing": __version__,
        "params": params,
        "fitted": fitted,
        "other": other,
    }


def unpack(estimator, packed):
    """Set the parameters and other attributes that :func:`pack` kept.

    A parameter that was not there yet gets its default.

    Returns
    -------
    fitted : dict or None
        For the estimator to take up.

    Raises
    ------
    ValueError
        If it is of a newer format or incomplete, or a parameter is unknown; names the
        version that wrote it.
    """
    what = f"this {type(estimator).__name__}"
    version = check_format(packed.get("format"), packed.get("skwing"), what)
    what = written_by(estimator, version)
    check_keys(packed, ("format", "skwing", "params", "fitted", "other"), what)
    set_params_of(estimator, packed["params"], what)
    vars(estimator).update(packed["other"])
    return packed["fitted"]


def packed_of_first_pickles(state, own):
    """What :func:`pack` would have made, from a pickle of skwing 0.6 or before.

    Those held all attributes as they were.

    Parameters
    ----------
    state : dict
    own : collection of str
        Fitted attributes.

    Returns
    -------
    packed : dict
        With the fitted attributes themselves, without the underscores at their ends; None
        if there are none.
    """
    fitted = {key.rstrip("_"): value for key, value in state.items() if key in own}
    other = {k: v for k, v in state.items() if k.startswith("_") or k.endswith("_")}
    return {
        "format": FORMAT,
        "skwing": "0.6 or before",
        "params": {k: v for k, v in state.items() if k not in own and k not in other},
        "fitted": fitted or None,
        "other": {k: v for k, v in other.items() if k not in own},
    }


def written_by(estimator, version):
    """Words for an estimator in errors."""
    return f"this {type(estimator).__name__}, written by skwing {version},"


def set_params_of(estimator, params, what):
    """Set all parameters of an estimator, by default those that are not in `params`.

    Raises
    ------
    ValueError
        If a parameter is unknown.
    """
    defaults = inspect.signature(type(estimator).__init__).parameters
    names = type(estimator)._get_param_names()
    if not isinstance(params, dict):
        raise ValueError(f"{what} has parameters {params!r:.60}, expected a dict")
    if unknown := sorted(params.keys() - set(names)):
        raise ValueError(
            f"{what} has a parameter {unknown[0]!r:.40}, which skwing {__version__} does not know: "
            "load it with the version that wrote it"
        )
    for name in names:
        setattr(estimator, name, params.get(name, defaults[name].default))


def check_format(number, version, what):
    """Version that wrote a thing, where its format is known here.

    Raises
    ------
    ValueError
        If the format is newer, or no number.
    """
    version = version if isinstance(version, str) else "of an unknown version"
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{what} has format {number!r:.40}, expected a number from 1")
    if number > FORMAT:
        raise ValueError(
            f"{what} was written by skwing {version} in format {number}, but skwing {__version__} "
            f"reads formats up to {FORMAT}: load it with skwing {version} or a later one"
        )
    return version


def check_keys(found, expected, what):
    """Check that a dict has these keys and no others.

    Raises
    ------
    ValueError
        Names the first key that is missing or unknown.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{what} is {found!r:.60}, expected a dict")
    if missing := [key for key in expected if key not in found]:
        raise ValueError(f"{what} lacks {missing[0]!r}")
    if unknown := [key for key in found if key not in expected]:
        raise ValueError(f"{what} has an unknown part {unknown[0]!r:.60}")
