"""LossDisplay: value, gradient and optimal step of losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from skwing._utils.checks import per_stage
from skwing.display._figures import (
    aliases_resolved,
    curve_style,
    grid_axes,
    import_pyplot,
    legend_above,
)
from skwing.display._inputs import find_fitted
from skwing.losses import LOSSES, bind_loss

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self, TypeAlias

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from skwing._utils.types import Floats, Predictor
    from skwing.losses import Loss

    Losses: TypeAlias = str | Loss | Iterable[str | Loss] | Mapping[str, str | Loss]

_PANELS = {
    "values": "Loss f(x)",
    "gradients": "Gradient |f'(x)|",
    "steps": "Optimal step |x| / |f'(x)|",
}
_N_POINTS = 601


class LossDisplay:
    """Value, gradient and optimal step of losses over the error of a coordinate.

    The optimal step, ``|x| / |f'(x)|``, is the learning rate that reduces the error to 0 in
    one step of gradient descent. For L2 it is constant, but large errors have the largest
    gradients and dominate. For L1 the gradient is constant, but large errors require larger
    steps. For the logarithmic part of the Wing loss, small errors have larger gradients than
    large errors. It is recommended to create a display by :meth:`from_losses` or
    :meth:`from_estimator`.

    Parameters
    ----------
    errors : ndarray of shape (n_points,)
        Absolute errors x, in pixels of the network's input.
    values, gradients, steps : dict of str to ndarray of shape (n_points,)
        Curves by the name of the loss. Steps are NaN where the gradient is 0.
    labels : dict of str to str, default=None
        Labels of losses in the legend, if different from their names.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (3,)
        Panels of value, gradient and step.
    ax_ : matplotlib Axes
        Empty frame around the panels.
    figure_ : matplotlib Figure

    Notes
    -----
    Feng et al. (2018), section 4, motivate the Wing loss by this analysis of single
    coordinates. The optimal step is not the Newton step ``f' / f''``, which is undefined in
    the linear parts of a loss.

    Examples
    --------
    >>> from skwing.display import LossDisplay
    >>> display = LossDisplay.from_losses(["l1", "l2", "wing"], max_error=8, n_points=5)
    >>> display.errors
    array([0., 2., 4., 6., 8.])
    >>> display.gradients["wing"].round(3)
    array([0.   , 2.5  , 1.667, 1.25 , 1.   ])
    >>> display.steps["l2"], display.steps["l1"]
    (array([nan,  1.,  1.,  1.,  1.]), array([nan,  2.,  4.,  6.,  8.]))
    """

    axes_: NDArray[np.object_]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        errors: Floats,
        values: dict[str, Floats],
        gradients: dict[str, Floats],
        steps: dict[str, Floats],
        labels: dict[str, str] | None = None,
    ) -> None:
        self.errors = errors
        self.values = values
        self.gradients = gradients
        self.steps = steps
        self.labels = labels

    def plot(self, ax: Axes | None = None, **line_kwargs: Any) -> Self:
        """Plot three panels side by side.

        A curve that is much higher than all others is clipped.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : LossDisplay
        """
        ax, spec = grid_axes(type(self), ax, figsize=(11, 3.8))
        labels = {name: (self.labels or {}).get(name, name) for name in self.values}
        styles = {
            name: _style(number, label, line_kwargs)
            for number, (name, label) in enumerate(labels.items())
        }
        handles = [_proxy(style) for style in styles.values()]
        columns = min(len(labels), 4)
        below = legend_above(
            ax, spec, handles, list(labels.values()), 10 / -(-len(labels) // 4), ncols=columns
        )
        grid = below.subgridspec(1, len(_PANELS))
        panels = []
        for cell, (quantity, title) in zip(grid, _PANELS.items(), strict=True):
            panel = ax.figure.add_subplot(cell)
            curves = getattr(self, quantity)
            if quantity == "gradients":  # undefined at the kink, where autograd returns 0
                curves = {k: np.where(self.errors > 0, v, np.nan) for k, v in curves.items()}
            for name, values in curves.items():
                panel.plot(self.errors, values, **styles[name])
            panel.set_title(title, fontsize="medium")
            panel.set(
                xlabel="Error |x| (input pixels)",
                xlim=(0, self.errors[-1]),
                ylim=(0, _top(curves.values())),
            )
            panel.grid(True, color="0.9")
            panels.append(panel)
        self.axes_, self.ax_, self.figure_ = np.array(panels), ax, ax.figure
        return self

    @classmethod
    def from_losses(
        cls,
        losses: Losses = ("wing", "l2", "l1", "smooth_l1"),
        *,
        w: float = 10.0,
        epsilon: float = 2.0,
        max_error: float | None = None,
        n_points: int = _N_POINTS,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display of losses.

        Parameters
        ----------
        losses : str, sequence of str, or mapping of str to callable, \
                default=("wing", "l2", "l1", "smooth_l1")
            Names in :data:`skwing.losses.LOSSES`, or a mapping from labels to functions of a
            tensor of residuals, such as several `functools.partial` of one loss.
        w, epsilon : float, default=10.0, 2.0
            Parameters of the Wing losses, in pixels of the network's input.
        max_error : float, default=None
            Upper limit of the error, in pixels; None uses 1.5 times `w`.
        n_points : int, default=601
            Number of errors at which the losses are evaluated.
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : LossDisplay

        Raises
        ------
        ValueError, TypeError
            If a loss is unknown or its parameters are out of range.
        """
        import_pyplot(cls)
        losses = _by_name(losses)
        bound = {name: bind_loss(loss, w, epsilon) for name, loss in losses.items()}
        labels = {name: _title(loss, w, epsilon, name) for name, loss in losses.items()}
        max_error = 1.5 * w if max_error is None else max_error
        return cls._from_bound(bound, labels, max_error, n_points, ax, line_kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        *,
        baselines: Iterable[str] = ("l2", "l1"),
        max_error: float | None = None,
        n_points: int = _N_POINTS,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display of the loss of a regressor, compared with other losses.

        Parameters
        ----------
        estimator : CascadeLandmarkRegressor, or pipeline or search with one
            Need not be fitted. Its loss is plotted for each pair of `w` and `epsilon` of its
            stages.
        baselines : sequence of str, default=("l2", "l1")
            Names of further losses in :data:`skwing.losses.LOSSES`.
        max_error, n_points, ax, **line_kwargs
            See :meth:`from_losses`.

        Returns
        -------
        display : LossDisplay
        """
        import_pyplot(cls)
        regressor = find_fitted(estimator, "loss", "a CascadeLandmarkRegressor")
        given = getattr(regressor, "networks_", regressor.networks)
        n_stages = 2 if isinstance(given, str) else len(given)  # "auto" before a fit
        pairs = zip(
            per_stage(regressor.w, n_stages), per_stage(regressor.epsilon, n_stages), strict=True
        )
        pairs = list(dict.fromkeys(pairs))
        bound, labels = {}, {}
        ((name, loss),) = _by_name([regressor.loss]).items()
        for w, epsilon in pairs:
            title = _title(loss, w, epsilon, name)
            key = name if len(pairs) == 1 else title
            bound[key], labels[key] = bind_loss(loss, w, epsilon), title
        w, epsilon = pairs[0]
        for other in [other for other in baselines if other != regressor.loss]:
            bound[other] = bind_loss(other, w, epsilon)
            labels[other] = _title(other, w, epsilon, other)
        max_error = 1.5 * max(w for w, _ in pairs) if max_error is None else max_error
        return cls._from_bound(bound, labels, max_error, n_points, ax, line_kwargs)

    @classmethod
    def _from_bound(
        cls,
        bound: dict[str, Loss],
        labels: dict[str, str],
        max_error: float,
        n_points: int,
        ax: Axes | None,
        line_kwargs: dict[str, Any],
    ) -> Self:
        if not (np.isfinite(max_error) and max_error > 0):
            raise ValueError(f"max_error must be a finite number > 0 (pixels); got {max_error!r}.")
        errors = np.linspace(0, max_error, n_points)
        values, gradients, steps = {}, {}, {}
        for name, loss in bound.items():
            values[name], gradients[name] = _value_and_gradient(loss, errors)
            pulls = gradients[name] > 0
            steps[name] = np.full(n_points, np.nan)
            steps[name][pulls] = errors[pulls] / gradients[name][pulls]
        display = cls(errors=errors, values=values, gradients=gradients, steps=steps, labels=labels)
        return display.plot(ax, **line_kwargs)


def _by_name(losses: Any) -> dict[str, Any]:
    """Convert losses (names or functions) to a dict by name."""
    if isinstance(losses, Mapping):
        return dict(losses)
    losses = [losses] if isinstance(losses, str) or callable(losses) else losses
    return {
        loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__): loss
        for loss in losses
    }


def _title(loss: Any, w: float, epsilon: float, name: str) -> str:
    """Label of a loss in the legend; with `w` and `epsilon` for losses of the package."""
    if loss != name or loss not in LOSSES:
        return name
    plain = {"l1": "L1", "l2": "L2", "smooth_l1": "smooth L1"}
    return plain.get(loss) or f"{loss.replace('_', ' ')}, w = {w:g}, ε = {epsilon:g}"


def _value_and_gradient(loss: Loss, errors: Floats) -> tuple[Floats, Floats]:
    """Value and absolute gradient of a loss at the given errors."""
    residual = torch.tensor(errors, requires_grad=True)
    with torch.enable_grad():
        value = loss(residual)
        (gradient,) = torch.autograd.grad(value.sum(), residual)
    return value.detach().numpy(), gradient.abs().numpy()


def _style(number: int, label: str, line_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Style of a curve; the first loss, to which others are compared, is thick and on top."""
    first = {"linewidth": 3.0, "zorder": 3} if number == 0 else {}
    return curve_style(number, {"label": label, **first, **aliases_resolved(line_kwargs)})


def _proxy(style: dict[str, Any]) -> Any:
    """Proxy artist of a curve for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


def _top(curves: Iterable[Floats]) -> float:
    """Upper limit of a panel; the highest curve is clipped if the others are much lower."""
    highest = sorted(np.nanmax(curve) for curve in curves)
    top = highest[-1]
    if len(highest) > 1 and top > 2 * highest[-2] > 0:
        top = highest[-2]
    return 1.08 * top if top > 0 else 1.0
