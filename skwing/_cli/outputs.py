"""Checks of the files to write, before the work."""

import os
import tempfile
from pathlib import Path

import numpy as np

from skwing._cli.formats import FORMATS, find_format, write_landmarks
from skwing._cli.pictures import check_picture
from skwing._utils.files import check_target


def check_outputs(outputs, inputs, pictures=None):
    """Check that files can be written, and are neither input nor another output.

    Parameters
    ----------
    outputs, pictures : dict of str to (str or None)
        Paths by the names of their arguments; those that are None are not written.
    inputs : list of (str, str or None)
        Names and paths of what is read.

    Raises
    ------
    ValueError, OSError, ImportError
        If a file cannot be written, is an input or occurs twice, or the suffix of a picture
        is unknown.
    """
    seen = {os.path.realpath(path): name for name, path in inputs if path is not None}
    pictures = {} if pictures is None else pictures
    for name, path in (outputs | pictures).items():
        if path is None:
            continue
        if other := seen.get(os.path.realpath(path)):
            raise ValueError(f"{path} is both {other} and {name}; expected two different files")
        seen[os.path.realpath(path)] = name
        check_target(path)
        if name in pictures:
            check_picture(path)


def check_writing(path, name, writing):
    """Find the format of landmarks to write, and check that it suits the options.

    Parameters
    ----------
    path : str
    name : str or None
        A key of `FORMATS`; None infers the format.
    writing : Writing

    Returns
    -------
    form : Format

    Raises
    ------
    ValueError
        If the suffix is unknown, an option is for another format, or a folder is a file.
    """
    form = find_format(path, name)
    if writing.whole_pixels and form is not FORMATS["dlib"]:
        raise ValueError(f"--whole-pixels is for dlib's files; {path} is another format")
    if form.suffix:
        return form
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is a file, expected the name of a folder for the .pts files")
    above = next(p for p in (Path(path).absolute(), *Path(path).absolute().parents) if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {above} may not be written, so {path} cannot be")
    return form


def check_samples(path, data, n_landmarks, further, name, writing):
    """Check that the landmarks of samples can be written, by a trial in another folder.

    Parameters
    ----------
    path : str
    data : BoxedImages
    n_landmarks : int
    further : Further
    name : str or None
    writing : Writing

    Raises
    ------
    ValueError, OSError
        If a name or a path cannot be written, images have the same name, or files of a
        folder exist.
    """
    unknown = np.full((len(data), n_landmarks, 2), np.nan)
    further = further.for_other_landmarks()
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, Path(path).name)
        write_landmarks(trial, data, unknown, further, name, writing)
        files = [file.relative_to(trial) for file in trial.rglob("*.pts")]
    present = [file for file in sorted(files) if os.path.lexists(Path(path, file))]
    if present and not writing.overwrite:
        raise FileExistsError(
            f"{len(present)} of {len(files)} files are there already, the first is "
            f"{Path(path, present[0])}; --overwrite replaces them"
        )
