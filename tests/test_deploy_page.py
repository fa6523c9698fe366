"""The functions in other languages on the page on deployment cut the chips of `cut_chip`."""

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from skwing.runtime import chip_matrix, cut_chip

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "deploy.md"
CASES = [  # size of the image, box, size of the chip
    ((120, 90), (20.0, 30, 33, 41), 32),  # reduced a little
    ((250, 300), (40.5, -20.25, 200, 150), 16),  # reduced, and partly outside
    ((60, 80), (30.0, 25, 9, 12), 64),  # enlarged
    ((60, 80), (10.0, 12, 16, 16), 32),  # neither
]
MAIN_CPP = r"""
#include <cstdio>
#include <cstdlib>
int main(int, char** a) {
    cv::Mat image(atoi(a[1]), atoi(a[2]), CV_8UC3);
    if (fread(image.data, 3, image.total(), stdin) != image.total()) return 1;
    double scale; cv::Point2d shift;
    cv::Rect2d box(atof(a[3]), atof(a[4]), atof(a[5]), atof(a[6]));
    cv::Mat chip = cut_chip(image, box, atoi(a[7]), 0.5, scale, shift);
    fwrite(chip.data, 3, chip.total(), stdout);
    double found[] = {scale, shift.x, shift.y};
    fwrite(found, sizeof(double), 3, stdout);
}
"""
MAIN_JS = """
const [height, width, x, y, w, h, size] = process.argv.slice(2).map(Number);
const rgb = require("fs").readFileSync(0), data = new Uint8ClampedArray(4 * width * height);
for (let i = 0; i < 3 * width * height; i++) data[4 * Math.floor(i / 3) + i % 3] = rgb[i];
const chip = cutChip({ data, width, height }, { x, y, width: w, height: h }, size, 0.5);
const scale = 1 / chip.step, shift = chip.edge.map(e => -e * scale - 0.5);
const told = Buffer.from(new Float64Array([scale, ...shift]).buffer);
process.stdout.write(Buffer.concat([chip.pixels, told]));
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGE.is_file(), reason="no docs beside the tests"),
]


def code(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]


def flags_of_opencv():
    """Options of the compiler for OpenCV, or None."""
    for name in ("opencv4", "opencv5"):
        done = subprocess.run(
            ["pkg-config", "--cflags", "--libs", name], capture_output=True, text=True
        )
        if done.returncode == 0:
            return done.stdout.split()
    return None


@pytest.fixture(scope="module", params=["cpp", "js"])
def program(request, tmp_path_factory):
    """Command of a program that cuts a chip."""
    folder = tmp_path_factory.mktemp("port")
    if request.param == "js":
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        (folder / "chip.js").write_text(code("js") + MAIN_JS)
        return ["node", str(folder / "chip.js")]
    if shutil.which("g++") is None or shutil.which("pkg-config") is None:
        pytest.skip("g++ or pkg-config is not installed")
    if (flags := flags_of_opencv()) is None:
        pytest.skip("OpenCV for C++ is not installed")
    (folder / "chip.cpp").write_text(code("cpp") + MAIN_CPP)
    command = ["g++", "-std=c++17", str(folder / "chip.cpp"), "-o", str(folder / "chip")]
    subprocess.run([*command, *flags], check=True)
    return [str(folder / "chip")]


@pytest.mark.parametrize("case", CASES)
def test_chips_are_those_of_cut_chip(program, case):
    (height, width), box, size = case
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    matrix = chip_matrix(box, size, 0.5)
    wanted = cut_chip(image, matrix, size).astype(int)
    arguments = map(str, (height, width, *box, size))
    done = subprocess.run(
        [*program, *arguments], input=image.tobytes(), capture_output=True, check=True
    )
    np.testing.assert_allclose(
        np.frombuffer(done.stdout[-24:]), [matrix[0, 0], *matrix[:, 2]], rtol=1e-9
    )
    chip = np.frombuffer(done.stdout[:-24], np.uint8).reshape(size, size, 3).astype(int)
    # Outside the image, borders are averaged blocks there, and border pixels in JavaScript.
    centres = (np.arange(size)[:, None] - matrix[:, 2]) / matrix[0, 0]
    edge = 1 + 1 / matrix[0, 0]
    inside = (centres >= edge) & (centres <= np.array([width, height]) - 1 - edge)
    inside = inside[:, 1, None] & inside[:, 0]
    assert inside.sum() > 50
    assert np.abs(chip - wanted)[inside].mean() < (1 if program[0] != "node" else 4)
    if matrix[0, 0] >= 1:
        assert np.abs(chip - wanted).max() <= 3
