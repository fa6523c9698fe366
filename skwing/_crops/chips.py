"""Chips: decoded images, cut to the box and a margin without aliasing.

A chip shows the square around the box, so the box has the same position in all chips. All later
computations use chip pixels; predictions are converted to image pixels by the inverse of the
chip's matrix.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch

from skwing import geometry
from skwing._crops.chip_cache import stored_chips
from skwing._crops.pack import StoredPixels
from skwing._crops.warp import halve, sample, sample_patches, to_device
from skwing.images._decode import decoding_threads
from skwing.runtime import check_box_inside, chip_matrix, cut_chip

_CPU = torch.device("cpu")
_N_ROWS = 2**14  # samples whose coordinates are transformed at once
_PORTION = 48e6  # maximum number of bytes of pixels that are decoded in advance


@dataclass(frozen=True)
class ChipFrame:
    """Size of chips, and their margin around the box on each side, as a fraction of its side."""

    size: int
    margin: float

    def matrices(self, boxes):
        """Matrices of shape (n, 2, 3) from image pixels to chip pixels."""
        return geometry.from_box(boxes, self.size, self.margin)

    def to_box_frame(self, size, margin):
        """Matrix of shape (2, 3) from chip pixels to another frame of the same box."""
        unit_box = np.array([0.0, 0.0, 1.0, 1.0])
        return geometry.compose(
            geometry.from_box(unit_box, size, margin),
            geometry.invert(self.matrices(unit_box)),
        )


@dataclass(frozen=True)
class Chips:
    """Chips of n samples.

    Attributes
    ----------
    pixels : uint8 array or tensor, or StoredPixels, of shape (n, size, size, 3)
        RGB; a tensor if the chips are stored on a GPU, `StoredPixels` if they are in files.
    matrices : float64 array of shape (n, 2, 3)
        From image pixels to chip pixels.
    frame : ChipFrame
    device : torch.device
        Device on which crops are sampled.
    image_sizes : float64 array of shape (n, 2) or None
        Width and height of each image in pixels, NaN if it cannot be read.
    failures : dict of int to str
        Error messages of skipped samples.
    """

    pixels: np.ndarray | torch.Tensor | StoredPixels
    matrices: np.ndarray
    frame: ChipFrame
    device: torch.device = _CPU
    failures: dict = field(default_factory=dict)
    image_sizes: np.ndarray | None = None

    def __len__(self):
        return len(self.pixels)

    @property
    def box_sides(self):
        """Sides of the squares around the boxes, in image pixels, of shape (n,)."""
        side = self.frame.size / (1 + 2 * self.frame.margin)
        return side / geometry.scale_of(self.matrices)

    def to_chip(self, points, dtype=np.float64):
        """Map points of shape (n, L, 2) from image pixels to chip pixels."""
        moved = np.empty(np.shape(points), dtype)
        for rows, some in self._in_portions(points):
            moved[rows] = some
        return moved

    def mean_in_chip(self, points):
        """Mean of known points of shape (n, L, 2), in chip pixels; of shape (L, 2)."""
        total, n_known = 0.0, 0
        for _, some in self._in_portions(points):
            total = total + np.nansum(some, axis=0)
            n_known = n_known + (~np.isnan(some)).sum(axis=0)
        return total / n_known

    def extents(self, points):
        """Longer sides of the boxes around points of shape (n, L, 2), in chip pixels."""
        sides = np.empty(len(self))
        for rows, some in self._in_portions(points):
            sides[rows] = geometry.boxes_of(some)[:, 2:].max(-1)
        return sides

    def _in_portions(self, points):
        """Iterate over slices of samples, with their points in chip pixels; saves memory."""
        for start in range(0, len(points), _N_ROWS):
            rows = slice(start, start + _N_ROWS)
            yield rows, geometry.apply(self.matrices[rows], points[rows])

    def to_image(self, points):
        """Map points of shape (n, L, 2) from chip pixels to image pixels."""
        return geometry.apply(geometry.invert(self.matrices), points)

    @cached_property
    def _levels(self):
        return {0: self.pixels}

    def _level_of(self, scale):
        """How often pixels are halved for crops of a scale.

        Averaging blocks avoids aliasing when crops are sampled at less than full scale.
        """
        level, size = 0, self.frame.size
        while scale < 0.75 and size % 2 == 0:
            level, size, scale = level + 1, size // 2, 2 * scale
        return level

    def _level(self, level):
        """Pixels that are halved a number of times."""
        if level not in self._levels:  # two threads may do this, with equal results
            last = self._level(level - 1)
            self._levels[level] = last.halved() if hasattr(last, "halved") else halve(last)
        return self._levels[level]

    def rows(self, indices, scale=1.0):
        """Pixels of some chips that crops of a scale are sampled from.

        The indices are on the CPU; the result is a list of arrays or a tensor, as
        :func:`skwing._crops.warp.sample` takes them.
        """
        pixels = self._level(self._level_of(scale))
        if isinstance(pixels, torch.Tensor):
            return pixels[to_device(indices, self.device)]
        if self.device.type == "cpu":
            return [pixels[i] for i in indices.tolist()]
        # Convert to numpy, which would treat a tensor with one index as a scalar.
        return to_device(torch.from_numpy(pixels[indices.numpy()]), self.device)

    def from_rows(self, matrices, scale=1.0):
        """Matrices from the pixels of :meth:`rows` instead of chip pixels."""
        for _ in range(self._level_of(scale)):
            matrices = geometry.compose(matrices, self._from_half)
        return matrices

    @cached_property
    def _from_half(self):
        matrix = geometry.invert(geometry.halving())
        return torch.as_tensor(matrix, dtype=torch.float32, device=self.device)

    def sample(self, indices, matrices, size, scale=1.0, field=None):
        """Sample a batch of network inputs, with a single resampling.

        Parameters
        ----------
        indices : int tensor of shape (b,)
            On the CPU.
        matrices : float tensor of shape (b, 2, 3)
            From chip pixels to input pixels, on the device of the chips.
        size : int
            Side of the input in pixels.
        scale : float, default=1.0
            Approximate magnification of the crops. If it is small, they are sampled from
            chips of half the side. Computing it from `matrices` would force a GPU sync and
            couple the samples of a batch.
        field : float tensor of shape (b, 2, n_nodes, n_nodes), default=None
            Deformation of the inputs, see :func:`skwing._crops.warp.sample`.

        Returns
        -------
        batch : float32 tensor of shape (b, 3, size, size) in [0, 1]
        """
        return sample(self.rows(indices, scale), self.from_rows(matrices, scale), size, field)

    def patches(self, indices, matrices, centers, size, scale=1.0):
        """Sample a batch of patches, with a single resampling, see :meth:`sample`.

        The matrices map chip pixels to the frame of the patches. Centres of the patches, of shape
        (b, n_patches, 2), and their size are in pixels of this frame.
        The result is of shape (b, n_patches, 3, size, size).
        """
        matrices = patch_matrices(self.from_rows(matrices, scale), centers, size)
        return sample_patches(self.rows(indices, scale), matrices, size)


def patch_matrices(matrices, centers, size):
    """Matrices to patches of a size, of shape (b, n_patches, 2, 3).

    `matrices` map to the frame of the patches, and `centers`, of shape (b, n_patches, 2), are in
    pixels of the frame.
    """
    linear = matrices[:, None, :, :2].expand(-1, centers.shape[1], -1, -1)
    shift = matrices[:, None, :, 2] - centers + (size - 1) / 2
    return torch.cat([linear, shift[..., None]], -1)


def iter_chips(data, frame, device="cpu", n_samples=None, on_error="raise"):
    """Iterate over the chips of a data set in portions, with constant memory.

    The next portion is prepared in a thread while the current one is used. By default, portions
    are of 256 samples, or fewer if chips are large.
    """
    if n_samples is None:
        n_samples = max(1, min(256, int(_PORTION / (3 * frame.size**2))))
    if len(data) <= n_samples:  # nothing to prepare in advance
        if len(data):
            yield cut_chips(data, frame, device, on_error=on_error)
        return
    starts = range(0, len(data), n_samples)
    with ThreadPoolExecutor(1) as ahead:
        waiting = None
        for start in starts:
            portion = data[start : start + n_samples]
            cutting = ahead.submit(cut_chips, portion, frame, device, on_error=on_error)
            if waiting is not None:
                yield waiting.result()
            waiting = cutting
        if waiting is not None:
            yield waiting.result()


def cut_chips(data, frame, device="cpu", *, on_error="raise", check_sizes=False, cache=None):
    """Decode each sample of a data set once and cut its chip.

    Parameters
    ----------
    data : BoxedImages
    frame : ChipFrame
    device : torch.device or str, default="cpu"
        Device for sampling, which also stores the pixels if they fit.
    on_error : {"raise", "skip"}, default="raise"
        "skip" returns black chips and error messages for samples that cannot be read.
    check_sizes : bool, default=False
        Whether to warn if image sizes differ from those stated in the data's file.
    cache : str, default=None
        Folder of chips, which is searched for them and to which others are added. The pixels are
        read from there when they are sampled. Not with `on_error`.

    Returns
    -------
    chips : Chips

    Raises
    ------
    ValueError, FileNotFoundError
        If an image cannot be read or a box is outside its image; names the sample.
    """
    device = torch.device(device)
    if cache is not None:
        cut_some = partial(cut_chips, frame=frame)
        pixels, matrices, sizes = stored_chips(cache, data, frame, cut_some)
        if check_sizes:
            data.warn_of_sizes(sizes)
        return Chips(placed(pixels, device), matrices, frame, device, {}, sizes)
    pixels = np.empty((len(data), frame.size, frame.size, 3), dtype=np.uint8)
    matrices, sizes = np.empty((len(data), 2, 3)), np.full((len(data), 2), np.nan)
    boxes, failures = data.boxes, {}

    def cut_one(i):
        image = data.decode(i)
        sizes[i] = image.shape[1::-1]
        box = check_box_inside(boxes[i], image.shape, data.describe(i))
        matrices[i] = chip_matrix(box, frame.size, frame.margin)
        pixels[i] = cut_chip(image, matrices[i], frame.size)

    def try_one(i):
        try:
            cut_one(i)
        except (OSError, ValueError) as error:
            failures[i], pixels[i] = str(error), 0
            matrices[i] = chip_matrix((0, 0, 1, 1), frame.size, frame.margin)

    cut_or_skip = cut_one if on_error == "raise" else try_one
    if len(data) == 1:  # starting a thread takes as long as cutting a chip
        cut_or_skip(0)
    else:
        with ThreadPoolExecutor(decoding_threads()) as pool:
            for _ in pool.map(cut_or_skip, range(len(data))):
                pass
    if check_sizes:
        data.warn_of_sizes(sizes)
    return Chips(placed(pixels, device), matrices, frame, device, failures, sizes)


def placed(pixels, device):
    """Pixels of chips, moved to a GPU that has twice as much free memory."""
    if device.type != "cuda" or 2 * pixels.nbytes >= torch.cuda.mem_get_info(device)[0]:
        return pixels
    if isinstance(pixels, np.ndarray):
        return torch.from_numpy(pixels).to(device)
    there = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), 256):
        there[start : start + 256] = torch.from_numpy(pixels[start : start + 256]).to(device)
    return there
