"""Colours, hair, beard and clothes of a person."""

from dataclasses import dataclass

import numpy as np

_SKINS = np.array(
    [
        [250, 218, 198],
        [240, 196, 168],
        [226, 176, 140],
        [196, 142, 104],
        [150, 102, 72],
        [112, 74, 52],
        [76, 50, 40],
    ],
    float,
)
_HAIRS = np.array(
    [
        [28, 24, 24],
        [52, 38, 30],
        [92, 64, 42],
        [136, 98, 62],
        [206, 172, 116],
        [150, 78, 44],
        [150, 148, 146],
        [214, 210, 204],
    ],
    float,
)
_IRISES = np.array([[58, 36, 24], [96, 62, 36], [70, 96, 132], [84, 112, 78], [110, 116, 120]])


@dataclass(frozen=True)
class Look:
    """Colours (RGB, 0 to 255), hair, beard and clothes of one person.

    Lengths are in half face widths. `hairline` and `length` are the heights at which the hair
    ends above the forehead and behind the ears, `recess` is the additional height at the
    temples, `part` the height difference between the two sides of a fringe, `ragged` the
    irregularity of its end, and `curtain` the angle from which long hair hangs down, in radians.
    `beard` is the strength of a beard, `gap` the size of its gap around the mouth, `under` the
    number of rows of the grid that it covers below the jaw. `collar` is the number of rows of the
    neck covered by clothes; `neck`, `folds`, `white` and `shadow` are strengths of the shadow of
    the jaw, of the folds of the skin, of the white of the eyes, and of the colour of the lids.
    """

    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    brow_width: float
    hairline: float
    fringe: float
    recess: float
    part: float
    length: float
    curtain: float
    volume: float
    ragged: float
    beard: float
    gap: float
    under: int
    blush: float
    collar: int
    neck: float
    folds: float
    white: float
    shadow: float


def draw_look(rng):
    """Colours and hair of a random person."""
    tone = rng.beta(1.1, 1.5) * (len(_SKINS) - 1)
    skin = np.array([np.interp(tone, np.arange(len(_SKINS)), c) for c in _SKINS.T])
    skin = np.clip(skin * (1 + 0.04 * rng.standard_normal(3)), 20, 255)
    dark = tone > 3.3 and rng.random() < 0.9
    hair = _HAIRS[rng.integers(0, 2 if dark else len(_HAIRS))] * rng.uniform(0.8, 1.15)
    pale = rng.uniform(0, 0.7)
    lips = skin * (pale * np.array([0.93, 0.84, 0.82]) + (1 - pale) * np.array([0.88, 0.62, 0.6]))
    if rng.random() < 0.25:
        lips = 0.35 * lips + 0.65 * np.array([rng.uniform(130, 200), 40, rng.uniform(45, 90)])
    brow = np.minimum(hair * rng.uniform(0.6, 1.1), skin * rng.uniform(0.55, 0.85))
    bald, hat = rng.random() < 0.12, rng.random() < 0.13
    long = not bald and rng.random() < 0.45
    beard = rng.uniform(0.2, 0.95) if not long and rng.random() < 0.4 else 0.0
    return _dressed(
        skin=skin,
        hair=hair,
        brow=brow,
        lips=lips,
        iris=_IRISES[rng.integers(0, 2 if dark else len(_IRISES))] * rng.uniform(0.7, 1.3),
        cloth=rng.uniform(20, 235, 3),
        brow_width=float(rng.uniform(0.045, 0.13)),
        hairline=float(-1.5 if bald else rng.normal(-0.86, 0.12)),
        fringe=float(rng.uniform(0.1, 0.3) if not bald and rng.random() < 0.4 else 0.0),
        recess=float(rng.uniform(-0.05, 0.2)),
        part=float(rng.normal(0, 0.7)),
        length=float(rng.uniform(1.2, 2.1) if long else rng.uniform(0.2, 0.7)),
        curtain=float(rng.uniform(1.18, 1.5)),
        volume=float(rng.uniform(0.01, 0.03) if bald else rng.uniform(0.05, 0.2)),
        ragged=float(rng.choice([0.02, 0.05, 0.1])),
        beard=float(beard),
        gap=float(rng.uniform(0.6, 1.3)),
        under=int(rng.integers(1, 9)),
        blush=float(rng.uniform(0, 0.12)),
        collar=int(rng.integers(1, 8) if rng.random() < 0.5 else 0),
        neck=float(rng.uniform(0, 0.5)),
        folds=float(rng.uniform(0, 0.5)),
        white=float(rng.uniform(0.2, 1)),
        shadow=float(rng.uniform(0, 0.5)),
        hat=rng.uniform(15, 240, 3) if hat else None,
        rng=rng,
    )


def _dressed(hat, rng, **look):
    """Look of a person; a hat, given by its colour, takes the place of the hair above the face."""
    line, volume = rng.uniform(-0.68, -0.42), rng.uniform(0.1, 0.3)
    if hat is not None:
        look |= {"hair": hat, "hairline": float(line), "volume": float(volume)}
        look |= {"fringe": 0.0, "recess": 0.0, "ragged": 0.0}
    return Look(**look)
