"""Common format of the pickles of estimators: versions, parameters, and fitted state as data.

Pickles do not refer to private classes or modules, so that they can be loaded after private code
has moved.
"""

import inspect

from skwing._utils.version import __version__

# Format number of pickles. Later versions read earlier formats. The number must be increased if
# earlier versions would misinterpret the new format.
FORMAT = 1


def pack(estimator, state, own, fitted):
    """Create the state of an estimator for pickling.

    Parameters
    ----------
    estimator : BaseEstimator
    state : dict
        All attributes, from scikit-learn's `__getstate__`.
    own : collection of str
        Names of the attributes that `fitted` represents.
    fitted : dict or None
        Fitted state: numbers, strings, lists, dicts, arrays and public objects.

    Returns
    -------
    packed : dict
        Further attributes of the estimator, such as scikit-learn's metadata requests, are
        stored under "other".
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
    """Set the parameters and other attributes from the result of :func:`pack`.

    Missing parameters, which were added later, are set to their defaults.

    Returns
    -------
    fitted : dict or None
        Fitted state, to be set by the estimator.

    Raises
    ------
    ValueError
        If the format is newer, a key is missing, or a parameter is unknown. The message
        names the version that wrote the pickle.
    """
    what = f"this {type(estimator).__name__}"
    version = check_format(packed.get("format"), packed.get("skwing"), what)
    what = written_by(estimator, version)
    check_keys(packed, ("format", "skwing", "params", "fitted", "other"), what)
    set_params_of(estimator, packed["params"], what)
    vars(estimator).update(packed["other"])
    return packed["fitted"]


def packed_of_first_pickles(state, own):
    """Convert the state in a pickle of skwing 0.6 or before to the present format.

    Those pickles contain all attributes unchanged. The result is like that of :func:`pack`.

    Parameters
    ----------
    state : dict
    own : collection of str
        Fitted attributes.

    Returns
    -------
    packed : dict
        The item "fitted" has the fitted attributes by their names without the trailing
        underscore, or is None if there are none.
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
    """Description of an estimator for error messages."""
    return f"this {type(estimator).__name__}, written by skwing {version},"


def set_params_of(estimator, params, what):
    """Set all parameters of an estimator; those that are not in `params` get defaults.

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


def check_format(number, version, what, newest=FORMAT):
    """Validate the format number, and return the version that wrote the object.

    Raises
    ------
    ValueError
        If the format is newer, or not a number.
    """
    version = version if isinstance(version, str) else "of an unknown version"
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{what} has format {number!r:.40}, expected a number from 1")
    if number > newest:
        raise ValueError(
            f"{what} was written by skwing {version} in format {number}, but skwing {__version__} "
            f"reads formats up to {newest}: load it with skwing {version} or a later one"
        )
    return version


def check_keys(found, expected, what):
    """Check that a dict has exactly the expected keys.

    Raises
    ------
    ValueError
        If a key is missing or unknown; the message names the first one.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{what} is {found!r:.60}, expected a dict")
    if missing := [key for key in expected if key not in found]:
        raise ValueError(f"{what} lacks {missing[0]!r}")
    if unknown := [key for key in found if key not in expected]:
        raise ValueError(f"{what} has an unknown part {unknown[0]!r:.60}")
