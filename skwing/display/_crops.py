"""CropDisplay: crops that a network is trained on, with their landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._training.preview import training_crops
from skwing._utils.checks import count
from skwing.display._figures import draw_shape, grid_axes, import_pyplot
from skwing.display._inputs import find_fitted
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Floats, Predictor
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

_BATCH = 32  # samples in the batch; augmentation uses other samples of the batch
_COLOUR = "#F0E442"


class CropDisplay:
    """Crops that a network is trained on, without and with augmentation.

    Each row is a sample. The first column is its crop without augmentation, the others are
    random augmentations, as in training. The dots are the landmarks that the network learns.
    It is recommended to create a display by :meth:`from_estimator`.

    Parameters
    ----------
    crops : ndarray of uint8 of shape (n_samples, 1 + n_variants, size, size, 3)
        The crops, in the size of the network's input.
    points : ndarray of shape (n_samples, 1 + n_variants, n_landmarks, 2)
        Landmarks in pixels of the crops; NaN = missing.
    stage : int, default=1
        Number of the stage.
    schema : LandmarkSchema or None, default=None
        Schema that defines the contours.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_samples, 1 + n_variants)
        Panels of the crops.
    ax_ : matplotlib Axes
        Empty frame around the panels.
    figure_ : matplotlib Figure

    See Also
    --------
    skwing.Augmentation : Its parameters set the strength of the augmentation.

    Examples
    --------
    >>> from skwing import Augmentation, CascadeLandmarkRegressor
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import CropDisplay
    >>> X, y = make_faces(8, random_state=0, return_X_y=True)
    >>> reg = CascadeLandmarkRegressor(augmentation=Augmentation(rotation=40), random_state=0)
    >>> display = CropDisplay.from_estimator(reg, X, y, n_images=2, n_variants=4)
    >>> display.crops.shape
    (2, 5, 64, 64, 3)
    """

    axes_: NDArray[np.object_]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        crops: NDArray[np.uint8],
        points: Floats,
        stage: int = 1,
        schema: LandmarkSchema | None = None,
    ) -> None:
        self.crops = crops
        self.points = points
        self.stage = stage
        self.schema = schema

    def plot(
        self,
        ax: Axes | None = None,
        *,
        contours: bool = False,
        size: float = 2.2,
        width: float = 0.8,
    ) -> Self:
        """Plot a row of crops for each sample.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        contours : bool, default=False
            Whether to draw the contours of the schema.
        size, width : float, default=2.2, 0.8
            Size of dots and width of lines, in typographic points.

        Returns
        -------
        display : CropDisplay
        """
        rows, columns, side = self.crops.shape[:3]
        ax, spec = grid_axes(type(self), ax, (1.6 * columns, 1.6 * rows + 0.5))
        schema = self.schema if contours else None
        panels = spec.subgridspec(rows, columns)
        self.axes_ = np.empty((rows, columns), dtype=object)
        for row, column in np.ndindex(rows, columns):
            panel: Any = ax.figure.add_subplot(panels[row, column])
            panel.imshow(self.crops[row, column])
            style = {"color": _COLOUR, "size": size, "width": width}
            draw_shape(panel, self.points[row, column], schema, **style, outline=True)  # type: ignore[arg-type]
            panel.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5), xticks=[], yticks=[])
            self.axes_[row, column] = panel
        self.axes_[0, 0].set_title("not augmented", fontsize="small")
        if columns > 1:
            title = f"augmented crops of stage {self.stage}"
            self.axes_[0, 1].set_title(title, fontsize="small", loc="left")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ImagesLike,
        y: ArrayLike,
        *,
        stage: int = 1,
        n_images: int = 4,
        n_variants: int = 5,
        ax: Axes | None = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Create a display of the training crops of a stage.

        Parameters
        ----------
        estimator : CascadeLandmarkRegressor, or pipeline or search with one
            Must be fitted for stages after the first, whose crops are placed by the
            predictions of earlier stages. Its `random_state` determines the crops.
        X : BoxedImages, array, sequence or DataFrame of n_samples images
            The first `n_images` are shown. Up to 32 are read, because some augmentations
            combine several samples.
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.
        stage : int, default=1
            Number of the stage, counted from 1.
        n_images : int, default=4
            Maximum number of samples.
        n_variants : int, default=5
            Number of augmented crops of each sample.
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **plot_kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : CropDisplay

        Raises
        ------
        NotFittedError
            If `stage` is above 1 and the estimator is not fitted.
        ValueError, TypeError
            If a parameter is out of range, or as for `fit`.
        """
        import_pyplot(cls)
        n_images = count().check(n_images, "n_images")
        n_variants = count(0).check(n_variants, "n_variants")
        regressor = find_fitted(estimator, "augmentation", "a CascadeLandmarkRegressor")
        images = as_boxed_images(X)
        n = max(n_images, _BATCH)
        crops, points, schema = training_crops(
            regressor, images[:n], np.asarray(y)[:n], stage, n_variants
        )
        display = cls(crops=crops[:n_images], points=points[:n_images], stage=stage, schema=schema)
        return display.plot(ax, **plot_kwargs)
