"""The one place that imports OpenCV: ``from skwing._utils.opencv import cv2``."""

__all__ = ["cv2"]


def _advice(error):
    """Say what to install, from what `import cv2` complained about."""
    found = f"skwing reads and warps images with OpenCV, but `import cv2` failed: {error}."
    if isinstance(error, ModuleNotFoundError) and error.name in ("cv2", None):
        return f"{found} Install `opencv-python`, or `opencv-python-headless`: both serve."
    return (
        f"{found} `opencv-python` needs system libraries for its windows: on Debian and Ubuntu "
        "`apt-get install libgl1 libglib2.0-0`. skwing opens no windows, so "
        "`pip uninstall opencv-python` and `pip install opencv-python-headless` serves too "
        "and needs none of them."
    )


try:
    import cv2
except ImportError as error:
    raise ImportError(_advice(error), name="cv2") from error
