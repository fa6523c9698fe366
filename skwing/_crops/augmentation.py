"""Augmentation: the random changes of training crops, as a user sets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skwing._utils.checks import Constraint, Number, PerStage
from skwing._utils.doc_links import DocLinkMixin

__all__ = ["AUGMENTATIONS", "Augmentation", "chosen", "is_default"]

PerStageFloat = float | Sequence[float] | NDArray

_PROBABILITY = PerStage(Number(0, 1))


class Augmentation(DocLinkMixin, BaseEstimator):
    """Strength of the random changes that training crops undergo.

    Each parameter is one value for all stages of the cascade, or a sequence of one value per
    stage; the last value of a sequence is repeated for the stages beyond it. 0 switches a
    change off.

    Parameters
    ----------
    rotation : float, per stage, default=(20.0, 15.0)
        Largest in-plane rotation either way, in degrees.
    scale : float, per stage, default=(0.1, 0.08)
        Largest change of size: the factor lies between 1 / (1 + scale) and 1 + scale.
    shift : float, per stage, default=(0.05, 0.04)
        Largest shift along each axis, as a fraction of the crop's side.
    mirror : float, per stage, default=0.5
        Probability of mirroring; has an effect only with a schema that has mirror pairs.
    blur : float, per stage, default=0.2
        Probability of a Gaussian blur with a sigma of one pixel.
    brightness : float, per stage, default=0.2
        Largest offset, as a fraction of white.
    contrast : float, per stage, default=0.2
        Largest change of contrast: the factor lies between 1 - contrast and 1 + contrast.
    occlusion : float, per stage, default=0.3
        Probability that a random rectangle is covered, by a single colour or by a piece of
        another image.
    deformation : float, per stage, default=(0.5, 1.5)
        Largest deformation of a crop towards the shape of the most similar other sample of
        the batch; 1 is the full way. The fewer the training samples, the more it helps.
        Where shapes have little in common, as those of articulated limbs, crops are
        deformed less or not at all.

    See Also
    --------
    skwing.CascadeLandmarkRegressor : Takes it as its parameter `augmentation`.

    Examples
    --------
    >>> from skwing import Augmentation, CascadeLandmarkRegressor
    >>> reg = CascadeLandmarkRegressor(augmentation=Augmentation(rotation=30, occlusion=0))
    >>> reg.set_params(augmentation__rotation=(40, 20)).augmentation
    Augmentation(occlusion=0, rotation=(40, 20))
    """

    _constraints: ClassVar[dict[str, Constraint]] = {
        "rotation": PerStage(Number(0, 180)),
        "scale": PerStage(Number(0, 10)),
        "shift": _PROBABILITY,
        "mirror": _PROBABILITY,
        "blur": _PROBABILITY,
        "brightness": _PROBABILITY,
        "contrast": _PROBABILITY,
        "occlusion": _PROBABILITY,
        "deformation": PerStage(Number(0, 10)),
    }

    def __init__(
        self,
        *,
        rotation: PerStageFloat = (20.0, 15.0),
        scale: PerStageFloat = (0.1, 0.08),
        shift: PerStageFloat = (0.05, 0.04),
        mirror: PerStageFloat = 0.5,
        blur: PerStageFloat = 0.2,
        brightness: PerStageFloat = 0.2,
        contrast: PerStageFloat = 0.2,
        occlusion: PerStageFloat = 0.3,
        deformation: PerStageFloat = (0.5, 1.5),
    ) -> None:
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.mirror = mirror
        self.blur = blur
        self.brightness = brightness
        self.contrast = contrast
        self.occlusion = occlusion
        self.deformation = deformation


AUGMENTATIONS = tuple(Augmentation._constraints)
Augmentation.__module__ = "skwing"  # where it is public, for pickles


def is_default(augmentation: object) -> bool:
    """Whether an `augmentation` is the text that stands for ``Augmentation()``."""
    return isinstance(augmentation, str) and augmentation == "default"


def chosen(augmentation: object) -> object:
    """The augmentation that a parameter `augmentation` stands for, a fresh one by default."""
    return Augmentation() if is_default(augmentation) else augmentation
