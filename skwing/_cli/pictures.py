"""Pictures of the commands, written without opening a window."""

import io
from pathlib import Path

from skwing._cli.words import say
from skwing._utils.files import write_bytes
from skwing._utils.optional import import_optional


def displays():
    """Import :mod:`skwing.display` with a matplotlib backend that opens no window."""
    import_optional("matplotlib", "a picture", "plot").use("Agg")
    from skwing import display

    return display


def check_picture(path):
    """Check that pictures can be written in the format of the suffix.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the suffix is unknown.
    """
    displays()
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    suffix = Path(path).suffix
    if suffix[1:].lower() not in formats:
        raise ValueError(
            f"{path}: pictures cannot be written as {suffix!r}; expected one of "
            f"{', '.join(formats)}"
        )


def draw_landmarks(path, data, y_true=None, y_pred=None, *, rows=None, n_most=12, **options):
    """Draw some samples; their numbers in the picture are their rows in the data.

    Parameters
    ----------
    path : str
    data : BoxedImages
    y_true, y_pred : ndarray of shape (n_samples, n_landmarks, 2), default=None
    rows : ndarray of int, default=None
        Samples that can be drawn, in order; None selects all, those with the largest errors
        first.
    n_most : int, default=12
        Maximum number of samples.
    **options : dict
        Passed to :meth:`skwing.display.LandmarkDisplay.from_predictions`.
    """
    n_all = len(data) if rows is None else len(rows)
    by_error = y_true is not None and y_pred is not None
    drawn = displays().LandmarkDisplay.from_predictions(
        data,
        y_true,
        y_pred,
        n_images=n_most,
        order=None if rows is None else rows[:n_most],
        **options,
    )
    part = f"the first {n_most}"
    if by_error:
        part = f"the {n_most} with the largest errors"
    elif options.get("confidence") is not None:
        part = f"the {n_most} least sure"
    save(drawn, path, f" ({part} of {n_all})" if n_all > n_most else "")


def save(display, path, what=""):
    """Save the figure of a display; the suffix determines the format."""
    suffix, picture = Path(path).suffix, io.BytesIO()
    display.figure_.canvas.print_figure(picture, dpi=150, format=suffix[1:].lower())
    write_bytes(path, picture.getvalue())
    say(f"picture: {path}{what}")
