"""Parameters of the augmentation of training crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from skwing._utils.checks import Constraint, Number, PerStage
from skwing._utils.doc_links import DocLinkMixin
from skwing._utils.estimators import BaseEstimator

if TYPE_CHECKING:
    from skwing._utils.types import PerStage as PerStageValue

_PROBABILITY = PerStage(Number(0, 1))


class Augmentation(DocLinkMixin, BaseEstimator):
    """Strength of the random augmentation of training crops.

    Each parameter is one value for all stages of the cascade, or a sequence with one value per
    stage; the last value of a sequence is repeated. 0 disables a transform. In stages that read
    patches, `shift`, `occlusion` and `deformation` have no effect.

    Parameters
    ----------
    rotation : float, per stage, default=(20.0, 15.0)
        Maximum in-plane rotation in both directions, in degrees.
    scale : float, per stage, default=(0.1, 0.08)
        Maximum change of scale: the factor is between 1 / (1 + scale) and 1 + scale.
    shift : float, per stage, default=(0.05, 0.04)
        Maximum shift along each axis, as a fraction of the crop's side.
    mirror : float, per stage, default=0.5
        Probability of mirroring; has an effect only with a schema that has mirror pairs.
    blur : float, per stage, default=0.2
        Probability of a Gaussian blur with a standard deviation of one pixel.
    brightness : float, per stage, default=0.2
        Maximum offset, as a fraction of white.
    contrast : float, per stage, default=0.2
        Maximum change of contrast: the factor is between 1 - contrast and 1 + contrast.
    occlusion : float, per stage, default=0.3
        Probability of occluding a random rectangle with a single colour or with a part of
        another image.
    deformation : float, per stage, default=(0.5, 1.5)
        Maximum deformation of a crop towards the shape of the most similar other sample of
        the batch; 1 reaches this shape. It is most useful with few training samples. Shapes
        without a close neighbour, such as those of articulated limbs, are deformed less or
        not at all.

    See Also
    --------
    skwing.CascadeLandmarkRegressor : The regressor with the parameter `augmentation`.

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
        rotation: PerStageValue = (20.0, 15.0),
        scale: PerStageValue = (0.1, 0.08),
        shift: PerStageValue = (0.05, 0.04),
        mirror: PerStageValue = 0.5,
        blur: PerStageValue = 0.2,
        brightness: PerStageValue = 0.2,
        contrast: PerStageValue = 0.2,
        occlusion: PerStageValue = 0.3,
        deformation: PerStageValue = (0.5, 1.5),
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
Augmentation.__module__ = "skwing"  # the public name, for pickles


def is_default(augmentation: object) -> bool:
    """Whether a parameter `augmentation` is "default"."""
    return isinstance(augmentation, str) and augmentation == "default"


def chosen(augmentation: object) -> object:
    """Replace "default" by a new ``Augmentation()``."""
    return Augmentation() if is_default(augmentation) else augmentation
