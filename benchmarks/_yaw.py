"""Yaw of faces, in degrees, estimated from their 68 landmarks.

300-W has no pose labels. A rigid 3D face is fitted to the landmarks with scaled orthographic
projection. Run this file to compare the estimate with the known yaw of generated faces.
"""

from pathlib import Path

import numpy as np


def rigid_face():
    """Landmarks of an average head in 3-D, (68, 3); x right, y down, z to the camera.

    The file has the head of `make_faces` of skwing 0.8.0, so that the estimates do not change with
    the package.
    """
    return np.loadtxt(Path(__file__).parent / "rigid_face.csv", delimiter=",")


def estimate_yaw(points):
    """Yaw of each face in degrees; positive when the nose points to the image's right.

    Parameters
    ----------
    points : array of shape (n, 68, 2)
        NaN = missing.

    Returns
    -------
    yaw : array of shape (n,)
    """
    # Points on the outline of the far cheek depend on the yaw.
    solid, flat = rigid_face()[17:], points[:, 17:]
    known = ~np.isnan(flat).any(-1)
    camera = np.empty((len(points), 2, 3))
    for seen in np.unique(known, axis=0):
        rows = (known == seen).all(1)
        if seen.sum() < 8:
            raise ValueError(f"{seen.sum()} of the inner landmarks are known, expected 8 or more")
        part, shape = flat[rows][:, seen], solid[seen] - solid[seen].mean(0)
        part = part - part.mean(1, keepdims=True)
        camera[rows] = np.einsum("kl,nlc->nck", np.linalg.pinv(shape), part)
    u, _, vt = np.linalg.svd(camera, full_matrices=False)
    across, down = np.moveaxis(u @ vt, 1, 0)
    toward = np.cross(across, down)
    # The yaw is the horizontal angle of the viewing axis in the head frame.
    return np.degrees(np.arctan2(-toward[:, 0], toward[:, 2]))


if __name__ == "__main__":
    from skwing.datasets import make_faces

    faces = make_faces(1000, random_state=0)
    true, found = faces.pose[:, 0], estimate_yaw(faces.target)
    print(f"correlation {np.corrcoef(true, found)[0, 1]:.3f}")
    print(f"median error {np.median(abs(found - true)):.1f} degrees")
