"""Import of OpenCV with helpful errors: ``from skwing._utils.opencv import cv2``."""

__all__ = ["cv2"]


def _advice(error):
    """Installation advice for an error of `import cv2`."""
    found = f"skwing requires OpenCV, but `import cv2` failed: {error}."
    if isinstance(error, ModuleNotFoundError) and error.name in ("cv2", None):
        return f"{found} Install `opencv-python` or `opencv-python-headless`."
    return (
        f"{found} `opencv-python` needs system libraries for its windows: on Debian and Ubuntu "
        "`apt-get install libgl1 libglib2.0-0`. Alternatively, `pip uninstall opencv-python` and "
        "`pip install opencv-python-headless`, which does not need them; skwing opens no windows."
    )


try:
    import cv2
except ImportError as error:
    raise ImportError(_advice(error), name="cv2") from error
