"""PoseHistogramDisplay: histogram of poses before and after balancing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.unwrap import schema_of
from skwing.display._figures import AFTER, BEFORE, GREY, draw_shape, grid_axes, import_pyplot
from skwing.display._inputs import coefficient_label, find_fitted
from skwing.display._thumbnails import make_thumbnail, show_thumbnail
from skwing.images import as_boxed_images
from skwing.schema import check_schema

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from skwing._utils.types import Flags, Floats, Ints
    from skwing.display._thumbnails import Thumbnail
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

_N_DEVIATIONS = 2


class PoseHistogramDisplay:
    """Histogram of poses before and after balancing, with samples and shape modes.

    Shape modes are shown at minus and plus two standard deviations of each coefficient, to
    check which component describes the pose. It is recommended to create a display by
    :meth:`from_estimator`.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    bin_counts, balanced_counts : ndarray of int of shape (n_bins,)
        Number of samples in each bin, without and with repeats.
    component : int
        Index of the component that is balanced.
    mode_shapes : ndarray of shape (n_components, 3, n_landmarks, 2)
        For each component, the shapes at minus two standard deviations, at the mean, and at
        plus two standard deviations.
    variance_ratios : ndarray of shape (n_components,)
        Fraction of the variance that each component explains.
    faces : list of n_bins lists of Thumbnail, default=None
        Samples of each bin.
    absolute : bool, default=True
        Whether the bins are of the absolute value of the coefficient.
    schema : LandmarkSchema, default=None
        Schema that defines the contours.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (1 + n_modes,)
        Panels of the histogram and the modes.
    face_axes_ : list of matplotlib Axes
        Panels of the samples below the bins.
    ax_ : matplotlib Axes
        Empty frame around the panels.
    figure_ : matplotlib Figure

    See Also
    --------
    skwing.PoseBalancer : Its fitted attributes are plotted.

    Examples
    --------
    >>> from skwing import PoseBalancer
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import PoseHistogramDisplay
    >>> X, y = make_faces(40, random_state=0, return_X_y=True)
    >>> balancer = PoseBalancer(n_bins=4).fit(X, y)
    >>> display = PoseHistogramDisplay.from_estimator(balancer, X)
    >>> display.bin_counts, display.balanced_counts
    (array([15, 10,  6,  9]), array([15, 20, 18, 18]))
    """

    axes_: NDArray[np.object_]
    face_axes_: list[Axes]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        bin_edges: Floats,
        bin_counts: Ints,
        balanced_counts: Ints,
        component: int,
        mode_shapes: Floats,
        variance_ratios: Floats,
        faces: list[list[Thumbnail]] | None = None,
        absolute: bool = True,
        schema: LandmarkSchema | None = None,
    ) -> None:
        self.bin_edges = bin_edges
        self.bin_counts = bin_counts
        self.balanced_counts = balanced_counts
        self.component = component
        self.mode_shapes = mode_shapes
        self.variance_ratios = variance_ratios
        self.faces = faces
        self.absolute = absolute
        self.schema = schema

    def plot(self, ax: Axes | None = None, *, n_modes: int = 4) -> Self:
        """Plot the histogram, samples below it, and the first modes below these.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        n_modes : int, default=4
            Number of modes to show. The balanced component is always included, unless the
            number is 0.

        Returns
        -------
        display : PoseHistogramDisplay
        """
        modes = self._modes_to_show(n_modes)
        n_rows = max(map(len, self.faces)) if self.faces is not None else 0
        heights = [3.2, *([0.95 * n_rows] if n_rows else []), *([1.6] if modes else [])]
        ax, spec = grid_axes(type(self), ax, (9.5, sum(heights) + 0.8))
        grid = spec.subgridspec(len(heights), 1, height_ratios=heights)
        histogram = ax.figure.add_subplot(grid[0])
        self._draw_bars(histogram)
        self.face_axes_ = []
        if n_rows:
            strip = ax.figure.add_subplot(grid[1], sharex=histogram)
            self._draw_faces(strip, n_rows)
        panels = [histogram]
        if modes:
            cells = grid[len(heights) - 1].subgridspec(1, len(modes))
            shown = self.mode_shapes[modes]
            step = 1.2 * np.nanmax(np.ptp(shown[..., 0], axis=-1))
            limits = 1.55 * step, np.nanmin(shown[..., 1]), np.nanmax(shown[..., 1])
            for cell, mode in zip(cells, modes, strict=True):
                panel = ax.figure.add_subplot(cell)
                self._draw_mode(panel, mode, step, *limits)
                panels.append(panel)
        self.axes_, self.ax_, self.figure_ = np.array(panels), ax, ax.figure
        return self

    def _modes_to_show(self, n_modes: int) -> list[int]:
        modes = list(range(min(n_modes, len(self.mode_shapes))))
        if modes and self.component not in modes:
            modes[-1] = self.component
        return modes

    def _draw_bars(self, ax: Any) -> None:
        edges, wide = self.bin_edges, np.diff(self.bin_edges)
        for counts, start, colour, label in (
            (self.bin_counts, 0.08, BEFORE, f"as they are ({self.bin_counts.sum()})"),
            (self.balanced_counts, 0.5, AFTER, f"balanced ({self.balanced_counts.sum()})"),
        ):
            bars = ax.bar(
                edges[:-1] + start * wide,
                counts,
                0.42 * wide,
                align="edge",
                color=colour,
                edgecolor="0.2",
                linewidth=0.5,
                label=label,
            )
            labels = [str(count) for count in counts]
            ax.bar_label(bars, labels, padding=2, fontsize="small", color=GREY)
        ax.set(
            xlim=(edges[0], edges[-1]),
            xlabel=coefficient_label(self.component, self.absolute),
            ylabel="Samples",
        )
        ax.set_xticks(edges, [f"{edge:.2f}" for edge in edges])
        ax.margins(y=0.12)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    def _draw_faces(self, strip: Any, n_rows: int) -> None:
        strip.set_axis_off()
        strip.set_ylim(0, n_rows)
        for faces, left, right in zip(
            self.faces or (), self.bin_edges[:-1], self.bin_edges[1:], strict=True
        ):
            for row, crop in enumerate(faces):
                place = (left, n_rows - 1 - row, right - left, 0.96)
                face = strip.inset_axes(place, transform=strip.transData)
                show_thumbnail(face, crop)
                self.face_axes_.append(face)

    def _draw_mode(
        self, ax: Any, mode: int, step: float, reach: float, low: float, high: float
    ) -> None:
        shapes = self.mode_shapes[mode]
        chosen = mode == self.component
        for i, shape in enumerate(shapes):
            colour = GREY if i == 1 else AFTER if chosen else BEFORE
            shift = np.array([(i - 1) * step, 0.0])
            draw_shape(ax, shape + shift, self.schema, color=colour, size=1.6, width=1.2)
            name = ("-2 sd", "mean", "+2 sd")[i].replace("-", "\N{MINUS SIGN}")
            ax.annotate(
                name,
                (shift[0], high),
                (0, -6),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize="small",
            )
        ax.set_aspect("equal")
        pad = 0.05 * (high - low)
        ax.set(xlim=(-reach, reach), ylim=(high + pad, low - pad))
        ax.set_axis_off()
        share = f"mode {mode}, {100 * self.variance_ratios[mode]:.1f} % of variance"
        ax.set_title(
            f"{share}\n" + ("balanced" if chosen else ""),
            fontsize="small",
            fontweight="bold" if chosen else "normal",
        )

    @classmethod
    def from_estimator(
        cls,
        balancer: Any,
        X: ImagesLike | None = None,
        *,
        n_faces: int = 1,
        margin: float = 0.1,
        schema: str | LandmarkSchema | None = None,
        ax: Axes | None = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Create a display from a fitted balancer.

        Parameters
        ----------
        balancer : fitted PoseBalancer or PoseResampler, or pipeline with one
        X : BoxedImages, array, sequence or DataFrame of n_samples images, default=None
            Images that the balancer was fitted to, to show samples below the bins; None shows
            none.
        n_faces : int, default=1
            Number of samples below each bin; those nearest to its centre are used.
        margin : float, default=0.1
            Margin around each box, as a fraction of its longer side.
        schema : str or LandmarkSchema, default=None
            Schema that defines the contours; None uses that of the balancer or of X.
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **plot_kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : PoseHistogramDisplay

        Raises
        ------
        NotFittedError
            If `balancer` is not fitted or contains no balancer.
        ValueError
            If X has another number of samples than the balancer was fitted to.
        """
        import_pyplot(cls)
        balancer = find_fitted(balancer, "bin_edges_", "a PoseBalancer")
        images = None if X is None else as_boxed_images(X)
        schema = schema_of(balancer, images, check_schema(schema))
        schema = check_schema(schema, len(balancer.mean_shape_))
        values = np.abs(balancer.poses_) if balancer.absolute else balancer.poses_
        edges = balancer.bin_edges_
        # As in the balancer, bins include both edges.
        inside = (values >= edges[:-1, None]) & (values <= edges[1:, None])
        display = cls(
            bin_edges=edges,
            bin_counts=balancer.bin_counts_,
            balanced_counts=inside @ balancer.repeats_,
            component=balancer.component_,
            mode_shapes=_mode_shapes(balancer),
            variance_ratios=balancer.explained_variance_ratio_,
            faces=_faces(images, values, edges, inside, n_faces, margin),
            absolute=bool(balancer.absolute),
            schema=schema,
        )
        return display.plot(ax, **plot_kwargs)


def _mode_shapes(balancer: Any) -> Floats:
    """Shapes at minus two, zero and plus two standard deviations of each component."""
    ratios, own = balancer.explained_variance_ratio_, balancer.component_
    poses = balancer.poses_[~np.isnan(balancer.poses_)]
    # All variances follow from the variance and the variance ratio of one component.
    total = poses.var(ddof=1) / ratios[own] if len(poses) > 1 and ratios[own] > 0 else 0.0
    deviations = np.sqrt(total * ratios[: len(balancer.components_)])
    steps = _N_DEVIATIONS * deviations[:, None] * np.array([-1.0, 0.0, 1.0])
    return balancer.mean_shape_ + steps[..., None, None] * balancer.components_[:, None]


def _faces(
    images: BoxedImages | None,
    values: Floats,
    edges: Floats,
    inside: Flags,
    n_faces: int,
    margin: float,
) -> list[list[Thumbnail]] | None:
    """Thumbnails of the samples nearest to the centre of each bin."""
    if images is None or n_faces < 1 or not inside.any():
        return None
    if len(images) != len(values):
        raise ValueError(
            f"X has {len(images)} samples, the balancer was fitted to {len(values)}: pass the "
            "images that it was fitted to."
        )
    faces = []
    for own, low, high in zip(inside, edges[:-1], edges[1:], strict=True):
        rows = np.flatnonzero(own)
        nearest = rows[np.argsort(np.abs(values[rows] - (low + high) / 2), kind="stable")]
        faces.append([make_thumbnail(images, i, margin=margin) for i in nearest[:n_faces]])
    return faces
